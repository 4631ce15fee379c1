"""Shows every event to the rules that look at its kind, and gathers what they find."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lazymmu.reference.check import reports, sections, tables, visibility
from lazymmu.reference.check.rule import Rule
from lazymmu.reference.check.track import CPU, KIND, LEVEL, OP, TASK, VA, Laws, Track
from lazymmu.reference.events import Event
from lazymmu.results import Hazard

RULES: Final[tuple[type[Rule], ...]] = (
    visibility.H1,
    visibility.H2,
    visibility.H3,
    visibility.H4,
    sections.H5,
    sections.H6,
    sections.H7,
    tables.H8,
    tables.H9,
    tables.H10,
    tables.H12,
    sections.H13,
    sections.H14,
    visibility.H15,
    sections.H16,
    reports.H26,
    visibility.H38Barrier,
    tables.H38Sync,
    reports.KernelBug,
    reports.KernelWarn,
)


class Checker:
    """The adversary: nothing is visible until something forces it (design, decision 4)."""

    def __init__(self, laws: Laws) -> None:
        self.track = Track(laws)
        self._by_kind: dict[int, list[Rule]] = {}
        for rule in (rule() for rule in RULES):
            for kind in rule.kinds:
                self._by_kind.setdefault(kind, []).append(rule)
        self.restart()

    def restart(self) -> None:
        """A new run: findings begin again, everything else goes on."""
        self._found: dict[tuple[str, str, int, int], Hazard] = {}
        self._index = 0

    def see(self, event: Event) -> None:
        """The next event."""
        for rule in self._by_kind.get(event[KIND], ()):
            rule.look(self.track, event, self._report)
        self.track.follow(event)
        self._index += 1

    def hazards(self) -> list[Hazard]:
        """What was found since the last restart, in order of first occurrence."""
        return list(self._found.values())

    def _report(
        self, rule: Rule, severity: str, event: Event, message: str, va: int | None = None, level: int | None = None
    ) -> None:
        """The same code, severity, operation and task is reported once, with a count."""
        key = (rule.code, severity, event[OP], event[TASK])
        if key in self._found:
            self._found[key] = replace(self._found[key], count=self._found[key].count + 1)
            return
        self._found[key] = Hazard(
            code=rule.code,
            severity=severity,
            rule=rule.name,
            event=self._index,
            op=event[OP],
            cpu=event[CPU],
            task=event[TASK],
            va=event[VA] if va is None else va,
            level=event[LEVEL] if level is None else level,
            message=message,
        )
