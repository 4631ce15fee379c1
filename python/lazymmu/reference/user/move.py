"""``move_page_tables`` (``mm/mremap.c``; facts 6): entries, or whole tables where both places allow it."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, PUD, Site, Store
from lazymmu.reference.context import cond_resched
from lazymmu.reference.kmap import kmap_local, kunmap_local
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.process import Process
from lazymmu.reference.walk.vunmap import none_or_clear_bad


class Move:
    """One move within an address space."""

    def __init__(self, process: Process, huge: Huge, mm: int) -> None:
        self.process = process
        self.k = process.k
        self.huge = huge
        self.mm = mm

    def run(self, start: int, to: int, size: int) -> int:
        """``move_page_tables``: the bytes that were moved."""

        def work() -> int:
            done = 0
            while done < size:
                cond_resched(self.k)
                extent = self._step(start + done, to + done, start + size)
                if extent is None:
                    break
                done += extent
            return done

        return self.process.walk(Site.MOVE_PAGE_TABLES, self.mm, start, start + size, work)

    def _extent(self, level: int, old: int, new: int, end: int) -> int:
        """``get_extent``."""
        size = self.k.geometry.size(level)
        return min(size - old % size, size - new % size, end - old)

    def _step(self, old: int, new: int, end: int) -> int | None:
        """As far as one entry reaches; None: no memory."""
        process, k = self.process, self.k
        if k.geometry.levels > PMD:
            extent = self._extent(PUD, old, new, end)
            table = process.lookup(self.mm, old, PUD)
            if table is None or none_or_clear_bad(k, table.at(old), old):
                return extent
            target = process.table(self.mm, new, PUD)
            if target is None:
                return None
            if extent == k.geometry.size(PUD) and self._table(table.at(old), target.at(new)):
                return extent
        extent = self._extent(PMD, old, new, end)
        table = process.lookup(self.mm, old, PMD)
        if table is None or k.none(table.at(old)):
            return extent
        target = process.table(self.mm, new, PMD)
        if target is None:
            return None
        pmd, to = table.at(old), target.at(new)
        whole = extent == k.geometry.size(PMD)
        found = process.look(pmd)
        if found == "none":
            return extent
        if found == "huge":
            if whole and self.huge.move(pmd, to):
                return extent
            self.huge.split(pmd)
        elif whole and self._table(pmd, to):
            return extent
        if k.none(to) and not process.alloc_below(to):
            return None
        self._ptes(k.descend(pmd), k.descend(to), old, new, extent)
        return extent

    def _table(self, entry: Entry, to: Entry) -> bool:
        """``move_normal_pmd``, ``move_normal_pud``: False if the target is taken, or tables stay where they are."""
        process, k = self.process, self.k
        if not process.arch.moves_tables() or not k.none(to):
            return False
        locks = (process.pmd_lock(entry), process.pmd_lock(to)) if entry.level == PMD else (k.mms[self.mm].root.pa,)
        with process.lock(*locks):
            word = k.read(entry)
            table = k.linked(entry.level, word)
            k.set_entry(entry, k.format.empty(entry.level), Store.CLEAR)
            if table is not None:
                self._rebase(table, to.first)
                k.backend.hand_over(table)
            k.set_entry(to, k.format.link(to.level, k.format.table(word), kernel=False), Store.POPULATE)
            process.arch.populated(to)
            process.arch.flush_range(self.mm, entry.va, entry.va + k.geometry.size(entry.level))
        return True

    def _rebase(self, table: Table, base: int) -> None:
        """The table, and those below it, map other addresses from now on."""
        table.base = base
        if table.level > PTE:
            for index, word in enumerate(table.words):
                below = self.k.linked(table.level, word) if word else None
                if below is not None:
                    self._rebase(below, table.first_address(index))

    def _ptes(self, table: Table, target: Table, old: int, new: int, size: int) -> None:
        """``move_ptes``: flushed before the unlock, for then the pages may be freed."""
        process = self.process
        with process.pte_lock(table):
            if target is table:
                mapped = kmap_local(self.k, target.pa)
                self._entries(table, target, old, new, size)
                kunmap_local(self.k, mapped, target.pa)
            else:
                with process.pte_lock(target):
                    self._entries(table, target, old, new, size)

    def _entries(self, table: Table, target: Table, old: int, new: int, size: int) -> None:
        process, k = self.process, self.k
        page, done, flush = k.geometry.page_size, 0, False
        with process.lazy_section(Site.MOVE_PTES, table, old, old + size):
            while done < size:
                pte = table.at(old + done)
                word = process.arch.ptep_get(pte)
                if k.format.none(PTE, word):
                    done += page
                    continue
                present = process.present(word)
                folio = process.folio(PTE, word) if present else None
                limit = (size - done) // page if k.options.batched_user_ptes else 1
                count, _ = process.batch(folio, pte, word, limit, write=False, dirty=True)
                word = process.arch.get_and_clear(pte, count)
                flush |= present
                process.arch.set_ptes(target.at(new + done), process.leaf.noncont(word), count)
                done += count * page
        if flush:
            process.arch.flush_range(self.mm, old, old + size)
