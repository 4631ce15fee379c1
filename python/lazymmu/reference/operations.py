"""What each operation of a program does.

Arguments are looked at first: an operation that makes no sense leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lazymmu.reference import access, context, kmap, lazy
from lazymmu.reference import events as ev
from lazymmu.reference.callback import Driver, wrprotect
from lazymmu.reference.codes import ACCESSES, INIT_MM, INTERRUPTS, OUTCOMES, P4D, PMD, PTE, Resched
from lazymmu.reference.program import USER_OPERATIONS, Operation
from lazymmu.reference.resolve import Resolver
from lazymmu.reference.set_memory import Request
from lazymmu.reference.user.operations import UserOperations
from lazymmu.reference.walk.apply import apply_to_page_range, highpte
from lazymmu.reference.walk.areas import Areas
from lazymmu.reference.walk.core import Walk
from lazymmu.reference.walk.vmap_pages import Pages, vmap_pages_range, vmap_pages_range_noflush
from lazymmu.reference.walk.vmap_range import flush_cache_vmap, vmap_page_range, vmap_range_noflush
from lazymmu.reference.walk.vunmap import vunmap_range, vunmap_range_noflush
from lazymmu.results import Result

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

Args: TypeAlias = Mapping[str, Any]
Work: TypeAlias = Callable[[], "Result | Walk | None"]
"""An operation whose arguments make sense. None is done."""
Range: TypeAlias = tuple[int, int]

DONE = Result("done")
MAX_PAGE_SHIFT: Final = 47
_SHOWN: Final = (
    "vmap_page_range",
    "vmap_range_noflush",
    "ioremap_page_range",
    "vmap_pages_range",
    "vunmap_range",
    "apply_to_page_range",
    "access",
    "pte",
    "flush_tlb_kernel_range",
    "flush_cache_vmap",
    "populate_kernel",
    "populate_user",
    "set_memory",
    *(name for name, args in USER_OPERATIONS.items() if "va" in args),
)


def address(value: int | None) -> Result:
    """An address, or NULL."""
    return Result("address", value=value)


class Operations(UserOperations):
    """All operations over one kernel.

    A method that is named like an operation checks its arguments and returns its work.
    """

    def __init__(self, k: Kernel, run_inner: Callable[[tuple[Operation, ...]], None]) -> None:
        self.k = k
        self.resolver = Resolver(k)
        self.areas = Areas(k)
        self.run_inner = run_inner
        """Runs the operations of an interrupt."""

    def prepare(self, op: Operation) -> Work:
        """What an operation will do."""
        name = "op_" + op.name
        method: Callable[[Args], Work] = getattr(self, name)
        return method(op.args)

    def shown_range(self, op: Operation) -> Range:
        """The range that `OP` shows, whether it makes sense or not; (0, 0): the operation names none."""
        if "vmas" in op.args:
            areas = op.args["vmas"]
            return (areas[0]["start"], areas[-1]["end"]) if areas else (0, 0)
        if op.name not in _SHOWN:
            return 0, 0
        va, page = op.args["va"], self.k.geometry.page_size
        if not isinstance(va, int):
            start = self.resolver.slots.get(va.slot)
            if start is None:
                return 0, 0
            va = start + va.offset
        if op.name == "vmap_pages_range":
            return va, va + op.args["pages"].count * page
        if op.name == "set_memory":
            return va, va + op.args["pages"] * page
        return va, va + (1 if op.name == "access" else op.args.get("size", page))

    # Mapping --------------------------------------------------------------------------------------

    def op_nop(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: None

    def op_vmap_page_range(self, args: Args) -> Work:  # noqa: D102
        (start, end), pa, prot = self._physical_range(args, ragged=self.k.options.vmap_alignment_check)
        return lambda: vmap_page_range(self.k, start, end, pa, prot)

    def op_vmap_range_noflush(self, args: Args) -> Work:  # noqa: D102
        (start, end), pa, prot = self._physical_range(args, ragged=self.k.options.vmap_alignment_check)
        shift = args["max_shift"]
        return lambda: vmap_range_noflush(self.k, start, end, pa, prot, shift)

    def op_ioremap_page_range(self, args: Args) -> Work:  # noqa: D102
        (start, end), pa, prot = self._physical_range(args)
        return lambda: self.areas.ioremap_page_range(start, end, pa, prot)

    def _physical_range(self, args: Args, *, ragged: bool = False) -> tuple[Range, int, int]:
        span = self.resolver.range(args["va"], args["size"], ragged=ragged)
        return span, self.resolver.physical(args["pa"], args["size"]), self.resolver.prot(args["prot"])

    def op_vmap_pages_range(self, args: Args) -> Work:  # noqa: D102
        k, pages, prot = self.k, self.resolver.pages(args["pages"]), self.resolver.prot(args["prot"])
        start, end = self.resolver.range(args["va"], pages.count * k.geometry.page_size)
        shift = self._page_shift(args["page_shift"], start, end, pages)
        function = vmap_pages_range_noflush if args["noflush"] else vmap_pages_range
        return lambda: function(k, start, end, prot, pages, shift)

    def _page_shift(self, given: int, start: int, end: int, pages: Pages) -> int:
        """Each page of a huge one stands for ``1 << shift`` bytes, so the last may reach beyond the pages given."""
        base = self.k.geometry.shift(PTE)
        shift = given or base
        if not self.k.backend.huge_vmalloc:
            return shift  # only warned about, and not looked at any more
        if not base <= shift <= MAX_PAGE_SHIFT:
            raise self.resolver.error(f"page_shift {shift}: expected {base} to {MAX_PAGE_SHIFT}")
        if shift > base:
            block = 1 << shift
            self.resolver.range(start, -(-(end - start) // block) * block)
            for index in range(0, pages.count, block >> base):
                if index not in (pages.null_at, pages.invalid_at):
                    self.resolver.physical(pages.address(index), block)
        return shift

    def op_vunmap_range(self, args: Args) -> Work:  # noqa: D102
        start, end = self.resolver.range(args["va"], args["size"])
        function = vunmap_range_noflush if args["noflush"] else vunmap_range
        return lambda: function(self.k, start, end)

    def op_apply_to_page_range(self, args: Args) -> Work:  # noqa: D102
        mm = self.resolver.mm(args["mm"])
        start, end = self.resolver.range(args["va"], args["size"], mm)
        given = args["callback"]
        fn = None if given is None else Driver(self.k, self.resolver, given, end - start)
        return lambda: apply_to_page_range(self.k, mm, start, end, fn, args["create"])

    # Areas ----------------------------------------------------------------------------------------

    def _into_slot(self, args: Args, work: Callable[[], int | None]) -> Work:
        def run() -> Result:
            value = self.resolver.slots[args["slot"]] = work()
            return address(value)

        return run

    def op_vmalloc(self, args: Args) -> Work:  # noqa: D102
        size, at, align = self.resolver.whole_pages(args["size"]), self.resolver.at(args["at"]), args["align"]
        if align > 1 and align & (align - 1):
            raise self.resolver.error(f"alignment {align:#x} is no power of two")
        pages = None if args["pages"] is None else self.resolver.pages(args["pages"])
        if pages is not None and pages.count != size // self.k.geometry.page_size:
            raise self.resolver.error(f"vmalloc of {size:#x} bytes with {pages.count} pages")
        prot = self.resolver.prot(args["prot"])
        return self._into_slot(args, lambda: self.areas.vmalloc(size, at, align, args["huge"], pages, prot))

    def op_vmap(self, args: Args) -> Work:  # noqa: D102
        at, pages = self.resolver.at(args["at"]), self.resolver.pages(args["pages"])
        prot = self.resolver.prot(args["prot"])
        return self._into_slot(args, lambda: self.areas.vmap(at, pages, prot))

    def op_vm_map_ram(self, args: Args) -> Work:  # noqa: D102
        at, pages = self.resolver.at(args["at"]), self.resolver.pages(args["pages"])
        return self._into_slot(args, lambda: self.areas.vm_map_ram(at, pages))

    def op_ioremap(self, args: Args) -> Work:  # noqa: D102
        pa, size, at = args["pa"], args["size"], self.resolver.at(args["at"])
        if size == 0:
            raise self.resolver.error("ioremap of nothing")
        offset = pa % self.k.geometry.page_size
        self.resolver.physical(pa - offset, self.resolver.whole_pages(size + offset))
        prot = self.resolver.prot(args["prot"], "PAGE_IOREMAP")
        return self._into_slot(args, lambda: self.areas.ioremap(pa, size, at, prot))

    def op_area(self, args: Args) -> Work:  # noqa: D102
        size, at = self.resolver.whole_pages(args["size"]), self.resolver.at(args["at"])

        def work() -> int | None:
            area = self.areas.reserve(size, args["kind"], at=at)
            return None if area is None else area.start

        return self._into_slot(args, work)

    def op_free(self, args: Args) -> Work:  # noqa: D102
        area = self.areas.at(self.resolver.address(args["va"]))
        return lambda: self.areas.release(area)

    def op_purge(self, args: Args) -> Work:  # noqa: ARG002, D102
        return self.areas.purge

    def op_flush_tlb_kernel_range(self, args: Args) -> Work:  # noqa: D102
        start, end = self.resolver.range(args["va"], args["size"])
        return lambda: self.k.backend.flush_tlb_kernel_range(start, end)

    def op_flush_cache_vmap(self, args: Args) -> Work:  # noqa: D102
        start, end = self.resolver.range(args["va"], args["size"])
        return lambda: flush_cache_vmap(self.k, start, end)

    def op_set_memory(self, args: Args) -> Work:  # noqa: D102
        k, page, linear = self.k, self.k.geometry.page_size, args["linear"]
        if not k.backend.sets_memory:
            raise self.resolver.error(f"changes of kernel protections are not modelled on {k.backend.name}")
        start, _ = self.resolver.range(args["va"], args["pages"] * page)
        if linear is not None:
            if linear.end <= linear.start:
                raise self.resolver.error(f"the linear map from {linear.start:#x} to {linear.end:#x} is empty")
            self.resolver.range(linear.start, linear.end - linear.start)
            self.resolver.physical(linear.pa, linear.end - linear.start)
        request = Request(start, args["pages"], args["change"], linear)
        return lambda: Result("returned", ret=self._set_memory(request))

    def _set_memory(self, request: Request) -> int:
        """``set_direct_map_*`` has no ranges."""
        if request.change not in ("invalid", "default"):
            return self.k.backend.set_memory(self.areas, request)
        for index in range(request.pages):
            page = replace(request, va=request.va + index * self.k.geometry.page_size, pages=1)
            if ret := self.k.backend.set_memory(self.areas, page):
                return ret
        return 0

    # Single entries, accesses, kmaps --------------------------------------------------------------

    def op_access(self, args: Args) -> Work:  # noqa: D102
        va = self.resolver.address(args["va"])

        def work() -> Result:
            done = access.access(self.k, va, ACCESSES[args["kind"]])
            return Result("accessed", outcome=OUTCOMES[done.outcome], pa=done.pa)

        return work

    def op_pte(self, args: Args) -> Work:  # noqa: D102
        k = self.k
        entry = self.resolver.leaf_entry(self.resolver.mm(args["mm"]), args["va"])
        word = self.resolver.word(args["word"])
        if args["pa"] is not None:
            pa = self.resolver.physical(args["pa"], k.geometry.page_size)
            word = k.format.page(pa, self.resolver.prot(args["prot"]))

        def work() -> Result:
            match args["step"]:
                case "set":
                    k.set_pte(entry, word)
                case "clear":
                    k.pte_clear(entry)
                case "wrprotect":
                    wrprotect(k, entry)
                case "try-set":
                    return Result("returned", ret=int(k.backend.ptep_try_set(entry, word)))
                case "get-and-clear":
                    return Result("word", value=k.ptep_get_and_clear(entry))
                case "read":
                    return Result("word", value=k.read(entry))
            return DONE

        return work

    def op_populate_kernel(self, args: Args) -> Work:
        """``vmemmap_populate_basepages`` and its like: link what is missing (facts 3.3)."""
        va = self.resolver.kernel_page(args["va"])
        return lambda: self._populate(INIT_MM, va, args["sync"])

    def op_populate_user(self, args: Args) -> Work:
        """What the fault handler does down to ``pte_alloc``: a leaf table may lie in highmem."""
        mm = self.resolver.mm(args["mm"])
        if mm == INIT_MM:
            raise self.resolver.error("init_mm is no user address space")
        start, _ = self.resolver.range(args["va"], self.k.geometry.page_size, mm)
        return lambda: self._populate(mm, start, sync=False)

    def _populate(self, mm: int, va: int, sync: bool) -> None:
        k = self.k
        table = k.mms[mm].root
        while table.level > PTE:
            entry = table.at(va)
            if k.none(entry):
                if not k.alloc_below(entry, mm, highmem=mm != INIT_MM and entry.level == PMD and highpte(k)):
                    return
                if sync and entry.level >= P4D:
                    k.sync_one_address(va, entry.level)
            table = k.descend(entry)

    def op_kmap_local(self, args: Args) -> Work:  # noqa: D102
        page = self.resolver.physical(args["page"], self.k.geometry.page_size)

        def work() -> int:
            va = kmap.kmap_local(self.k, page)
            self.resolver.kmap_pages[args["slot"]] = page
            return va

        return self._into_slot(args, work)

    def op_kunmap_local(self, args: Args) -> Work:  # noqa: D102
        slot = args["slot"]
        if slot not in self.resolver.kmap_pages:
            raise self.resolver.error(f"slot {slot} holds no kmap")
        page, va = self.resolver.kmap_pages[slot], self.resolver.slots[slot] or 0

        def work() -> None:
            kmap.kunmap_local(self.k, va, page)
            self.resolver.kmap_pages.pop(slot, None)

        return work

    def op_ptdump(self, args: Args) -> Work:  # noqa: D102
        def work() -> None:
            self.k.dumping = args["running"]

        return work

    # Context --------------------------------------------------------------------------------------

    def op_lazy_enable(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: lazy.enable(self.k)

    def op_lazy_disable(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: lazy.disable(self.k)

    def op_lazy_pause(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: lazy.pause(self.k)

    def op_lazy_resume(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: lazy.resume(self.k)

    def op_lazy_flush(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: lazy.flush(self.k)

    def op_bh_disable(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: context.local_bh(self.k, disable=True)

    def op_bh_enable(self, args: Args) -> Work:  # noqa: ARG002, D102
        if self.k.task().bh == 0:
            raise self.resolver.error("bottom halves are not disabled")
        return lambda: context.local_bh(self.k, disable=False)

    def op_sleep(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: context.sleep(self.k)

    def op_cond_resched(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: context.cond_resched(self.k)

    def op_need_resched(self, args: Args) -> Work:  # noqa: ARG002, D102
        def work() -> None:
            self.k.task().need_resched = True

        return work

    def op_might_sleep(self, args: Args) -> Work:  # noqa: ARG002, D102
        return lambda: self.k.resched(Resched.MIGHT_SLEEP)

    def op_switch(self, args: Args) -> Work:  # noqa: D102
        task = self.resolver.free_task(args["to"])
        return lambda: context.switch_to(self.k, task)

    def op_migrate(self, args: Args) -> Work:  # noqa: D102
        cpu = self.resolver.cpu(args["to"])
        self.resolver.stays_at_home(self.k.task(), cpu)
        return lambda: context.migrate(self.k, cpu)

    def op_fork(self, args: Args) -> Work:  # noqa: D102
        mm = None if args["mm"] is None else self.resolver.mm(args["mm"])
        return lambda: Result("created", value=context.fork(self.k, mm).id)

    def op_irq(self, args: Args) -> Work:  # noqa: D102
        code = INTERRUPTS[args["kind"]]
        return lambda: context.interrupt(self.k, code, lambda: self.run_inner(args["ops"]))

    def op_new_mm(self, args: Args) -> Work:  # noqa: ARG002, D102
        def work() -> Result:
            mm = self.k.backend.pgd_alloc(len(self.k.mms), booting=False)
            if mm is None:
                return address(None)
            self.k.emit(ev.MM, mm=mm.id, addr=mm.root.pa)
            return Result("created", value=mm.id)

        return work
