"""What rules share: pending stores, sections, walks and syncs, followed event by event (docs/hazards/index.md).

Rules look at an event first, then it is followed here: an `ENTER` counts from behind it, a `LEAVE` until behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from lazymmu.reference import events as ev
from lazymmu.reference.codes import INIT_MM, PMD, PTE, USER_SITES, Store, level_bit
from lazymmu.reference.events import Event

KIND, LEVEL, CPU, CONTEXT, TASK, MM, OP, AUX, VA, ADDR, OLD, NEW = range(12)

Runner: TypeAlias = tuple[int, int]
"""Task and context: whose code it is."""

_UNCOUNTED: Final = (Store.SYNC, Store.KMAP, Store.FIXMAP, Store.DRAIN, Store.CLEAR_BAD, Store.HASH, Store.USER_COPY)
_COUNTERS: Final = (ev.ENABLE, ev.DISABLE, ev.PAUSE, ev.RESUME)
PAGE: Final = ~0xFFF


@dataclass(frozen=True)
class Laws:
    """What a backend demands and forgives."""

    needs_barrier: bool
    repairs_faults: bool
    """A fault handler copies missing entries, and a sync runs to the end of the vmalloc space."""
    sync_mask: int
    scope_postpones: bool
    """Between `BEGIN` and `END` something is left for later."""
    counted_api: bool
    vmalloc_end: int
    usable: Callable[[int, int], bool]
    """Whether a hardware walker finds something in a word of a level."""
    fences: bool
    """An invalidation completes stores, or the mark that a mapping is new."""
    dsb_completes: bool
    """A DSB alone completes stores."""
    sizes: tuple[int, ...]
    """What an entry of each level covers, level 1 first."""


class Pending:
    """A store, or a run of stores at consecutive addresses, that something must still complete."""

    __slots__ = (
        "context",
        "cpu",
        "end",
        "from_interrupt",
        "level",
        "queued",
        "reached",
        "settled",
        "start",
        "task",
        "visible",
    )

    def __init__(self, event: Event, size: int, from_interrupt: bool) -> None:
        self.cpu, self.context, self.task, self.level = event[CPU], event[CONTEXT], event[TASK], event[LEVEL]
        self.start, self.end = event[VA], event[VA] + size
        self.queued = event[KIND] == ev.QUEUE
        self.from_interrupt = from_interrupt
        self.visible = False
        """A DSB made it visible to walkers; its CPU is not yet synchronised."""
        self.reached: set[int] = set()
        """CPUs that stored into a table below it, and so have read it."""
        self.settled: set[int] = set()
        """Those of them that had a barrier since: their walkers see it."""

    def grows(self, event: Event, size: int, from_interrupt: bool) -> bool:
        """Takes the next store if it continues this one."""
        if (
            event[VA] != self.end
            or self.visible
            or self.reached
            or event[LEVEL] != self.level
            or (event[KIND] == ev.QUEUE) != self.queued
            or (event[CPU], event[CONTEXT], event[TASK]) != (self.cpu, self.context, self.task)
            or from_interrupt != self.from_interrupt
        ):
            return False
        self.end += size
        return True

    def covers(self, va: int) -> bool:
        """Whether a translation of the address uses it."""
        return self.start <= va < self.end


class WalkRecord:
    """An open walk: the state at its start, and what it and those inside it stored and synced."""

    __slots__ = (
        "after_sync",
        "changed",
        "depth",
        "enable",
        "end",
        "hull",
        "masked",
        "mm",
        "pause",
        "scope",
        "start",
        "stored",
    )

    def __init__(self, event: Event, depth: int, scope: bool, enable: int, pause: int) -> None:
        self.start, self.end, self.mm = event[VA], event[NEW], event[MM]
        self.masked = event[AUX] not in USER_SITES
        """Whether the function collects a mask at all."""
        self.depth, self.scope, self.enable, self.pause = depth, scope, enable, pause
        self.stored = 0
        """Bits of the levels stored at."""
        self.changed = 0
        """Bits of the levels at which a valid entry was removed or changed."""
        self.after_sync = 0
        """Bits of the levels stored at since the last sync."""
        self.hull: tuple[int, int] | None = None
        """All that was synced, from the lowest to the highest address."""


class Track:
    """The state that rules ask about."""

    def __init__(self, laws: Laws) -> None:
        self.laws = laws
        self.pending: list[Pending] = []
        self.queue: defaultdict[int, int] = defaultdict(int)
        """Stores in each CPU's queue."""
        self.depth: defaultdict[int, int] = defaultdict(int)
        """`ENTER` minus `LEAVE` of each task."""
        self.scope: set[int] = set()
        """Tasks between `BEGIN` and `END`."""
        self.counters: defaultdict[int, int] = defaultdict(int)
        """enable | pause << 8 of each task."""
        self.walks: defaultdict[Runner, list[WalkRecord]] = defaultdict(list)
        self.syncs: dict[Runner, bool] = {}
        """Syncs at work: whether one of their copies was queued."""
        self.kmaps: set[int] = set()
        """Slots in use."""
        self.windows: set[int] = set()
        """Addresses of kmap and fixmap slots."""
        self.interrupts: defaultdict[int, int] = defaultdict(int)

    # Questions ------------------------------------------------------------------------------------

    def open(self, task: int) -> bool:
        """Whether the task's section is open."""
        return self.depth[task] > 0 or task in self.scope

    def enabled(self, task: int) -> bool:
        """Whether the counted API says that the task is in lazy mode."""
        counters = self.counters[task]
        return self.laws.counted_api and counters & 0xFF > 0 and counters >> 8 == 0

    def walks_of(self, event: Event) -> list[WalkRecord]:
        """Open walks of the code that an event is from, outermost first."""
        return self.walks[event[TASK], event[CONTEXT]]

    # Following ------------------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        """The event happened."""
        kind = event[KIND]
        if kind in (ev.STORE, ev.QUEUE):
            self._stored(event)
        elif kind in (ev.BAR, ev.DSB, ev.ISB, ev.FLUSH, ev.IRQ_IN, ev.IRQ_OUT):
            self._completed(event)
        elif kind == ev.NEW_VALID_MAP:
            self.pending = []
        elif kind == ev.TLBI and self.laws.fences:
            outside = event[NEW], event[VA]
            self.pending = [store for store in self.pending if store.start >= outside[0] or store.end <= outside[1]]
        elif kind in (ev.WALK, ev.WALK_END, ev.BUG, ev.SYNC, ev.SYNC_END):
            self._walked(event)
        elif kind in (ev.ENTER, ev.LEAVE):
            self.depth[event[TASK]] += 1 if kind == ev.ENTER else -1
        elif kind == ev.BEGIN and self.laws.scope_postpones:
            self.scope.add(event[TASK])
        elif kind == ev.END:
            self.scope.discard(event[TASK])
        elif kind in _COUNTERS:
            self.counters[event[TASK]] = event[NEW]
        elif kind == ev.KMAP and event[AUX] == 0:
            self.kmaps.add(event[VA])
        elif kind == ev.KUNMAP and event[AUX] == 0:
            self.kmaps.discard(event[VA])

    def _stored(self, event: Event) -> None:
        kind, level = event[KIND], event[LEVEL]
        if event[AUX] in (Store.KMAP, Store.FIXMAP):
            self.windows.add(event[VA])
        queued = kind == ev.QUEUE
        if queued:
            self.queue[event[CPU]] += 1
            if event[AUX] == Store.SYNC and (event[TASK], event[CONTEXT]) in self.syncs:
                self.syncs[event[TASK], event[CONTEXT]] = True
        if self.laws.usable(level, event[NEW]) and (queued or (self.laws.needs_barrier and event[MM] == INIT_MM)):
            for store in self.pending if not queued else ():
                below = store.level > level and store.covers(event[VA])
                if below and not store.queued and store.cpu != event[CPU]:
                    store.reached.add(event[CPU])
            size, from_interrupt = self.laws.sizes[level - 1], self.interrupts[event[CPU]] > 0
            if not self.pending or not self.pending[-1].grows(event, size, from_interrupt):
                self.pending.append(Pending(event, size, from_interrupt))
        if self.counted(event):
            bit = level_bit(level)
            for walk in self.walks_of(event):
                if walk.mm == event[MM] and walk.masked:
                    walk.stored |= bit
                    walk.after_sync |= bit
                    walk.changed |= bit if self.laws.usable(level, event[OLD]) else 0

    def counted(self, event: Event) -> bool:
        """Whether a store belongs into its walk's mask (H8)."""
        if event[AUX] in _UNCOUNTED or (event[LEVEL] == PTE and event[VA] in self.windows):
            return False
        return not (event[AUX] == Store.POPULATE and event[MM] != INIT_MM and event[LEVEL] == PMD)

    def _completed(self, event: Event) -> None:
        kind, cpu = event[KIND], event[CPU]
        if kind == ev.FLUSH:
            self.queue[cpu] = 0
            self.pending = [store for store in self.pending if store.cpu != cpu or not store.queued]
        elif kind == ev.BAR or (kind == ev.DSB and self.laws.dsb_completes):
            self.pending = [store for store in self.pending if store.cpu != cpu or store.queued]
            for store in self.pending:
                store.settled |= store.reached & {cpu}
        elif kind == ev.DSB:
            for store in self.pending:
                if store.cpu == cpu and not store.queued:
                    store.visible = True
        else:
            self.pending = [store for store in self.pending if store.cpu != cpu or not store.visible]
            self.interrupts[cpu] += {ev.IRQ_IN: 1, ev.IRQ_OUT: -1}.get(kind, 0)

    def _walked(self, event: Event) -> None:
        kind, task, walks = event[KIND], event[TASK], self.walks_of(event)
        if kind == ev.WALK:
            counters = self.counters[task]
            walks.append(WalkRecord(event, self.depth[task], task in self.scope, counters & 0xFF, counters >> 8))
        elif kind == ev.WALK_END:
            if walks:  # an injection may have changed task or context in the middle
                walks.pop()
        elif kind == ev.BUG:
            self.interrupts.clear()  # they end with their task
            walks.clear()
            self.syncs.pop((task, event[CONTEXT]), None)
        elif kind == ev.SYNC_END:
            self.syncs.pop((task, event[CONTEXT]), None)
        else:
            self.syncs[task, event[CONTEXT]] = False
            end = self.laws.vmalloc_end if self.laws.repairs_faults else event[NEW]
            for walk in walks:
                low, high = walk.hull or (event[VA], end)
                walk.hull = min(low, event[VA]), max(high, end)
                walk.after_sync = 0

    def forget(self) -> None:
        """A run was cut short: interrupts and walks are over."""
        self.interrupts.clear()
        self.walks.clear()
        self.syncs.clear()
