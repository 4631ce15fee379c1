"""User entries on sparc64 (facts 4.3; ``arch/sparc/mm/tlb.c``, ``asm/pgtable_64.h``, ``asm/tlb_64.h`` of 6.12).

``flush_tlb_mm``, ``flush_tlb_range`` and ``flush_tlb_page`` are empty: whoever stores over a valid entry has its TSB
and TLB entries removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.access import hardware_walk
from lazymmu.reference.backend.sparc64 import Sparc64
from lazymmu.reference.codes import INIT_MM, PMD, PTE, Drain, Store
from lazymmu.reference.descriptor.sparc64 import VALID
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import UserArch
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale

REAL_HPAGE: Final = 22
"""A large leaf maps 8 MiB, by two TLB entries of 4 MiB."""


class Sparc64User(UserArch):
    """The generic helpers, all of which end in ``__set_pte_at`` or ``set_pmd_at``."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Sparc64) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    # Configuration --------------------------------------------------------------------------------

    def huge(self) -> bool:  # noqa: D102
        return True

    def merges_areas(self) -> bool:  # noqa: D102
        return True

    def splits_pmd_locks(self) -> bool:  # noqa: D102
        return False

    def moves_tables(self) -> bool:
        """Neither ``HAVE_MOVE_PMD`` nor ``HAVE_MOVE_PUD``."""
        return False

    def invalidates_tables(self) -> bool:
        """The TLB is filled from the TSB."""
        return False

    # Entries --------------------------------------------------------------------------------------

    def wrprotect(self, first: Entry, count: int) -> None:  # noqa: D102
        for entry in self.run(first, count):
            self.k.set_pte(entry, self.k.format.wrprotect(entry.word), Store.PROTECT)

    def test_and_clear_young(self, entry: Entry) -> bool:  # noqa: D102
        word = self.k.read(entry)
        if self.leaf.young(word):
            self.k.set_pte(entry, self.leaf.mkold(word), Store.YOUNG)
            return True
        return False

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002
        """Reads too."""
        if self.k.read(entry) == word:
            return False
        self.k.set_pte(entry, word, Store.FLAGS)
        return True

    def clear_not_present(self, entry: Entry, *, full: bool) -> None:
        """``pte_clear_not_present_full``: at the end of an address space nothing is batched."""
        if full:
            self.k.store(entry, 0, Store.CLEAR)
        else:
            self.k.pte_clear(entry)

    # Large leaves ---------------------------------------------------------------------------------

    def set_pmd(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd_at(entry, word, Store.HUGE)

    def pmdp_get_and_clear(self, entry: Entry) -> int:  # noqa: D102
        return self._set_pmd_at(entry, 0, Store.GET_AND_CLEAR)

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd_at(entry, self.k.format.wrprotect(word), Store.PROTECT)

    def pmdp_clear_young(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd_at(entry, self.leaf.mkold(word), Store.YOUNG)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:  # noqa: ARG002
        """By ``pmdp_establish``; also for ``_ad``."""
        return self._set_pmd_at(entry, self.leaf.mkinvalid(self.k.read(entry)), Store.INVALIDATE)

    def _set_pmd_at(self, entry: Entry, word: int, code: int) -> int:
        """``set_pmd_at`` with ``__set_pmd_acct``: what was there goes, valid or not."""
        old = entry.word
        self.k.store(entry, word, code)
        if old == 0 or entry.mm == INIT_MM:
            return old
        if self.k.format.leaf(PMD, old):
            for half in range(2):
                self.backend.add(
                    entry.mm, entry.first + (half << REAL_HPAGE), REAL_HPAGE, exec_=bool(old & self.backend.exec_bit)
                )
        else:
            self._scan(entry, old)
        return old

    def _scan(self, entry: Entry, old: int) -> None:
        """``tlb_batch_pmd_scan``: the valid pages of a table that was overwritten."""
        table = None if self.k.format.bad(PMD, old) else self.k.linked(PMD, old)
        if table is None:
            return
        for index, word in enumerate(list(table.words)):
            if word & VALID:
                va = entry.first + index * self.k.geometry.page_size
                self.backend.add(entry.mm, va, self.k.geometry.shift(PTE), exec_=bool(word & self.backend.exec_bit))

    # TLBs -----------------------------------------------------------------------------------------

    def update_mmu_cache(self, mm: int, va: int, pages: int) -> None:
        """What is valid goes into the TSB, so that its first use does not miss there."""
        found = hardware_walk(self.k, self.k.mms[mm].root, va)
        if found.pa is not None and found.level == PTE:
            page = self.k.geometry.page_size
            va -= va % page
            self.k.emit(ev.TSB_INSERT, old=pages, va=va, new=va + pages * page, mm=mm)

    def update_mmu_tlb(self, mm: int, va: int, pages: int) -> None:
        """Not defined."""

    def update_mmu_cache_pmd(self, mm: int, va: int) -> None:
        """Into a TSB of its own, should the first miss have made one: that is left out."""

    def tlb_flush(self, stale: Stale) -> None:  # noqa: ARG002
        """``flush_tlb_pending``, whatever the gather holds."""
        self.backend.pending(Drain.ISSUE)
