"""Backends by schemes: one run for each, and the shortest failing run where one breaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lazymmu import _native
from lazymmu.compare.reduce import Shortest, reduce
from lazymmu.compare.workload import Configuration, Outcome, Workload, execute
from lazymmu.errors import ConfigError, RunError
from lazymmu.machine import SchemeLike


@dataclass
class Cell:
    """One configuration: what happened there, or why nothing could."""

    configuration: Configuration
    outcome: Outcome | None = None
    cost: float = 0.0
    error: str = ""
    shortest: list[Shortest] = field(default_factory=list)

    def ok(self, *, strict: bool) -> bool:
        """Nothing to complain about; a configuration on which the workload cannot run is not one."""
        return self.outcome is None or self.outcome.ok(strict=strict)


@dataclass
class Matrix:
    """A workload on every configuration asked for, row by row."""

    workload: Workload
    rows: list[tuple[str, str]]
    schemes: list[SchemeLike]
    cells: list[Cell]

    def ok(self, *, strict: bool) -> bool:
        """No cell complains."""
        return all(cell.ok(strict=strict) for cell in self.cells)


def rows(
    workload: Workload, backends: Sequence[str] = (), geometries: Sequence[str] = (), schemes: Iterable[str] = ("",)
) -> list[tuple[str, str]]:
    """Backends and geometries on which the workload makes sense.

    Without ``geometries`` each backend has one row: its default geometry, or the first that suits the workload.
    """
    known = {name: names for name, _, names in _native.backends()}
    for backend in backends:
        if backend not in known:
            raise ConfigError(f"unknown backend {backend!r}: expected one of {', '.join(known)}")
    everywhere = {geometry for names in known.values() for geometry in names}
    for geometry in geometries:
        if geometry not in everywhere:
            raise ConfigError(f"unknown geometry {geometry!r}: expected one of {', '.join(sorted(everywhere))}")
    tried = list(schemes)
    found = []
    for backend in backends or known:
        wanted = [g for g in known[backend] if not geometries or g in geometries]
        suiting = [g for g in wanted if any(workload.suits(backend, g, scheme) for scheme in tried)]
        found += [(backend, geometry) for geometry in (suiting if geometries else suiting[:1])]
    return found


def compare(
    workload: Workload,
    schemes: Sequence[SchemeLike],
    backends: Sequence[str] = (),
    geometries: Sequence[str] = (),
    *,
    strict: bool = False,
    costs: _native.CostTable | None = None,
    shorten: bool = True,
) -> Matrix:
    """Runs a workload on every configuration.

    Raises `lazymmu.ConfigError` for an unknown name, `lazymmu.ScenarioError` where a scenario has no meaning.
    """
    names = [Configuration("", "", scheme).scheme_name for scheme in schemes]
    found = rows(workload, backends, geometries, names)
    table = costs or _native.CostTable()
    cells = []
    for backend, geometry in found:
        for scheme, name in zip(schemes, names, strict=True):
            configuration = Configuration(backend, geometry, scheme)
            if workload.suits(backend, geometry, name):
                cells.append(_cell(workload, configuration, table, strict=strict, shorten=shorten))
            else:
                cells.append(Cell(configuration, error="does not apply"))
    return Matrix(workload, found, list(schemes), cells)


def _cell(
    workload: Workload, configuration: Configuration, costs: _native.CostTable, *, strict: bool, shorten: bool
) -> Cell:
    try:
        outcome = execute(workload, configuration)
    except RunError as error:
        return Cell(configuration, error=str(error))
    cell = Cell(configuration, outcome, costs.cost(configuration.backend, outcome.run.counts))
    if shorten and not (outcome.run.strict_ok if strict else outcome.run.ok):
        cell.shortest = list(_shortest(workload, configuration, outcome, strict=strict))
    return cell


def _shortest(
    workload: Workload, configuration: Configuration, outcome: Outcome, *, strict: bool
) -> Iterator[Shortest]:
    """One shortest run for each code that breaks."""
    prepared = workload.prepare(configuration)
    severities = ("breaks", "contract") if strict else ("breaks",)
    seen = set()
    for hazard in outcome.run.hazards:
        if hazard.severity in severities and hazard.code not in seen:
            seen.add(hazard.code)
            found = reduce(prepared, configuration, hazard)
            if found is not None:
                yield found
