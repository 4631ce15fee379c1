"""One case on both implementations."""

from __future__ import annotations

from typing import Any

import lazymmu
from lazymmu import reference

from .generate import Case


class Disagreement(AssertionError):
    """The core and the reference differ."""


def _core(case: Case) -> tuple[Any, Any]:
    p = case.program
    machine = lazymmu.Machine(
        case.backend, case.geometry, case.scheme, case.options, cpus=p["cpus"], mms=p["mms"], tasks=p["tasks"]
    )
    try:
        return machine, machine.run(p)
    except lazymmu.RunError as error:
        return machine, error


def _reference(case: Case) -> tuple[Any, Any]:
    p = case.program
    machine = reference.Machine(
        case.backend, case.geometry, case.scheme, case.options, cpus=p["cpus"], mms=p["mms"], tasks=p["tasks"]
    )
    try:
        return machine, machine.run(p)
    except lazymmu.RunError as error:
        return machine, error


def _first(a: list[Any], b: list[Any]) -> str:
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return f"number {n}: core {x}, reference {y}"
    return f"core has {len(a)}, reference {len(b)}: {a[len(b):][:2] or b[len(a):][:2]}"


def compare(case: Case) -> int:
    """Runs a case on both; returns the number of operations that ran.

    Raises `Disagreement` saying what differs first: results, events, counts, findings, roots, tables.
    """
    core_machine, core = _core(case)
    reference_machine, other = _reference(case)
    if isinstance(core, Exception) or isinstance(other, Exception):
        if not (isinstance(core, Exception) and isinstance(other, Exception)):
            raise Disagreement(f"refused by one only: core {core!r}, reference {other!r}")
        return len(case.program["ops"])
    pairs = {
        "results": (list(core.results), list(other.results)),
        "events": (core.events.tolist(), [tuple(e) for e in other.events]),
        "injected": (core.injected, other.injected),
        "missed": (sorted(core.missed), sorted(other.missed)),
        "counts": (sorted(core.counts.items()), sorted(other.counts.items())),
        "findings": (sorted(h.key() for h in core.hazards), sorted(h.key() for h in other.hazards)),
        "roots": (core_machine.roots(), reference_machine.roots()),
    }
    for what, (a, b) in pairs.items():
        if a != b:
            raise Disagreement(f"{what}: {_first(a, b)}")
    image = {t.pa: (t.level, t.words.tolist()) for t in core_machine.image()}
    if image != reference_machine.image():
        raise Disagreement(f"tables: {_first(sorted(image.items()), sorted(reference_machine.image().items()))[:300]}")
    return len(core.results)
