"""The small vocabularies: numbers that events carry in ``aux`` and that have names. Codes are forever."""

from __future__ import annotations

from typing import Final

PTE: Final = 1
PMD: Final = 2
PUD: Final = 3
P4D: Final = 4
PGD: Final = 5

INIT_MM: Final = 0

EBUSY: Final = 16
EFAULT: Final = 14
EINVAL: Final = 22
ENOMEM: Final = 12
ENOSPC: Final = 28
ERANGE: Final = 34


def level_bit(level: int) -> int:
    """The level's bit of ``pgtbl_mod_mask``: PGD 0x1, P4D 0x2, PUD 0x4, PMD 0x8, PTE 0x10 (facts 2.0)."""
    return 1 << (PGD - level)


class Context:
    """In what the code runs."""

    TASK: Final = 0
    SOFTIRQ: Final = 1
    HARDIRQ: Final = 2
    NMI: Final = 3


class Store:
    """Why a word was stored."""

    SET: Final = 0
    CLEAR: Final = 1
    GET_AND_CLEAR: Final = 2
    POPULATE: Final = 3
    HUGE: Final = 4
    SYNC: Final = 5
    KMAP: Final = 6
    PROTECT: Final = 7
    TRY_SET: Final = 8
    DRAIN: Final = 9
    CLEAR_BAD: Final = 10
    FIXMAP: Final = 11
    HASH: Final = 12
    YOUNG: Final = 20
    FLAGS: Final = 21
    CONVERT: Final = 22
    INVALIDATE: Final = 23
    USER_COPY: Final = 24


STORES: Final = (
    "set",
    "clear",
    "get-and-clear",
    "populate",
    "huge",
    "sync",
    "kmap",
    "protect",
    "try-set",
    "drain",
    "clear-bad",
    "fixmap",
    "hash-fault",
    *[""] * 7,
    "clear-young",
    "access-flags",
    "contpte-convert",
    "invalidate",
    "user-copy",
)


class Tlbi:
    """How a TLB was invalidated."""

    INVLPG: Final = 1
    ALL_GLOBAL: Final = 2
    NON_GLOBAL: Final = 3
    VAALE1IS: Final = 4
    VAAE1IS: Final = 5
    VMALLE1IS: Final = 6
    RVAALE1IS: Final = 7
    MMUEXT_INVLPG: Final = 8
    MMUEXT_ALL: Final = 9
    SFENCE: Final = 10
    SFENCE_ALL: Final = 11
    TLBIMVA: Final = 12
    TLBIALL: Final = 13
    INVTLB: Final = 14
    INVTLB_ALL: Final = 15
    TLBIE_PID: Final = 16
    HPTE: Final = 17
    HPTE_RANGE: Final = 18
    TSB_TLB: Final = 19
    DEMAP_RANGE: Final = 20
    DEMAP_ALL: Final = 21
    IPTE: Final = 22
    IPTE_LOCAL: Final = 23
    IPTE_RANGE: Final = 24
    IPTE_RANGE_LOCAL: Final = 25
    IDTE: Final = 26
    VALE1IS: Final = 30
    VAE1IS: Final = 31
    ASIDE1IS: Final = 32
    VALE1: Final = 33
    RVALE1IS: Final = 34
    RVAE1IS: Final = 35
    TLBIE: Final = 36
    TLBIEL: Final = 37
    TLBIEL_PID: Final = 38
    IDTE_SEGMENT: Final = 40
    IDTE_SEGMENT_LOCAL: Final = 41
    RDP: Final = 42
    RDP_LOCAL: Final = 43
    CRDTE: Final = 44
    TLBIASID: Final = 45
    TLBIMVA_LOCAL: Final = 46
    TSB: Final = 50
    INVTLB_ASID: Final = 55
    NEW_ASID: Final = 56
    INVTLB_CURRENT: Final = 57


class Drain:
    """Why the backend's queue was flushed."""

    FULL: Final = 1
    LEAVE: Final = 2
    HOOK: Final = 3
    ISSUE: Final = 4
    SWITCH: Final = 5
    OTHER: Final = 6


class Hypercall:
    """What the hypervisor was asked for."""

    MMU_UPDATE: Final = 1
    MMUEXT_OP: Final = 2
    MULTICALL: Final = 3
    UPDATE_VA_MAPPING: Final = 4
    TRAP: Final = 5


class Site:
    """The function that a hook is called from."""

    VMAP_PAGE_RANGE: Final = 1
    VMAP_RANGE: Final = 2
    VMAP_PAGES_RANGE: Final = 3
    VMAP_SMALL_PAGES: Final = 4
    VUNMAP_RANGE: Final = 5
    APPLY: Final = 6
    VMAP_PTE: Final = 7
    VMAP_PAGES_PTE: Final = 8
    VUNMAP_PTE: Final = 9
    APPLY_PTE: Final = 10
    POPULATE_KERNEL: Final = 12
    COPY_PAGE_RANGE: Final = 20
    UNMAP_PAGE_RANGE: Final = 21
    CHANGE_PROTECTION: Final = 22
    MOVE_PAGE_TABLES: Final = 23
    FREE_PGTABLES: Final = 24
    REMAP_PFN_RANGE: Final = 25
    COPY_PTE: Final = 30
    ZAP_PTE: Final = 31
    CHANGE_PTE: Final = 32
    MOVE_PTES: Final = 33
    REMAP_PTE: Final = 34
    MADVISE_COLD_PTE: Final = 35
    MADVISE_FREE_PTE: Final = 36
    WALK_PTE: Final = 37


USER_SITES: Final = range(20, 38)
"""Functions that work on user mappings only."""

SITES: Final = (
    "",
    "vmap_page_range",
    "vmap_range_noflush",
    "__vmap_pages_range_noflush",
    "vmap_small_pages_range_noflush",
    "__vunmap_range_noflush",
    "__apply_to_page_range",
    "vmap_pte_range",
    "vmap_pages_pte_range",
    "vunmap_pte_range",
    "apply_to_pte_range",
    "update_range_prot",
    "populate_kernel",
    *[""] * 7,
    "copy_page_range",
    "unmap_page_range",
    "change_protection",
    "move_page_tables",
    "free_pgtables",
    "remap_pfn_range",
    *[""] * 4,
    "copy_pte_range",
    "zap_pte_range",
    "change_pte_range",
    "move_ptes",
    "remap_pte_range",
    "madvise_cold_or_pageout_pte_range",
    "madvise_free_pte_range",
    "walk_pte_range",
)


ACCESSES: Final = {"read": 0, "write": 1, "exec": 2}
OUTCOMES: Final = ("ok", "repaired", "not-present", "permission")


class Access:
    """What a CPU does with an address."""

    READ: Final = 0
    WRITE: Final = 1
    EXEC: Final = 2


class Outcome:
    """How an access ended."""

    OK: Final = 0
    REPAIRED: Final = 1
    NOT_PRESENT: Final = 2
    PERMISSION: Final = 3


class Handler:
    """Who handles a fault."""

    NOBODY: Final = 0
    VMALLOC_FAULT: Final = 1
    TRANSLATION_FAULT: Final = 2
    NEW_VALID_MAP: Final = 3
    HASH_PAGE: Final = 4


class Resched:
    """A point where a task may give up the CPU."""

    COND_RESCHED: Final = 1
    MIGHT_SLEEP: Final = 2
    SLEEP: Final = 3


INTERRUPTS: Final = {"hard": 1, "soft": 2, "nmi": 3}
INTERRUPT_CONTEXT: Final = (0, Context.HARDIRQ, Context.SOFTIRQ, Context.NMI)


class Warn:
    """What the kernel would warn about."""

    OCCUPIED: Final = 1
    NO_PAGE: Final = 2
    INVALID_PFN: Final = 3
    NEITHER_NONE_NOR_PRESENT: Final = 4
    PARTIAL_LEAF: Final = 5
    PARTIAL_GROUP: Final = 6
    APPLY_RANGE: Final = 7
    APPLY_LEAF: Final = 8
    APPLY_BAD: Final = 9
    NOT_IOREMAP: Final = 10
    IOREMAP_RANGE: Final = 11
    UNALIGNED: Final = 12
    LAZY_TWICE: Final = 13
    ENABLE_WRAP: Final = 14
    DISABLE_WRAP: Final = 15
    PAUSE_WRAP: Final = 16
    RESUME_WRAP: Final = 17
    NOT_A_TABLE: Final = 18
    BAD_CLEARED: Final = 19
    PAGE_SHIFT: Final = 20
    SLEEP: Final = 24
    CPA_HOLE: Final = 25


class Bug:
    """What would stop the task."""

    EMPTY_RANGE: Final = 1
    REMAP: Final = 2
    APPLY_PUD_LEAF: Final = 3
    TABLES_DISAGREE: Final = 4
    KMAP_OCCUPIED: Final = 5
    LAZY_NESTED: Final = 6
    NOT_LAZY: Final = 7
    STRAY_WALK: Final = 8
    KERNEL_ACCESS: Final = 9
    KUNMAP_ORDER: Final = 11
    KMAP_FULL: Final = 12
    REMAP_PTE: Final = 20


class Flag:
    """Thread flags: of arm64, and of Xen PV's context switch."""

    LAZY: Final = 1
    PENDING: Final = 2
    UPDATES: Final = 4
