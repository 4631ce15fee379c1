"""arm64: walkers see a store after a barrier only, and barriers are what is batched.

``arch/arm64/include/asm/pgtable.h``, ``tlbflush.h``, ``mm/mmu.c`` (6.12); facts 2.8, 2.9, 7.1 and 7.3 facts 22 to 30.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import access, lazy
from lazymmu.reference import events as ev
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.codes import INIT_MM, PMD, PTE, PUD, Access, Flag, Store, Tlbi, Warn
from lazymmu.reference.descriptor.arm64 import (
    CONT_PTES,
    TABLE_PXN,
    TABLE_UXN,
    VALID,
    Arm64Format,
)
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.walk.core import Walk

ISHST: Final = 1
ISH: Final = 2
FIXMAP_PAGES: Final = 16
"""The fixmap page for the root lies this many pages below ``fixaddr_top``."""
MAX_TLBI_RANGE_PAGES: Final = 1 << 21
LPA2_RANGE_ALIGNMENT: Final = 1 << 16


class Arm64(Backend):
    """Two roots: user addresses in TTBR0, kernel addresses in TTBR1, always init_mm's. So nothing is synced."""

    name = "arm64"
    order = 10
    geometries = (
        "arm64-4k-48",
        "arm64-4k-39",
        "arm64-4k-52",
        "arm64-4k-52-on-48",
        "arm64-16k-36",
        "arm64-16k-47",
        "arm64-16k-48",
        "arm64-16k-52",
        "arm64-16k-52-on-47",
        "arm64-64k-42",
        "arm64-64k-48",
        "arm64-64k-52",
    )

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> Arm64Format:  # noqa: D102
        return Arm64Format(geometry, table_af=options.arm64_table_af)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        if not isinstance(kernel.format, Arm64Format):
            raise TypeError("arm64 needs its own entry format")
        self.format = kernel.format
        self.group_size = CONT_PTES[kernel.geometry.shift(PTE)] * kernel.geometry.page_size
        """``CONT_PTE_SIZE``."""
        self.group_shift = self.group_size.bit_length() - 1
        self.barriers = kernel.options.arm64_barriers
        self.has_lazy = self.barriers in ("lazy-flag", "lazy-active")
        self.needs_barrier = True
        self.scope_postpones = self.barriers == "begin-end"
        self.huge_vmalloc = True

    # Stores, and when they are completed ----------------------------------------------------------

    def complete(self) -> None:
        """``emit_pte_barriers`` now, or ``queue_pte_barriers`` (facts 2.8): the section's end makes up for it."""
        if self._deferring():
            pending = self.barriers != "begin-end" or self.k.options.begin_end_pending
            self.k.defer(Flag.PENDING if pending else 0)
        else:
            self.k.emit(ev.BAR)

    def _deferring(self) -> bool:
        if self.barriers == "each-store":
            return False
        if self.barriers == "lazy-active":
            return lazy.is_active(self.k)
        if self.barriers == "lazy-flag" and self._ignored_in_interrupt():
            return False
        return bool(self.k.task().flags & Flag.LAZY)

    def _ignored_in_interrupt(self) -> bool:
        return self.k.options.lazy_irq == "ignored" and self.k.in_interrupt()

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``__set_pte``: only a valid kernel entry needs completion (facts 2.9). Users' may be folded."""
        if entry.mm != INIT_MM and self.k.process is not None:
            self.k.process.arch.store_ptes(entry, word, 1, code)
            return
        self.k.store(entry, word, code)
        if self.format.valid_not_user(word):
            self.complete()

    def pte_clear(self, entry: Entry) -> None:
        """Never completed: making an entry invalid needs a TLBI anyway, which begins with a DSB (facts 7.1)."""
        self.k.store(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """A user's group is unfolded first."""
        if entry.mm != INIT_MM and self.k.process is not None:
            return self.k.process.arch.get_and_clear(entry, 1)
        old = entry.word
        self.k.store(entry, 0, Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:
        """Completed at once, even in a lazy section (7.3 facts 21)."""
        if self.format.occupied(self.k.read(entry)):
            return False
        self.k.store(entry, word, Store.TRY_SET)
        self.k.emit(ev.BAR)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``set_pmd`` ... ``set_pgd``."""
        if entry.home is self.k.mms[INIT_MM].root:
            self._set_swapper_pgd(entry, word, code)
            return
        self.k.store(entry, word, code)
        if self._completes(entry.level, word):
            self.complete()

    def _completes(self, level: int, word: int) -> bool:
        """p4d and pgd even when cleared; the posted begin/end filtered "valid, not user" everywhere (facts 2.8 B)."""
        if self.barriers != "begin-end":
            return level > PUD or bool(word & VALID)
        if self.format.is_table(word):
            return word & (TABLE_PXN | TABLE_UXN) != TABLE_PXN
        return self.format.valid_not_user(word)

    def _set_swapper_pgd(self, entry: Entry, word: int, code: int) -> None:
        """``set_swapper_pgd``: the root is read-only and written through a fixmap alias.

        The TLB flush for the alias completes the store, so this is never deferred.
        """
        k = self.k
        if not k.options.arm64_root_fixmap:
            k.store(entry, word, code)
            k.emit(ev.BAR)
            return
        page = k.geometry.page_size
        va = k.geometry.layout["fixaddr_top"] - FIXMAP_PAGES * page
        table = entry.home
        while table.level > PTE:
            table = k.descend(table.at(va))
        alias = table.at(va)
        k.set_pte(alias, self.format.page(entry.home.pa, self.format.protections["PAGE_KERNEL"]), Store.FIXMAP)
        access.by_kernel(k, va, Access.WRITE)
        k.store(entry, word, code)
        k.pte_clear(alias)
        self.flush_tlb_kernel_range(va, va + page)

    # TLBs -----------------------------------------------------------------------------------------

    def _tlbi(self, code: int, level: int, instructions: int, start: int, end: int) -> None:
        """Stores are visible before it, it is done on all CPUs behind it, and what follows is fetched anew."""
        self.k.emit(ev.DSB, aux=ISHST)
        self.k.emit(ev.TLBI, aux=code, level=level, old=instructions, va=start, new=end)
        self.k.emit(ev.DSB, aux=ISH)
        self.k.emit(ev.ISB)

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``: broadcast; a large range at once (7.3 facts 29)."""
        page = self.k.geometry.page_size
        pages = -(-end // page) - start // page
        ranges = self.k.options.arm64_range_tlbi
        limit = MAX_TLBI_RANGE_PAGES if ranges else self.k.geometry.entries_of(PTE)
        at_limit = self.k.options.arm64_tlbi_all_at_limit and not ranges
        if pages > limit or (pages == limit and at_limit):
            self._tlbi(Tlbi.VMALLE1IS, 0, 1, start, end)
        elif ranges:
            self._tlbi(Tlbi.RVAALE1IS, PTE, self.range_operations(start, pages), start, end)
        else:
            self._tlbi(Tlbi.VAALE1IS, PTE, pages, start, end)

    def group_pages(self) -> int:
        """``CONT_PTES``."""
        return CONT_PTES[self.k.geometry.shift(PTE)]

    def range_operations(self, start: int, pages: int) -> int:
        """``__flush_tlb_range_op``: the largest ``(num + 1) << (5 * scale + 1)`` first, a single page at the end.

        With LPA2 a range operation starts at a multiple of 64K, so pages before that go one by one.
        """
        operations = 0
        if self.format.lpa2:
            page = self.k.geometry.page_size
            alone = min(pages, -start % LPA2_RANGE_ALIGNMENT // page)
            operations, pages = alone, pages - alone
        for scale in (3, 2, 1, 0):
            if pages <= 1:
                break
            units = min(pages >> (5 * scale + 1), 32)
            operations += units > 0
            pages -= units << (5 * scale + 1)
        return operations + pages

    # Huge leaves and contiguous groups ------------------------------------------------------------

    def ioremap_max_page_shift(self) -> int:  # noqa: D102
        return 63 if self.k.options.huge_vmap else super().ioremap_max_page_shift()

    def ioremap_max_order(self) -> int:  # noqa: D102
        return self.k.geometry.shift(PUD if self.k.geometry.page_size == 4096 else PMD)

    def huge_supported(self, level: int) -> bool:
        """At pmd level, with a 4K granule also at pud level."""
        return self.k.options.arm64_block_vmap and (level == PMD or self.k.geometry.shift(PTE) == 12)

    def free_below(self, entry: Entry) -> bool:
        """``pmd_free_pte_page``, ``pud_free_pmd_page``: clear, invalidate walk caches too, free."""
        k = self.k
        if not self.format.is_table(k.read(entry)):
            k.warn(Warn.NOT_A_TABLE, entry.va)
            return True
        table = k.descend(entry)
        if entry.level == PUD:
            for index in range(len(table.words)):
                pmd = table.at(table.first_address(index))
                if self.format.present(PMD, k.read(pmd)):
                    self.free_below(pmd)
        k.set_entry(entry, 0, Store.CLEAR)
        self._tlbi(Tlbi.VAAE1IS, 0, 1, entry.va, entry.va + k.geometry.page_size)
        k.free_table(table)
        return True

    def set_huge(self, entry: Entry, pa: int, prot: int) -> bool:
        """``pmd_set_huge``: a live entry may change its permissions only."""
        word = self.format.block(entry.level, pa, prot)
        if not self.format.pgattr_change_is_safe(self.k.read(entry), word):
            return False
        self.k.set_entry(entry, word, Store.HUGE)
        return True

    def _has_groups(self) -> bool:
        return self.k.options.arm64_cont_vmap and self.k.options.hugetlb

    def map_size(self, addr: int, end: int, pa: int, max_shift: int) -> int:
        """``arch_vmap_pte_range_map_size`` (facts 2.2, V9)."""
        fits = max_shift >= self.group_shift and end - addr >= self.group_size
        if self._has_groups() and fits and not (addr | pa) % self.group_size:
            return self.group_size
        return self.k.geometry.page_size

    def unmap_size(self, pte: Entry) -> int:
        """``arch_vmap_pte_range_unmap_size``."""
        if self._has_groups() and self.format.valid_cont(self.k.read(pte)):
            return self.group_size
        return self.k.geometry.page_size

    def pte_supported_shift(self, size: int) -> int:
        """``arch_vmap_pte_supported_shift``."""
        groups = self.k.options.arm64_cont_vmap and size >= self.group_size  # without a look at CONFIG_HUGETLB_PAGE
        return self.group_shift if groups else self.k.geometry.shift(PTE)

    def set_group(self, pte: Entry, pa: int, prot: int) -> None:
        """``set_huge_pte_at``: all members, one completion behind the last."""
        page = self.k.geometry.page_size
        word = 0
        for index in range(self.group_size // page):
            word = self.format.contiguous(self.format.page(pa + index * page, prot))
            self.k.store(self._member(pte, index), word, Store.HUGE)
        if self.format.valid_not_user(word):
            self.complete()

    def clear_group(self, pte: Entry) -> int:
        """``huge_ptep_get_and_clear``: all members; the first one's word."""
        members = self.group_size // self.k.geometry.page_size
        old = [self.k.ptep_get_and_clear(self._member(pte, index)) for index in range(members)]
        return old[0]

    def _member(self, pte: Entry, index: int) -> Entry:
        return Entry(pte.home, pte.index + index, pte.va + index * self.k.geometry.page_size)

    # Hooks ----------------------------------------------------------------------------------------

    def begin(self, walk: Walk) -> int:
        """The posted override: from here on barriers are not emitted. It does not nest."""
        if self.barriers != "begin-end":
            return super().begin(walk)
        self.k.task().flags |= Flag.LAZY
        return 0

    def end(self, walk: Walk, mask: int) -> int:
        """The posted override: one barrier, in v2 whether something was left or not. It never syncs."""
        if self.barriers != "begin-end":
            return super().end(walk, mask)
        task = self.k.task()
        task.flags &= ~Flag.LAZY
        if not self.k.options.begin_end_pending:
            self.k.emit(ev.BAR)
        elif task.flags & Flag.PENDING:
            task.flags &= ~Flag.PENDING
            self.k.emit(ev.BAR)
        return 0

    def enter(self) -> int:
        """v6.16: sets the thread flag. v7.0: nothing, the generic counters say it all."""
        if self.barriers == "lazy-flag" and not self._ignored_in_interrupt():
            task = self.k.task()
            if task.flags & Flag.LAZY and self.k.options.lazy_irq == "acts":
                self.k.warn(Warn.LAZY_TWICE)
            task.flags |= Flag.LAZY
        return 0

    def leave(self) -> int:
        """Flush, and in v6.16 clear the thread flag."""
        if self.barriers == "lazy-flag" and self._ignored_in_interrupt():
            return 0
        self._flush_pending()
        if self.barriers == "lazy-flag":
            self.k.task().flags &= ~Flag.LAZY
        return 0

    def lazy_flush(self) -> int:
        """A barrier if one is pending."""
        if self.barriers != "lazy-flag" or not self._ignored_in_interrupt():
            self._flush_pending()
        return 0

    def _flush_pending(self) -> None:
        task = self.k.task()
        if task.flags & Flag.PENDING:
            task.flags &= ~Flag.PENDING
            self.k.emit(ev.BAR)

    def switch_out(self, prev: Task) -> None:  # noqa: ARG002
        """``__switch_to``: stores are visible before the task may run elsewhere."""
        self.k.emit(ev.DSB, aux=ISH)

    # Boot -----------------------------------------------------------------------------------------

    def split_roots(self) -> bool:  # noqa: D102
        return True

    def boot(self) -> None:
        """The kernel image's table, and the fixmap's chain."""
        k = self.k
        layout = k.geometry.layout
        root = self.boot_table(k.geometry.levels, layout["kernel_start"])
        k.mms.append(Mm(INIT_MM, root))
        self.boot_link(root.at(layout["vmalloc_start"]))
        self.boot_chain(root, layout["fixaddr_top"] - FIXMAP_PAGES * k.geometry.page_size)

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: an empty page."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        root: Table = k.memory.place(frame, levels, 0, number)
        mm = Mm(len(k.mms), root)
        k.mms.append(mm)
        return mm
