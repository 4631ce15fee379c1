"""Rules about masks and syncs: H8, H9, H10, H12, and H38's syncs."""

from __future__ import annotations

from lazymmu.reference import events as ev
from lazymmu.reference.check.rule import BREAKS, CONTRACT, COST, Report, Rule
from lazymmu.reference.check.track import AUX, CONTEXT, CPU, KIND, TASK, Track
from lazymmu.reference.codes import INIT_MM, Bug
from lazymmu.reference.events import Event


class H8(Rule):
    """Facts 8 H8: the mask names every level that was stored at."""

    code, name, kinds = "H8", "mask bit lost", (ev.WALK_END,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        walks = track.walks_of(event)
        lost = walks[-1].stored & ~(event[AUX] >> 8) if walks else 0
        if lost:
            report(self, CONTRACT, event, f"the mask {event[AUX] >> 8:#x} lacks {lost:#x}")


class H9(Rule):
    """Facts 8 H9, 3.4: what was stored at a level of ``ARCH_PAGE_TABLE_SYNC_MASK`` must be synced, all of it."""

    code, name, kinds = "H9", "sync missing or too short", (ev.WALK_END,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        walks = track.walks_of(event)
        if not walks or any(outer.mm == INIT_MM for outer in walks[:-1]):
            return
        walk = walks[-1]
        if walk.mm != INIT_MM or not walk.stored & track.laws.sync_mask:
            return
        if walk.hull is not None and walk.hull[0] <= walk.start and walk.end <= walk.hull[1]:
            return
        forgiven = track.laws.repairs_faults and not walk.changed & track.laws.sync_mask
        synced = "nothing" if walk.hull is None else f"{walk.hull[0]:#x} to {walk.hull[1]:#x}"
        report(self, CONTRACT if forgiven else BREAKS, event, f"synced: {synced}; up to {walk.end:#x} was needed")


class H10(Rule):
    """Facts 8 H10, 3.4 P2 and P6: a sync comes behind the stores, and its own copies take effect."""

    code, name, kinds = "H10", "sync too early", (ev.SYNC_END, ev.WALK_END)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        walks = track.walks_of(event)
        severity = CONTRACT if track.laws.repairs_faults else BREAKS
        if event[KIND] == ev.SYNC_END:
            copied = track.syncs.get((event[TASK], event[CONTEXT]), False)
            if walks and copied and track.queue[event[CPU]]:
                report(self, severity, event, "the sync returns, its copies are still queued")
        elif len(walks) == 1 and walks[0].hull is not None and walks[0].after_sync & track.laws.sync_mask:
            report(self, severity, event, "a store at a level of the sync mask came behind the sync")


class H12(Rule):
    """Facts 8 H12."""

    code, name, kinds = "H12", "live change of a synced entry", (ev.BUG,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        if event[AUX] == Bug.TABLES_DISAGREE:
            report(self, BREAKS, event, "two roots lead to different tables")


class H38Sync(Rule):
    """Facts 8 H38, museum A2: a sync for nothing."""

    code, name, kinds = "H38", "superfluous barrier or sync", (ev.SYNC,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        walks = track.walks_of(event)
        if walks and not walks[-1].stored & track.laws.sync_mask:
            report(self, COST, event, "a sync, and the walk stored at no level of the mask")
