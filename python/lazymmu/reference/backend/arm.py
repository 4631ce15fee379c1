"""32-bit arm: a DSB behind a mapping, and a sequence number instead of a sync.

``arch/arm/include/asm/pgalloc.h``, ``tlbflush.h``, ``cacheflush.h``, ``mmu_context.h``, ``mm/fault.c``, ``ioremap.c``,
``pgd.c``, ``kernel/traps.c`` (6.12); facts 1.6, 3.1 and 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.access import hardware_walk
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.codes import INIT_MM, PMD, PTE, Handler, Store, Tlbi, level_bit
from lazymmu.reference.descriptor.arm import HALF, ArmFormat
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

ISHST: Final = 1
ISH: Final = 2
NSHST: Final = 3
NSH: Final = 4


class Arm(Backend):
    """v7, several CPUs. The kernel's entries are copied into every process's root."""

    name = "arm"
    order = 50
    geometries = ("arm-lpae", "arm-classic")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> ArmFormat:  # noqa: ARG003, D102
        return ArmFormat(geometry)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        if not isinstance(kernel.format, ArmFormat):
            raise TypeError("arm needs its own entry format")
        self.format = kernel.format
        self.lpae = self.format.lpae
        self.sync_mask = 0 if self.lpae else level_bit(PMD)
        self.needs_barrier = True
        self.dsb_completes = True
        self.repairs_faults = True
        self.sequence = 0
        """init_mm's ``vmalloc_seq``."""
        self.seen: dict[int, int] = {}
        """That of other address spaces."""

    # Stores ---------------------------------------------------------------------------------------

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``set_pte_ext``: Linux's word, then with short descriptors the hardware's."""
        user = entry.va < self.k.geometry.layout["task_size"] and self.format.valid_user(word)
        behind = self.k.geometry.entries_of(PTE)
        for place, stored in enumerate(self.format.stored(word, user)):
            self.k.store(Entry(entry.home, entry.index + place * behind, entry.va), stored, code)

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``."""
        self.set_pte(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """The generic one, by ``pte_clear``."""
        old = entry.word
        self.set_pte(entry, 0, Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:
        """A compare-and-exchange from empty."""
        if entry.word:
            return False
        self.set_pte(entry, word, Store.TRY_SET)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``copy_pmd``, ``__pmd_populate``, ``pmd_clear``: a pair is two stores; what is made is waited for."""
        if not self.lpae:
            self.k.store(entry, entry.word & ~HALF | word & HALF, code)
        self.k.store(entry, word, code)
        if word:
            self.k.emit(ev.DSB, aux=ISHST)

    # TLBs -----------------------------------------------------------------------------------------

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``v7wbi_flush_kern_tlb_range``, broadcast by hardware: page by page, however many; one at least."""
        page = self.k.geometry.page_size
        self.k.emit(ev.DSB, aux=ISH)
        self.k.emit(ev.TLBI, aux=Tlbi.TLBIMVA, old=max(end // page - start // page, 1), va=start, new=end)
        self.k.emit(ev.DSB, aux=ISH)
        self.k.emit(ev.ISB)

    def flush_cache_vmap(self, start: int, end: int) -> None:  # noqa: ARG002
        """``flush_cache_vmap``: with non-aliasing caches only the DSB that ``set_pte_at`` lacks."""
        self.k.emit(ev.DSB, aux=ISHST)

    def post_map(self, va: int) -> None:
        """``arch_kmap_local_post_map``: ``local_flush_tlb_kernel_page``, on this CPU."""
        self.k.emit(ev.DSB, aux=NSHST)
        self.k.emit(ev.TLBI, aux=Tlbi.TLBIMVA_LOCAL, old=1, va=va, new=va + self.k.geometry.page_size)
        self.k.emit(ev.DSB, aux=NSH)
        self.k.emit(ev.ISB)

    def post_unmap(self, va: int) -> None:
        """``arch_kmap_local_post_unmap``."""
        self.post_map(va)

    # How processes catch up (facts 3.2) -----------------------------------------------------------

    def sync(self, start: int, end: int) -> int:
        """``arch_sync_kernel_mappings``: counts."""
        layout = self.k.geometry.layout
        if start < layout["vmalloc_end"] and end > layout["vmalloc_start"]:
            self.sequence += 1
        return 0

    def load_root(self, mm: Mm) -> None:
        """``check_and_switch_context``."""
        self._check_vmalloc_seq(mm)

    def switch_in(self, following: Task) -> None:
        """``enter_lazy_tlb``: a kernel thread goes on with what is loaded."""
        if following.mm == INIT_MM:
            self._check_vmalloc_seq(self.k.mms[self.k.here().loaded])

    def _check_vmalloc_seq(self, mm: Mm) -> None:
        """``__check_vmalloc_seq``: all root entries of the vmalloc space; here only those that change are stores."""
        if self.lpae or mm.id == INIT_MM or self.seen.get(mm.id, 0) == self.sequence:
            return
        k, layout = self.k, self.k.geometry.layout
        first, last = (k.geometry.index(PMD, va) for va in (layout["vmalloc_start"], layout["vmalloc_end"] - 1))
        for index in range(first, last + 1):
            entry = Entry(mm.root, index, mm.root.first_address(index))
            word = k.mms[INIT_MM].root.words[index]
            if entry.word != word:
                k.store(entry, word, Store.SYNC)
        self.seen[mm.id] = self.sequence

    def fault_handler(self, va: int) -> int:
        """Translation faults above the leaf table; at the leaf nobody helps."""
        root = self.k.mms[self.k.here().loaded].root
        found = hardware_walk(self.k, root, va)
        return Handler.TRANSLATION_FAULT if found.pa is None and found.level > PTE else Handler.NOBODY

    def repair(self, va: int) -> None:
        """``do_translation_fault``: one entry is copied from init_mm."""
        k = self.k
        reference, table = k.mms[INIT_MM].root, k.mms[k.here().loaded].root
        if self.lpae:
            upper = reference.at(va)
            if not upper.word:
                return
            if not table.at(va).word:
                k.set_entry(table.at(va), upper.word, Store.SYNC)
            reference, table = k.descend(upper), k.descend(table.at(va))
        word = reference.at(va).word
        if not k.format.none(PMD, word):
            k.set_entry(table.at(va), word, Store.SYNC)

    # Roots ----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """The fixmap's chain."""
        k = self.k
        root = self.boot_table(k.geometry.levels, 0)
        k.mms.append(Mm(INIT_MM, root))
        self.boot_chain(root, k.geometry.layout["fixaddr_top"])

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: the kernel's entries are copied; with LPAE the modules' gigabyte gets a table of its own."""
        k = self.k
        levels, modules = k.geometry.levels, k.geometry.layout["task_size"]
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        root = k.memory.place(frame, levels, 0, number)
        boundary = k.geometry.index(levels, modules)
        root.words[boundary:] = k.mms[INIT_MM].root.words[boundary:]
        own = [root]
        if self.lpae:
            root.words[boundary] = 0
            if booting:
                pmds = self.boot_table(PMD, boundary << 30, number)
                root.words[boundary] = self.format.link(levels, pmds.pa, kernel=False)
            elif not k.alloc_below(root.at(modules), number):
                k.memory.remove(root)
                return None
            own.append(k.descend(root.at(modules)))
        mm = Mm(len(k.mms), root)
        for table in own:
            table.mm = mm.id
        k.mms.append(mm)
        return mm
