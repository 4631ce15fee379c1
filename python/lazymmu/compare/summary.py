"""Several workloads as one matrix: what was found anywhere, and what it cost altogether."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lazymmu.compare.matrix import Cell, Matrix


@dataclass
class Total:
    """A backend under a scheme, over all workloads that make sense there."""

    backend: str
    scheme: str
    runs: int = 0
    codes: dict[str, set[str]] = field(default_factory=dict)
    """Hazard codes by severity."""
    counts: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    died: int = 0
    """Runs in which a task died: their counts and costs are not comparable with others."""
    unexpected: int = 0
    """Runs that were not as their scenario expects."""

    def add(self, cell: Cell) -> None:
        """One more cell of a matrix."""
        if cell.outcome is None:
            return
        run = cell.outcome.run
        self.runs += 1
        for hazard in run.hazards:
            self.codes.setdefault(hazard.severity, set()).add(hazard.code)
        self.counts.update(run.counts)
        self.cost += cell.cost
        self.died += run.died
        self.unexpected += bool(cell.outcome.failures)


def summary(matrices: Sequence[Matrix]) -> list[Total]:
    """Backends by schemes, in the order in which they came."""
    totals: dict[tuple[str, str], Total] = {}
    for matrix in matrices:
        for cell in matrix.cells:
            key = cell.configuration.backend, cell.configuration.scheme_name
            totals.setdefault(key, Total(*key)).add(cell)
    return list(totals.values())
