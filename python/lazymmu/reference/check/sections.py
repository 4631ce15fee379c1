"""Rules about lazy sections: H5, H6, H7, H13, H14, H16."""

from __future__ import annotations

from typing import Final

from lazymmu.reference import events as ev
from lazymmu.reference.check.rule import BREAKS, CONTRACT, Report, Rule
from lazymmu.reference.check.track import AUX, CONTEXT, KIND, LEVEL, NEW, OLD, TASK, Track
from lazymmu.reference.codes import Bug, Context, Warn
from lazymmu.reference.events import Event


class H5(Rule):
    """Facts 8 H5, 4.7."""

    code, name, kinds = "H5", "table allocation in a lazy section", (ev.ALLOC,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if event[LEVEL] > 0 and track.open(event[TASK]):
            report(self, CONTRACT, event, "a table is allocated while the section is open")


class H6(Rule):
    """Facts 8 H6, 4.7."""

    code, name, kinds = "H6", "sleep in a lazy section", (ev.RESCHED,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if track.open(event[TASK]) or track.enabled(event[TASK]):
            report(self, CONTRACT, event, "the task may give up the CPU while the section is open")


class H7(Rule):
    """Facts 8 H7: the outermost walk must leave what it entered."""

    code, name, kinds = "H7", "unbalanced exit", (ev.WALK_END,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        walks = track.walks_of(event)
        if len(walks) != 1:
            return
        walk, task = walks[0], event[TASK]
        depth, scope, counters = track.depth[task], task in track.scope, track.counters[task]
        enable, pause = counters & 0xFF, counters >> 8
        if (depth, scope, enable, pause) == (walk.depth, walk.scope, walk.enable, walk.pause):
            return
        more = depth > walk.depth or enable > walk.enable or (scope and not walk.scope)
        message = f"depth {walk.depth} to {depth}, enable {walk.enable} to {enable}, pause {walk.pause} to {pause}"
        report(self, BREAKS if more else CONTRACT, event, message)


class H13(Rule):
    """Facts 8 H13, 2.8 C, 4.1."""

    code, name, kinds = "H13", "nesting where it is not allowed", (ev.ENTER, ev.WARN, ev.BUG)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: D102
        if event[KIND] == ev.ENTER:
            if not track.laws.counted_api and track.depth[event[TASK]] > 0:
                report(self, CONTRACT, event, "lazy mode is entered inside a lazy section")
        elif event[KIND] == ev.WARN:
            if event[AUX] == Warn.LAZY_TWICE:
                report(self, CONTRACT, event, "already in lazy MMU mode")
        elif event[AUX] == Bug.LAZY_NESTED:
            report(self, BREAKS, event, "the backend cannot nest")


_IGNORED: Final = 1
_WRAPS: Final = {
    ev.ENABLE: (0, 255, CONTRACT, "enabled 256 times: not lazy any more"),
    ev.DISABLE: (0, 0, BREAKS, "disabled without enable: everything is postponed"),
    ev.PAUSE: (8, 255, BREAKS, "paused 256 times: paused code is lazy"),
    ev.RESUME: (8, 0, CONTRACT, "resumed without pause: the task never batches again"),
}


class H14(Rule):
    """Facts 8 H14, 7.3 facts 7: a counter of eight bits wraps."""

    code, name, kinds = "H14", "misuse of the counts", tuple(_WRAPS)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        shift, limit, severity, message = _WRAPS[event[KIND]]
        if event[AUX] != _IGNORED and event[OLD] >> shift & 0xFF == limit:
            report(self, severity, event, message)


class H16(Rule):
    """Facts 8 H16."""

    code, name, kinds = "H16", "lazy mode changed from an interrupt", (ev.ENTER, ev.LEAVE)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        if event[CONTEXT] != Context.TASK and event[OLD] != event[NEW]:
            report(self, CONTRACT, event, "the interrupted task's lazy mode changes")
