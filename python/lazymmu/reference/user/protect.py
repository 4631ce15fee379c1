"""``change_protection`` (``mm/mprotect.c``; facts 6): no flush in the loop, the gather does it."""

from __future__ import annotations

from dataclasses import dataclass

from lazymmu.reference.codes import PMD, PTE, Site
from lazymmu.reference.context import cond_resched
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.folios import Folio
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.process import Process


@dataclass(frozen=True)
class Protection:
    """What mprotect wants: ``vm_page_prot``, ``MM_CP_TRY_CHANGE_WRITABLE``, ``VM_SHARED``."""

    prot: int
    try_writable: bool
    shared: bool

    def may_write(self, leaf: Leaf, word: int, folio: Folio | None) -> bool:
        """``can_change_pte_writable``: the next write fault would only set the bit."""
        if not self.try_writable or leaf.write(word) or leaf.protnone(word):
            return False
        return leaf.dirty(word) if self.shared else folio is not None and folio.anon and folio.exclusive


class Protect:
    """One area."""

    def __init__(self, process: Process, huge: Huge, to: Protection) -> None:
        self.process = process
        self.k = process.k
        self.huge = huge
        self.to = to

    def run(self, mm: int, start: int, end: int) -> int:
        """``change_protection``: the number of pages."""
        gather = Gather(self.process, mm, full=False)

        def work() -> int:
            pages = 0
            for pmd, following in self.process.each_pmd(mm, start, end):
                pages += self._pmd(gather, pmd, following)
                cond_resched(self.k)
            gather.end_area(pfnmap=False)
            return pages

        pages = self.process.walk(Site.CHANGE_PROTECTION, mm, start, end, work)
        gather.finish()
        return pages

    def _pmd(self, gather: Gather, pmd: Entry, end: int) -> int:
        found = self.process.look(pmd)
        if found == "none":
            return 0
        if found == "huge":
            if end - pmd.va == self.k.geometry.size(PMD):
                return self.huge.protect(gather, pmd, self.to)
            self.huge.split(pmd, self.to.prot)
        return self._ptes(gather, pmd, end)

    def _ptes(self, gather: Gather, pmd: Entry, end: int) -> int:
        """``change_pte_range``."""
        process = self.process
        gather.leaves(PTE)
        table = self.k.descend(pmd)
        page, pages, addr = self.k.geometry.page_size, 0, pmd.va
        with process.pte_lock(table), process.lazy_section(Site.CHANGE_PTE, table, pmd.va, end):
            while addr != end:
                word = process.arch.ptep_get(table.at(addr))
                count = 1
                if process.present(word):
                    count = self._present(gather, table.at(addr), word, (end - addr) // page)
                    pages += count
                addr += count * page
        return pages

    def _present(self, gather: Gather, pte: Entry, word: int, limit: int) -> int:
        process, leaf = self.process, self.process.leaf
        folio = process.folio(PTE, word)
        limit = limit if self.k.options.batched_user_ptes else 1
        count, _ = process.batch(folio, pte, word, limit, write=False, dirty=True)
        old = process.arch.modify_start(pte, count)
        new = leaf.modify(PTE, old, self.to.prot)
        if self.to.may_write(leaf, new, folio):
            new = leaf.mkwrite(new)
        process.arch.modify_commit(pte, new, count)
        if process.arch.needs_flush(old, new):
            gather.note(PTE, pte.va, count * self.k.geometry.page_size)
        return count
