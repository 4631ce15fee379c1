"""Programs at random, for any source of choices: Hypothesis, which shrinks, or a seeded generator, which is fast.

Most operations make sense, so that programs get somewhere; some do not, and then both implementations must refuse them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from lazymmu import _native

from .weights import USER_WEIGHTS, WEIGHTS

T = TypeVar("T")


class Source(Protocol):
    """Where choices come from."""

    def number(self, low: int, high: int) -> int:
        """A number from low to high, both included."""

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""

    def chance(self, percent: int) -> bool:
        """True so often."""


class Seeded:
    """Choices of a seeded generator."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def choice(self, items: Sequence[T]) -> T:
        return self._random.choice(items)

    def chance(self, percent: int) -> bool:
        return self._random.random() * 100 < percent


@dataclass(frozen=True)
class Case:
    """A machine, and programs that run on it one after the other."""

    backend: str
    geometry: str
    scheme: str
    options: dict[str, str] = field(default_factory=dict)
    cpus: int = 1
    mms: int = 0
    tasks: list[dict[str, int]] = field(default_factory=list)
    programs: list[dict[str, Any]] = field(default_factory=list)


BACKENDS = {name: geometries for name, _, geometries in _native.backends()}
SCHEMES = [name for name, *_ in _native.schemes()]
OPTIONS = {name: values for name, _, values, _ in _native.options("v6.12")}
GEOMETRIES = _native.geometries()
SET_MEMORY_BACKENDS = ("x86-64", "x86-32", "riscv", "s390")
"""Where changes of kernel protections are modelled."""
PLACES = [(backend, geometry) for backend, geometries in BACKENDS.items() for geometry in geometries]
MACHINES = [(backend, geometry, scheme) for backend, geometry in PLACES for scheme in SCHEMES]
"""Every backend, each with its geometries, under every scheme."""

# Of the kinds that interrupt an operation, those that every backend has.
POINTS = (
    "STORE",
    "ALLOC",
    "WMB",
    "WALK",
    "SLOT",
    "WALK_END",
    "OP",
    "BAR",
    "TLBI",
    "KMAP",
    "SYNC_ONE",
    "QUEUE",
    "LEAVE",
)


def case(source: Source, programs: int, length: int, machine: tuple[str, str, str] | None = None) -> Case:
    """Up to so many programs of up to so many operations, on some machine or the one that is asked for."""
    backend, geometry, scheme = machine or source.choice(MACHINES)
    options = {}
    for _ in range(source.choice((0, 0, 0, 1, 2))):
        name = source.choice(list(OPTIONS))
        options[name] = source.choice(OPTIONS[name])
    made = _Program(source, backend, geometry)
    runs = [made.make(length) for _ in range(source.number(1, programs))]
    return Case(backend, geometry, scheme, options, made.cpus, made.mms, made.tasks, runs)


class _Program:
    """Programs in the making, and what they have so far."""

    def __init__(self, source: Source, backend: str, geometry: str) -> None:
        self.source = source
        self.backend = backend
        self.shape: dict[str, Any] = GEOMETRIES[geometry]
        self.page: int = 1 << self.shape["page_shift"]
        self.sizes: list[int] = [1 << shift for _, _, shift, _ in self.shape["levels"]]
        self.group_shift: int = self.shape["page_shift"] + max(self.shape["cont_ptes"], 1).bit_length() - 1
        self.ram = 0x1_0000_0000 if self.shape["long_bits"] == 64 else 0x1000_0000
        self.users = source.chance(35)
        self.large = backend not in ("xen-pv", "powerpc-hash") and geometry != "riscv-sv32"
        self.slots: list[int] = []
        self.kmaps: list[int] = []
        self.cpus = source.choice((1, 1, 2, 3))
        self.mms = source.choice((1, 2, 2, 2)) if self.users else source.choice((0, 1, 1, 2))
        self.tasks = [
            {"mm": source.number(0, self.mms), "cpu": source.number(0, self.cpus - 1)}
            for _ in range(source.choice((0, 1, 2, 3)))
        ]
        self.runnable = len(self.tasks) or self.cpus
        self.anchors = self._anchors()

    def _anchors(self) -> list[int]:
        """Kernel addresses around which things happen: starts and ends of tables of every level."""
        start = self.shape["vmalloc_start"]
        found = [start]
        for size in self.sizes[1:]:
            edge = -(-(start + 1) // size) * size
            if edge + 0x100_0000 < self.shape["vmalloc_end"]:
                found += [edge, edge - 4 * self.page]
        if self.shape["long_bits"] == 64:
            beyond = -(-self.shape["vmalloc_end"] // self.sizes[-1]) * self.sizes[-1]
            if beyond + 0x100_0000 < 1 << 64:
                found.append(beyond)
        return found

    def make(self, length: int) -> dict[str, Any]:
        source = self.source
        ops = [self.step() for _ in range(source.number(1, length))]
        program: dict[str, Any] = {"ops": ops}
        injections = [self.injection(len(ops)) for _ in range(source.choice((0, 0, 0, 1, 1, 2)))]
        if injections:
            program["injections"] = injections
        return program

    def step(self) -> dict[str, Any]:
        step: dict[str, Any] = {"op": self.operation(nested=False)}
        if self.source.chance(30):
            step["task"] = self.source.number(0, self.runnable)
        if self.source.chance(8):
            step["fail_alloc"] = self.source.number(0, 3)
        return step

    def injection(self, length: int) -> dict[str, Any]:
        source = self.source
        at: dict[str, Any] = {"op": source.number(0, length - 1)}
        if source.chance(50):
            at["event"] = source.number(0, 40)
        elif source.chance(90):
            at["kind"] = source.choice(POINTS)
            at["nth"] = source.number(0, 3)
        out: dict[str, Any] = {"at": at, "ops": [self.operation(nested=True) for _ in range(source.number(1, 2))]}
        if source.chance(40):
            out["irq"] = source.choice(("hard", "soft", "nmi"))
        if source.chance(25):
            out["task"] = source.number(0, self.runnable - 1)
        if source.chance(20):
            out["cpu"] = source.number(0, self.cpus - 1)
        return out

    # Values -----------------------------------------------------------------------------------------

    def va(self) -> int:
        source = self.source
        va = source.choice(self.anchors) + source.number(0, 8) * self.page
        if source.chance(2):
            va += source.choice((1, 8, -self.page, self.shape["vmalloc_end"] - va, -va))
        return int(va & (1 << 64) - 1)

    def user_va(self) -> int:
        source = self.source
        return source.choice((0x4000_0000, 0x4000_0000 - 4 * self.page, 0x1000_0000)) + source.number(0, 6) * self.page

    def address(self) -> Any:
        source = self.source
        if self.slots and source.chance(70):
            place: dict[str, int] = {"slot": source.choice(self.slots)}
            if source.chance(40):
                place["offset"] = source.number(0, 4) * self.page
            return place
        return self.user_va() if self.mms and source.chance(20) else self.va()

    def count(self) -> int:
        source = self.source
        return source.number(1, 40) if source.chance(10) else source.number(1, 6)

    def size(self) -> int:
        source = self.source
        if source.chance(3):
            return source.choice((0, 1, self.page + 1, 1 << 63))
        return self.count() * self.page

    def huge_size(self) -> int:
        """That of a pmd. What has no leaves of this size gets as many PTEs as fit in a table."""
        return self.sizes[1]

    def pa(self) -> int:
        source = self.source
        group: int = max(self.shape["cont_ptes"], 1) * self.page
        pa = source.choice((0, self.ram, 0x2000_0000, 0x4000_0000)) + source.choice((0, 1, 16)) * group
        pa += source.number(0, 3) * self.page if source.chance(50) else 0
        return pa + source.choice((1, 1 << 45, 1 << 62)) if source.chance(2) else pa

    def prot(self) -> Any:
        source = self.source
        if source.chance(3):
            return source.choice(("NONSENSE", 0, 0x63, 0x703))
        return source.choice(("PAGE_KERNEL", "PAGE_KERNEL", "PAGE_KERNEL_RO", "PAGE_KERNEL_EXEC"))

    def pages(self, count: int) -> dict[str, Any]:
        source = self.source
        pages: dict[str, Any] = {"count": count}
        if source.chance(20):
            pages["list"] = [self.ram + source.number(0, 15) * self.page for _ in range(count)]
        else:
            pages["start"] = self.pa()
            if source.chance(20):
                pages["step"] = source.choice((2, 5)) * self.page
        for key in ("null_at", "invalid_at"):
            if source.chance(6):
                pages[key] = source.number(0, count)
        return pages

    def callback(self, user: bool) -> dict[str, Any]:
        source = self.source
        kinds = (
            "count",
            "set",
            "set",
            "clear",
            "wrprotect",
            "get-and-clear",
            "pause-set",
            "nested-set",
            "try-set",
            "protect",
            "set-read-back",
        )
        callback: dict[str, Any] = {"kind": source.choice(kinds), "pa": self.ram}
        callback["prot"] = "PAGE_SHARED" if user else self.prot()
        if callback["kind"] == "protect":
            callback["set"], callback["clear"] = source.choice(((0, 2), (0x80, 0), (0, 1 << 51)))
        if source.chance(20):
            callback["fail_at"] = source.number(1, 4)
            if source.chance(50):
                callback["error"] = source.choice((-12, -16, 7))
        return callback

    def slot(self) -> int:
        slot = self.source.number(0, 4)
        if slot not in self.slots:
            self.slots.append(slot)
        return slot

    # Operations -------------------------------------------------------------------------------------

    def operation(self, *, nested: bool) -> dict[str, Any]:
        weights = USER_WEIGHTS if self.users and self.source.chance(70) else WEIGHTS
        names = list(weights)
        if nested:
            names = [n for n in names if n not in ("irq", "fork", "migrate")]
        if self.backend not in SET_MEMORY_BACKENDS and not self.source.chance(5):
            names = [n for n in names if n != "set_memory"]
        if not self.large:
            names = [n for n in names if n != "do_huge_pmd_anonymous_page"]
        name = self.source.choice([n for n in names for _ in range(weights[n])])
        return {name: getattr(self, f"_{name}", dict)()}

    def _vmap_page_range(self) -> dict[str, Any]:
        return {"va": self.va(), "size": self.size(), "pa": self.pa(), "prot": self.prot()}

    def _vmap_range_noflush(self) -> dict[str, Any]:
        shifts = (self.shape["page_shift"], self.group_shift, 16, 21, 30)
        shift = self.source.choice(shifts)
        if self.source.chance(25):
            size = self.huge_size()
            va = self.va() & ~(size - 1)
            pa = self.source.choice((0, 0x4000_0000, 0x4000_0000, 0x4000_0000 + self.page))
            if self.shape["long_bits"] == 64 and len(self.sizes) > 2 and self.source.chance(15):
                # A leaf of a pud, or a pmd leaf in front of whole tables.
                size = min(self.sizes[2], 4 * self.sizes[1]) if self.sizes[2] > 1 << 30 else self.sizes[2]
                va, pa = va & ~(size - 1), 0x4000_0000
            return {"va": va, "size": size, "pa": pa, "max_shift": max(30, size.bit_length() - 1)}
        return {**self._vmap_page_range(), "max_shift": shift}

    def _set_memory(self) -> dict[str, Any]:
        source = self.source
        out: dict[str, Any] = {"va": self.address() if source.chance(60) else self.va(), "pages": self.count()}
        out["change"] = source.choice(("ro", "rw", "x", "nx", "invalid", "default"))
        if source.chance(35):
            # Where large leaves are: a part of one, or all of it.
            out["va"] = (self.va() & ~(self.sizes[1] - 1)) + source.number(0, 2) * self.page
            if source.chance(30):
                out["va"], out["pages"] = self.va() & ~(self.sizes[1] - 1), self.sizes[1] // self.page
        if source.chance(50):
            start = source.choice(self.anchors) & ~(self.sizes[1] - 1)
            size = source.choice((self.sizes[1], 64 * self.page, 0x1000_0000 if source.chance(95) else 0))
            out["linear"] = {"start": start, "end": start + size, "pa": source.choice((0, self.ram, 0x4000_0000))}
        return out

    def _ioremap_page_range(self) -> dict[str, Any]:
        return self._vmap_page_range()

    def _vmap_pages_range(self) -> dict[str, Any]:
        source = self.source
        out = {"va": self.va(), "pages": self.pages(self.count()), "prot": self.prot()}
        if source.chance(10):
            out["page_shift"] = source.choice((self.shape["page_shift"], self.group_shift, 12, 16, 21, 11, 48))
        if source.chance(20):
            out["noflush"] = True
        return out

    def _vunmap_range(self) -> dict[str, Any]:
        source = self.source
        size = source.choice(
            (self.size(), self.size(), 64 * self.page, self.sizes[source.number(1, min(2, len(self.sizes) - 1))])
        )
        out: dict[str, Any] = {"va": self.va(), "size": size}
        if source.chance(30):
            out["noflush"] = True
        return out

    def _apply_to_page_range(self) -> dict[str, Any]:
        source = self.source
        mm = source.number(0, self.mms)
        out: dict[str, Any] = {"mm": mm, "va": self.user_va() if mm else self.va(), "size": self.size()}
        if source.chance(90):
            out["callback"] = self.callback(bool(mm))
        if source.chance(30):
            out["create"] = False
        return out

    def _vmalloc(self) -> dict[str, Any]:
        source = self.source
        size = self.size()
        out: dict[str, Any] = {"slot": self.slot(), "size": size}
        if source.chance(10):
            out["huge"] = True
            out["size"] = source.choice((self.huge_size(), 16 * self.page, self.huge_size() + self.page))
        if source.chance(10):
            out["at"] = self.va()
        if source.chance(10):
            out["align"] = source.choice((self.page, 0x10000, 0x40_0000, 3))
        return out

    def _vmap(self) -> dict[str, Any]:
        return {"slot": self.slot(), "pages": self.pages(self.count()), "prot": self.prot()}

    def _vm_map_ram(self) -> dict[str, Any]:
        return {"slot": self.slot(), "pages": self.pages(self.count())}

    def _ioremap(self) -> dict[str, Any]:
        source = self.source
        offset = source.choice((0, 0, 0x10, self.page))
        size = self.huge_size() if source.chance(15) else source.choice((self.size(), 0x100))
        return {"slot": self.slot(), "pa": 0x8000_0000 + offset, "size": size}

    def _free(self) -> dict[str, Any]:
        return {"va": {"slot": self.source.choice(self.slots)} if self.slots else self.va()}

    def _area(self) -> dict[str, Any]:
        source = self.source
        out: dict[str, Any] = {"slot": self.slot(), "size": self.size()}
        if source.chance(50):
            out["kind"] = source.choice(("map", "ioremap", "alloc"))
        if source.chance(30):
            out["at"] = self.va()
        return out

    def _access(self) -> dict[str, Any]:
        va = self.user_page()["va"] if self.users and self.source.chance(60) else self.address()
        return {"va": va, "kind": self.source.choice(("read", "read", "write", "exec"))}

    def _pte(self) -> dict[str, Any]:
        source = self.source
        step = source.choice(("set", "clear", "get-and-clear", "try-set", "wrprotect", "read"))
        out: dict[str, Any] = {"va": self.address(), "step": step}
        if step in ("set", "try-set"):
            out["pa"] = self.pa()
        if self.mms and source.chance(25):
            out.update(mm=1, va=self.user_va(), prot="PAGE_SHARED")
        return out

    def _switch(self) -> dict[str, Any]:
        return {"to": self.source.number(0, self.runnable)}

    def _migrate(self) -> dict[str, Any]:
        return {"to": self.source.number(0, self.cpus - 1)}

    def _fork(self) -> dict[str, Any]:
        return {"mm": self.source.number(0, self.mms)} if self.source.chance(30) else {}

    def _irq(self) -> dict[str, Any]:
        source = self.source
        ops = [self.operation(nested=True) for _ in range(source.number(0, 2))]
        return {"kind": source.choice(("hard", "soft", "nmi")), "ops": ops}

    def _flush_tlb_kernel_range(self) -> dict[str, Any]:
        return {
            "va": self.va(),
            "size": self.source.choice((self.size(), 33 * self.page, 34 * self.page, 513 * self.page)),
        }

    def _flush_cache_vmap(self) -> dict[str, Any]:
        return {"va": self.va(), "size": self.size()}

    def _populate_kernel(self) -> dict[str, Any]:
        return {"va": self.va(), "sync": self.source.chance(50)}

    def _populate_user(self) -> dict[str, Any]:
        return {"mm": self.source.number(0, self.mms), "va": self.user_va()}

    def _kmap_local(self) -> dict[str, Any]:
        source = self.source
        slot = 10 + source.number(0, 2)
        if slot not in self.kmaps:
            self.kmaps.append(slot)
        return {"slot": slot, "page": source.choice((self.ram, 0x4000_0000, 0x5000_0000))}

    def _kunmap_local(self) -> dict[str, Any]:
        return {"slot": self.source.choice(self.kmaps) if self.kmaps else 10}

    def _ptdump(self) -> dict[str, Any]:
        return {"running": self.source.chance(50)}

    # User mappings ------------------------------------------------------------------------------------

    def user_span(self) -> dict[str, Any]:
        """A range of the first address spaces, often whole leaf tables."""
        source = self.source
        out: dict[str, Any] = {"mm": source.number(0 if source.chance(3) else 1, max(self.mms, 1))}
        if source.chance(25):
            size = self.sizes[source.choice((1, 1, 1, 2) if len(self.sizes) > 2 and self.sizes[2] <= 1 << 30 else (1,))]
            out["va"], out["size"] = 0x4000_0000 & ~(size - 1), size
        elif source.chance(30):
            out["va"], out["size"] = 0x4000_0000, source.choice((16, 32, 40)) * self.page
        else:
            out["va"], out["size"] = self.user_va(), self.size()
        return out

    def user_page(self) -> dict[str, Any]:
        source = self.source
        va = 0x4000_0000 + source.number(0, 40) * self.page if source.chance(50) else self.user_va()
        return {"mm": source.number(0 if source.chance(2) else 1, max(self.mms, 1)), "va": va}

    def frame(self, pages: int) -> int:
        """Frames that folios share now and then."""
        size = max(pages * self.page, self.page)
        return self.ram + self.source.number(0, 12) * size

    def user_prot(self) -> str:
        return self.source.choice(("PAGE_READONLY", "PAGE_READONLY", "PAGE_SHARED", "PAGE_NONE", "PAGE_READONLY_EXEC"))

    def _do_anonymous_page(self) -> dict[str, Any]:
        source = self.source
        pages = source.choice((1, 1, 1, 4, 16, 16, 32, 3)) if source.chance(50) else 1
        out = {**self.user_page(), "pa": self.frame(pages)}
        if pages != 1:
            out["pages"] = pages
        if source.chance(20):
            out["write"] = False
        return out

    def _finish_fault(self) -> dict[str, Any]:
        source = self.source
        pages = source.choice((1, 1, 16))
        return {**self.user_page(), "pa": self.frame(pages), "pages": pages, "write": source.chance(50)}

    def _do_huge_pmd_anonymous_page(self) -> dict[str, Any]:
        pa = self.source.number(0, 3) * self.sizes[1]
        return {
            "mm": self.source.number(1, max(self.mms, 1)),
            "va": 0x4000_0000,
            "pa": pa,
            "write": self.source.chance(80),
        }

    def _do_wp_page(self) -> dict[str, Any]:
        return {**self.user_page(), **({"pa": self.frame(1)} if self.source.chance(50) else {})}

    def _handle_pte_fault(self) -> dict[str, Any]:
        return {**self.user_page(), "write": self.source.chance(50)}

    def _copy_page_range(self) -> dict[str, Any]:
        span = self.user_span()
        return {**span, "to": self.source.number(1, max(self.mms, 1)), "shared": self.source.chance(25)}

    def _flush_tlb_mm(self) -> dict[str, Any]:
        return {"mm": self.source.number(1, max(self.mms, 1))}

    def _zap_page_range(self) -> dict[str, Any]:
        return self.user_span()

    def _areas(self) -> list[dict[str, Any]]:
        source = self.source
        out: list[dict[str, Any]] = []
        start = 0x4000_0000 - source.choice((0, 4, 16)) * self.page
        for _ in range(source.number(1, 3)):
            end = start + source.choice((4 * self.page, 16 * self.page, self.sizes[1]))
            area: dict[str, Any] = {"start": start, "end": end}
            if source.chance(20):
                area["pfnmap"] = True
            out.append(area)
            start = end + source.choice((0, self.page, 3 * self.sizes[1]))
        return out

    def _unmap_region(self) -> dict[str, Any]:
        source = self.source
        out: dict[str, Any] = {"mm": source.number(1, max(self.mms, 1)), "vmas": self._areas()}
        if source.chance(30):
            out["floor"] = source.choice((0x3FFF_0000, 0x1000_0000, 0x4000_0000 - 4 * self.page))
        if source.chance(40):
            out["ceiling"] = out["vmas"][-1]["end"] + source.choice((0, self.page, self.sizes[1], 1 << 30))
        return out

    def _exit_mmap(self) -> dict[str, Any]:
        return {"mm": self.source.number(1, max(self.mms, 1)), "vmas": self._areas()}

    def _change_protection(self) -> dict[str, Any]:
        source = self.source
        out = {**self.user_span(), "prot": self.user_prot()}
        return {**out, "try_writable": source.chance(50), "shared": source.chance(20)}

    def _move_page_tables(self) -> dict[str, Any]:
        source = self.source
        span = self.user_span()
        far = source.choice((self.sizes[1], 16 * self.page, 1 << 30, 5 * self.page))
        return {**span, "to": span["va"] + (far if source.chance(90) else 0)}

    def _remap_pfn_range(self) -> dict[str, Any]:
        return {
            **self.user_span(),
            "pa": self.frame(1),
            **({"prot": self.user_prot()} if self.source.chance(40) else {}),
        }

    def _madvise(self) -> dict[str, Any]:
        return {**self.user_span(), "advice": self.source.choice(("cold", "free"))}

    def _walk_pte_range(self) -> dict[str, Any]:
        return self.user_span()

    def _ptep_clear_flush_young(self) -> dict[str, Any]:
        return self.user_page()

    def _split_huge_pmd(self) -> dict[str, Any]:
        return {"mm": self.source.number(1, max(self.mms, 1)), "va": 0x4000_0000}
