"""The one vocabulary of micro-steps, and the log that numbers, counts and hands them on.

An event is a tuple of plain integers in the order of `lazymmu.results.EVENT_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from lazymmu.reference.codes import Hypercall, Store, Tlbi

Event: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int]

OP: Final = 1
OP_END: Final = 2
WALK: Final = 3
SLOT: Final = 4
WALK_END: Final = 5
STORE: Final = 10
QUEUE: Final = 11
STALE_READ: Final = 12
ALLOC: Final = 13
ALLOC_FAIL: Final = 14
FREE: Final = 15
DEFER: Final = 16
NEW_VALID_MAP: Final = 17
DEFER_TLBI: Final = 18
TSB_INSERT: Final = 19
WMB: Final = 20
BAR: Final = 21
DSB: Final = 22
ISB: Final = 23
TLBI: Final = 24
IPI: Final = 25
HYPERCALL: Final = 26
FLUSH: Final = 27
CR3: Final = 28
FLUSH_CACHE: Final = 29
BEGIN: Final = 30
END: Final = 31
SYNC: Final = 32
SYNC_ONE: Final = 33
SYNC_END: Final = 34
ENTER: Final = 35
LEAVE: Final = 36
LAZY_FLUSH: Final = 37
ENABLE: Final = 38
DISABLE: Final = 39
PAUSE: Final = 40
RESUME: Final = 41
KMAP: Final = 50
KUNMAP: Final = 51
LOCK: Final = 52
UNLOCK: Final = 53
ACCESS: Final = 54
FAULT: Final = 55
RESCHED: Final = 56
SWITCH: Final = 57
IRQ_IN: Final = 58
IRQ_OUT: Final = 59
MIGRATE: Final = 60
FORK: Final = 61
MM: Final = 62
BH: Final = 63
CALL_RCU: Final = 65
WARN: Final = 70
BUG: Final = 71

KINDS: Final[dict[str, int]] = {
    name: value for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)
}

COUNTS: Final = (
    "stores",
    "queued",
    "flushes",
    "hypercalls",
    "traps",
    "barriers",
    "dsb",
    "isb",
    "tlbi",
    "tlbi_all",
    "ipis",
    "syncs",
    "synced",
    "copied",
    "allocs",
    "frees",
    "kmaps",
    "enters",
    "repairs",
    "switches",
)

_COUNTED: Final = {
    STORE: "stores",
    QUEUE: "queued",
    FLUSH: "flushes",
    BAR: "barriers",
    DSB: "dsb",
    ISB: "isb",
    SYNC: "syncs",
    SYNC_ONE: "synced",
    ALLOC: "allocs",
    FREE: "frees",
    ENTER: "enters",
    SWITCH: "switches",
}
_ALL_TLBI: Final = (
    Tlbi.ALL_GLOBAL,
    Tlbi.NON_GLOBAL,
    Tlbi.VMALLE1IS,
    Tlbi.MMUEXT_ALL,
    Tlbi.ASIDE1IS,
    Tlbi.TLBIASID,
    Tlbi.SFENCE_ALL,
    Tlbi.TLBIALL,
    Tlbi.INVTLB_ALL,
    Tlbi.TLBIE_PID,
    Tlbi.TLBIEL_PID,
    Tlbi.DEMAP_ALL,
    Tlbi.IDTE,
    Tlbi.NEW_ASID,
    Tlbi.INVTLB_CURRENT,
)


class Log:
    """Every event passes here: it is counted, kept if wanted, shown to the checker and then to whoever injects."""

    def __init__(self, keep: bool, checker: Callable[[Event], None] | None) -> None:
        self.keep = keep
        self.checker = checker
        self.after: Callable[[Event], None] | None = None
        """Called last, for events that belong to an operation into which something may be injected."""
        self.index = 0
        """Number of the next event since the machine began."""
        self.restart()

    def restart(self) -> None:
        """A new run: events and counts begin again, the index goes on."""
        self.events: list[Event] = []
        self.total = 0
        self.counts = dict.fromkeys(COUNTS, 0)

    def add(self, event: Event) -> None:
        """One micro-step happened."""
        self.index += 1
        self.total += 1
        self._count(event)
        if self.keep:
            self.events.append(event)
        if self.checker is not None:
            self.checker(event)
        if self.after is not None:
            self.after(event)

    def _count(self, event: Event) -> None:
        kind, aux, counts = event[0], event[7], self.counts
        name = _COUNTED.get(kind)
        if name is not None:
            counts[name] += 1
            if aux == Store.SYNC and kind in (STORE, QUEUE):
                counts["copied"] += 1
        elif kind == HYPERCALL:
            counts["traps" if aux == Hypercall.TRAP else "hypercalls"] += 1
        elif kind == TLBI:
            counts["tlbi"] += event[10]
            counts["tlbi_all"] += aux in _ALL_TLBI
        elif kind == IPI:
            counts["ipis"] += aux
        elif kind == KMAP:
            counts["kmaps"] += aux == 0
        elif kind == FAULT:
            counts["repairs"] += (aux >> 8) != 0
