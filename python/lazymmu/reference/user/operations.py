"""The operations on user mappings: arguments checked, work returned (docs/model/user-mappings.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lazymmu.reference.codes import INIT_MM, PMD, PTE
from lazymmu.reference.resolve import Resolver
from lazymmu.reference.user.age import clear_flush_young, madvise, walk_young
from lazymmu.reference.user.copy import Copy
from lazymmu.reference.user.fault import Faults, NewPage
from lazymmu.reference.user.free import unmap_region
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.move import Move
from lazymmu.reference.user.process import Process, returned
from lazymmu.reference.user.protect import Protect, Protection
from lazymmu.reference.user.zap import Area, Zap
from lazymmu.reference.walk.core import Walk
from lazymmu.results import Result

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

Args = Mapping[str, Any]
Work = Callable[[], "Result | Walk | None"]


class UserOperations:
    """A method that is named like an operation checks its arguments and returns its work."""

    k: Kernel
    resolver: Resolver

    @cached_property
    def process(self) -> Process:
        """User mappings, where the architecture's are modelled."""
        process = self.k.process
        if process is None:
            raise self.resolver.error("user mappings are not modelled for this backend")
        return process

    @cached_property
    def huge(self) -> Huge:
        """Large leaves."""
        return Huge(self.process)

    @cached_property
    def faults(self) -> Faults:
        """Faults."""
        return Faults(self.process)

    # Arguments ------------------------------------------------------------------------------------

    def _mm(self, number: int) -> int:
        _ = self.process
        mm = self.resolver.mm(number)
        if mm == INIT_MM:
            raise self.resolver.error("init_mm maps nothing for users")
        return mm

    def _span(self, args: Args) -> tuple[int, int, int]:
        mm = self._mm(args["mm"])
        start, end = self.resolver.range(args["va"], args["size"], mm)
        return mm, start, end

    def _page(self, args: Args) -> tuple[int, int]:
        mm = self._mm(args["mm"])
        return mm, self.resolver.range(args["va"], self.k.geometry.page_size, mm)[0]

    def _areas(self, given: tuple[Args, ...], mm: int) -> list[Area]:
        areas: list[Area] = []
        for vma in given:
            if vma["end"] <= vma["start"]:
                raise self.resolver.error(f"the area at {vma['start']:#x} is empty")
            start, end = self.resolver.range(vma["start"], vma["end"] - vma["start"], mm)
            if areas and areas[-1].end > start:
                raise self.resolver.error(f"the areas are not in ascending order: one starts at {start:#x}")
            areas.append(Area(start, end, vma["pfnmap"]))
        return areas

    def _multiple(self, pa: int, size: int) -> int:
        if pa % size:
            raise self.resolver.error(f"physical address {pa:#x} is not a multiple of {size:#x}")
        return self.resolver.physical(pa, size)

    def _prot(self, args: Args) -> int:
        """``vm_page_prot`` of an area."""
        return self.process.leaf.vm_page_prot(self.resolver.prot(args["prot"]))

    # Faults ---------------------------------------------------------------------------------------

    def _map(self, args: Args, pages: int, *, file: bool, zero: bool) -> Work:
        mm, va = self._page(args)
        size = pages * self.k.geometry.page_size
        if pages == 0 or pages & pages - 1 or pages > self.k.geometry.entries_of(PTE):
            raise self.resolver.error(f"{pages} pages are no folio")
        self.resolver.range(va & ~(size - 1), size, mm)
        pa, prot = self._multiple(args["pa"], size), self._prot(args)
        new = NewPage(pa, pages, prot, args["write"], file, zero)
        return lambda: returned(self.faults.map(mm, va, new))

    def op_do_anonymous_page(self, args: Args) -> Work:  # noqa: D102
        write = args["write"]
        return self._map(args, args["pages"] if write else 1, file=False, zero=not write)

    def op_finish_fault(self, args: Args) -> Work:  # noqa: D102
        return self._map(args, args["pages"], file=True, zero=False)

    def op_do_huge_pmd_anonymous_page(self, args: Args) -> Work:  # noqa: D102
        mm, va = self._page(args)
        if not self.process.arch.huge():
            raise self.resolver.error("there are no large leaves in user mappings")
        size = self.k.geometry.size(PMD)
        self.resolver.range(va & ~(size - 1), size, mm)
        pa, prot, write = self._multiple(args["pa"], size), self._prot(args), args["write"]
        return lambda: returned(self.huge.map(mm, va, pa, prot, write=write))

    def op_do_wp_page(self, args: Args) -> Work:  # noqa: D102
        mm, va = self._page(args)
        if args["pa"] is None:
            return lambda: returned(int(self.faults.reuse(mm, va)))
        pa, prot = self.resolver.physical(args["pa"]), self._prot(args)
        return lambda: returned(int(self.faults.copy(mm, va, pa, prot)))

    def op_handle_pte_fault(self, args: Args) -> Work:  # noqa: D102
        mm, va = self._page(args)
        return lambda: returned(int(self.faults.flags(mm, va, write=args["write"])))

    def op_remap_pfn_range(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        pa, prot = self.resolver.physical(args["pa"], args["size"]), self._prot(args)
        return lambda: returned(self.faults.remap(mm, start, end, pa, prot))

    # Loops ----------------------------------------------------------------------------------------

    def op_copy_page_range(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        child = self._mm(args["to"])
        if child == mm:
            raise self.resolver.error("a process is not its own child")
        copy = Copy(self.process, self.huge, child, shared=args["shared"])
        return lambda: returned(copy.run(mm, start, end))

    def op_flush_tlb_mm(self, args: Args) -> Work:  # noqa: D102
        mm = self._mm(args["mm"])
        return lambda: self.process.arch.flush_mm(mm)

    def op_zap_page_range(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)

        def work() -> None:
            gather = Gather(self.process, mm, full=False)
            zap = Zap(self.process, self.huge, gather, reclaim=self.k.options.pt_reclaim)
            zap.area(mm, Area(start, end))
            gather.finish()

        return work

    def op_unmap_region(self, args: Args) -> Work:  # noqa: D102
        mm = self._mm(args["mm"])
        areas, floor, ceiling = self._areas(args["vmas"], mm), args["floor"], args["ceiling"]
        return lambda: unmap_region(self.process, self.huge, mm, areas, floor, ceiling, full=False)

    def op_exit_mmap(self, args: Args) -> Work:  # noqa: D102
        mm = self._mm(args["mm"])
        areas = self._areas(args["vmas"], mm)
        return lambda: unmap_region(self.process, self.huge, mm, areas, 0, 0, full=True)

    def op_change_protection(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        to = Protection(self._prot(args), args["try_writable"], args["shared"])
        return lambda: returned(Protect(self.process, self.huge, to).run(mm, start, end))

    def op_move_page_tables(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        to, to_end = self.resolver.range(args["to"], args["size"], mm)
        if to < end and start < to_end:
            raise self.resolver.error(f"the range at {to:#x} overlaps the one that is moved")
        return lambda: returned(Move(self.process, self.huge, mm).run(start, to, end - start))

    def op_madvise(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        free = args["advice"] == "free"
        return lambda: madvise(self.process, self.huge, mm, start, end, free=free)

    def op_walk_pte_range(self, args: Args) -> Work:  # noqa: D102
        mm, start, end = self._span(args)
        return lambda: returned(walk_young(self.process, mm, start, end))

    def op_ptep_clear_flush_young(self, args: Args) -> Work:  # noqa: D102
        mm, va = self._page(args)
        return lambda: returned(int(clear_flush_young(self.process, mm, va)))

    def op_split_huge_pmd(self, args: Args) -> Work:  # noqa: D102
        mm, va = self._page(args)
        prot = self._prot(args)
        return lambda: self.huge.split_at(mm, va, prot)
