"""User entries on riscv: fences by address and address space (facts 1.5, 4.6; ``arch/riscv/mm/tlbflush.c`` of 6.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.riscv import TLB_FLUSH_ALL_THRESHOLD, Riscv
from lazymmu.reference.codes import PMD, PTE, Store, Tlbi
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import EVERYTHING, UserArch
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale


class RiscvUser(UserArch):
    """A CPU may remember that an entry was invalid: a fault that fills one fences it here (unless Svvptc)."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Riscv) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    def huge(self) -> bool:  # noqa: D102
        return self.backend.is_64bit

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002
        """Without Svvptc "changed" whatever was there: the caller fences, should the fault have been spurious."""
        changed = self.k.read(entry) != word
        if changed:
            self.k.store(entry, word, Store.FLAGS)
        if not self.k.options.riscv_svvptc:
            return True
        if changed:
            self._flush_page(entry.mm, entry.va)
        return changed

    def update_mmu_cache(self, mm: int, va: int, pages: int) -> None:
        """``local_flush_tlb_page`` of each, on this CPU only and for all address spaces."""
        if not self.k.options.riscv_svvptc:
            page = self.k.geometry.page_size
            va -= va % page
            self.tlbi(mm, (va, va + pages * page), pages, Tlbi.SFENCE)

    def fix_spurious_fault(self, entry: Entry) -> None:
        """``flush_tlb_page``: riscv has no version of its own."""
        self._flush_page(entry.mm, entry.va)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:
        """Flushed at once, also for ``_ad``."""
        old = super().pmdp_invalidate(entry, ad=ad)
        size = self.k.geometry.size(PMD)
        start = entry.va & ~(size - 1)
        self._flush(entry.mm, (start, start + size), size)
        return old

    # TLBs -----------------------------------------------------------------------------------------

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:  # noqa: D102
        self._flush(mm, (start, end), self.k.geometry.size(level or PTE))

    def flush_mm(self, mm: int) -> None:  # noqa: D102
        self._flush(mm, EVERYTHING, self.k.geometry.page_size)

    def tlb_flush(self, stale: Stale) -> None:
        """A fence with an address orders leaves only: with tables all of the address space goes."""
        if stale.full or stale.freed_tables:
            self.flush_mm(stale.mm)
        else:
            self.flush_range(stale.mm, stale.start, stale.end, stale.level())

    def _flush_page(self, mm: int, va: int) -> None:
        page = self.k.geometry.page_size
        va -= va % page
        self._flush(mm, (va, va + page), page)

    def _flush(self, mm: int, span: tuple[int, int], stride: int) -> None:
        """``__flush_tlb_range``: on all CPUs of ``mm_cpumask``."""
        cpus = self.backend.footmarks.of(mm)
        others = cpus - {self.k.cpu}
        if others:
            self.k.emit(ev.IPI, aux=len(others), mm=mm)
        if not cpus:
            return
        count = max(1, -(-(span[1] - span[0]) // stride))
        if count > TLB_FLUSH_ALL_THRESHOLD:
            self.tlbi(mm, span, 1, Tlbi.SFENCE_ALL)
        else:
            self.tlbi(mm, span, count, Tlbi.SFENCE)
