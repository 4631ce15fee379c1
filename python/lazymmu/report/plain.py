"""Reports as plain data, for ``--json``. Addresses and words are hex strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazymmu.compare.matrix import Cell, Matrix
from lazymmu.compare.reduce import Shortest
from lazymmu.compare.summary import summary as compare_summary
from lazymmu.report.names import LEVELS
from lazymmu.results import Hazard, Run


def hazard(found: Hazard) -> dict[str, Any]:
    """One finding."""
    return {
        "code": found.code,
        "severity": found.severity,
        "rule": found.rule,
        "event": found.event,
        "op": found.op,
        "cpu": found.cpu,
        "va": hex(found.va),
        "level": LEVELS[found.level] if found.level else None,
        "message": found.message,
        "count": found.count,
    }


def run(result: Run, where: dict[str, str], cost: float, failures: list[str], *, ok: bool) -> dict[str, Any]:
    """One run."""
    return {
        "ok": ok,
        **where,
        "hazards": [hazard(h) for h in result.hazards],
        "counts": dict(result.counts),
        "cost": cost,
        "returns": [r.summary() for r in result.results],
        "events": result.total,
        "failures": failures,
    }


def matrix(result: Matrix, source: str, *, strict: bool) -> dict[str, Any]:
    """One workload on every configuration."""
    return {
        "ok": result.ok(strict=strict),
        "input": source,
        "name": result.workload.name,
        "about": result.workload.about,
        "cells": [_cell(cell, strict=strict) for cell in result.cells],
    }


def summary(matrices: Sequence[Matrix]) -> list[dict[str, Any]]:
    """Several workloads as one matrix."""
    return [
        {
            "backend": total.backend,
            "scheme": total.scheme,
            "runs": total.runs,
            "codes": {severity: sorted(codes) for severity, codes in total.codes.items()},
            "counts": dict(total.counts),
            "cost": total.cost,
            "died": total.died,
            "unexpected": total.unexpected,
        }
        for total in compare_summary(matrices)
    ]


def _cell(cell: Cell, *, strict: bool) -> dict[str, Any]:
    where = cell.configuration.where()
    if cell.outcome is None:
        return {**where, "ok": None, "reason": cell.error}
    result = cell.outcome.run
    return {
        **where,
        "ok": cell.ok(strict=strict),
        "hazards": [hazard(h) for h in result.hazards],
        "counts": dict(result.counts),
        "cost": cell.cost,
        "events": result.total,
        "failures": list(cell.outcome.failures),
        "shortest": [_shortest(found) for found in cell.shortest],
    }


def _shortest(found: Shortest) -> dict[str, Any]:
    return {"code": found.hazard.code, "events": found.hazard.event + 1, "program": found.program}
