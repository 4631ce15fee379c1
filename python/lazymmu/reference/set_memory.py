"""``set_memory_*`` and ``set_direct_map_*``: what architectures share when protections of kernel memory change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import INIT_MM, PGD, PTE
from lazymmu.reference.memory import Entry, Table

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

CHANGES = ("ro", "rw", "x", "nx", "invalid", "default")
"""``set_memory_*``, and the two of ``set_direct_map_*_noflush``, which go page by page."""
SPLIT = 2
"""``aux`` of `ALLOC`: the table takes the place of a large leaf."""


@dataclass(frozen=True, slots=True)
class LinearMap:
    """Where all memory is mapped a second time: from ``PAGE_OFFSET`` to behind its end, and what lies at its start."""

    start: int
    end: int
    pa: int = 0

    def holds(self, va: int) -> bool:
        """Whether it is a linear address."""
        return self.start <= va < self.end

    def address(self, pa: int) -> int | None:
        """``__va``, of memory that has a linear address."""
        va = pa - self.pa + self.start
        return va if self.holds(va) else None


@dataclass(frozen=True, slots=True)
class Request:
    """Whole pages, and what becomes of them."""

    va: int
    pages: int
    change: str
    linear: LinearMap | None


def lookup_address(k: Kernel, va: int) -> Entry | None:
    """``lookup_address``: the leaf of any size, the entry that is not present, or the place in a leaf table."""
    table = k.mms[INIT_MM].root
    while table.level > PTE:
        entry = table.at(va)
        word = k.read(entry)
        if k.format.none(entry.level, word):
            return None
        if entry.level != PGD and not k.format.present(entry.level, word):
            return entry
        if k.format.leaf(entry.level, word):
            return entry
        table = k.descend(entry)
    return table.at(va)


def table_for_split(k: Kernel, leaf: Entry) -> Table | None:
    """The page of a table that a large leaf is split into; nothing links it yet. None: no memory."""
    level = leaf.level - 1
    frame = k.take_frame(level, leaf.first, INIT_MM)
    if frame is None:
        return None
    table = k.memory.place(frame, level, leaf.first, INIT_MM, False)
    k.emit(ev.ALLOC, level=level, va=leaf.first, addr=frame, aux=SPLIT)
    return table
