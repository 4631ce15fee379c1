"""sparc64: software fills the TLB; what users' mappings leave in it is what lazy mode collects.

``arch/sparc/mm/tlb.c``, ``init_64.c``, ``ultra.S``, ``include/asm/pgtable_64.h`` (6.12); facts 1.6, 4.3 and
7.3 facts 39.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference import lazy
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.backend.footmarks import Footmarks
from lazymmu.reference.codes import INIT_MM, PTE, Drain, Store, Tlbi
from lazymmu.reference.descriptor.sparc64 import VALID, Sparc64Format
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

TLB_BATCH_NR: Final = 192
WHOLE: Final = 1 << 18
"""Bytes from which on a kernel range is flushed with everything else."""


class Batch:
    """A CPU's ``tlb_batch``."""

    __slots__ = ("active", "mm", "shift", "vaddrs")

    def __init__(self) -> None:
        self.active = False
        self.mm = INIT_MM
        self.shift = 0
        """``hugepage_shift``: what its entries map."""
        self.vaddrs: list[int] = []


class Sparc64(Backend):
    """Two trees; init_mm's entries are flushed by range only."""

    name = "sparc64"
    order = 90
    geometries = ("sparc64-8k", "sparc64-8k-sun4u")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> Sparc64Format:  # noqa: ARG003, D102
        return Sparc64Format(geometry)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.exec_bit = Sparc64Format(kernel.geometry).bits.exec
        self.has_lazy = True
        self.counted = kernel.options.lazy_api == "counted"
        self.batches: dict[int, Batch] = {}
        self.footmarks = Footmarks(kernel)

    def here(self) -> Batch:
        """The executing CPU's."""
        return self.batches.setdefault(self.k.cpu, Batch())

    # Entries --------------------------------------------------------------------------------------

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``__set_pte_at``: ``maybe_tlb_batch_add`` looks at what was there."""
        old = entry.word
        self.k.store(entry, word, code)
        if entry.mm != INIT_MM and old & VALID:
            self.add(entry.mm, entry.va, self.k.geometry.shift(PTE), exec_=bool(old & self.exec_bit))

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self.set_pte(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """The generic one, by ``pte_clear``."""
        old = entry.word
        self.set_pte(entry, 0, Store.GET_AND_CLEAR)
        return old

    # The batch ------------------------------------------------------------------------------------

    def _invalidate(self, count: int, start: int, end: int, mm: int) -> None:
        """TSB and TLB here, the TLBs of those in ``mm_cpumask`` by ``smp_cross_call_masked``."""
        others = self.footmarks.of(mm) - {self.k.cpu}
        if others:
            self.k.emit(ev.IPI, aux=len(others), mm=mm)
        self.k.emit(ev.TLBI, aux=Tlbi.TSB_TLB, old=count, va=start, new=end, mm=mm)

    def add(self, mm: int, va: int, shift: int, *, exec_: bool) -> None:
        """``tlb_batch_add_one``: another address space's batch goes first, also outside lazy mode."""
        va &= -self.k.geometry.page_size
        if self.here().mm != mm:
            self.pending(Drain.OTHER)
        if not (lazy.is_active(self.k) if self.counted else self.here().active):
            self._invalidate(1, va, va + (1 << shift), mm)
            return
        if self.here().shift != shift:
            self.pending(Drain.OTHER)
        batch = self.here()
        if not batch.vaddrs:
            batch.mm, batch.shift = mm, shift
        batch.vaddrs.append(va)
        self.k.emit(ev.DEFER_TLBI, aux=int(exec_), old=len(batch.vaddrs), va=va, new=va + (1 << shift), mm=mm)
        if len(batch.vaddrs) >= TLB_BATCH_NR:
            self.pending(Drain.FULL)

    def pending(self, reason: int) -> None:
        """``flush_tlb_pending``: without a context, which comes with the first CPU, the TSB alone."""
        batch = self.here()
        vaddrs, mm, batch.vaddrs = batch.vaddrs, batch.mm, []
        if not vaddrs:
            return
        start, end = min(vaddrs), max(vaddrs) + (1 << batch.shift)
        self.k.emit(ev.FLUSH, old=len(vaddrs), new=1, aux=reason, mm=mm)
        if self.footmarks.of(mm):
            self._invalidate(len(vaddrs), start, end, mm)
        else:
            self.k.emit(ev.TLBI, aux=Tlbi.TSB, old=len(vaddrs), va=start, new=end, mm=mm)

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``: every CPU."""
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)
        code, count = Tlbi.DEMAP_ALL, 1
        if end - start < WHOLE:
            code, count = Tlbi.DEMAP_RANGE, max(-(-(end - start) // self.k.geometry.page_size), 1)
        self.k.emit(ev.TLBI, aux=code, old=count, va=start, new=end)

    # Address spaces -------------------------------------------------------------------------------

    def switch_out(self, prev: Task) -> None:  # noqa: ARG002
        """A CPU stays in ``mm_cpumask``."""
        self.footmarks.leave()

    # Lazy mode ------------------------------------------------------------------------------------

    def lazy_state(self) -> int:
        """Whether the CPU's batch is active."""
        return 0 if self.counted else int(self.here().active)

    def enter(self) -> int:
        """``arch_enter_lazy_mmu_mode``: without preemption."""
        self.k.task().locks += 1
        self.here().active = not self.counted
        return 0

    def leave(self) -> int:
        """``arch_leave_lazy_mmu_mode``."""
        self.pending(Drain.LEAVE)
        self.here().active = False
        task = self.k.task()
        task.locks = max(task.locks - 1, 0)
        return 0

    def lazy_flush(self) -> int:
        """``arch_flush_lazy_mmu_mode``: up to v6.19 nothing."""
        if self.counted:
            self.pending(Drain.HOOK)
        return 0

    # Roots ----------------------------------------------------------------------------------------

    def split_roots(self) -> bool:  # noqa: D102
        return True

    def boot(self) -> None:  # noqa: D102
        self.k.mms.append(Mm(INIT_MM, self.boot_table(self.k.geometry.levels, 0)))

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: empty."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        mm = Mm(number, k.memory.place(frame, levels, 0, number))
        k.mms.append(mm)
        return mm
