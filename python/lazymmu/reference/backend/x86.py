"""What x86-64, 32-bit x86 and Xen PV share: how process roots relate to init_mm, and how TLBs are invalidated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.backend.x86_pti import Isolation, isolates
from lazymmu.reference.codes import INIT_MM, PMD, PUD, Bug, Handler, Store, Tlbi, level_bit
from lazymmu.reference.descriptor.x86 import X86Format
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

SINGLE_PAGE_FLUSH_CEILING: Final = 33
"""``tlb_single_page_flush_ceiling``: larger ranges flush everything."""


class X86(Backend):
    """One root for both halves; kernel entries are copied into every process's root."""

    hardware = True
    """No hypervisor stands between: page-table isolation is the kernel's own affair."""

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> X86Format:  # noqa: D102
        return X86Format(geometry, global_pages=options.x86_global and not isolates(geometry, options))

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        geometry, options = kernel.geometry, kernel.options
        self.is_32bit = geometry.va_bits == 32
        self.pae = self.is_32bit and geometry.levels == PUD
        self.shared_kernel_pmd = self.pae and options.x86_shared_kernel_pmd
        self.repairs_faults = self.is_32bit
        self.isolation = Isolation(kernel) if self.hardware and isolates(geometry, options) else None
        if self.is_32bit:
            self.sync_mask = 0 if self.shared_kernel_pmd else level_bit(PMD)
        else:
            self.sync_mask = level_bit(geometry.levels) if options.x86_64_sync else 0

    def user_root(self, mm: int) -> Table | None:  # noqa: D102
        return None if self.isolation is None else self.isolation.roots[mm]

    def isolated(self, entry: Entry, word: int) -> int:
        """What the kernel's own table gets, once user mode's root has its copy."""
        return word if self.isolation is None else self.isolation.kernel_word(entry, word)

    def ioremap_max_order(self) -> int:  # noqa: D102
        return self.k.geometry.shift(PMD if self.is_32bit else PUD)

    # TLBs -----------------------------------------------------------------------------------------

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``: on every CPU, by IPI (facts 7.2)."""
        self.ipi()
        if self.is_large(start, end):
            self.k.emit(ev.TLBI, aux=Tlbi.ALL_GLOBAL, old=1, va=start, new=end)
        else:
            pages = -(-(end - start) // self.k.geometry.page_size)
            self.k.emit(ev.TLBI, aux=Tlbi.INVLPG, old=pages, va=start, new=end)

    def ipi(self) -> None:
        """The other CPUs are made to do the same."""
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)

    def is_large(self, start: int, end: int) -> bool:
        """Whether page by page would take too long."""
        return end - start > SINGLE_PAGE_FLUSH_CEILING * self.k.geometry.page_size

    def load_root(self, mm: Mm) -> None:  # noqa: D102
        self.k.emit(ev.CR3, mm=mm.id, addr=mm.root.pa)

    # Sync -----------------------------------------------------------------------------------------

    def sync(self, start: int, end: int) -> int:
        """``arch_sync_kernel_mappings`` (facts 3.2)."""
        return self._sync_pmds(start) if self.is_32bit else self._sync_global_pgds(start, end)

    def _sync_global_pgds(self, start: int, end: int) -> int:
        """``sync_global_pgds`` (``arch/x86/mm/init_64.c``): ``end`` is included; entries are only added."""
        k = self.k
        reference_root = k.mms[INIT_MM].root
        level, size = reference_root.level, k.geometry.size(reference_root.level)
        copied = 0
        addr = start
        while addr <= end:
            reference = k.read(reference_root.at(addr))
            if not k.format.none(level, reference):
                for mm in list(k.pgd_list):
                    copied += self._sync_root(mm, addr, reference)
            addr = (addr + size) & ~(size - 1) & k.geometry.address_mask
            if addr < start:
                break
        return copied

    def _sync_root(self, mm: Mm, addr: int, reference: int) -> bool:
        k = self.k
        entry = mm.root.at(addr)
        word = k.read(entry)
        missing = k.format.none(entry.level, word)
        if not missing and k.format.table(word) != k.format.table(reference):
            k.bug(Bug.TABLES_DISAGREE, addr)
        if missing:
            k.set_entry(entry, reference, Store.SYNC)
        self._synced(mm, entry.level, addr, word, reference, missing)
        return missing

    def _sync_pmds(self, start: int) -> int:
        """``arch_sync_kernel_mappings`` of ``arch/x86/mm/fault.c``: ``end`` is ignored, it runs to ``VMALLOC_END``."""
        k = self.k
        layout, size = k.geometry.layout, k.geometry.size(PMD)
        addr = start & ~(size - 1)
        copied = 0
        while layout["task_size"] <= addr < layout["vmalloc_end"]:
            for mm in list(k.pgd_list):
                copied += self.vmalloc_sync_one(mm, addr)[1]
            addr += size
        return copied

    def vmalloc_sync_one(self, mm: Mm, addr: int) -> tuple[Entry | None, bool]:
        """``vmalloc_sync_one``: copies one pmd, whether it appeared or vanished.

        Returns init_mm's pmd if it is present, and whether it was copied.
        """
        k = self.k
        reference_table, table = k.mms[INIT_MM].root, mm.root
        while table.level > PMD:
            above = reference_table.at(addr)
            if not k.format.present(above.level, k.read(above)):
                return None, False
            reference_table, table = k.descend(above), k.descend(table.at(addr))
        reference_entry, entry = reference_table.at(addr), table.at(addr)
        reference, word = k.read(reference_entry), k.read(entry)
        present = k.format.present(PMD, reference)
        differs = k.format.present(PMD, word) != present
        if differs:
            k.set_entry(entry, reference, Store.SYNC)
        self._synced(mm, PMD, addr, word, reference, differs)
        if not present:
            return None, differs
        if self._pmd_pfn(k.read(entry)) != self._pmd_pfn(reference):
            k.bug(Bug.TABLES_DISAGREE, addr)
        return reference_entry, differs

    def _pmd_pfn(self, word: int) -> int:
        k = self.k
        return k.format.leaf_address(PMD, word) if k.format.leaf(PMD, word) else k.format.table(word)

    def _synced(self, mm: Mm, level: int, addr: int, word: int, reference: int, copied: bool) -> None:
        self.k.emit(
            ev.SYNC_ONE,
            level=level,
            va=addr,
            addr=mm.root.pa,
            mm=mm.id,
            old=word,
            new=reference,
            aux=int(copied),
        )

    # Faults ---------------------------------------------------------------------------------------

    def fault_handler(self, va: int) -> int:
        """Only 32-bit kernels still have ``vmalloc_fault``."""
        layout = self.k.geometry.layout
        handled = self.is_32bit and layout["vmalloc_start"] <= va < layout["vmalloc_end"]
        return Handler.VMALLOC_FAULT if handled else Handler.NOBODY

    def repair(self, va: int) -> None:
        """``vmalloc_fault``: copies the pmd into the root that CR3 holds, then looks whether there is a mapping."""
        k = self.k
        reference, _ = self.vmalloc_sync_one(k.mms[k.here().loaded], va)
        if reference is not None and not k.format.leaf(PMD, k.read(reference)):
            k.read(k.descend(reference).at(va))

    # Roots ----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """64 bits: the tables below the root slots of the vmalloc area; 32 bits: the fixmap's chain (facts 3.2)."""
        k = self.k
        layout, levels = k.geometry.layout, k.geometry.levels
        root = self.boot_table(levels, 0)
        k.mms.append(Mm(INIT_MM, root))
        if self.isolation is not None:
            self.isolation.add(root, INIT_MM)
        if self.is_32bit:
            self.boot_chain(root, layout["fixaddr_top"])
            return
        first = k.geometry.index(levels, layout["vmalloc_start"])
        last = k.geometry.index(levels, layout["vmalloc_end"] - 1)
        for index in range(first, last + 1):
            self.boot_link(root.at(root.first_address(index)))

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``, ``pgd_ctor``: the root first, on PAE then its pmd pages, then init_mm's entries are copied."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        root = k.memory.place(frame, levels, 0, number)
        if self.isolation is not None:
            self.isolation.add(root, number)
        reference = k.mms[INIT_MM].root
        boundary = k.geometry.index(levels, k.geometry.layout["kernel_start"])
        root.words[boundary:] = reference.words[boundary:]
        own = range(boundary if self.shared_kernel_pmd else len(root.words)) if self.pae else range(0)
        pmds = self._preallocate_pmds(own, number, booting)
        user_pmds: list[Table] | None = []
        if pmds is not None and self.isolation is not None and self.pae:
            user_pmds = self._preallocate_pmds(range(boundary, len(root.words)), number, booting)
        if pmds is None or user_pmds is None:
            for pmd in pmds or ():
                k.free_table(pmd)
            if self.isolation is not None:
                self.isolation.drop(number)
            k.memory.remove(root)
            return None
        for index, pmd in enumerate(pmds):
            if index >= boundary and (kernel := k.linked(levels, reference.words[index])) is not None:
                pmd.words[:] = kernel.words
            root.words[index] = k.format.link(levels, pmd.pa, kernel=False)
        if self.isolation is not None and self.pae:
            self.isolation.prepopulate(root, number, user_pmds)
        mm = Mm(len(k.mms), root)
        for table in (root, *pmds, *user_pmds):
            table.mm = mm.id
        k.mms.append(mm)
        if not self.shared_kernel_pmd:
            k.pgd_list.insert(0, mm)
        return mm

    def _preallocate_pmds(self, indices: range, number: int, booting: bool) -> list[Table] | None:
        """``preallocate_pmds``: a page for each of these root entries.

        It tries all of them even when one failed, and then gives back those that it got.
        """
        k = self.k
        pmds: list[Table | None] = []
        for index in indices:
            base = index << k.geometry.shift(PUD)
            pmds.append(self.boot_table(PMD, base, number) if booting else k.new_table(PMD, base, number))
        got = [pmd for pmd in pmds if pmd is not None]
        if len(got) == len(indices):
            return got
        for pmd in got:
            k.free_table(pmd)
        return None
