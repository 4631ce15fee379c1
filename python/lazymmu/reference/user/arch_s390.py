"""User entries on s390 (``arch/s390/mm/pgtable.c``, ``include/asm/tlb.h``, ``tlbflush.h`` of 6.12).

What hardware may use leaves all TLBs before it changes. Where only this CPU is attached to the address space it is just
made invalid, and the address space is flushed of everything later: ``flush_mm``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lazymmu.reference.backend.s390 import S390
from lazymmu.reference.codes import PMD, Store, Tlbi
from lazymmu.reference.descriptor.s390 import INVALID, PROTECT, TABLE_INVALID
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.arch import UserArch
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale

SOFTWARE: Final = 0xFF
"""``_PAGE_SW_BITS``."""


class S390User(UserArch):
    """``ptep_xchg_direct`` and ``ptep_xchg_lazy``."""

    def __init__(self, k: Kernel, leaf: Leaf, large: Leaf, backend: S390) -> None:
        super().__init__(k, leaf, large)
        self.backend = backend

    def huge(self) -> bool:  # noqa: D102
        return True

    def merges_areas(self) -> bool:  # noqa: D102
        return True

    def moves_tables(self) -> bool:  # noqa: D102
        return False

    def frees_by_rcu(self) -> bool:  # noqa: D102
        return True

    def gathers_pages(self) -> bool:
        """``MMU_GATHER_NO_GATHER``: no TLB has what was cleared."""
        return False

    # Pages ----------------------------------------------------------------------------------------

    def get_and_clear_full(self, first: Entry, count: int, *, full: bool) -> int:
        """``ptep_get_and_clear_full``: nobody runs a process that ends."""
        if not full:
            return self.get_and_clear(first, count)

        def clear(entry: Entry) -> int:
            old = self.k.read(entry)
            self.backend.write(entry, INVALID, Store.GET_AND_CLEAR)
            return old

        return self._each(first, count, clear)

    def clear_flush(self, entry: Entry) -> None:
        """``ptep_clear_flush``."""
        self.backend.exchange(entry, INVALID, Store.GET_AND_CLEAR, lazy=False)

    def wrprotect(self, first: Entry, count: int) -> None:
        """``ptep_set_wrprotect`` of what is writable."""
        for entry in self.run(first, count):
            word = self.k.read(entry)
            if self.leaf.write(word):
                self.backend.exchange(entry, self.k.format.wrprotect(word), Store.PROTECT, lazy=True)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """Whatever it was: it is exchanged for itself, old."""
        word = self.k.read(entry)
        self.backend.exchange(entry, self.leaf.mkold(word), Store.YOUNG, lazy=False)
        return self.leaf.young(word)

    def modify_start(self, first: Entry, count: int) -> int:
        """``ptep_modify_prot_start``: invalid, and what it was; a section's cache has it empty."""

        def start(entry: Entry) -> int:
            old = self.k.read(entry)
            if not self.backend.put(entry, INVALID, Store.GET_AND_CLEAR) and not old & INVALID:
                self.backend.invalidate_lazy(entry)
            return old

        return self._each(first, count, start)

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002
        """With RDP, what is only protected less stays valid (``pte_allow_rdp``)."""
        old = self.k.read(entry)
        if old == word:
            return False
        alike = not (old ^ word) & ~(PROTECT | SOFTWARE)
        if self.k.options.s390_rdp and alike and old & PROTECT and not word & PROTECT:
            self.k.store(entry, entry.word & ~PROTECT, Store.FLAGS)
            self._rdp(entry, local=self.backend.only_here(entry.mm))
            self.k.store(entry, word, Store.FLAGS)
        else:
            self.backend.exchange(entry, word, Store.FLAGS, lazy=False)
        return True

    def fix_spurious_fault(self, entry: Entry) -> None:
        """What RDP did elsewhere may not be known here yet."""
        protected = self.k.read(entry) & PROTECT
        if self.k.options.s390_rdp and not protected:
            self._rdp(entry, local=True)

    def _rdp(self, entry: Entry, *, local: bool) -> None:
        page = self.k.geometry.page_size
        start = entry.va & -page
        self.tlbi(entry.mm, (start, start + page), 1, Tlbi.RDP_LOCAL if local else Tlbi.RDP, last_level=True)

    def _each(self, first: Entry, count: int, work: Callable[[Entry], int]) -> int:
        return self._collected([work(entry) for entry in self.run(first, count)])

    # Segments -------------------------------------------------------------------------------------

    def _exchange(self, entry: Entry, word: int, code: int, *, lazy: bool) -> int:
        """``pmdp_xchg_direct``, ``pmdp_xchg_lazy``: IDTE of a segment."""
        old = entry.word
        if not old & TABLE_INVALID:
            self.k.store(entry, old | TABLE_INVALID, Store.INVALIDATE)
            if lazy and self.backend.attached_here(entry.mm):
                self.backend.flush_mm.add(entry.mm)
            else:
                local = not lazy and self.backend.only_here(entry.mm)
                size = self.k.geometry.size(PMD)
                start = entry.va & -size
                code_ = Tlbi.IDTE_SEGMENT_LOCAL if local else Tlbi.IDTE_SEGMENT
                self.tlbi(entry.mm, (start, start + size), 1, code_)
        self.k.store(entry, word, code)
        return old

    def pmdp_get_and_clear(self, entry: Entry) -> int:  # noqa: D102
        return self._exchange(entry, TABLE_INVALID, Store.GET_AND_CLEAR, lazy=False)

    def pmdp_get_and_clear_full(self, entry: Entry, *, full: bool) -> int:  # noqa: D102
        if full:
            return super().pmdp_get_and_clear(entry)
        return self._exchange(entry, TABLE_INVALID, Store.GET_AND_CLEAR, lazy=True)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:  # noqa: ARG002
        """The same for ``_ad``."""
        return self._exchange(entry, self.k.read(entry) | TABLE_INVALID, Store.INVALIDATE, lazy=False)

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:
        """Nothing where it is not writable."""
        if self.large.write(word):
            self._exchange(entry, self.k.format.wrprotect_huge(word), Store.PROTECT, lazy=True)

    def pmdp_clear_young(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._exchange(entry, self.large.mkold(word), Store.YOUNG, lazy=False)

    # TLBs -----------------------------------------------------------------------------------------

    def unlinked(self, table: Table) -> None:
        """``pte_free_tlb`` and its like: hardware may know the way to it."""
        self.backend.flush_mm.add(table.mm)

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:  # noqa: ARG002, D102
        self.backend.flush_lazy(mm)

    def flush_mm(self, mm: int) -> None:  # noqa: D102
        self.backend.flush_lazy(mm)

    def tlb_flush(self, stale: Stale) -> None:  # noqa: D102
        self.backend.flush_lazy(stale.mm)
