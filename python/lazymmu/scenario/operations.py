"""The operations of a scenario: one typed method each.

The signatures are the one description of what an operation takes; reading files, the published schema and the
conversion between forms all look at them. Names are those of the kernel functions; what each operation does is said
in the core's documentation of programs.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, TypeAlias, TypedDict, Unpack, cast

Number: TypeAlias = Annotated[int | str, "number"]
"""A number, or an expression of names such as ``2 * PMD_SIZE``; see `lazymmu.scenario.expressions`."""

Prot: TypeAlias = Annotated[int | str, "prot"]
"""A name of the backend's format (``PAGE_KERNEL``, ...), or bits."""

Pages: TypeAlias = Annotated[int | str | Mapping[str, Any], "pages"]
"""A number of consecutive pages, or a table: count, start, step, list, null_at, invalid_at."""

Callback: TypeAlias = Annotated[str | Mapping[str, Any], "callback"]
"""A kind (``count``, ``set``, ...), or a table: kind, pa, prot, set, clear, fail_at, error."""

Areas: TypeAlias = Annotated[Sequence[Mapping[str, Any]], "areas"]
"""User areas in ascending order, each a table: start, end, pfnmap."""

Linear: TypeAlias = Annotated[Mapping[str, Any], "linear"]
"""A linear map: its first address, the one behind its last, and the memory at its start (start, end, pa)."""

Slot: TypeAlias = Annotated[str, "slot"]
"""A name under which a later step finds the address."""

Flag: TypeAlias = Annotated[bool, "flag"]
Index: TypeAlias = Annotated[int, "index"]
"""The number of a task, a CPU or an address space."""

PteStep: TypeAlias = Literal["set", "clear", "get-and-clear", "try-set", "wrprotect", "read"]
AccessKind: TypeAlias = Literal["read", "write", "exec"]
IrqKind: TypeAlias = Literal["hard", "soft", "nmi"]
Advice: TypeAlias = Literal["cold", "free"]
MemoryChange: TypeAlias = Literal["ro", "rw", "x", "nx", "invalid", "default"]
AreaKind: TypeAlias = Literal["map", "ioremap", "alloc"]
CallbackKind: TypeAlias = Literal[
    "count",
    "set",
    "clear",
    "wrprotect",
    "get-and-clear",
    "pause-set",
    "nested-set",
    "try-set",
    "protect",
    "set-read-back",
    "user",
]


class Extra(TypedDict, total=False):
    """What every step can have besides its arguments."""

    label: str
    task: int
    fail_alloc: int


@dataclass(eq=True)
class Step:
    """One operation of a scenario, with the task that runs it and the table allocation (from 0) that fails."""

    name: str
    args: dict[str, Any]
    label: str | None = None
    task: int = 0
    fail_alloc: int | None = None

    def __add__(self, offset: Number) -> str:
        """An address in the area that this step makes."""
        return f"{self.slot} + {offset}"

    @property
    def slot(self) -> str:
        """The name under which the address that this step returns is kept."""
        if "slot" not in self.args:
            raise ValueError(f"{self.name} makes no area")
        return str(self.args["slot"])


Address: TypeAlias = Annotated[int | str | Step, "address"]
"""A number, an expression, or an earlier step that makes an area: the address it returned."""

_P = ParamSpec("_P")


def _operation(method: Callable[Concatenate[Block, _P], None]) -> Callable[Concatenate[Block, _P], Step]:
    """A method that adds the step its signature describes."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def add(self: Block, /, *args: _P.args, **kwargs: _P.kwargs) -> Step:
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        del given["self"]
        extra = cast(Extra, given.pop("extra", {}))
        if unknown := set(extra) - set(Extra.__annotations__):
            raise TypeError(f"{method.__name__}() has no argument {sorted(unknown)[0]!r}")
        step = Step(method.__name__, {k: _plain(v) for k, v in given.items() if v is not None}, **extra)
        self.steps.append(step)
        return step

    return add


@dataclass
class Block:
    """A list of operations.

    Each method adds one, with ``label``, ``task`` and ``fail_alloc`` on top of its arguments.
    """

    steps: list[Step] = field(default_factory=list)

    @_operation
    def nop(self, **extra: Unpack[Extra]) -> None:
        """Nothing."""

    @_operation
    def vmap_page_range(
        self, va: Address, size: Number, pa: Number, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Maps a physical range without execute permission."""

    @_operation
    def vmap_range_noflush(
        self, va: Address, size: Number, pa: Number, max_shift: Number, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Maps a physical range with leaves up to ``1 << max_shift``; no flush."""

    @_operation
    def ioremap_page_range(
        self, va: Address, size: Number, pa: Number, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Maps a physical range into an area reserved for it."""

    @_operation
    def vmap_pages_range(
        self,
        va: Address,
        pages: Pages,
        prot: Prot | None = None,
        page_shift: Number | None = None,
        noflush: Flag | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Maps an array of pages."""

    @_operation
    def vunmap_range(self, va: Address, size: Number, noflush: Flag | None = None, **extra: Unpack[Extra]) -> None:
        """Unmaps a range."""

    @_operation
    def apply_to_page_range(
        self,
        va: Address,
        size: Number,
        callback: Callback | None = None,
        mm: Index | None = None,
        create: Flag | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Calls back for each entry.

        Without ``create`` (``apply_to_existing_page_range``) only for those that exist.
        """

    @_operation
    def vmalloc(
        self,
        slot: Slot,
        size: Number,
        at: Number | None = None,
        align: Number | None = None,
        huge: Flag | None = None,
        pages: Pages | None = None,
        prot: Prot | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Allocates pages and maps them."""

    @_operation
    def vmap(
        self, slot: Slot, pages: Pages, at: Number | None = None, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Maps existing pages at a new address."""

    @_operation
    def vm_map_ram(self, slot: Slot, pages: Pages, at: Number | None = None, **extra: Unpack[Extra]) -> None:
        """The same for short use, without a guard page."""

    @_operation
    def ioremap(
        self,
        slot: Slot,
        pa: Number,
        size: Number,
        at: Number | None = None,
        prot: Prot | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Maps a device range at a new address."""

    @_operation
    def free(self, va: Address, **extra: Unpack[Extra]) -> None:
        """``vfree``, ``vunmap``, ``iounmap``, ``vm_unmap_ram``."""

    @_operation
    def purge(self, **extra: Unpack[Extra]) -> None:
        """``vm_unmap_aliases``: the TLB flush that frees were waiting for."""

    @_operation
    def area(
        self, slot: Slot, size: Number, at: Number | None = None, kind: AreaKind | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Reserves vmalloc addresses."""

    @_operation
    def access(self, va: Address, kind: AccessKind | None = None, **extra: Unpack[Extra]) -> None:
        """Uses an address."""

    @_operation
    def pte(
        self,
        va: Address,
        step: PteStep,
        word: Number | None = None,
        pa: Number | None = None,
        prot: Prot | None = None,
        mm: Index | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Works on one leaf entry whose table exists; what is set is ``word``, or the frame ``pa`` with ``prot``."""

    @_operation
    def lazy_enable(self, **extra: Unpack[Extra]) -> None:
        """``lazy_mmu_mode_enable``; ``arch_enter_lazy_mmu_mode`` where the API is not counted."""

    @_operation
    def lazy_disable(self, **extra: Unpack[Extra]) -> None:
        """``lazy_mmu_mode_disable``; ``arch_leave_lazy_mmu_mode`` where the API is not counted."""

    @_operation
    def lazy_pause(self, **extra: Unpack[Extra]) -> None:
        """``lazy_mmu_mode_pause``."""

    @_operation
    def lazy_resume(self, **extra: Unpack[Extra]) -> None:
        """``lazy_mmu_mode_resume``."""

    @_operation
    def lazy_flush(self, **extra: Unpack[Extra]) -> None:
        """``arch_flush_lazy_mmu_mode``."""

    @_operation
    def bh_disable(self, **extra: Unpack[Extra]) -> None:
        """``local_bh_disable``."""

    @_operation
    def bh_enable(self, **extra: Unpack[Extra]) -> None:
        """``local_bh_enable``."""

    @_operation
    def sleep(self, **extra: Unpack[Extra]) -> None:
        """Gives up the CPU for a while."""

    @_operation
    def cond_resched(self, **extra: Unpack[Extra]) -> None:
        """A point where the task may lose the CPU, and does if another waits for it."""

    @_operation
    def need_resched(self, **extra: Unpack[Extra]) -> None:
        """Another task waits for the CPU: what a timer's interrupt finds out."""

    @_operation
    def might_sleep(self, **extra: Unpack[Extra]) -> None:
        """Says that what follows may sleep."""

    @_operation
    def switch(self, to: Index, **extra: Unpack[Extra]) -> None:
        """Switches this CPU to another task."""

    @_operation
    def migrate(self, to: Index, **extra: Unpack[Extra]) -> None:
        """Moves the task to another CPU."""

    @_operation
    def fork(self, mm: Index | None = None, **extra: Unpack[Extra]) -> None:
        """Creates a task like this one."""

    @_operation
    def irq(self, ops: Block, kind: IrqKind | None = None, **extra: Unpack[Extra]) -> None:
        """Takes an interrupt and runs operations in it."""

    @_operation
    def new_mm(self, **extra: Unpack[Extra]) -> None:
        """``pgd_alloc``."""

    @_operation
    def flush_tlb_kernel_range(self, va: Address, size: Number, **extra: Unpack[Extra]) -> None:
        """Invalidates the TLBs for a range."""

    @_operation
    def flush_cache_vmap(self, va: Address, size: Number, **extra: Unpack[Extra]) -> None:
        """What whoever has set kernel entries by himself owes before they are used; a DSB, a mark or nothing."""

    @_operation
    def populate_kernel(self, va: Address, sync: Flag | None = None, **extra: Unpack[Extra]) -> None:
        """Links the tables of one kernel address directly; ``sync`` as ``pgd_populate_kernel`` has it."""

    @_operation
    def populate_user(self, mm: Index, va: Address, **extra: Unpack[Extra]) -> None:
        """Links the tables of one user address, as a page fault does."""

    @_operation
    def kmap_local(self, slot: Slot, page: Number, **extra: Unpack[Extra]) -> None:
        """``kmap_local_page``."""

    @_operation
    def kunmap_local(self, slot: Slot, **extra: Unpack[Extra]) -> None:
        """``kunmap_local``."""

    @_operation
    def ptdump(self, running: Flag, **extra: Unpack[Extra]) -> None:
        """A page-table dump takes or releases init_mm's mmap lock."""

    # User mappings. `mm` is an address space from 1 on.

    @_operation
    def set_memory(
        self,
        va: Address,
        change: MemoryChange,
        pages: Number | None = None,
        linear: Linear | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Changes protections of kernel memory: ``set_memory_*``; ``invalid``, ``default``: ``set_direct_map_*``."""

    @_operation
    def do_anonymous_page(
        self,
        mm: Index,
        va: Address,
        pa: Number,
        pages: Number | None = None,
        write: Flag | None = None,
        prot: Prot | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """A fault maps a folio of anonymous memory; with ``write = false`` the zero page."""

    @_operation
    def finish_fault(
        self,
        mm: Index,
        va: Address,
        pa: Number,
        pages: Number | None = None,
        write: Flag | None = None,
        prot: Prot | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """A fault maps pages of a file."""

    @_operation
    def do_huge_pmd_anonymous_page(
        self,
        mm: Index,
        va: Address,
        pa: Number,
        write: Flag | None = None,
        prot: Prot | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """A fault maps anonymous memory with a large leaf."""

    @_operation
    def do_wp_page(
        self, mm: Index, va: Address, pa: Number | None = None, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """A write to a read-only page: it is copied to ``pa``, or used again where there is none."""

    @_operation
    def handle_pte_fault(self, mm: Index, va: Address, write: Flag | None = None, **extra: Unpack[Extra]) -> None:
        """A fault on a page that is mapped and allowed: its flags are set."""

    @_operation
    def copy_page_range(
        self,
        mm: Index,
        to: Index,
        va: Address,
        size: Number,
        shared: Flag | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """Fork copies an area of ``mm`` to ``to``, and takes the parent's permission to write."""

    @_operation
    def flush_tlb_mm(self, mm: Index, **extra: Unpack[Extra]) -> None:
        """Invalidates the TLBs for an address space, as fork does once."""

    @_operation
    def zap_page_range(self, mm: Index, va: Address, size: Number, **extra: Unpack[Extra]) -> None:
        """``MADV_DONTNEED``."""

    @_operation
    def unmap_region(
        self,
        mm: Index,
        vmas: Areas,
        floor: Number | None = None,
        ceiling: Number | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """``munmap``: areas go, and tables that nothing outside of ``floor`` to ``ceiling`` needs."""

    @_operation
    def exit_mmap(self, mm: Index, vmas: Areas, **extra: Unpack[Extra]) -> None:
        """The whole address space goes."""

    @_operation
    def change_protection(
        self,
        mm: Index,
        va: Address,
        size: Number,
        prot: Prot,
        try_writable: Flag | None = None,
        shared: Flag | None = None,
        **extra: Unpack[Extra],
    ) -> None:
        """``mprotect``."""

    @_operation
    def move_page_tables(self, mm: Index, va: Address, to: Number, size: Number, **extra: Unpack[Extra]) -> None:
        """``mremap``."""

    @_operation
    def remap_pfn_range(
        self, mm: Index, va: Address, size: Number, pa: Number, prot: Prot | None = None, **extra: Unpack[Extra]
    ) -> None:
        """Maps memory that has no folios."""

    @_operation
    def madvise(self, mm: Index, va: Address, size: Number, advice: Advice, **extra: Unpack[Extra]) -> None:
        """``MADV_COLD``, ``MADV_FREE``."""

    @_operation
    def walk_pte_range(self, mm: Index, va: Address, size: Number, **extra: Unpack[Extra]) -> None:
        """The multi-generational LRU looks what was used."""

    @_operation
    def ptep_clear_flush_young(self, mm: Index, va: Address, **extra: Unpack[Extra]) -> None:
        """Reclaim asks whether one page was used."""

    @_operation
    def split_huge_pmd(self, mm: Index, va: Address, prot: Prot | None = None, **extra: Unpack[Extra]) -> None:
        """A large leaf becomes a table."""


def _plain(value: Any) -> Any:
    """What files can hold."""
    if isinstance(value, Step):
        return value.slot
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Argument:
    """An argument of an operation.

    Its type (``address``, ``number``, ..., ``choice`` or ``ops``), and whether it is needed.
    """

    name: str
    type: str
    required: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """What an operation takes, and what it does in one line."""

    name: str
    about: str
    arguments: dict[str, Argument]


@functools.cache
def operations() -> dict[str, Operation]:
    """Every operation by name, as the methods of `Block` describe them."""
    found = {}
    for name, method in vars(Block).items():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is None:
            continue
        hints = typing.get_type_hints(wrapped, include_extras=True)
        arguments = {}
        for parameter in inspect.signature(wrapped).parameters.values():
            if parameter.name in ("self", "extra"):
                continue
            kind, choices = _kind(hints[parameter.name])
            required = parameter.default is inspect.Parameter.empty
            arguments[parameter.name] = Argument(parameter.name, kind, required, choices)
        found[name] = Operation(name, (wrapped.__doc__ or "").strip(), arguments)
    return found


def _kind(hint: Any) -> tuple[str, tuple[str, ...]]:
    """The kind that an annotation names, without the None of an optional one."""
    if typing.get_origin(hint) is Annotated:
        return hint.__metadata__[0], ()
    if typing.get_origin(hint) is Literal:
        return "choice", typing.get_args(hint)
    if hint is Block:
        return "ops", ()
    return _kind(next(part for part in typing.get_args(hint) if part is not type(None)))
