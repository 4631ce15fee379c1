"""What the kernel asks of an architecture, with the answers of one that has nothing special."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lazymmu.reference import lazy
from lazymmu.reference.codes import INIT_MM, PMD, PTE, PUD, Handler, Store
from lazymmu.reference.descriptor.base import Format
from lazymmu.reference.errors import ConfigError
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.set_memory import Request
    from lazymmu.reference.walk.areas import Areas
    from lazymmu.reference.walk.core import Walk


@dataclass(frozen=True)
class PteRange:
    """The entries of a leaf table that a lazy section is about."""

    table: Table
    index: int
    count: int


class Backend(ABC):
    """An architecture."""

    name: ClassVar[str] = ""
    """As people choose it; empty for what only backends share."""
    order: ClassVar[int]
    """Place in lists."""
    geometries: ClassVar[tuple[str, ...]]
    """Names of the geometries that it has; the first one is the default."""
    leave_event_first: bool = False
    """Whether `LEAVE` comes before what leaving does."""
    flush_event_first: bool = False

    @classmethod
    @abstractmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> Format:
        """The format of its entries."""

    def __init__(self, kernel: Kernel) -> None:
        self.k = kernel
        self.has_lazy = False
        """``CONFIG_ARCH_HAS_LAZY_MMU_MODE``."""
        self.sync_mask = 0
        """``ARCH_PAGE_TABLE_SYNC_MASK``."""
        self.dsb_completes = False
        """Whether a DSB alone completes stores."""
        self.fences = False
        """Whether it is an invalidation that completes stores, or the mark that a mapping is new (riscv)."""
        self.needs_barrier = False
        """Whether a store must be followed by a barrier before a walker may be expected to see it."""
        self.scope_postpones = False
        """Whether something is left for later between `BEGIN` and `END`."""
        self.repairs_faults = False
        """Whether ``vmalloc_fault`` copies missing entries (and a sync runs to the end of the vmalloc space)."""
        self.sets_memory = False
        """Whether ``set_memory`` is modelled."""
        self.huge_vmalloc = False
        """``CONFIG_HAVE_ARCH_HUGE_VMALLOC``."""

    def set_memory(self, areas: Areas, request: Request) -> int:  # noqa: ARG002
        """``set_memory_*`` of a range, ``set_direct_map_*`` of a page."""
        return 0

    # Stores ---------------------------------------------------------------------------------------

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``set_pte``."""
        self.k.store(entry, word, code)

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``."""
        self.k.store(entry, self.k.format.empty(PTE), Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """``ptep_get_and_clear``: an atomic exchange."""
        old = entry.word
        self.k.store(entry, self.k.format.empty(PTE), Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:
        """``ptep_try_set`` (7.3 facts 21): a compare-and-exchange from empty."""
        if self.k.format.occupied(self.k.read(entry)):
            return False
        self.k.store(entry, word, Store.TRY_SET)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``set_pmd`` ... ``set_pgd``, ``pmd_clear`` ... ``pgd_clear``."""
        self.k.store(entry, word, code)

    def read(self, entry: Entry) -> int:
        """``ptep_get`` and its like."""
        return entry.word

    def declare(self, entries: PteRange | None) -> PteRange | None:  # noqa: ARG002
        """What the task's next section is about, while it is entered; returns what was said before."""
        return None

    def queued(self, addr: int) -> int | None:  # noqa: ARG002
        """The last value that waits in this CPU's queue for an entry."""
        return None

    def hand_over(self, table: Table) -> None:  # noqa: B027
        """``paravirt_alloc_pte`` and its like: a new table page is about to be linked."""

    # Leaves above the PTE table, and groups of PTEs -----------------------------------------------

    def ioremap_max_page_shift(self) -> int:
        """``ioremap_max_page_shift``: without huge vmap, or with ``nohugeiomap``, that of a page."""
        return self.k.geometry.shift(1)

    def ioremap_max_order(self) -> int:
        """``IOREMAP_MAX_ORDER``: the largest alignment of an I/O area, as a power of two."""
        return 7 + self.k.geometry.shift(PTE)

    def huge_supported(self, level: int) -> bool:  # noqa: ARG002
        """``arch_vmap_pmd_supported``, ``arch_vmap_pud_supported`` (facts 1.7)."""
        return False

    def free_below(self, entry: Entry) -> bool:
        """``pmd_free_pte_page``, ``pud_free_pmd_page``: makes room for a leaf; False refuses.

        Clear, flush all that the entry covered, free. A leaf below is left alone here.
        """
        k = self.k
        table = k.descend(entry)
        k.set_entry(entry, 0, Store.CLEAR)
        self.flush_tlb_kernel_range(entry.va, entry.va + k.geometry.size(entry.level))
        if entry.level == PUD:
            for word in table.words:
                below = k.linked(PMD, word) if word else None
                if below is not None:
                    k.free_table(below)
        k.free_table(table)
        return True

    def set_huge(self, entry: Entry, pa: int, prot: int) -> bool:
        """``pmd_set_huge``, ``pud_set_huge``; False refuses."""
        self.k.set_entry(entry, self.k.format.block(entry.level, pa, prot), Store.HUGE)
        return True

    def map_size(self, addr: int, end: int, pa: int, max_shift: int) -> int:  # noqa: ARG002
        """``arch_vmap_pte_range_map_size``: how much the next PTE or group maps."""
        return self.k.geometry.page_size

    def unmap_size(self, pte: Entry) -> int:  # noqa: ARG002
        """``arch_vmap_pte_range_unmap_size``."""
        return self.k.geometry.page_size

    def pte_supported_shift(self, size: int) -> int:  # noqa: ARG002
        """``arch_vmap_pte_supported_shift``: the largest group for a vmalloc of this size."""
        return self.k.geometry.shift(1)

    def set_group(self, pte: Entry, pa: int, prot: int) -> None:
        """``set_huge_pte_at`` of a contiguous group."""
        raise NotImplementedError

    def clear_group(self, pte: Entry) -> int:
        """``huge_ptep_get_and_clear`` of a contiguous group."""
        raise NotImplementedError

    # TLBs and roots -------------------------------------------------------------------------------

    @abstractmethod
    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``flush_tlb_kernel_range``."""

    def sync(self, start: int, end: int) -> int:  # noqa: ARG002
        """``arch_sync_kernel_mappings``: the number of entries copied."""
        return 0

    def load_root(self, mm: Mm) -> None:  # noqa: B027
        """The CPU is about to walk another root."""

    def split_roots(self) -> bool:
        """Whether kernel addresses have a root of their own."""
        return False

    def user_root(self, mm: int) -> Table | None:  # noqa: ARG002
        """The root that user mode runs on, if that is another one."""
        return None

    def fault_handler(self, va: int) -> int:  # noqa: ARG002
        """Who looks at a fault at a kernel address: a code of `Handler`."""
        return Handler.NOBODY

    def repair(self, va: int) -> None:  # noqa: B027
        """The handler at work: a missing entry is copied, or what is stale is fenced."""

    def before_access(self, mm: int, va: int, access: int) -> None:  # noqa: B027
        """What the walker itself writes to the tables before an address is used for the first time."""

    def used(self, mm: int, va: int, word: int, access: int) -> int:  # noqa: ARG002
        """What a permitted access does to the leaf entry that it finds: the word that is there then."""
        return word

    def flush_cache_vmap(self, start: int, end: int) -> None:  # noqa: B027
        """What ``flush_cache_vmap`` does."""

    # Hooks ----------------------------------------------------------------------------------------

    def begin(self, walk: Walk) -> int:  # noqa: ARG002
        """Default ``arch_update_kernel_mappings_begin``: nothing.

        With ``begin_end_lazy`` it does what the patch's comment invites to.
        """
        if self.k.options.begin_end_lazy and lazy.exists(self.k):
            lazy.arch_enter(self.k)
        return 0

    def end(self, walk: Walk, mask: int) -> int:
        """Default ``arch_update_kernel_mappings_end``: sync."""
        self.k.sync(walk, mask)
        if self.k.options.begin_end_lazy and lazy.exists(self.k):
            lazy.arch_leave(self.k)
        return 0

    def lazy_state(self) -> int:
        """What lazy events show before and after."""
        return self.k.task().flags

    def enter(self) -> int:
        """``arch_enter_lazy_mmu_mode``."""
        return 0

    def leave(self) -> int:
        """``arch_leave_lazy_mmu_mode``."""
        return 0

    def lazy_flush(self) -> int:
        """``arch_flush_lazy_mmu_mode``."""
        return 0

    def post_map(self, va: int) -> None:  # noqa: B027
        """``arch_kmap_local_post_map``."""

    def post_unmap(self, va: int) -> None:  # noqa: B027
        """``arch_kmap_local_post_unmap``."""

    def switch_out(self, prev: Task) -> None:  # noqa: B027
        """``arch_start_context_switch`` and what ``__switch_to`` does for the old task."""

    def switch_in(self, following: Task) -> None:  # noqa: B027
        """``arch_end_context_switch``."""

    # Boot -----------------------------------------------------------------------------------------

    @abstractmethod
    def boot(self) -> None:
        """Makes init_mm. Nothing that happens while booting is an event."""

    @abstractmethod
    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: the root of a new address space, None if there is no memory."""

    def booted(self) -> None:  # noqa: B027
        """Tasks run, each with its address space."""

    def boot_idle(self, task: Task) -> None:  # noqa: B027
        """A task exists at boot without running."""

    def boot_table(self, level: int, base: int, mm: int = INIT_MM) -> Table:
        """A table without an event."""
        frame = self.k.memory.take(level=level)
        if frame is None:
            raise ConfigError("no table frames to boot with")
        return self.k.memory.place(frame, level, base, mm)

    def boot_link(self, entry: Entry) -> Table:
        """The table below an entry of init_mm, made if it is missing."""
        table = self.k.linked(entry.level, entry.word)
        if table is None:
            table = self.boot_table(entry.level - 1, entry.first)
            entry.home.words[entry.index] = self.k.format.link(entry.level, table.pa, kernel=True)
        return table

    def boot_chain(self, root: Table, va: int) -> None:
        """The tables of init_mm down to the leaf table of an address."""
        table = root
        while table.level > 1:
            table = self.boot_link(table.at(va))
