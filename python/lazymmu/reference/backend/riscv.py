"""riscv: nobody fences for a new kernel mapping; every CPU is told that there is one, and fences when it faults.

``arch/riscv/mm/pgtable.c``, ``tlbflush.c``, ``fault.c``, ``init.c``, ``kernel/entry.S``, ``include/asm/cacheflush.h``
(6.12); facts 1.5, 2.1, 4.6 and 7.3 facts 40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.backend.footmarks import Footmarks
from lazymmu.reference.backend.riscv_pageattr import PageAttr
from lazymmu.reference.codes import INIT_MM, PMD, PTE, PUD, Handler, Store, Tlbi
from lazymmu.reference.descriptor.riscv import RiscvFormat
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.set_memory import Request
    from lazymmu.reference.walk.areas import Areas

TLB_FLUSH_ALL_THRESHOLD: Final = 64
NAPOT_SHIFT: Final = 16


class Riscv(Backend):
    """One root for both halves. Stores are plain; fences are what matters."""

    name = "riscv"
    order = 60
    geometries = ("riscv-sv48", "riscv-sv39", "riscv-sv57", "riscv-sv32")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> RiscvFormat:  # noqa: D102
        return RiscvFormat(geometry, svpbmt=options.riscv_svpbmt)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        if not isinstance(kernel.format, RiscvFormat):
            raise TypeError("riscv needs its own entry format")
        self.format = kernel.format
        self.is_64bit = kernel.geometry.va_bits > 32
        self.needs_barrier = self.is_64bit
        self.fences = True
        self.repairs_faults = not self.is_64bit
        self.huge_vmalloc = self.is_64bit
        self.sets_memory = True
        self.new_map: set[int] = set()
        """``new_vmalloc``: CPUs that have yet to fence for a new mapping."""
        self.footmarks = Footmarks(kernel)

    # Fences and faults ----------------------------------------------------------------------------

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``: on every CPU; all at once above the threshold."""
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)
        pages = max(-(-(end - start) // self.k.geometry.page_size), 1)
        if pages > TLB_FLUSH_ALL_THRESHOLD:
            self.k.emit(ev.TLBI, aux=Tlbi.SFENCE_ALL, old=1, va=start, new=end)
        else:
            self.k.emit(ev.TLBI, aux=Tlbi.SFENCE, old=pages, va=start, new=end)

    def set_memory(self, areas: Areas, request: Request) -> int:  # noqa: D102
        return PageAttr(self, request).run(areas)

    def flush_cache_vmap(self, start: int, end: int) -> None:
        """``mark_new_valid_map``: a bit for every CPU. 32-bit kernels do nothing."""
        layout = self.k.geometry.layout
        if self.is_64bit and layout["vmalloc_start"] <= start < layout["vmalloc_end"]:
            self.new_map = {cpu.id for cpu in self.k.cpus}
            self.k.emit(ev.NEW_VALID_MAP, va=start, new=end)

    def fault_handler(self, va: int) -> int:
        """The trap entry looks at its CPU's bit; 32-bit kernels have ``vmalloc_fault``."""
        if self.is_64bit:
            return Handler.NEW_VALID_MAP if self.k.cpu in self.new_map else Handler.NOBODY
        layout = self.k.geometry.layout
        return Handler.VMALLOC_FAULT if layout["vmalloc_start"] <= va < layout["vmalloc_end"] else Handler.NOBODY

    def repair(self, va: int) -> None:
        """``new_vmalloc_check``: clear the bit, fence, return; or ``vmalloc_fault``."""
        if self.is_64bit:
            self.new_map.discard(self.k.cpu)
            self.k.emit(ev.TLBI, aux=Tlbi.SFENCE_ALL, old=1)
        else:
            self._vmalloc_fault(va)

    def _vmalloc_fault(self, va: int) -> None:
        """``set_pgd`` comes before anything is tested: with two levels every test of the pgd is constant."""
        k = self.k
        reference = k.mms[INIT_MM].root.at(va)
        k.set_entry(k.mms[k.here().loaded].root.at(va), reference.word, Store.SYNC)
        if not k.format.present(PMD, reference.word) or k.format.leaf(PMD, reference.word):
            return
        if k.format.present(PTE, k.descend(reference).at(va).word):
            k.emit(ev.TLBI, aux=Tlbi.SFENCE, old=1)

    # Address spaces -------------------------------------------------------------------------------

    def switch_out(self, prev: Task) -> None:  # noqa: ARG002
        """With ASIDs a CPU keeps what its TLB holds of an address space that it leaves."""
        self.footmarks.leave()

    # Huge leaves: with 64 bits (facts 1.7) --------------------------------------------------------

    def ioremap_max_page_shift(self) -> int:  # noqa: D102
        return 63 if self.is_64bit and self.k.options.huge_vmap else super().ioremap_max_page_shift()

    def ioremap_max_order(self) -> int:  # noqa: D102
        return self.k.geometry.shift(PUD) if self.is_64bit else super().ioremap_max_order()

    def huge_supported(self, level: int) -> bool:
        """At pud level unless that is folded, as it is with Sv39."""
        return self.is_64bit and (level == PMD or self.k.geometry.levels > PUD)

    # Svnapot, which vmap used from 6.4 to 6.7 -----------------------------------------------------

    def map_size(self, addr: int, end: int, pa: int, max_shift: int) -> int:  # noqa: D102
        size = 1 << NAPOT_SHIFT
        wanted = self.is_64bit and self.k.options.riscv_napot_vmap and self.k.options.hugetlb
        if wanted and max_shift >= NAPOT_SHIFT and end - addr >= size and not (addr | pa) % size:
            return size
        return super().map_size(addr, end, pa, max_shift)

    def pte_supported_shift(self, size: int) -> int:  # noqa: D102
        wanted = self.is_64bit and self.k.options.riscv_napot_vmap and size >= 1 << NAPOT_SHIFT
        return NAPOT_SHIFT if wanted else super().pte_supported_shift(size)

    def set_group(self, pte: Entry, pa: int, prot: int) -> None:
        """``set_huge_pte_at``: one word for all."""
        page = self.k.geometry.page_size
        word = self.format.napot(self.format.page(pa, prot))
        for index in range((1 << NAPOT_SHIFT) // page):
            self.k.store(Entry(pte.home, pte.index + index, pte.va + index * page), word, Store.HUGE)

    # Roots ----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """``pgtable_cache_init``: 64-bit kernels make the tables below the root slots of the vmalloc space."""
        k = self.k
        root = self.boot_table(k.geometry.levels, 0)
        k.mms.append(Mm(INIT_MM, root))
        if self.is_64bit:
            level, layout = k.geometry.levels, k.geometry.layout
            first, last = (k.geometry.index(level, va) for va in (layout["vmalloc_start"], layout["vmalloc_end"] - 1))
            for index in range(first, last + 1):
                self.boot_link(root.at(root.first_address(index)))

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: the kernel's entries are copied."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        root = k.memory.place(frame, levels, 0, number)
        boundary = k.geometry.index(levels, k.geometry.layout["kernel_start"])
        root.words[boundary:] = k.mms[INIT_MM].root.words[boundary:]
        mm = Mm(number, root)
        k.mms.append(mm)
        return mm
