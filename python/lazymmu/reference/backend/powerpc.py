"""64-bit Book3S powerpc: the radix MMU, whose stores one ptesync completes, and the hash MMU with its batch.

``arch/powerpc/mm/book3s64/radix_tlb.c``, ``radix_pgtable.c``, ``hash_tlb.c``, ``hash_4k.c``,
``include/asm/cacheflush.h``, ``include/asm/book3s/64/tlbflush-hash.h`` (6.12); facts 1.6, 4.2, 7.4
and 7.3 facts 4 and 38.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference import lazy
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.backend.footmarks import Footmarks
from lazymmu.reference.codes import INIT_MM, PMD, PTE, PUD, Access, Drain, Flag, Handler, Store, Tlbi
from lazymmu.reference.descriptor.powerpc import ACCESSED, DIRTY, LEAF, PowerPcFormat
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

PTESYNC: Final = 5
BATCH: Final = 192
"""``PPC64_TLB_BATCH_NR``."""


class Book3s(Backend):
    """What both have: two trees, and a leaf bit in all that is set."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        if not isinstance(kernel.format, PowerPcFormat):
            raise TypeError("powerpc needs its own entry format")
        self.format = kernel.format
        self.has_lazy = True
        self.huge_vmalloc = True

    def ptesync(self) -> None:
        """``ptesync``."""
        self.k.emit(ev.DSB, aux=PTESYNC)

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``__set_pte_at``."""
        self.k.store(entry, word | LEAF, code)

    def flush_cache_vmap(self, start: int, end: int) -> None:  # noqa: ARG002
        """``flush_cache_vmap``: whichever MMU it is."""
        self.ptesync()

    def ioremap_max_page_shift(self) -> int:  # noqa: D102
        return 63 if self.k.options.huge_vmap else super().ioremap_max_page_shift()

    def split_roots(self) -> bool:  # noqa: D102
        return True

    def boot(self) -> None:  # noqa: D102
        levels = self.k.geometry.levels
        self.k.mms.append(Mm(INIT_MM, self.boot_table(levels, self.k.geometry.layout["kernel_start"])))

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


class Radix(Book3s):
    """Lazy mode is compiled in and does nothing."""

    name = "powerpc-radix"
    order = 70
    geometries = ("powerpc-radix-64k", "powerpc-radix-4k")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> PowerPcFormat:  # noqa: ARG003, D102
        return PowerPcFormat(geometry, radix=True)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.needs_barrier = True
        self.dsb_completes = True
        self.footmarks = Footmarks(kernel)

    def switch_out(self, prev: Task) -> None:  # noqa: ARG002
        """A CPU that leaves an address space stays in its ``mm_cpumask``."""
        self.footmarks.leave()

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``radix__flush_tlb_kernel_range``: all of process 0, by one broadcast tlbie."""
        self.ptesync()
        self.k.emit(ev.TLBI, aux=Tlbi.TLBIE_PID, old=1, va=start, new=end)
        self.ptesync()

    def ioremap_max_order(self) -> int:  # noqa: D102
        return self.k.geometry.shift(PUD)

    def huge_supported(self, level: int) -> bool:  # noqa: D102
        return level in (PMD, PUD)


class Batch:
    """A CPU's ``ppc64_tlb_batch``."""

    __slots__ = ("active", "mm", "segment", "vas")

    def __init__(self) -> None:
        self.active = False
        """Up to v6.19; then the task's counters are asked."""
        self.mm = INIT_MM
        self.segment = 0
        self.vas: list[int] = []


class Hash(Book3s):
    """Tables change at once; what the hash table still has of them is what lazy mode collects."""

    name = "powerpc-hash"
    order = 80
    geometries = ("powerpc-hash-64k", "powerpc-hash-4k")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> PowerPcFormat:  # noqa: ARG003, D102
        return PowerPcFormat(geometry, radix=False)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.counted = kernel.options.lazy_api == "counted"
        self.batches: dict[int, Batch] = {}

    def here(self) -> Batch:
        """The executing CPU's."""
        return self.batches.setdefault(self.k.cpu, Batch())

    # Entries, and what the hash table has of them -------------------------------------------------

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``set_ptes``: flags of a hash entry are filtered off."""
        super().set_pte(entry, word & ~self.format.hash_flags, code)

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self.update(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:  # noqa: D102
        return self.update(entry, 0, Store.GET_AND_CLEAR)

    def ptep_try_set(self, entry: Entry, word: int) -> bool:  # noqa: D102
        return super().ptep_try_set(entry, word & ~self.format.hash_flags | LEAF)

    def update(self, entry: Entry, word: int, code: int) -> int:
        """``pte_update``; the word before."""
        old = entry.word
        self.k.store(entry, word, code)
        if old & self.format.hashed:
            self._need_flush(entry.mm, entry.va)
        return old

    def used(self, mm: int, va: int, word: int, access: int) -> int:
        """``hash_page``: at the first use of a page, and at the first write to it."""
        k = self.k
        needed = self.format.hashed | (DIRTY if access == Access.WRITE else 0)
        if word & needed == needed:
            return word
        k.emit(ev.FAULT, level=PTE, aux=access | Handler.HASH_PAGE << 8, va=va, old=word, mm=mm)
        table = k.mms[mm].root
        while table.level > PTE:
            table = k.descend(table.at(va))
        entry = table.at(va)
        # A compare-and-exchange: what another CPU has changed meanwhile counts.
        now = entry.word
        if not self.format.usable(PTE, now):
            return now
        k.store(entry, now | needed | ACCESSED, Store.HASH)
        return now | needed | ACCESSED

    # The batch ------------------------------------------------------------------------------------

    def _need_flush(self, mm: int, va: int) -> None:
        """``hpte_need_flush``: one address space and one segment size a batch."""
        k, batch = self.k, self.here()
        page = k.geometry.page_size
        va &= -page
        if not (lazy.is_active(k) if self.counted else batch.active):
            k.emit(ev.TLBI, aux=Tlbi.HPTE, old=1, va=va, new=va + page, mm=mm)
            return
        segment = 40 if k.geometry.is_kernel(va) or va >= 1 << 40 else 28
        if batch.vas and (batch.mm, batch.segment) != (mm, segment):
            self._flush(Drain.OTHER)
        if not batch.vas:
            batch.mm, batch.segment = mm, segment
        batch.vas.append(va)
        k.emit(ev.DEFER_TLBI, old=len(batch.vas), va=va, new=va + page, mm=mm)
        if len(batch.vas) >= BATCH:
            self._flush(Drain.FULL)

    def _flush(self, reason: int) -> None:
        """``__flush_tlb_pending``."""
        batch = self.here()
        vas, mm, batch.vas = batch.vas, batch.mm, []
        self.k.emit(ev.FLUSH, old=len(vas), new=1, aux=reason, mm=mm)
        code = Tlbi.HPTE if len(vas) == 1 else Tlbi.HPTE_RANGE
        end = max(vas) + self.k.geometry.page_size
        self.k.emit(ev.TLBI, aux=code, old=len(vas), va=min(vas), new=end, mm=mm)

    def tlb_flush(self) -> None:
        """``hash__tlb_flush``: the batch, if anything waits."""
        if self.here().vas:
            self._flush(Drain.ISSUE)

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``: nothing is left to do."""

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
        if self.here().vas:
            self._flush(Drain.LEAVE)
        self.here().active = False
        task = self.k.task()
        task.locks = max(task.locks - 1, 0)
        return 0

    def lazy_flush(self) -> int:
        """``arch_flush_lazy_mmu_mode``: up to v6.19 nothing."""
        if self.counted and self.here().vas:
            self._flush(Drain.HOOK)
        return 0

    def switch_out(self, prev: Task) -> None:
        """``__switch_to`` up to v6.19: ``_TLF_LAZY_MMU``."""
        if self.here().active:
            prev.flags |= Flag.UPDATES
            if self.here().vas:
                self._flush(Drain.SWITCH)
            self.here().active = False

    def switch_in(self, following: Task) -> None:  # noqa: D102
        if not self.counted and following.flags & Flag.UPDATES:
            following.flags &= ~Flag.UPDATES
            self.here().active = True
