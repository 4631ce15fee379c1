"""Rules about what the kernel itself complains of: H26, BUG, WARN."""

from __future__ import annotations

from typing import Final

from lazymmu.reference import events as ev
from lazymmu.reference.check.rule import BREAKS, CONTRACT, Report, Rule
from lazymmu.reference.check.track import AUX, KIND, Track
from lazymmu.reference.codes import Bug, Warn
from lazymmu.reference.events import Event


class H26(Rule):
    """Facts 8 H26."""

    code, name, kinds = "H26", "remap of a live entry", (ev.BUG, ev.WARN)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        if event[KIND] == ev.BUG and event[AUX] == Bug.REMAP:
            report(self, BREAKS, event, "vmap_pte_range finds an occupied entry")
        elif event[KIND] == ev.WARN and event[AUX] == Warn.OCCUPIED:
            report(self, CONTRACT, event, "vmap_pages_pte_range finds an occupied entry")


_EXPLAINED_BUGS: Final = (Bug.REMAP, Bug.TABLES_DISAGREE, Bug.LAZY_NESTED)
_EXPLAINED_WARNS: Final = (
    Warn.OCCUPIED,
    Warn.LAZY_TWICE,
    Warn.ENABLE_WRAP,
    Warn.DISABLE_WRAP,
    Warn.PAUSE_WRAP,
    Warn.RESUME_WRAP,
)


class KernelBug(Rule):
    """A BUG that no other rule explains."""

    code, name, kinds = "BUG", "kernel BUG", (ev.BUG,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        if event[AUX] not in _EXPLAINED_BUGS:
            report(self, BREAKS, event, f"BUG {event[AUX]}")


class KernelWarn(Rule):
    """A WARN that no other rule explains."""

    code, name, kinds = "WARN", "kernel WARN", (ev.WARN,)

    def look(self, track: Track, event: Event, report: Report) -> None:  # noqa: ARG002, D102
        if event[AUX] not in _EXPLAINED_WARNS:
            report(self, CONTRACT, event, f"WARN {event[AUX]}")
