"""What one CPU's next effects are ordered after."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazymmu.reference.visibility.log import START, Invalidation, Log, View, at, full, join

if TYPE_CHECKING:
    from lazymmu.reference.visibility.translate import Request


@dataclass(frozen=True)
class Profile:
    """Whose rules hold: ``architecture`` is armv8, x86-tso or rvwmo; ``ets`` 0, 1 (withdrawn FEAT_ETS), 2 or 3."""

    architecture: str
    ets: int = 0
    exs: bool = False
    eis: bool = False
    eos: bool = False
    svvptc: bool = False
    svinval: bool = False

    def entry_synchronises(self, call: bool) -> bool:
        """Whether exception entry synchronises context; ``call`` for a supervisor call."""
        return not (self.exs and call) or self.eis

    def return_synchronises(self) -> bool:
        """Whether exception return does."""
        return not self.exs or self.eos


@dataclass(frozen=True)
class Fence:
    """What a fence waits for, and what waits for it.

    ``synchronises`` for a DSB; ``completes`` for a full one, which waits for walks, hardware updates and invalidations.
    """

    reads: bool = True
    writes: bool = True
    before_reads: bool = True
    before_writes: bool = True
    stores: bool = False
    synchronises: bool = False
    completes: bool = False


@dataclass(frozen=True)
class Reading:
    """One way a load can be satisfied: by the write at ``source``, 0 for the initial value."""

    value: int
    source: int
    view: View


@dataclass(frozen=True)
class OwnInvalidation:
    """An invalidation this CPU made: when a barrier completed it, and whether own walks feel it."""

    invalidation: Invalidation
    completed: int | None = None
    felt: bool = False


@dataclass
class Ordering:
    """A CPU between two instructions. Strengths are "", "strong" (acquire, release) or "processor" (LDAPR)."""

    id: int
    reads: View = START
    reads_returning: View = START
    writes: View = START
    implicit: View = START
    before_reads: View = START
    before_writes: View = START
    dsb: View = START
    context: View = START
    control: View = START
    addresses: View = START
    releases: View = START
    coherence: dict[int, int] = field(default_factory=dict)
    forwards: dict[int, tuple[int, View, View | None]] = field(default_factory=dict)
    walked: dict[int, int] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    own: list[OwnInvalidation] = field(default_factory=list)

    def copy(self) -> Ordering:
        """One that changes on its own."""
        new = copy.copy(self)
        new.coherence, new.forwards = dict(self.coherence), dict(self.forwards)
        new.walked, new.offsets, new.own = dict(self.walked), dict(self.offsets), list(self.own)
        return new

    def before_walk(self, profile: Profile, request: Request, uncached: bool, fault: bool) -> View:
        """What a walk waits for; ``uncached`` where no TLB may hold its entry, ``fault`` where it ends in a fault."""
        view = join(request.view, self.context)
        if profile.architecture == "armv8":
            if profile.ets:
                view = join(view, self.dsb)
            if uncached and profile.ets == 1:
                view = join(view, request.ordered)
            if (uncached and profile.ets >= 2) or (fault and profile.ets == 3):
                view = join(view, self.reads, self.writes)
        elif profile.architecture == "x86-tso" and uncached and fault:
            view = join(view, self.reads)
        return view

    def fault_view(self, walk: View) -> View:
        """When a fault is taken at the earliest."""
        return join(walk, self.before_reads, self.before_writes)

    def before_read(self, strength: str) -> View:
        """What a load waits for, wherever it reads."""
        return join(self.before_reads, self.releases) if strength == "strong" else self.before_reads

    def before_store(self, inputs: View, strength: str) -> View:
        """What a store waits for, wherever it writes."""
        view = join(inputs, self.before_writes, self.control, self.addresses)
        return join(view, self.reads, self.writes) if strength == "strong" else view

    def readings(self, log: Log, cell: int, address: View, strength: str, limit: int) -> list[Reading]:
        """The ways to satisfy a load of ``cell`` before ``limit``."""
        before = join(address, self.before_read(strength))
        floor = max(before[0], self.coherence.get(cell, 0))
        found = []
        for source, value in [log.value_at(cell, floor), *log.writes(cell, floor)]:
            view = join(before, at(source))
            if cell in self.forwards and self.forwards[cell][0] == source:
                _, own, atomic = self.forwards[cell]
                view = join(before, own)
                if strength and atomic is not None:
                    view = join(view, atomic)
            if view[0] < limit:
                found.append(Reading(value, source, view))
        return found

    def read(self, cell: int, reading: Reading, address: View, strength: str, returns: bool) -> None:
        """A load has been satisfied."""
        self.reads = join(self.reads, reading.view)
        if returns:
            self.reads_returning = join(self.reads_returning, reading.view)
        self.coherence[cell] = max(self.coherence.get(cell, 0), reading.view[0], reading.source)
        if strength:
            self.before_reads = join(self.before_reads, reading.view)
            self.before_writes = join(self.before_writes, reading.view)
        self.addresses = join(self.addresses, address)

    def before_write(self, cell: int, inputs: View, strength: str) -> View:
        """What a store to ``cell`` stands after."""
        same = max(self.coherence.get(cell, 0), self.walked.get(cell, 0))
        return join(self.before_store(inputs, strength), at(same))

    def wrote(
        self, cell: int, time: int, address: View, data: View, strength: str, acquire: bool, read: View | None
    ) -> None:
        """A store has taken its place; ``read`` is of the read half of an atomic."""
        self.writes = join(self.writes, at(time))
        self.coherence[cell] = max(self.coherence.get(cell, 0), time)
        self.addresses = join(self.addresses, address)
        if strength == "strong":
            self.releases = join(self.releases, at(time))
            if acquire:
                self.before_reads = join(self.before_reads, at(time))
                self.before_writes = join(self.before_writes, at(time))
        self.forwards[cell] = (time, join(address, data), read)

    def walk_read(self, cell: int, walk: View) -> None:
        """A walk read an entry."""
        self.walked[cell] = max(self.walked.get(cell, 0), walk[0])
        self.implicit = join(self.implicit, walk)

    def before_update(self, profile: Profile, cell: int, walk: View) -> View:
        """What an own hardware update of an entry stands after."""
        view = join(walk, self.context, full(self.control), full(self.addresses), at(self.walked.get(cell, 0)))
        return join(view, self.dsb) if profile.architecture == "armv8" and profile.ets else view

    def fence(self, fence: Fence, completion: int | None) -> None:
        """A barrier; ``completion`` is when it completed broadcast invalidations."""
        view = START if completion is None else at(completion)
        if fence.reads:
            view = join(view, self.reads if fence.writes else self.reads_returning)
        if fence.writes:
            view = join(view, self.writes)
        if fence.completes:
            view = join(view, self.implicit, *(at(own.invalidation.since) for own in self.own))
        if fence.before_reads:
            self.before_reads = join(self.before_reads, view)
        if fence.before_writes:
            self.before_writes = join(self.before_writes, view)
        if fence.stores:
            self.before_writes = join(self.before_writes, self.writes)
        if fence.synchronises:
            self.dsb = join(self.dsb, view)
        if fence.completes:
            done = self.dsb[0] if completion is None else completion
            self.own = [
                own if own.completed is not None else OwnInvalidation(own.invalidation, done, own.felt)
                for own in self.own
            ]

    def synchronise_context(self, trigger: View) -> None:
        """ISB, exception entry or return."""
        self.context = join(self.context, full(self.control), full(self.addresses), self.dsb, full(trigger))
        self.before_reads = join(self.before_reads, self.context)
        self.before_writes = join(self.before_writes, self.context)
        self.own = [
            OwnInvalidation(own.invalidation, own.completed, own.felt or own.completed is not None) for own in self.own
        ]

    def before_invalidation(self, argument: View) -> View:
        """What an invalidation stands after."""
        return join(self.dsb, self.context, full(self.control), full(argument))
