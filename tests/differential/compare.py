"""One case on both implementations, and everything that can be seen of it compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lazymmu
from lazymmu import reference
from lazymmu.reference.geometry import geometry_named

from .generate import Case


class Disagreement(AssertionError):
    """The core and the reference differ."""


class Both:
    """A machine of each implementation, in the same state until something differs."""

    def __init__(self, case: Case, scheme: Any = None, hooks: tuple[Any, Any] = (None, None)) -> None:
        what = (case.backend, case.geometry, scheme or case.scheme, case.options)
        setup: dict[str, Any] = {"cpus": case.cpus, "mms": case.mms, "tasks": case.tasks}
        self.core = lazymmu.Machine(*what, **setup, hooks=hooks[0])
        self.reference = reference.Machine(*what, **setup, hooks=hooks[1])

    def run(self, program: dict[str, Any]) -> int:
        """Runs a program on both; returns how many operations ran.

        Raises `Disagreement` saying what differs first: refusals, results, events, counts, findings.
        """
        core, other = _attempt(self.core, program), _attempt(self.reference, program)
        if isinstance(core, lazymmu.RunError) or isinstance(other, lazymmu.RunError):
            if not isinstance(core, lazymmu.RunError) or not isinstance(other, lazymmu.RunError) or core.op != other.op:
                raise Disagreement(f"refused: {_told('core', core)}, {_told('reference', other)}")
            return core.op or 0
        _same("results", list(core.results), list(other.results))
        _same("events", core.events.tolist(), other.events)
        _same("total", [core.total], [other.total])
        _same("injected", core.injected, other.injected)
        _same("missed", sorted(core.missed), other.missed)
        _same("counts", sorted(core.counts.items()), sorted(other.counts.items()))
        _same("findings", _findings(core), _findings(other))
        return sum(result.ending != "not-run" for result in other.results)

    def same_state(self, addresses: Sequence[int] = ()) -> None:
        """Roots, tables, tasks, and what the addresses translate to in every address space."""
        roots = self.core.roots()
        _same("roots", roots, self.reference.roots())
        tables = self.reference.image()
        image = self.core.image()
        _same("table pages", [(t.pa, t.level) for t in image], [(pa, level) for pa, (level, _) in tables.items()])
        for table in image:
            words = tables[table.pa][1]
            if table.words.tolist() != words:
                _same(f"table {table.pa:#x} of level {table.level}", table.words.tolist(), words)
        tasks = range(len(self.core._native.tasks))
        _same("tasks", [self.core._native.lazy(n) for n in tasks], [self.reference.lazy(n) for n in tasks])
        for va in addresses:
            for mm in range(len(roots)):
                core, other = self.core.translate(va, mm), self.reference.translate(va, mm)
                if core != other:
                    raise Disagreement(f"translation of {va:#x} in mm {mm}: core {core}, reference {other}")


def compare(case: Case) -> int:
    """Runs the programs of a case on both; returns the number of operations that ran and were compared."""
    both = Both(case)
    ran = sum(both.run(program) for program in case.programs)
    both.same_state(_addresses(case))
    return ran


def _attempt(machine: Any, program: dict[str, Any]) -> Any:
    try:
        return machine.run(program)
    except lazymmu.RunError as error:
        return error


def _told(who: str, ended: Any) -> str:
    return f"{who} {ended!r} at {ended.op}" if isinstance(ended, lazymmu.RunError) else f"{who} ran it"


def _findings(run: Any) -> list[Any]:
    return sorted((*hazard.key(), hazard.rule) for hazard in run.hazards)


def _same(what: str, core: Sequence[Any], other: Sequence[Any]) -> None:
    if core == other:
        return
    for n, (x, y) in enumerate(zip(core, other, strict=False)):
        if x != y:
            raise Disagreement(f"{what}: number {n}: core {x}, reference {y}")
    more = core[len(other) :][:2] or other[len(core) :][:2]
    raise Disagreement(f"{what}: core has {len(core)}, reference {len(other)}: {more}")


def _addresses(case: Case) -> list[int]:
    """Some addresses that the programs name."""
    canonical = geometry_named(case.geometry).canonical
    steps = [step["op"] for program in case.programs[-2:] for step in program["ops"][-6:]]
    named = [args["va"] for op in steps for args in op.values() if "va" in args]
    return [va for va in named if isinstance(va, int) and canonical(va)]
