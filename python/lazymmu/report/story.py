"""A run told as a story: one line an event, one column a CPU, and why the last access went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lazymmu.report import names
from lazymmu.report.events import line

if TYPE_CHECKING:
    from lazymmu.explore.outcomes import Outcome

_WIDTH = 58
_FRAME = frozenset({"WALK", "WALK_END", "SLOT", "OP_END", "FLUSH_CACHE", "WMB"})
"""Events that say only where the code is."""
_PREFIX = re.compile(r"^\s*\d+\s+cpu\d+ ")


def story(outcome: Outcome, code: str = "") -> str:
    """The run up to the first hazard (with this code) that breaks, or violates a contract, or to its end."""
    events = outcome.run.events
    hazards = [h for h in outcome.hazards if code in ("", h.code)]
    bad = [h for h in hazards if h.severity == "breaks"] or [h for h in hazards if h.severity == "contract"]
    last = min((h.event for h in bad), default=len(events) - 1)
    return "\n".join(_lines(outcome, events[: last + 1], [h for h in bad if h.event == last]))


def _lines(outcome: Outcome, events: Any, why: list[Any]) -> Iterator[str]:
    cpus = sorted({int(cpu) for cpu in events["cpu"]}) or [0]
    yield "       " + "".join(f"{f'CPU {cpu}':{_WIDTH}}" for cpu in cpus).rstrip()
    waiting = _Waiting(bool({"BAR", "DSB", "DEFER"} & {_kind(event) for event in events}))
    previous: tuple[int, int] | None = None
    for index, event in enumerate(events):
        here = int(event["cpu"]), int(event["context"])
        if previous is not None and here != previous:
            yield f"{'':7}{'. ' * (len(cpus) * _WIDTH // 2 - 2)}".rstrip()
        previous = here
        waiting.see(event)
        if _kind(event) in _FRAME and index < len(events) - 1:
            continue
        column = cpus.index(here[0])
        yield f"{index:6} " + " " * (_WIDTH * column) + _PREFIX.sub("", line(event, index))
    if why:
        event = events[-1]
        seen = waiting.about(int(event["va"]))
        for hazard in why:
            yield f"    => {hazard.code} on CPU {hazard.cpu}: {hazard.rule}: {hazard.message}"
        yield from (f"       {text}" for text in seen)
    if outcome.deadlock:
        yield "    => the threads that are left wait for each other's locks"


def _kind(event: Any) -> str:
    return names.kinds().get(int(event["kind"]), "")


class _Waiting:
    """Stores that walkers need not see yet."""

    def __init__(self, barriers: bool) -> None:
        self.barriers = barriers
        self.stores: list[tuple[int, int, int, int, int, bool]] = []

    def see(self, event: Any) -> None:
        cpu = int(event["cpu"])
        match _kind(event):
            case "STORE" if self.barriers:
                self._add(event, queued=False)
            case "QUEUE":
                self._add(event, queued=True)
            case "BAR" | "DSB":
                self.stores = [s for s in self.stores if s[0] != cpu or s[5]]
            case "FLUSH":
                self.stores = [s for s in self.stores if s[0] != cpu or not s[5]]

    def _add(self, event: Any, *, queued: bool) -> None:
        va, level = int(event["va"]), int(event["level"])
        self.stores.append((int(event["cpu"]), va, level, int(event["old"]), int(event["new"]), queued))

    def about(self, va: int) -> Iterator[str]:
        """What a walk to an address may still find."""
        for cpu, first, level, old, new, queued in self.stores:
            near = first <= va and (level > 1 or va - first < 0x10000)
            if near and new:
                where = f"{names.LEVELS[level]} {first:#x}"
                how = f"queued on CPU {cpu}" if queued else f"stored by CPU {cpu}, no barrier since"
                yield f"a walker may still see {where} as {old:#x}: {new:#x} is {how}"
