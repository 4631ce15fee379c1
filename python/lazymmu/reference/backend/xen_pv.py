"""Xen paravirtual: page tables are read-only for the guest, stores are hypercalls, and lazy mode queues them.

``arch/x86/xen/mmu_pv.c``, ``multicalls.c``, ``enlighten_pv.c`` (6.12); facts 4.1 and 7.3 facts 7, 35, 36. 32-bit guests
ended with v5.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference import lazy
from lazymmu.reference.backend.x86 import X86
from lazymmu.reference.codes import INIT_MM, PTE, Bug, Drain, Flag, Hypercall, Store, Tlbi
from lazymmu.reference.descriptor.x86 import ACCESSED, DIRTY, GLOBAL, PAT, PCD, PWT, USER, P, X86Format
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Task
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

MC_BATCH: Final = 32
MC_ARGS: Final = 512
GUEST_KERNEL: Final = 1 << 52
"""``_PAGE_GUEST_KERNEL``: the hypervisor's mark of a kernel leaf, for the user bit cannot tell any more."""

UPDATE: Final = Hypercall.MMU_UPDATE
EXTENDED: Final = Hypercall.MMUEXT_OP
PROTECT: Final = Hypercall.UPDATE_VA_MAPPING
_ARGUMENT_BYTES: Final = {UPDATE: 16, EXTENDED: 24, PROTECT: 0}


class Queue:
    """A CPU's multicall buffer (``struct mc_buffer``): calls, the bytes of their arguments, and what they will do."""

    __slots__ = ("args", "calls", "items", "last", "latest", "updates")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Empty."""
        self.calls = 0
        self.args = 0
        self.updates = 0
        self.last = 0
        """Kind of the last call."""
        self.items: list[tuple[Entry, int, bool] | tuple[int, int, int, int]] = []
        """In order: an entry, its word, and whether accessed and dirty bits stay; or a TLBI code, a range and mm."""
        self.latest: dict[int, int] = {}
        """The last word queued for an entry."""

    def extends(self, kind: int) -> bool:
        """``xen_mc_extend_args``: an update joins a call of updates, if its argument fits."""
        return kind == UPDATE == self.last and self.args + _ARGUMENT_BYTES[kind] < MC_ARGS

    def has_room(self, kind: int) -> bool:
        """``__xen_mc_entry``: a call and its argument fit."""
        return self.calls < MC_BATCH and self.args + _ARGUMENT_BYTES[kind] < MC_ARGS

    def add(self, kind: int) -> None:
        """Takes a call, or a part of the last one."""
        if not self.extends(kind):
            self.calls += 1
            self.last = kind
        self.args += _ARGUMENT_BYTES[kind]


class XenPv(X86):
    """The queueing backend."""

    name = "xen-pv"
    order = 40
    geometries = ("x86-64-4level", "x86-32-pae")
    flush_event_first = True
    hardware = False

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> X86Format:  # noqa: ARG003
        """The hypervisor keeps global pages to itself."""
        return X86Format(geometry, global_pages=False)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.has_lazy = True
        self.huge_vmalloc = not self.is_32bit
        self.task_counts = (kernel.options.xen_lazy, kernel.options.lazy_api) == ("task-counts", "counted")
        """The task's counters are the mode. Without counters it is the CPU's, and does not nest."""
        self.leave_event_first = self.task_counts
        self.queues: dict[int, Queue] = {}

    def queue_here(self) -> Queue:
        """The executing CPU's buffer."""
        return self.queues.setdefault(self.k.cpu, Queue())

    # The queue ------------------------------------------------------------------------------------

    def queued(self, addr: int) -> int | None:  # noqa: D102
        queue = self.queues.get(self.k.cpu)
        return queue.latest.get(addr) if queue is not None else None

    def batching(self) -> bool:
        """``xen_get_lazy_mode() == XEN_LAZY_MMU``, later ``is_lazy_mmu_mode_active()``: never in an interrupt."""
        if self.task_counts:
            return lazy.is_active(self.k)
        return self.k.here().lazy > 0 and not self.k.in_interrupt()

    def reserve(self, kind: int) -> Queue:
        """``xen_mc_extend_args`` or ``__xen_mc_entry``: what does not fit flushes first."""
        queue = self.queue_here()
        if not queue.extends(kind) and not queue.has_room(kind):
            self.flush(Drain.FULL)
        queue.add(kind)
        return queue

    def queue_preserving(self, entry: Entry, word: int, code: int) -> None:
        """An update with ``MMU_PT_UPDATE_PRESERVE_AD``."""
        self._queue_update(entry, word, code, keep=True)

    def _queue_update(self, entry: Entry, word: int, code: int, *, keep: bool = False) -> None:
        queue = self.reserve(UPDATE)
        queue.updates += 1
        queue.items.append((entry, word, keep))
        queue.latest[entry.addr] = word
        self.k.about_queue(entry, word, code)

    def queue_invalidation(self, code: int, start: int, end: int, mm: int = INIT_MM) -> None:
        """An invalidation waits its turn."""
        self.reserve(EXTENDED).items.append((code, start, end, mm))

    def issue(self) -> None:
        """``xen_mc_issue``: what was built is sent now, unless lazy mode collects."""
        if not self.batching():
            self.flush(Drain.ISSUE)

    def flush(self, reason: int) -> None:
        """``xen_mc_flush``: one call directly, several as a multicall; the hypervisor works them off in order."""
        queue = self.queue_here()
        calls, updates, items, last = queue.calls, queue.updates, queue.items, queue.last
        queue.reset()
        self.k.emit(ev.FLUSH, old=updates, new=calls, aux=reason)
        if not calls:
            return
        self.k.emit(ev.HYPERCALL, old=updates, new=calls, aux=last if calls == 1 else Hypercall.MULTICALL)
        for item in items:
            if len(item) == 3:
                entry, word, keep = item
                self.k.store(entry, word | entry.word & (ACCESSED | DIRTY) if keep else word, Store.DRAIN)
            else:
                self.k.emit(ev.TLBI, aux=item[0], old=1, va=item[1], new=item[2], mm=item[3])

    # Stores ---------------------------------------------------------------------------------------

    def leaf_word(self, word: int) -> int:
        """``xen_make_pte`` and what the hypervisor makes of it, as recorded with 7.3.4."""
        if self.is_32bit or not word & P:
            return word
        if not word & USER:
            word |= USER | GUEST_KERNEL
        elif not word & GUEST_KERNEL:
            word |= GLOBAL
        ram_end = self.k.geometry.layout["ram_end"]
        if ram_end and self.k.format.table(word) & ~GUEST_KERNEL >= ram_end and not word & (PWT | PCD | PAT):
            word |= PWT | PCD
        return word

    def directly(self, code: int) -> None:
        """One hypercall that overtakes the queue."""
        self.k.emit(ev.HYPERCALL, old=1, new=1, aux=code)

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``xen_set_pte``: queued in lazy mode, else one direct hypercall that overtakes the queue."""
        word = self.leaf_word(word)
        if self.batching():
            self._queue_update(entry, word, code)
        else:
            self.directly(Hypercall.MMU_UPDATE)
            self.k.store(entry, word, code)

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self.set_pte(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """Not paravirtualised: the exchange traps and is emulated at once, past the queue."""
        self.k.read(entry)
        self.directly(Hypercall.TRAP)
        old = entry.word
        self.k.store(entry, 0, Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:
        """Not paravirtualised either (7.3 facts 35)."""
        if self.k.format.occupied(self.k.read(entry)):
            return False
        self.directly(Hypercall.TRAP)
        # The exchange compares when it is emulated.
        if self.k.format.occupied(entry.word):
            return False
        self.k.store(entry, self.leaf_word(word), Store.TRY_SET)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``xen_set_pmd_hyper`` and its like: always through the queue; tables here are pinned."""
        self._queue_update(entry, word, code)
        self.issue()

    def hand_over(self, table: Table) -> None:
        """``xen_alloc_ptpage``: the page becomes read-only, a leaf table is pinned."""
        self.reserve(PROTECT)
        if table.level == PTE:
            self.reserve(EXTENDED)
        self.issue()

    # TLBs -----------------------------------------------------------------------------------------

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``xen_flush_tlb``, ``xen_flush_tlb_one_user``: invalidations are queued too, so their order is kept."""
        self.ipi()
        if self.is_large(start, end):
            self.queue_invalidation(Tlbi.MMUEXT_ALL, start, end)
            self.issue()
            return
        page = self.k.geometry.page_size
        for addr in range(start, end, page):
            self.queue_invalidation(Tlbi.MMUEXT_INVLPG, addr, addr + page)
            self.issue()

    # Lazy mode ------------------------------------------------------------------------------------

    def lazy_state(self) -> int:
        """Per-CPU mode: 0 off, else nesting + 1. With counts in the task there is none."""
        return 0 if self.task_counts else self.k.here().lazy

    def enter(self) -> int:
        """``enter_lazy(XEN_LAZY_MMU)``: up to v6.14 it nests."""
        if not self.task_counts:
            cpu = self.k.here()
            if cpu.lazy and self.k.options.xen_lazy != "nested":
                self.k.bug(Bug.LAZY_NESTED)
            cpu.lazy += 1
        return 0

    def leave(self) -> int:
        """``xen_leave_lazy_mmu``."""
        self.flush(Drain.LEAVE)
        if not self.task_counts:
            cpu = self.k.here()
            if not cpu.lazy:
                self.k.bug(Bug.NOT_LAZY)
            cpu.lazy -= 1
        return 0

    def lazy_flush(self) -> int:
        """``xen_flush_lazy_mmu``: since v7.2 without a look at mode or context (7.3 facts 36)."""
        if self.task_counts or self.batching():
            self.flush(Drain.HOOK)
        return 0

    def post_map(self, va: int) -> None:  # noqa: ARG002, D102
        if self.k.options.kmap_flush:
            lazy.flush(self.k)

    def post_unmap(self, va: int) -> None:  # noqa: D102
        self.queue_invalidation(Tlbi.MMUEXT_INVLPG, va, va + self.k.geometry.page_size)
        self.issue()
        lazy.flush(self.k)

    # Context switch -------------------------------------------------------------------------------

    def switch_out(self, prev: Task) -> None:
        """``xen_start_context_switch``."""
        if self.task_counts:
            lazy.pause_task(self.k, prev)
        elif self.k.here().lazy:
            lazy.arch_leave(self.k)
            if self.k.options.lazy_api == "plain":
                prev.flags |= Flag.UPDATES
            if self.k.here().lazy:
                self.k.bug(Bug.LAZY_NESTED)

    def switch_in(self, following: Task) -> None:
        """``xen_end_context_switch``: a task that was never paused is resumed all the same (7.3 facts 7)."""
        self.flush(Drain.SWITCH)
        if self.task_counts:
            if not (following.fresh and self.k.options.xen_fork_balanced):
                lazy.resume_task(self.k, following)
        elif self.k.options.lazy_api == "counted":
            if lazy.is_active(self.k):
                lazy.arch_enter(self.k)
        elif following.flags & Flag.UPDATES:
            following.flags &= ~Flag.UPDATES
            lazy.arch_enter(self.k)

    def boot_idle(self, task: Task) -> None:
        """It was switched out once, which paused it."""
        if self.task_counts:
            task.pause = 1
