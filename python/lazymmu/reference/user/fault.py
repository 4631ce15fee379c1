"""Faults that map a page or grant more, and ``remap_pfn_range`` (``mm/memory.c``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lazymmu.reference.codes import ENOMEM, PTE, Bug, Site, Store
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.process import Process

T = TypeVar("T")


@dataclass(frozen=True)
class NewPage:
    """What a fault maps: ``file``: the page cache owns it; ``zero``: the zero page."""

    pa: int
    pages: int
    prot: int
    write: bool
    file: bool = False
    zero: bool = False


class Faults:
    """Faults of one process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.k = process.k

    def map(self, mm: int, va: int, new: NewPage) -> int:
        """``do_anonymous_page``, ``finish_fault``: tables first, then the lock, then another look."""
        process, leaf = self.process, self.process.leaf
        size = new.pages * self.k.geometry.page_size
        va &= ~(size - 1)
        table = process.table(mm, va, PTE)
        if table is None:
            return -ENOMEM
        with process.pte_lock(table):
            if all(self.k.none(entry) for entry in process.arch.run(table.at(va), new.pages)):
                word = self.k.format.page(new.pa, new.prot)
                if new.zero:
                    word = leaf.mkspecial(word)
                else:
                    self._mapped(new, size)
                if new.write:
                    word = leaf.mkwrite(leaf.mkdirty(word))
                process.arch.set_ptes(table.at(va), word, new.pages)
                process.arch.update_mmu_cache(mm, va, new.pages)
            else:
                process.arch.update_mmu_tlb(mm, va, new.pages)
        return 0

    def _mapped(self, new: NewPage, size: int) -> None:
        folios = self.process.folios
        folio = folios.at(new.pa)
        if folio is None or folio.anon or not new.file:
            folio = folios.allocate(new.pa, size, anon=not new.file)
            folio.refs = int(new.file)
        folio.refs += new.pages

    def _locked(self, mm: int, va: int, work: Callable[[Entry, int], T]) -> T | None:
        """Something with a present leaf entry, under its lock."""
        table = self.process.leaf_table(mm, va)
        if table is None:
            return None
        done = None
        with self.process.pte_lock(table):
            word = self.process.arch.ptep_get(table.at(va))
            if self.process.present(word):
                done = work(table.at(va), word)
        return done

    def reuse(self, mm: int, va: int) -> bool:
        """``wp_page_reuse``."""
        process, leaf = self.process, self.process.leaf

        def work(pte: Entry, word: int) -> bool:
            if leaf.write(word):
                return False
            folio = process.folio(PTE, word)
            if folio is not None:
                folio.exclusive = folio.anon
            word = leaf.mkwrite(leaf.mkdirty(leaf.mkyoung(word)))
            changed = process.arch.set_access_flags(pte, word, write=True)
            if changed:
                process.arch.update_mmu_cache(mm, va, 1)
            return changed

        return bool(self._locked(mm, va, work))

    def copy(self, mm: int, va: int, pa: int, prot: int) -> bool:
        """``wp_page_copy``: the lock is dropped for the copy; then clear, invalidate, and only then the new page."""
        process, leaf, k = self.process, self.process.leaf, self.k
        page = k.geometry.page_size
        seen = self._locked(mm, va, lambda _, word: word)
        if seen is None or leaf.write(seen):
            return False

        def work(pte: Entry, word: int) -> int:
            new = leaf.mkwrite(leaf.mkdirty(k.format.page(pa, prot)))
            folio = process.folio(PTE, word)
            process.arch.clear_flush(pte)
            process.folios.allocate(pa, page, anon=True).refs = 1
            process.arch.set_ptes(pte, new, 1)
            process.arch.update_mmu_cache(mm, va, 1)
            return -1 if folio is None else folio.start

        start = self._locked(mm, va, work)
        if start is not None and start >= 0:
            process.put_folio(start, 1)
        return start is not None

    def flags(self, mm: int, va: int, *, write: bool) -> bool:
        """The end of ``handle_pte_fault``."""
        leaf, arch = self.process.leaf, self.process.arch

        def work(pte: Entry, word: int) -> bool:
            if leaf.protnone(word) or (write and not leaf.write(word)):
                return False
            word = leaf.mkyoung(leaf.mkdirty(word) if write else word)
            changed = arch.set_access_flags(pte, word, write=write)
            if changed:
                arch.update_mmu_cache(mm, va, 1)
            elif write:
                arch.fix_spurious_fault(pte)
            return changed

        return bool(self._locked(mm, va, work))

    def remap(self, mm: int, start: int, end: int, pa: int, prot: int) -> int:
        """``remap_pfn_range``."""
        k = self.k
        return self.process.walk(
            Site.REMAP_PFN_RANGE, mm, start, end, lambda: self._remap(k.mms[mm].root, start, end, pa - start, prot)
        )

    def _remap(self, table: Table, start: int, end: int, offset: int, prot: int) -> int:
        for entry, addr, following in self.k.entries(table, start, end):
            if self.k.none(entry) and not self.process.alloc_below(entry):
                return -ENOMEM
            below = self.k.descend(entry)
            if below.level == PTE:
                self._remap_ptes(below, addr, following, offset, prot)
            elif error := self._remap(below, addr, following, offset, prot):
                return error
        return 0

    def _remap_ptes(self, table: Table, start: int, end: int, offset: int, prot: int) -> None:
        """``remap_pte_range``."""
        process, k = self.process, self.k
        with process.pte_lock(table), process.lazy_section(Site.REMAP_PTE, table, start, end):
            for pte, addr, _ in k.entries(table, start, end):
                if not k.none(pte):
                    k.bug(Bug.REMAP_PTE, addr)
                k.set_pte(pte, process.leaf.mkspecial(k.format.page(addr + offset, prot)), Store.SET)
