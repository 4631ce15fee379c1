"""``munmap`` and ``exit_mmap``: areas, then the tables that nobody needs (``free_pgtables``; ``mm/memory.c``)."""

from __future__ import annotations

from collections.abc import Sequence

from lazymmu.reference.codes import PMD, PTE, Site, Store
from lazymmu.reference.memory import Table
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.process import Process
from lazymmu.reference.user.zap import Area, Zap
from lazymmu.reference.walk.vunmap import none_or_clear_bad


def unmap_region(
    process: Process, huge: Huge, mm: int, areas: Sequence[Area], floor: int, ceiling: int, *, full: bool
) -> None:
    """``unmap_vmas``, ``free_pgtables``, ``tlb_finish_mmu``."""
    gather = Gather(process, mm, full=full)
    zap = Zap(process, huge, gather)
    for area in areas:
        zap.area(mm, area)
    floor, ceiling = floor or process.arch.floor(), ceiling or process.arch.ceiling()
    if areas:
        free = Free(process, gather, mm)
        process.walk(Site.FREE_PGTABLES, mm, areas[0].start, areas[-1].end, lambda: free.tables(areas, floor, ceiling))
    gather.finish()


class Free:
    """Table pages of one address space, from the leaves upward."""

    def __init__(self, process: Process, gather: Gather, mm: int) -> None:
        self.process = process
        self.k = process.k
        self.gather = gather
        self.mm = mm

    def tables(self, areas: Sequence[Area], floor: int, ceiling: int) -> int:
        """``free_pgtables``: neighbouring areas in one go."""
        near = self.k.geometry.size(PMD)
        group = [areas[0]]
        for area in areas[1:]:
            if area.start > group[-1].end + near:
                self._range(group[0].start, group[-1].end, floor, area.start)
                group = []
            group.append(area)
        self._range(group[0].start, group[-1].end, floor, ceiling)
        return 0

    def _range(self, start: int, end: int, floor: int, ceiling: int) -> None:
        """``free_pgd_range``; a ceiling of 0 is the top."""
        size = self.k.geometry.size(PMD)
        start &= ~(size - 1)
        if start < floor:
            start += size
        if ceiling:
            ceiling &= ~(size - 1)
            if not ceiling:
                return
        if ceiling and end > ceiling:
            end -= size
        if start < end:
            self._level(self.k.mms[self.mm].root, start, end, floor, ceiling)

    def _level(self, table: Table, start: int, end: int, floor: int, ceiling: int) -> None:
        for entry, addr, following in self.k.entries(table, start, end):
            if none_or_clear_bad(self.k, entry, addr):
                continue
            below = self.k.descend(entry)
            if below.level > PTE:
                self._level(below, addr, following, floor, ceiling)
            size = self.k.geometry.size(entry.level)
            first = addr & ~(size - 1)
            if entry.level > PMD and not self._free(first, following, size, floor, ceiling):
                continue
            self.k.set_entry(entry, self.k.format.empty(entry.level), Store.CLEAR)
            self.gather.free_table(below, first if entry.level > PMD else addr)

    @staticmethod
    def _free(first: int, end: int, size: int, floor: int, ceiling: int) -> bool:
        """Whether neither the areas below nor those above need the table under an entry."""
        if first < floor:
            return False
        if not ceiling:
            return True
        ceiling &= ~(size - 1)
        return ceiling != 0 and end <= ceiling
