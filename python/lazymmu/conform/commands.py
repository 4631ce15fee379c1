"""The command language of the recordings, as operations of the model.

A command is one line of ``ops.txt``; the recorded kernel carried it out with a small driver. What the kernel chose
itself (addresses, frames of data) is taken from the record, everything else from the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lazymmu.errors import LazymmuError
from lazymmu.recording import Kernel

Op = dict[str, Any]

CALLBACKS = ("count", "set", "clear", "wrprotect", "get-and-clear", "pause-set", "nested-set", "try-set")
"""Kinds of callbacks by the number that the command language has for them."""


class BadCommand(LazymmuError):
    """A command that cannot be read."""


@dataclass(frozen=True)
class Command:
    """A command: its name, its arguments, and the window in which changes were recorded (None: everywhere)."""

    name: str
    arguments: tuple[str, ...]
    window: tuple[int, int] | None

    def number(self, index: int) -> int:
        """An argument as a number."""
        try:
            return int(self.arguments[index], 0)
        except (IndexError, ValueError):
            raise BadCommand(f"{self.name}: argument {index + 1} is no number") from None

    def text(self, index: int) -> str:
        """An argument as it stands."""
        try:
            return self.arguments[index]
        except IndexError:
            raise BadCommand(f"{self.name}: argument {index + 1} is missing") from None


def parse(text: str) -> Command:
    """Reads a command line such as ``vmpr VA SIZE PA PROT @ WSTART WSIZE``."""
    words = text.split()
    if not words:
        raise BadCommand("empty command")
    window = None
    if "@" in words:
        at = words.index("@")
        try:
            start, size = (int(word, 0) for word in words[at + 1 :])
        except ValueError:
            raise BadCommand(f"{text!r}: expected a window of two numbers behind @") from None
        window = (start, start + size)
        words = words[:at]
    return Command(words[0], tuple(words[1:]), window)


@dataclass
class Allocations:
    """What earlier commands left under slot numbers: areas, and the pages behind them."""

    pages: dict[int, list[int]] = field(default_factory=dict)
    area: int = 999


@dataclass(frozen=True)
class Scene:
    """What a translation of a command may look at."""

    kernel: Kernel
    record: Mapping[str, Any]
    allocations: Allocations
    leaves: Sequence[tuple[int, int, int]]
    """Leaf entries that appeared: level, address, physical address."""

    def prot(self, name: str) -> int:
        """The bits of a protection's name."""
        bits = self.kernel.prot(name)
        if bits is None:
            raise BadCommand(f"unknown protection {name!r}")
        return bits

    def address(self) -> int:
        """The address that the kernel chose."""
        try:
            return int(self.record["va"], 0)
        except (KeyError, TypeError, ValueError):
            raise BadCommand(f"{self.record.get('cmd')!r}: the record has no address") from None

    @property
    def page(self) -> int:
        """Bytes of a base page."""
        return 1 << self.kernel.number("page_shift")

    def pattern(self, kind: str, a: int, b: int, count: int) -> Op:
        """A page array from the pool: consecutive, reversed, with a stride, xor-ed, or with a hole."""
        size = self.kernel.number("pool_pages")
        pool = self.kernel.number("pool_pa")
        order: dict[str, Callable[[int], int]] = {
            "c": lambda i: a + i,
            "h": lambda i: a + i,
            "r": lambda i: a - i,
            "s": lambda i: a + i * b,
            "x": lambda i: a + (i ^ b),
        }
        if kind not in order:
            raise BadCommand(f"unknown page pattern {kind!r}: expected one of {', '.join(order)}")
        pages: Op = {"count": count, "list": [pool + order[kind](i) % size * self.page for i in range(count)]}
        if kind == "h":
            pages["null_at"] = b
        return pages

    def frames(self, start: int, count: int) -> list[int]:
        """The frames behind an area, as its new leaves show them."""
        found: dict[int, int] = {}
        geometry = self.kernel
        for level, va, pa in self.leaves:
            size = 1 << geometry.number({1: "page_shift", 2: "pmd_shift", 3: "pud_shift"}.get(level, "page_shift"))
            for offset in range(0, size, self.page):
                found[va + offset] = pa + offset
        missing = [n for n in range(count) if start + n * self.page not in found]
        if missing:
            raise BadCommand(f"the record does not show page {missing[0]} of the area at {start:#x}")
        return [found[start + n * self.page] for n in range(count)]


def _vmpr(c: Command, s: Scene) -> list[Op]:
    va, size, pa, prot = c.number(0), c.number(1), c.number(2), s.prot(c.text(3))
    return [{"vmap_page_range": {"va": va, "size": size, "pa": pa, "prot": prot}}]


def _vmaps(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(4), c.number(5), c.number(6), c.number(1))
    arguments = {"va": c.number(0), "pages": pages, "prot": s.prot(c.text(3)), "page_shift": c.number(2)}
    return [{"vmap_pages_range": arguments}]


def _vunmap(c: Command, s: Scene) -> list[Op]:
    noflush = {"noflush": True} if c.name == "vunmapnf" else {}
    return [{"vunmap_range": {"va": c.number(0), "size": c.number(1), **noflush}}]


def _apply(c: Command, s: Scene) -> list[Op]:
    kind = c.number(3)
    if not 0 <= kind < len(CALLBACKS):
        raise BadCommand(f"unknown callback kind {kind}: expected 0 to {len(CALLBACKS) - 1}")
    callback = {"kind": CALLBACKS[kind], "pa": c.number(4), "prot": s.prot(c.text(5))}
    if len(c.arguments) > 6:
        callback["fail_at"] = c.number(6)
    create = bool(c.number(2))
    return [{"apply_to_page_range": {"va": c.number(0), "size": c.number(1), "create": create, "callback": callback}}]


def _area(c: Command, s: Scene) -> list[Op]:
    kind = "ioremap" if c.text(2).startswith("io") else "map"
    return [{"area": {"slot": s.allocations.area, "size": c.number(1), "at": c.number(0), "kind": kind}}]


def _unarea(c: Command, s: Scene) -> list[Op]:
    return [{"free": {"va": c.number(0)}}]


def _ioremap(c: Command, s: Scene) -> list[Op]:
    at = s.address() & ~(s.page - 1)
    arguments = {"slot": c.number(0), "pa": c.number(1), "size": c.number(2), "at": at}
    return [{"ioremap": {**arguments, "prot": s.kernel.number("prot_io")}}]


def _free(c: Command, s: Scene) -> list[Op]:
    s.allocations.pages.pop(c.number(0), None)
    return [{"free": {"va": {"slot": c.number(0)}}}]


def _vmalloc(c: Command, s: Scene) -> list[Op]:
    at, size = s.address(), c.number(1)
    count = -(-size // s.page)
    frames = s.frames(at, count)
    s.allocations.pages[c.number(0)] = frames
    arguments: Op = {"slot": c.number(0), "size": size, "at": at, "pages": {"count": count, "list": frames}}
    if c.name == "vmallochuge":
        arguments["huge"] = True
    return [{"vmalloc": arguments}]


def _vmap(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(2), c.number(3), c.number(4), c.number(1))
    return [{"vmap": {"slot": c.number(0), "pages": pages, "at": s.address(), "prot": s.prot(c.text(5))}}]


def _vmram(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(2), c.number(3), c.number(4), c.number(1))
    return [{"vm_map_ram": {"slot": c.number(0), "pages": pages, "at": s.address()}}]


COMMANDS: dict[str, Callable[[Command, Scene], list[Op]]] = {
    "vmpr": _vmpr,
    "vmaps": _vmaps,
    "vunmap": _vunmap,
    "vunmapnf": _vunmap,
    "apply": _apply,
    "area": _area,
    "unarea": _unarea,
    "ioremap": _ioremap,
    "iounmap": _free,
    "vmalloc": _vmalloc,
    "vmallochuge": _vmalloc,
    "vfree": _free,
    "vmap": _vmap,
    "vunmapp": _free,
    "vmram": _vmram,
    "vmunram": _free,
    "purge": lambda c, s: [{"purge": {}}],
    "nop": lambda c, s: [{"nop": {}}],
}
"""Commands that are one operation of the model."""
