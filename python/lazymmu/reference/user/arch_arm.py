"""User entries on 32-bit arm (facts 1.6; ``asm/tlbflush.h``, ``kernel/smp_tlb.c``, ``mm/tlb-v7.S`` of 6.12).

Hardware broadcasts invalidations, so nobody keeps account of who ran what. Nothing but the flush of the whole address
space looks at how much there is to do: ranges go page by page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.arm import ISH, ISHST, Arm
from lazymmu.reference.codes import PMD, PTE, Store, Tlbi
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import EVERYTHING, UserArch
from lazymmu.reference.user.leaf_arm import ArmLeaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale

VECTORS: Final = 0x2000
"""``FIRST_USER_ADDRESS``."""


class ArmUser(UserArch):
    """The generic helpers, all of which end in ``set_pte_at`` or ``set_pmd_at``."""

    def __init__(self, k: Kernel, leaf: ArmLeaf, backend: Arm) -> None:
        super().__init__(k, leaf)
        self.arm_leaf = leaf
        self.lpae = backend.lpae

    # Configuration --------------------------------------------------------------------------------

    def huge(self) -> bool:
        """LPAE: ``HAVE_ARCH_TRANSPARENT_HUGEPAGE``."""
        return self.lpae

    def frees_by_rcu(self) -> bool:  # noqa: D102
        return self.lpae and super().frees_by_rcu()

    def splits_pmd_locks(self) -> bool:  # noqa: D102
        return False

    def moves_tables(self) -> bool:
        """Neither ``HAVE_MOVE_PMD`` nor ``HAVE_MOVE_PUD``."""
        return False

    def floor(self) -> int:  # noqa: D102
        return VECTORS

    def ceiling(self) -> int:
        """LPAE: the modules' entries are in the highest of the user's pmd tables."""
        return self.k.geometry.layout["task_size"] if self.lpae else 0

    def leaf_table_freed(self, va: int) -> tuple[int, int] | None:
        """Short descriptors: around the middle of what the pair maps, so that the flush reaches both halves."""
        if self.lpae:
            return None
        page, size = self.k.geometry.page_size, self.k.geometry.size(PMD)
        return va // size * size + size // 2 - page, 2 * page

    # Entries --------------------------------------------------------------------------------------

    def wrprotect(self, first: Entry, count: int) -> None:  # noqa: D102
        for entry in self.run(first, count):
            self.k.set_pte(entry, self.k.format.wrprotect(entry.word), Store.PROTECT)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """The access flag is software's: an old page faults when it is used."""
        word = self.k.read(entry)
        if self.leaf.young(word):
            self.k.set_pte(entry, self.leaf.mkold(word), Store.YOUNG)
            return True
        return False

    def clear_flush_young(self, entry: Entry) -> bool:  # noqa: D102
        young = self.test_and_clear_young(entry)
        if young:
            self._flush_page(entry.mm, entry.va)
        return young

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002
        """Reads too; ``flush_tlb_fix_spurious_fault`` is a flush of the page."""
        if self.arm_leaf.same(self.k.read(entry), word):
            return False
        self.k.set_pte(entry, word, Store.FLAGS)
        self._flush_page(entry.mm, entry.va)
        return True

    def fix_spurious_fault(self, entry: Entry) -> None:  # noqa: D102
        self._flush_page(entry.mm, entry.va)

    # Large leaves ---------------------------------------------------------------------------------

    def set_pmd(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._store_pmd(entry, word, Store.HUGE)

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._store_pmd(entry, self.k.format.wrprotect(word), Store.PROTECT)

    def pmdp_clear_young(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._store_pmd(entry, self.leaf.mkold(word), Store.YOUNG)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:  # noqa: ARG002, D102
        old = self.k.read(entry)
        self._store_pmd(entry, self.leaf.mkinvalid(old), Store.INVALIDATE)
        size = self.k.geometry.size(PMD)
        self._flush_range(entry.mm, entry.va // size * size, entry.va // size * size + size)
        return old

    def pmd_present(self, word: int) -> bool:
        """``L_PMD_SECT_VALID``: PROT_NONE is not present."""
        return self.k.format.present(PMD, word)

    def pmd_on_stack(self) -> None:  # noqa: D102
        self._dsb(ISHST)

    def _store_pmd(self, entry: Entry, word: int, code: int) -> None:
        self.k.store(entry, self.arm_leaf.stored_pmd(word), code)
        self._dsb(ISHST)

    # TLBs -----------------------------------------------------------------------------------------

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:
        """``flush_tlb_page`` of a pte, else ``flush_tlb_range``, which ``flush_pmd_tlb_range`` is too."""
        if level == PTE:
            self._flush_page(mm, start)
        else:
            self._flush_range(mm, start, end)

    def flush_mm(self, mm: int) -> None:  # noqa: D102
        self._dsb(ISHST)
        self.tlbi(mm, EVERYTHING, 1, Tlbi.TLBIASID)
        self._dsb(ISH)

    def tlb_flush(self, stale: Stale) -> None:
        """The generic one."""
        if stale.full:
            self.flush_mm(stale.mm)
        else:
            self._flush_range(stale.mm, stale.start, stale.end)

    def _flush_page(self, mm: int, va: int) -> None:
        page = self.k.geometry.page_size
        va = va // page * page
        self._dsb(ISHST)
        self.tlbi(mm, (va, va + page), 1, Tlbi.TLBIMVA)
        self._dsb(ISH)

    def _flush_range(self, mm: int, start: int, end: int) -> None:
        """``v7wbi_flush_user_tlb_range``."""
        self._dsb(ISH)
        self.tlbi(mm, (start, end), max((end - start) // self.k.geometry.page_size, 1), Tlbi.TLBIMVA)
        self._dsb(ISH)

    def _dsb(self, domain: int) -> None:
        self.k.emit(ev.DSB, aux=domain)
