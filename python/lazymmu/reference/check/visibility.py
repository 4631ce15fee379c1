"""Rules about stores that are used before they are completed: H1, H2, H3, H4, H15, and H38's barriers."""

from __future__ import annotations

from lazymmu.reference import events as ev
from lazymmu.reference.check.rule import BREAKS, COST, Report, Rule
from lazymmu.reference.check.track import AUX, CPU, PAGE, VA, Pending, Track
from lazymmu.reference.codes import Outcome
from lazymmu.reference.events import Event


def _found(event: Event) -> bool:
    """Whether the access found its translation in memory."""
    return event[AUX] >> 8 in (Outcome.OK, Outcome.REPAIRED)


def _counts(store: Pending, event: Event) -> bool:
    return store.covers(event[VA]) and (store.queued or _found(event))


class H1(Rule):
    """Facts 8 H1: an access by the storing CPU."""

    code, name, kinds = "H1", "use before barrier", (ev.ACCESS,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if event[VA] & PAGE in track.kmaps:
            return
        for store in track.pending:
            if store.cpu == event[CPU] and _counts(store, event):
                what = "waits in the queue" if store.queued else "has had no barrier"
                report(self, BREAKS, event, f"the store that maps {event[VA]:#x} {what}")
                return


class H2(Rule):
    """Facts 8 H2: an access by another CPU, while the storing one has had no DSB."""

    code, name, kinds = "H2", "use before barrier, other CPU", (ev.ACCESS,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if event[VA] & PAGE in track.kmaps:
            return
        for store in track.pending:
            if event[CPU] in store.settled:
                continue
            if store.cpu != event[CPU] and not store.visible and _counts(store, event):
                report(self, BREAKS, event, f"CPU {store.cpu} has not completed the store that maps {event[VA]:#x}")
                return


class H3(Rule):
    """Facts 8 H3: software reads what the queue has already changed."""

    code, name, kinds = "H3", "read-back of a queued store", (ev.STALE_READ,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        report(self, BREAKS, event, f"an entry for {event[VA]:#x} is read while a store to it is queued")


class H4(Rule):
    """Facts 8 H4: a kmap slot is used before its mapping is there."""

    code, name, kinds = "H4", "kmap deferred", (ev.ACCESS,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if event[VA] & PAGE not in track.kmaps:
            return
        if any(store.cpu == event[CPU] and store.covers(event[VA]) for store in track.pending):
            report(self, BREAKS, event, f"the store that maps slot {event[VA]:#x} is deferred")


class H15(Rule):
    """Facts 8 H15: an interrupt leaves its barrier to the code that it interrupted."""

    code, name, kinds = "H15", "interrupt's write batched into the interrupted section", (ev.IRQ_OUT,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        # Where setters complete nothing the handler's own flush is missing: nobody's section waits for anything.
        own = track.laws.dsb_completes or track.laws.fences
        for store in track.pending:
            if store.from_interrupt and store.cpu == event[CPU] and not store.visible and (store.queued or not own):
                message = f"the interrupt returns, its store at {store.start:#x} is pending"
                report(self, BREAKS, event, message, va=store.start, level=store.level)
                return


class H38Barrier(Rule):
    """Facts 8 H38: a barrier for nothing."""

    code, name, kinds = "H38", "superfluous barrier or sync", (ev.BAR,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if not any(store.cpu == event[CPU] and not store.queued for store in track.pending):
            report(self, COST, event, "a barrier, and no store was pending")
