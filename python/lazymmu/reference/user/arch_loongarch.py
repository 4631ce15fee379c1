"""User entries on loongarch64 (``arch/loongarch/kernel/smp.c``, ``mm/tlb.c``, ``mm/pgtable.c`` of 6.12).

INVTLB by address-space number, for two pages at a time; or the address space gets another number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.loongarch import TLB_ENTRIES, Loongarch
from lazymmu.reference.codes import INIT_MM, PMD, Store, Tlbi
from lazymmu.reference.descriptor.loongarch import PRESENT
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import EVERYTHING, UserArch
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale


class LoongarchUser(UserArch):
    """The generic helpers, with a flush of each page; ``set_pmd_at`` empties all TLBs."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Loongarch) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    def huge(self) -> bool:  # noqa: D102
        return self.k.geometry.levels > PMD

    def merges_areas(self) -> bool:  # noqa: D102
        return True

    def moves_tables(self) -> bool:  # noqa: D102
        return False

    def frees_by_rcu(self) -> bool:  # noqa: D102
        return False

    def frees_upper_at_once(self) -> bool:  # noqa: D102
        return True

    def splits_pmd_locks(self) -> bool:
        """``mm->page_table_lock`` for all."""
        return False

    # Entries --------------------------------------------------------------------------------------

    def clear_flush(self, entry: Entry) -> None:
        """``ptep_clear_flush``: ``pte_accessible`` asks whether it was present."""
        if self.get_and_clear(entry, 1) & PRESENT:
            self._flush_page(entry)

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002
        """``mm/pgtable-generic.c``."""
        changed = self.k.read(entry) != word
        if changed:
            self.k.set_pte(entry, word, Store.FLAGS)
            self._flush_page(entry)
        return changed

    def fix_spurious_fault(self, entry: Entry) -> None:  # noqa: D102
        self._flush_page(entry)

    def clear_flush_young(self, entry: Entry) -> bool:  # noqa: D102
        young = self.test_and_clear_young(entry)
        if young:
            self._flush_page(entry)
        return young

    def set_pmd(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd(entry, word, Store.HUGE)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:  # noqa: ARG002
        """``generic_pmdp_establish``, then the range."""
        old = self.k.read(entry)
        self._set_pmd(entry, self.large.mkinvalid(old), Store.INVALIDATE)
        size = self.k.geometry.size(PMD)
        start = entry.va & -size
        self.flush_range(entry.mm, start, start + size)
        return old

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd(entry, self.k.format.wrprotect_huge(word), Store.PROTECT)

    def pmdp_clear_young(self, entry: Entry, word: int) -> None:  # noqa: D102
        self._set_pmd(entry, self.large.mkold(word), Store.YOUNG)

    def _set_pmd(self, entry: Entry, word: int, code: int) -> None:
        """``set_pmd_at``: ``flush_tlb_all``."""
        self.k.store(entry, word, code)
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)
        self.tlbi(INIT_MM, EVERYTHING, 1, Tlbi.INVTLB_CURRENT)

    # TLBs -----------------------------------------------------------------------------------------

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:  # noqa: ARG002
        """``flush_tlb_range``, ``flush_tlb_page``."""
        pair = 2 * self.k.geometry.page_size
        self._flush(mm, (start, end), -(-end // pair) - start // pair)

    def flush_mm(self, mm: int) -> None:
        """``flush_tlb_mm``: nothing once the last user has gone."""
        if self._users(mm):
            self._flush(mm, EVERYTHING, None)

    def tlb_flush(self, stale: Stale) -> None:
        """A whole address space goes when nobody uses it."""
        if not stale.full:
            self.flush_range(stale.mm, stale.start, stale.end)

    def _flush_page(self, entry: Entry) -> None:
        page = self.k.geometry.page_size
        start = entry.va & -page
        self.flush_range(entry.mm, start, start + page)

    def _users(self, mm: int) -> int:
        """``mm_users``."""
        return sum(task.mm == mm and not task.dead for task in self.k.tasks)

    def _flush(self, mm: int, span: tuple[int, int], pairs: int | None) -> None:
        mask, numbered = self.backend.cpumask(mm), self.backend.numbered(mm)
        if self._users(mm) == 1 and self.k.task().mm == mm:
            numbered &= {self.k.cpu}
            cpus = {self.k.cpu}
        else:
            cpus = set(mask)
            if cpus - {self.k.cpu}:
                self.k.emit(ev.IPI, aux=len(cpus - {self.k.cpu}), mm=mm)
        mask -= cpus - numbered
        if not cpus & numbered:
            return
        if pairs is not None and pairs <= TLB_ENTRIES // 8:
            self.tlbi(mm, span, pairs, Tlbi.INVTLB_ASID)
            return
        away = {cpu.id for cpu in self.k.cpus if cpu.loaded != mm} & cpus & numbered
        mask -= away
        numbered -= away
        self.tlbi(mm, span, 1, Tlbi.NEW_ASID)
