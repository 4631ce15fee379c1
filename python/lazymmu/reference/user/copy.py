"""``copy_page_range``: fork (``mm/memory.c``; facts 6)."""

from __future__ import annotations

from lazymmu.reference.codes import ENOMEM, PMD, PTE, Site
from lazymmu.reference.context import cond_resched
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.process import Process
from lazymmu.reference.walk.vunmap import none_or_clear_bad

BREAK_AFTER = 32
"""So much progress between two looks at whether another task waits ..."""
PRESENT_PROGRESS = 8
"""... of which an empty entry is one, another so much."""


class Copy:
    """One area of the parent, for one child."""

    def __init__(self, process: Process, huge: Huge, child: int, *, shared: bool) -> None:
        self.process = process
        self.k = process.k
        self.huge = huge
        self.child = child
        self.shared = shared

    def run(self, mm: int, start: int, end: int) -> int:
        """``copy_page_range``."""
        return self.process.walk(
            Site.COPY_PAGE_RANGE, mm, start, end, lambda: self._level(self.k.mms[mm].root, start, end)
        )

    def _level(self, table: Table, start: int, end: int) -> int:
        """The child's table first, then the parent's entries."""
        copy = self.process.table(self.child, start, table.level)
        if copy is None:
            return -ENOMEM
        for entry, addr, following in self.k.entries(table, start, end):
            if entry.level == PMD:
                error = self._pmd(copy.at(addr), entry, following)
            elif none_or_clear_bad(self.k, entry, addr):
                continue
            else:
                error = self._level(self.k.descend(entry), addr, following)
            if error:
                return error
        return 0

    def _pmd(self, to: Entry, pmd: Entry, end: int) -> int:
        found = self.process.look(pmd)
        if found == "table":
            return self._ptes(to, pmd, end)
        return self.huge.copy(to, pmd) if found == "huge" and not self.shared else 0

    def _ptes(self, to: Entry, pmd: Entry, end: int) -> int:
        """``copy_pte_range``: allocate, both locks, and only then lazy mode."""
        addr = pmd.va
        while addr != end:
            reached = self._some(to, pmd, addr, end)
            if reached is None:
                return -ENOMEM
            addr = reached
            cond_resched(self.k)
        return 0

    def _some(self, to: Entry, pmd: Entry, addr: int, end: int) -> int | None:
        """From one entry on, until another task waits: how far it came. ``None``: no memory."""
        process, k = self.process, self.k
        if k.none(to) and not process.alloc_below(to):
            return None
        copy, table = k.descend(to), k.descend(pmd)
        page = k.geometry.page_size
        with process.pte_lock(copy), process.pte_lock(table), process.lazy_section(Site.COPY_PTE, table, addr, end):
            progress = 0
            while addr != end:
                if progress >= BREAK_AFTER:
                    progress = 0
                    if k.task().need_resched:
                        break
                word = process.arch.ptep_get(table.at(addr))
                count = 1
                if process.present(word):
                    count = self._present(copy.at(addr), table.at(addr), word, (end - addr) // page)
                progress += 1 if k.format.none(PTE, word) else PRESENT_PROGRESS * count
                addr += count * page
        return addr

    def _present(self, to: Entry, pte: Entry, word: int, limit: int) -> int:
        """``copy_present_ptes``."""
        process, leaf = self.process, self.process.leaf
        folio = process.folio(PTE, word)
        count, words = process.batch(folio, pte, word, limit, write=True, dirty=self.shared)
        word = leaf.noncont(word)
        if count > 1 and any(leaf.write(other) for other in words):
            word = leaf.mkwrite(word)
        if folio is not None:
            folio.refs += count
            if folio.anon:
                folio.exclusive = False
        if not self.shared and leaf.write(word):
            process.arch.wrprotect(pte, count)
            word = self.k.format.wrprotect(word)
        if self.shared:
            word = leaf.mkclean(word)
        process.arch.set_ptes(to, leaf.mkold(word), count)
        return count
