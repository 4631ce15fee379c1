"""``unmap_page_range`` (``mm/memory.c``; facts 6): the section, then the flush that cannot wait, then the unlock."""

from __future__ import annotations

from dataclasses import dataclass

from lazymmu.reference.codes import PMD, PTE, Site, Store
from lazymmu.reference.context import cond_resched, may_give_way
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.process import Process


@dataclass(frozen=True)
class Area:
    """A ``vm_area_struct``: ``pfnmap`` is ``VM_PFNMAP``."""

    start: int
    end: int
    pfnmap: bool = False


class Zap:
    """Unmapping in one gather."""

    def __init__(self, process: Process, huge: Huge, gather: Gather, *, reclaim: bool = False) -> None:
        self.process = process
        self.k = process.k
        self.huge = huge
        self.gather = gather
        self.reclaim = reclaim
        """Leaf tables that are emptied whole are freed (``MADV_DONTNEED`` from v6.14)."""
        self.must_flush = False

    def area(self, mm: int, area: Area) -> None:
        """``unmap_page_range``."""
        self.process.walk(Site.UNMAP_PAGE_RANGE, mm, area.start, area.end, lambda: self._area(mm, area))

    def _area(self, mm: int, area: Area) -> int:
        for pmd, end in self.process.each_pmd(mm, area.start, area.end):
            self._pmd(pmd, end)
            cond_resched(self.k)
        self.gather.end_area(pfnmap=area.pfnmap)
        return 0

    def _pmd(self, pmd: Entry, end: int) -> None:
        found = self.process.look(pmd)
        if found == "none":
            return
        if found == "huge":
            if end - pmd.va == self.k.geometry.size(PMD):
                self.huge.zap(self.gather, pmd)
                return
            self.huge.split(pmd)
        addr = pmd.va
        while addr != end:
            addr = self._ptes(pmd, addr, end)
            if addr != end:
                cond_resched(self.k)

    def _ptes(self, pmd: Entry, start: int, end: int) -> int:
        """``zap_pte_range``: how far it came before the gather was full."""
        process, k, gather = self.process, self.k, self.gather
        gather.leaves(PTE)
        table = k.descend(pmd)
        self.must_flush = False
        may_wait = may_give_way(k)
        with process.pte_lock(table):
            with process.lazy_section(Site.ZAP_PTE, table, start, end):
                addr = self._entries(table, start, end, may_wait=may_wait)
                empty = self.reclaim and addr == end and end - start == k.geometry.size(PMD)
                if empty:
                    with process.lock(process.pmd_lock(pmd)):
                        k.set_entry(pmd, k.format.empty(PMD), Store.CLEAR)
            if self.must_flush:
                gather.flush_only()
                gather.delayed_rmap = False
        if self.must_flush:
            gather.flush()
        if empty:
            gather.free_table(table, start)
        return addr

    def _entries(self, table: Table, start: int, end: int, *, may_wait: bool) -> int:
        """``may_wait``: another task can have the CPU behind the loop; else the kernel would never come further."""
        process, k = self.process, self.k
        page = k.geometry.page_size
        addr = start
        while addr != end:
            pte = table.at(addr)
            word = process.arch.ptep_get(pte)
            if may_wait and k.task().need_resched and not k.format.none(PTE, word):
                break
            if process.present(word):
                count, full = self._present(pte, word, (end - addr) // page)
                addr += count * page
                if full:
                    self.must_flush = True
                    break
            else:
                if not k.format.none(PTE, word):
                    process.arch.clear_not_present(pte, full=self.gather.stale.full)
                addr += page
        return addr

    def _present(self, pte: Entry, word: int, limit: int) -> tuple[int, bool]:
        """``zap_present_ptes``: how many, and whether the gather is full."""
        process, gather = self.process, self.gather
        page = self.k.geometry.page_size
        folio = process.folio(PTE, word)
        count, _ = process.batch(folio, pte, word, limit, write=True, dirty=True)
        old = process.arch.get_and_clear_full(pte, count, full=gather.stale.full)
        if folio is None:
            gather.note(PTE, pte.va, page)
            return 1, False
        if process.arch.gathers_pages() and not folio.anon and process.leaf.dirty(old):
            gather.delayed_rmap = True
            self.must_flush = True
        gather.note(PTE, pte.va, count * page)
        return count, gather.add(folio.start, count)
