"""The command language of the recordings, as operations of the model.

A command is one line of ``ops.txt``; the recorded kernel carried it out with a small driver. What the kernel chose
itself (addresses, frames of data) is taken from the record, everything else from the command.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lazymmu import _native
from lazymmu.errors import LazymmuError
from lazymmu.recording import Kernel

Op = dict[str, Any]

CALLBACKS = ("count", "set", "clear", "wrprotect", "get-and-clear", "pause-set", "nested-set", "try-set")
"""Kinds of callbacks by the number that the command language has for them."""


class BadCommand(LazymmuError):
    """A command that cannot be read."""


class NotModelled(LazymmuError):
    """A command for which this backend of the model has no operation."""


MOST = 1 << 24
"""Pages that a command may be about: more than any driver had."""


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

    def pages(self, index: int) -> int:
        """An argument as a number of pages."""
        count = self.number(index)
        if not 0 <= count <= MOST:
            raise BadCommand(f"{self.name}: argument {index + 1} is {count}, expected 0 to {MOST} pages")
        return count

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
    starts: dict[int, int] = field(default_factory=dict)
    nested: dict[int, int] = field(default_factory=dict)
    discarded: list[int] = field(default_factory=list)
    """Slots of areas that a worker releases some time after the command."""
    area: int = 999


SET_MEMORY = ("x86-64", "x86-32", "riscv")
"""Backends whose ``set_memory_*`` is one operation of the model; arm64's is told in terms of others."""

WORD = (1 << 64) - 1
NESTED = 1 << 20
"""Slots of the areas that hold the page arrays of other areas are that much higher."""


@dataclass(frozen=True)
class Scene:
    """What a translation of a command may look at."""

    kernel: Kernel
    record: Mapping[str, Any]
    allocations: Allocations
    find_leaves: Callable[[], Sequence[tuple[int, int, int]]] = tuple
    read: Callable[[int], int] = int
    """The leaf word that the model has for an address."""

    @cached_property
    def leaves(self) -> Sequence[tuple[int, int, int]]:
        """Leaf entries that appeared: level, address, physical address."""
        return self.find_leaves()

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

    def linear(self, pa: int) -> int:
        """Where the linear map has a frame."""
        return pa + self._linear_offset & WORD

    def memory(self, va: int) -> int:
        """The frame at an address of the linear map."""
        return va - self._linear_offset & WORD

    @property
    def _linear_offset(self) -> int:
        """From a frame to its linear address: told as that, or as what lies where the linear map begins."""
        if "va_pa_offset" in self.kernel.info:
            return self.kernel.number("va_pa_offset")
        start = self.kernel.number("phys_offset") if "phys_offset" in self.kernel.info else 0
        return self.kernel.number("page_offset") - start

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

    @cached_property
    def frame_at(self) -> dict[int, int]:
        """Frames by the addresses where they appeared."""
        found: dict[int, int] = {}
        for level, va, pa in self.leaves:
            size = 1 << self.kernel.shifts[level]
            found.update({va + offset: pa + offset for offset in range(0, size, self.page)})
        return found

    def frames(self, start: int, count: int) -> list[int]:
        """The frames behind an area, as its new leaves show them."""
        addresses = range(start, start + count * self.page, self.page)
        missing = next((va for va in addresses if va not in self.frame_at), None)
        if missing is not None:
            raise BadCommand(f"the record does not show the page at {missing:#x} of the area at {start:#x}")
        return [self.frame_at[va] for va in addresses]

    def outside(self, start: int, size: int) -> list[int]:
        """Addresses of the vmalloc space that appeared outside an area, in order."""
        first, last = self.kernel.number("vmalloc_start"), self.kernel.number("vmalloc_end")
        return sorted(va for va in self.frame_at if first <= va < last and not start <= va < start + size)

    def areas_outside(self, start: int, size: int) -> list[tuple[int, int]]:
        """Runs of those addresses: first address and pages, in the order in which they were mapped."""
        runs: list[tuple[int, int]] = []
        for va in self.outside(start, size):
            if runs and va == runs[-1][0] + runs[-1][1] * self.page:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((va, 1))
        mapped = [event[1] for event in self.record.get("ev", ()) if event[0] == "__vmap_pages_range_noflush"]
        order = {int(va, 0): place for place, va in enumerate(mapped) if isinstance(va, str)}
        return sorted(runs, key=lambda run: order.get(run[0], -1))

    def in_blocks(self, frames: Sequence[int]) -> bool:
        """Whether large pages were got: memory is in blocks of the size that vmalloc tries first."""
        geometry = _native.geometries()[self.kernel.geometry]
        blocks = [1 << self.kernel.shifts[2], max(geometry["cont_ptes"], 1) * self.page]
        block = next((size for size in blocks if len(frames) * self.page >= size), self.page)
        each = block // self.page
        return all(pa == frames[n - n % each] + n % each * self.page for n, pa in enumerate(frames)) and not any(
            pa % block for pa in frames[::each]
        )


def _one_of(c: Command, index: int, known: Sequence[str]) -> str:
    if (word := c.text(index)) not in known:
        raise BadCommand(f"{c.name}: argument {index + 1} is {word!r}, expected one of {', '.join(known)}")
    return word


def _vmpr(c: Command, s: Scene) -> list[Op]:
    va, size, pa, prot = c.number(0), c.number(1), c.number(2), s.prot(c.text(3))
    return [{"vmap_page_range": {"va": va, "size": size, "pa": pa, "prot": prot}}]


def _vmaps(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(4), c.number(5), c.number(6), c.pages(1))
    arguments = {"va": c.number(0), "pages": pages, "prot": s.prot(c.text(3)), "page_shift": c.number(2)}
    return [{"vmap_pages_range": arguments}]


def data_pages(c: Command, s: Scene) -> list[tuple[int, int]]:
    """Addresses and frames of a page array from the pool that a command maps."""
    match c.name:
        case "vmaps":
            start, pages = c.number(0), s.pattern(c.text(4), c.number(5), c.number(6), c.pages(1))
        case "vmap" | "vmram":
            start, pages = s.address(), s.pattern(c.text(2), c.number(3), c.number(4), c.pages(1))
        case _:
            return []
    return [(start + n * s.page, pa) for n, pa in enumerate(pages["list"])]


def _vunmap(c: Command, _: Scene) -> list[Op]:
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


def _unarea(c: Command, _: Scene) -> list[Op]:
    return [{"free": {"va": c.number(0)}}]


def _ioremap(c: Command, s: Scene) -> list[Op]:
    at = s.address() & ~(s.page - 1)
    arguments = {"slot": c.number(0), "pa": c.number(1), "size": c.number(2), "at": at}
    # ioremap: what the recorded kernel has for it, else Device-nGnRE on arm64, uncached-minus on x86.
    prot = "prot_io" if s.kernel.backend == "arm64" else "prot_nc"
    prot = "prot_ioremap" if "prot_ioremap" in s.kernel.info else prot
    return [{"ioremap": {**arguments, "prot": s.kernel.number(prot)}}]


def _free(c: Command, s: Scene) -> list[Op]:
    slot = c.number(0)
    s.allocations.pages.pop(slot, None)
    ops: list[Op] = [{"free": {"va": {"slot": slot}}}]
    nested = s.allocations.nested.pop(slot, None)
    return ops if nested is None else [*ops, {"free": {"va": {"slot": nested}}}]


def _vmalloc(c: Command, s: Scene) -> list[Op]:
    slot, at, size = c.number(0), s.address(), c.number(1)
    count = -(-size // s.page)
    if not 0 < count <= MOST:
        raise BadCommand(f"{c.name}: {size:#x} is no size of an area")
    frames = s.frames(at, count)
    s.allocations.pages[slot], s.allocations.starts[slot] = frames, at
    # A large page may reach beyond the end.
    end = next(va for va in itertools.count(at + size, s.page) if va not in s.frame_at)
    ops: list[Op] = []
    # An array of pages that is larger than a page is an area of its own, mapped first. Of several the last is in use;
    # those of attempts with large pages that failed wait for a worker.
    for number, (start, length) in enumerate(reversed(s.areas_outside(at, end - at)), start=1):
        array = s.frames(start, length)
        pages = {"count": length, "list": array}
        if number == 1:
            s.allocations.nested[slot] = slot + NESTED
        else:
            s.allocations.discarded.append(slot + number * NESTED)
        area = {"slot": slot + number * NESTED, "size": length * s.page, "at": start, "pages": pages}
        # Its pages are zeroed (__GFP_ZERO), those of highmem by way of a temporary mapping.
        temporary = {"slot": NESTED - 1}
        zeroed = [op for pa in array for op in ({"kmap_local": {**temporary, "page": pa}}, {"kunmap_local": temporary})]
        ops = [*(zeroed if "highmem_frames" in s.kernel.layout else ()), {"vmalloc": area}, *ops]
    arguments: Op = {"slot": slot, "size": size, "at": at, "pages": {"count": count, "list": frames}}
    if c.name == "vmallochuge" and s.in_blocks(frames):
        arguments["huge"] = True
    return [*ops, {"vmalloc": arguments}]


def _vmap(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(2), c.number(3), c.number(4), c.pages(1))
    return [{"vmap": {"slot": c.number(0), "pages": pages, "at": s.address(), "prot": s.prot(c.text(5))}}]


def _vmram(c: Command, s: Scene) -> list[Op]:
    pages = s.pattern(c.text(2), c.number(3), c.number(4), c.pages(1))
    return [{"vm_map_ram": {"slot": c.number(0), "pages": pages, "at": s.address()}}]


def _purge(_: Command, __: Scene) -> list[Op]:
    return [{"purge": {}}]


def _nop(_: Command, __: Scene) -> list[Op]:
    return [{"nop": {}}]


def _set_bits(s: Scene, va: int, count: int, masks: tuple[int, int]) -> list[Op]:
    """``update_range_prot`` (7.x): one lazy section over the range; before, ``apply_to_page_range``."""
    set_, clear = masks
    size = count * s.page
    if s.kernel.release < (7, 0):
        callback = {"kind": "protect", "set": set_, "clear": clear}
        return [{"apply_to_page_range": {"va": va, "size": size, "callback": callback}}]
    words = [(at, s.read(at) & ~clear | set_) for at in range(va, va + size, s.page)]
    stores: list[Op] = [{"pte": {"va": at, "step": "set", "word": word}} for at, word in words]
    return [{"lazy_enable": {}}, *stores, {"lazy_disable": {}}]


def _flush(va: int, size: int) -> Op:
    return {"flush_tlb_kernel_range": {"va": va, "size": size}}


# arm64: software's write permission is DBM, hardware's is AP[2]; PXN; valid, and what stands for it where it is clear.
WRITE, READ_ONLY, PXN, VALID, PRESENT_INVALID = 1 << 51, 1 << 7, 1 << 53, 1, 1 << 11

ARM64_MASKS = {"ro": (READ_ONLY, WRITE), "rw": (WRITE, READ_ONLY), "nx": (PXN, 0), "x": (0, PXN)}
"""Bits that set_memory_* sets and clears."""


def _set_memory(s: Scene, va: int, count: int, change: str) -> list[Op]:
    """``set_memory_*`` as the architecture has it (x86: ``change_page_attr_set_clr``, riscv: ``__set_memory``)."""
    start, end = s.kernel.number("page_offset"), s.kernel.number("high_memory")
    linear = {"start": start, "end": -(-end // s.page) * s.page, "pa": s.memory(start)}
    return [{"set_memory": {"va": va, "pages": count, "change": change, "linear": linear}}]


# powerpc (Book3S 64): execute, write, dirty.
PPC_MASKS = {"ro": (0, 1 << 1), "rw": (1 << 1 | 1 << 7, 0), "nx": (0, 1 << 0), "x": (1 << 0, 0)}
POWERPC = ("powerpc-radix", "powerpc-hash")


def _ppc_set_memory(s: Scene, va: int, count: int, change: str) -> list[Op]:
    """``change_memory_attr``: a callback that changes one entry and invalidates its page. The order is not compared."""
    set_, clear = PPC_MASKS[change]
    callback = {"kind": "protect", "set": set_, "clear": clear}
    apply: Op = {"va": va, "size": count * s.page, "create": False, "callback": callback}
    return [*(_flush(page, s.page) for page in range(va, va + count * s.page, s.page)), {"apply_to_page_range": apply}]


def _setmem(c: Command, s: Scene) -> list[Op]:
    slot, masks = c.number(0), ARM64_MASKS.get(c.text(1))
    if masks is None or slot not in s.allocations.pages:
        raise BadCommand(f"setmem: expected the slot of an area and one of {', '.join(ARM64_MASKS)}")
    first, count, frames = c.number(2), c.pages(3), s.allocations.pages[slot]
    if s.kernel.backend in SET_MEMORY:
        return _set_memory(s, s.allocations.starts[slot] + first * s.page, count, c.text(1))
    if s.kernel.backend in POWERPC:
        return _ppc_set_memory(s, s.allocations.starts[slot] + first * s.page, count, c.text(1))
    if s.kernel.backend != "arm64":
        raise NotModelled
    va = s.allocations.starts[slot] + first * s.page
    # 6.12 changes the linear alias of the whole area, 7.x that of the range.
    aliases = frames if s.kernel.release < (7, 0) else frames[first : first + count]
    ops: list[Op] = []
    if c.text(1) in ("ro", "rw") and s.kernel.rodata_full:
        for pa in aliases:
            ops += [*_set_bits(s, s.linear(pa), 1, masks), _flush(s.linear(pa), s.page)]
    return [*ops, {"purge": {}}, *_set_bits(s, va, count, masks), _flush(va, count * s.page)]


def _valid_masks(s: Scene, *, valid: bool) -> tuple[int, int]:
    stand_in = PRESENT_INVALID if s.kernel.release >= (7, 0) else 0
    return (VALID, stand_in) if valid else (stand_in, VALID)


def _lin(c: Command, s: Scene) -> list[Op]:
    pool = s.linear(s.kernel.number("pool_pa") + c.number(0) * s.page)
    if s.kernel.backend in SET_MEMORY:
        return _set_memory(s, pool, c.pages(1), _one_of(c, 2, ("ro", "rw", "x", "nx")))
    if s.kernel.backend != "arm64":
        raise NotModelled
    # Only set_memory_valid works on the linear map of arm64: whatever is asked for but invalidity is validity.
    count, valid = c.pages(1), c.text(2) != "i"
    va = pool
    ops = _set_bits(s, va, count, _valid_masks(s, valid=valid))
    # 7.x has nothing to invalidate where entries only become valid.
    return ops if valid and s.kernel.release >= (7, 0) else [*ops, _flush(va, count * s.page)]


def linear_frames(c: Command, s: Scene) -> list[int]:
    """Frames whose entries in the linear map a command works on. What is highmem has none."""
    end = s.kernel.number("high_memory")
    return [pa for pa in _linear_frames(c, s) if s.linear(pa) < end]


def _linear_frames(c: Command, s: Scene) -> list[int]:
    match c.name:
        case "setmem":
            return s.allocations.pages.get(c.number(0), [])
        case "lin" | "setdirect":
            pool = s.kernel.number("pool_pa") + c.number(0) * s.page
            return list(range(pool, pool + c.pages(1) * s.page, s.page))
        case _:
            return []


def _setdirect(c: Command, s: Scene) -> list[Op]:
    change = _one_of(c, 2, ("invalid", "default"))
    if s.kernel.backend in SET_MEMORY:
        pool = s.linear(s.kernel.number("pool_pa") + c.number(0) * s.page)
        return _set_memory(s, pool, c.pages(1), change)
    if s.kernel.backend != "arm64":
        raise NotModelled
    if not s.kernel.rodata_full:
        # can_set_direct_map: the linear map may have large pages.
        return [{"nop": {}}]
    set_, clear = _valid_masks(s, valid=change == "default")
    if change == "default":
        set_, clear = set_ | WRITE, clear | READ_ONLY
    pool = s.kernel.number("pool_pa") + c.number(0) * s.page
    pages = range(pool, pool + c.pages(1) * s.page, s.page)
    return [op for pa in pages for op in _set_bits(s, s.linear(pa), 1, (set_, clear))]


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
    "setmem": _setmem,
    "setdirect": _setdirect,
    "lin": _lin,
    "purge": _purge,
    "nop": _nop,
    "touch": _nop,
}
"""Commands that are one operation of the model."""
