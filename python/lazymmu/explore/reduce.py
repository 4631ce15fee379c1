"""From an outcome that breaks to a smaller scenario that does the same.

Threads, operations, interrupts and pages are taken away as long as a search of what is left finds the same hazard; then
entries of the schedule. The result is run once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lazymmu.compare.reduce import Program, shrink
from lazymmu.compare.workload import Configuration, Prepared, ScenarioWorkload, Workload
from lazymmu.errors import ConfigError, ProgramError, RunError
from lazymmu.explore.outcomes import Exploration, Outcome
from lazymmu.explore.search import Settings, _outcome, _Raw, _search, threaded, with_schedule
from lazymmu.machine import load_program
from lazymmu.results import Hazard

STATES = 20_000
"""States that one search of a smaller program may take ..."""
BUDGET = 200_000
"""... and all of them together."""


@dataclass(frozen=True)
class Reduced:
    """A smaller scenario with the same hazard, as a program, and one of the shortest runs to it."""

    code: str
    outcome: Outcome

    @property
    def size(self) -> str:
        """How large it is, in words."""
        program: Any = self.outcome.replay
        together = program.get("concurrent", {})
        threads = together.get("threads", [])
        ops = len(program["ops"]) + sum(len(thread["ops"]) for thread in threads)
        parts = [(ops, "operation"), (len(threads), "thread"), (len(self.outcome.schedule), "decision")]
        return ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in parts)


class _Searching:
    """Says whether anything that can come of a program has a finding of this code and severity."""

    def __init__(self, prepared: Prepared, configuration: Configuration, hazard: Hazard) -> None:
        self.prepared, self.configuration, self.hazard = prepared, configuration, hazard
        self.spent = 0

    def find(self, program: Program) -> Outcome | None:
        """An outcome with the finding, if there is one."""
        prepared = Prepared(program, self.prepared.options, self.prepared.layout)
        try:
            (part,) = _search(prepared, self.configuration, Settings(max_states=STATES), None, None)
            self.spent += part.states + 100
            raw = _Raw(load_program(part.program))
            outcomes = (_outcome(raw, self.configuration, prepared, program, found) for found in part.outcomes)
            return next((o for o in outcomes if self.same(o)), None)
        except (ConfigError, ProgramError, RunError):
            self.spent += 100
            return None

    def same(self, outcome: Outcome) -> bool:
        """Whether an outcome has the finding."""
        return any((h.code, h.severity) == (self.hazard.code, self.hazard.severity) for h in outcome.hazards)

    def fails(self, program: Program) -> bool:
        """Whether the program can still fail in this way; no more once the budget is spent."""
        return self.spent < BUDGET and self.find(program) is not None


def reduce(
    workload: Workload, configuration: Configuration, result: Exploration, *, strict: bool = False
) -> list[Reduced]:
    """One small program for each code that breaks (strict: or violates a contract)."""
    if isinstance(workload, ScenarioWorkload):
        workload = ScenarioWorkload(threaded(workload.scenario), workload.source)
    prepared = workload.prepare(configuration)
    severities = ("breaks", "contract") if strict else ("breaks",)
    out, seen = [], set()
    for outcome in result.outcomes:
        for hazard in outcome.hazards:
            if hazard.severity in severities and hazard.code not in seen:
                seen.add(hazard.code)
                found = _reduced(prepared, configuration, hazard)
                if found is not None:
                    out.append(Reduced(hazard.code, found))
    return out


def _reduced(prepared: Prepared, configuration: Configuration, hazard: Hazard) -> Outcome | None:
    searching = _Searching(prepared, configuration, hazard)
    program = dict(prepared.program)
    if not searching.fails(program):
        return None
    program = shrink(program, searching.fails)
    found = searching.find(program)
    return found and _fewer_decisions(found, prepared, configuration, searching)


def _fewer_decisions(
    outcome: Outcome, prepared: Prepared, configuration: Configuration, searching: _Searching
) -> Outcome:
    """The same with a schedule from which no entry can be taken, and no entry of which can come earlier."""
    best = outcome

    def attempt(schedule: list[dict[str, Any]]) -> bool:
        nonlocal best
        if not isinstance(best.replay, dict):
            return False
        program = with_schedule(best.replay, schedule)
        try:
            machine = Prepared(program, prepared.options, prepared.layout).machine(configuration)
            run = machine.run(program)
        except RunError:
            return False
        changed = Outcome(
            hazards=list(run.hazards),
            returns=[r.summary() for r in run.results],
            interrupts=[(op, n, step, r.summary()) for op, n, step, r in run.injected],
            final=best.final,
            tables=best.tables,
            deadlock=False,
            schedule=schedule,
            replay=program,
            run=run,
        )
        if searching.same(changed):
            best = changed
            return True
        return False

    shorter = True
    while shorter:
        entries = best.schedule
        shorter = any(attempt(entries[:n] + entries[n + 1 :]) for n in reversed(range(len(entries))))
    return best
