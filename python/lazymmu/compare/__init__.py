"""Any hook placement on any architecture: one workload, a matrix of runs."""

from __future__ import annotations

from lazymmu.compare.matrix import Cell, Matrix, compare
from lazymmu.compare.reduce import Shortest, reduce
from lazymmu.compare.workload import Configuration, Outcome, Prepared, ScenarioWorkload, Workload, execute

__all__ = [
    "Cell",
    "Configuration",
    "Matrix",
    "Outcome",
    "Prepared",
    "ScenarioWorkload",
    "Shortest",
    "Workload",
    "compare",
    "execute",
    "reduce",
]
