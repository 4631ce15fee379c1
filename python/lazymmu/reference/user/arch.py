"""What an architecture does with user entries: as most have it (``include/linux/pgtable.h``), and x86."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.x86 import SINGLE_PAGE_FLUSH_CEILING
from lazymmu.reference.codes import PMD, PTE, PUD, Store, Tlbi
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.leaf import Leaf, X86Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale

EVERYTHING = (0, (1 << 64) - 1)


class UserArch:
    """The general versions."""

    def __init__(self, k: Kernel, leaf: Leaf, large: Leaf | None = None) -> None:
        self.k = k
        self.leaf = leaf
        self.large = large or leaf
        """The helpers for large leaves."""

    def behind(self, first: Entry, count: int) -> Entry:
        """The entry so many places behind another one."""
        return Entry(first.home, first.index + count, first.va + count * self.k.geometry.page_size)

    def run(self, first: Entry, count: int) -> list[Entry]:
        """So many entries."""
        return [self.behind(first, n) for n in range(count)]

    def ptep_get(self, entry: Entry) -> int:
        """``ptep_get``."""
        return self.k.read(entry)

    def set_ptes(self, first: Entry, word: int, count: int) -> None:
        """``set_ptes``."""
        for n, entry in enumerate(self.run(first, count)):
            self.k.set_pte(entry, self.leaf.advance(word, n * self.k.geometry.page_size), Store.SET)

    def store_ptes(self, first: Entry, word: int, count: int, code: int) -> None:
        """``set_ptes`` past what a user may replace."""
        for n, entry in enumerate(self.run(first, count)):
            self.k.backend.set_pte(entry, self.leaf.advance(word, n * self.k.geometry.page_size), code)

    def get_and_clear(self, first: Entry, count: int) -> int:
        """``get_and_clear_full_ptes``: the first word, with what any was or saw."""
        words = [self.k.ptep_get_and_clear(entry) for entry in self.run(first, count)]
        return self._collected(words)

    def get_and_clear_full(self, first: Entry, count: int, *, full: bool) -> int:  # noqa: ARG002
        """The same where an area is unmapped; ``full``: everything goes."""
        return self.get_and_clear(first, count)

    def clear_flush(self, entry: Entry) -> None:
        """``ptep_clear_flush``: flushed if hardware may have it."""
        if self.k.format.valid(self.get_and_clear(entry, 1)):
            page = self.k.geometry.page_size
            start = entry.va & -page
            self.flush_range(entry.mm, start, start + page, PTE)

    def _collected(self, words: list[int]) -> int:
        word = words[0]
        for other in words[1:]:
            word = self.leaf.collect(word, other)
        return word

    def wrprotect(self, first: Entry, count: int) -> None:
        """``wrprotect_ptes``: one exchange each."""
        for entry in self.run(first, count):
            self.k.store(entry, self.k.format.wrprotect(entry.word), Store.PROTECT)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """``ptep_test_and_clear_young``."""
        young = self.leaf.young(self.k.read(entry))
        if young:
            self.k.store(entry, self.leaf.mkold(entry.word), Store.YOUNG)
        return young

    def clear_flush_young(self, entry: Entry) -> bool:
        """``ptep_clear_flush_young``: a stale accessed bit costs little, so most do not flush."""
        return self.test_and_clear_young(entry)

    def clear_young_dirty(self, first: Entry, count: int, *, dirty: bool) -> None:
        """``clear_young_dirty_ptes``."""
        for entry in self.run(first, count):
            if dirty:
                word = self.get_and_clear(entry, 1)
                self.k.set_pte(entry, self.leaf.mkclean(self.leaf.mkold(word)), Store.SET)
            else:
                self.test_and_clear_young(entry)

    def modify_start(self, first: Entry, count: int) -> int:
        """``ptep_modify_prot_start``."""
        return self.get_and_clear(first, count)

    def modify_commit(self, first: Entry, word: int, count: int) -> None:
        """``ptep_modify_prot_commit``."""
        self.set_ptes(first, word, count)

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:
        """``ptep_set_access_flags``: whether anything changed."""
        changed = self.ptep_get(entry) != word
        if changed and write:
            self.k.set_pte(entry, word, Store.FLAGS)
        return changed

    def update_mmu_cache(self, mm: int, va: int, pages: int) -> None:
        """``update_mmu_cache_range``: a fault filled entries."""

    def update_mmu_tlb(self, mm: int, va: int, pages: int) -> None:
        """``update_mmu_tlb_range``: it found them filled."""
        self.update_mmu_cache(mm, va, pages)

    def update_mmu_cache_pmd(self, mm: int, va: int) -> None:
        """``update_mmu_cache_pmd``."""
        self.update_mmu_cache(mm, va, 1)

    def fix_spurious_fault(self, entry: Entry) -> None:
        """``flush_tlb_fix_spurious_fault``."""

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:  # noqa: ARG002
        """``pmdp_invalidate``, ``pmdp_invalidate_ad``: the word before."""
        old = self.k.read(entry)
        self.k.store(entry, self.large.mkinvalid(old), Store.INVALIDATE)
        return old

    def pmdp_get_and_clear(self, entry: Entry) -> int:
        """``pmdp_huge_get_and_clear``."""
        old = entry.word
        self.k.store(entry, self.k.format.empty(PMD), Store.GET_AND_CLEAR)
        return old

    def pmdp_get_and_clear_full(self, entry: Entry, *, full: bool) -> int:  # noqa: ARG002
        """``pmdp_huge_get_and_clear_full``; ``full``: everything goes."""
        return self.pmdp_get_and_clear(entry)

    def pmdp_clear_young(self, entry: Entry, word: int) -> None:
        """``pmdp_test_and_clear_young`` of a young leaf with this word."""
        self.k.store(entry, self.large.mkold(word), Store.YOUNG)

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:
        """``pmdp_set_wrprotect`` of a leaf with this word."""
        self.k.store(entry, self.k.format.wrprotect_huge(word), Store.PROTECT)

    def pmd_zapped(self, entry: Entry, *, full: bool) -> None:
        """Behind the last."""

    def gathers_pages(self) -> bool:
        """Whether pages wait for the flush; not with ``CONFIG_MMU_GATHER_NO_GATHER``."""
        return True

    def frees_upper_at_once(self) -> bool:
        """``__pmd_free_tlb`` is ``pmd_free``: tables above leaf tables do not wait."""
        return False

    def gathers_one_size(self) -> bool:
        """``CONFIG_MMU_GATHER_PAGE_SIZE``."""
        return False

    def set_pmd(self, entry: Entry, word: int) -> None:
        """``set_pmd_at``: one store."""
        self.k.store(entry, word, Store.HUGE)

    def pmd_present(self, word: int) -> bool:  # noqa: ARG002
        """``pmd_present`` of a large leaf: not asked where such can be migrated."""
        return True

    def splits_pmd_locks(self) -> bool:
        """``CONFIG_ARCH_ENABLE_SPLIT_PMD_PTLOCK``."""
        return True

    def clear_not_present(self, entry: Entry, *, full: bool) -> None:  # noqa: ARG002
        """``pte_clear_not_present_full``."""
        self.k.pte_clear(entry)

    def pmd_on_stack(self) -> None:
        """``pmd_populate`` of a variable."""

    def populated(self, entry: Entry) -> None:
        """Behind the link of a table."""

    def unlinked(self, table: Table) -> None:
        """``paravirt_release_pte`` and its like."""

    def huge(self) -> bool:
        """Whether user mappings may have large leaves."""
        return False

    def merges_areas(self) -> bool:
        """``CONFIG_MMU_GATHER_MERGE_VMAS``."""
        return False

    def frees_by_rcu(self) -> bool:
        """``CONFIG_MMU_GATHER_RCU_TABLE_FREE``."""
        return self.k.options.rcu_table_free

    def invalidates_tables(self) -> bool:
        """``tlb_needs_table_invalidate``."""
        return True

    def leaf_table_freed(self, va: int) -> tuple[int, int] | None:  # noqa: ARG002
        """What ``__pte_free_tlb`` adds to the range of the gather: start and size."""
        return None

    def floor(self) -> int:
        """``FIRST_USER_ADDRESS``."""
        return 0

    def ceiling(self) -> int:
        """``USER_PGTABLES_CEILING``; 0 is the top."""
        return 0

    def moves_tables(self) -> bool:
        """``arch_supports_page_table_move``."""
        return True

    def needs_flush(self, old: int, new: int) -> bool:  # noqa: ARG002
        """``pte_needs_flush``."""
        return True

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:
        """``flush_tlb_range``; ``level``: entries of it only."""

    def flush_mm(self, mm: int) -> None:
        """``flush_tlb_mm``."""

    def tlb_flush(self, stale: Stale) -> None:
        """``tlb_flush`` of a gather."""

    def tlbi(self, mm: int, span: tuple[int, int], count: int, code: int, *, last_level: bool = False) -> None:
        """An invalidation of user addresses."""
        self.k.emit(ev.TLBI, level=int(last_level), aux=code, mm=mm, old=count, va=span[0], new=span[1])

    def runs(self, mm: int) -> tuple[bool, int]:
        """Whether this CPU has an address space loaded, and how many others have."""
        here = self.k.here().loaded == mm
        return here, sum(cpu.loaded == mm for cpu in self.k.cpus) - here


class X86User(UserArch):
    """x86 (``arch/x86/mm/tlb.c``, ``pgtable.c``): interrupts make the CPUs that run the process invalidate."""

    def huge(self) -> bool:  # noqa: D102
        return self.k.options.x86_pse

    def merges_areas(self) -> bool:  # noqa: D102
        return True

    def needs_flush(self, old: int, new: int) -> bool:  # noqa: D102
        return isinstance(self.leaf, X86Leaf) and self.leaf.needs_flush(old, new)

    def _pae(self) -> bool:
        return self.k.geometry.va_bits == 32 and self.k.geometry.levels == PUD

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:
        """PAE: the half with P first. No flush for ``_ad``: what is invalid is not written by hardware."""
        if self._pae():
            old = self.k.read(entry)
            word = self.leaf.mkinvalid(old)
            low = (1 << 32) - 1
            self.k.store(entry, old & ~low | word & low, Store.INVALIDATE)
            self.k.store(entry, word, Store.INVALIDATE)
        else:
            old = super().pmdp_invalidate(entry, ad=ad)
        if not ad:
            size = self.k.geometry.size(PMD)
            start = entry.va & ~(size - 1)
            self.flush_range(entry.mm, start, start + size)
        return old

    def populated(self, entry: Entry) -> None:
        """PAE's ``pud_populate``: the CPU keeps root entries since it loaded CR3."""
        if self._pae() and entry.level == PUD:
            self.flush_mm(entry.mm)

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:  # noqa: ARG002, D102
        self._flush(mm, (start, end), self.k.geometry.page_size)

    def flush_mm(self, mm: int) -> None:  # noqa: D102
        self._flush(mm, None, self.k.geometry.page_size)

    def tlb_flush(self, stale: Stale) -> None:  # noqa: D102
        span = None if stale.full else (stale.start, stale.end)
        self._flush(stale.mm, span, self.k.geometry.size(stale.level()))

    def _flush(self, mm: int, span: tuple[int, int] | None, stride: int) -> None:
        """``flush_tlb_mm_range``."""
        here, others = self.runs(mm)
        if others:
            self.k.emit(ev.IPI, aux=others, mm=mm)
        elif not here:
            return
        if span is not None and (span[1] - span[0]) // stride <= SINGLE_PAGE_FLUSH_CEILING:
            self.tlbi(mm, span, -(-(span[1] - span[0]) // stride), Tlbi.INVLPG)
        else:
            self.tlbi(mm, EVERYTHING, 1, Tlbi.NON_GLOBAL)
