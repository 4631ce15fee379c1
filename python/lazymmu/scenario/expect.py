"""Whether a run is as its scenario expects."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Protocol

from lazymmu.results import Result, Run
from lazymmu.scenario import expressions
from lazymmu.scenario.model import Expectation, Scenario, Translation
from lazymmu.scenario.resolve import Resolved

ERRNO = {"-ENOMEM": -12, "-EBUSY": -16, "-EINVAL": -22, "-ENOSPC": -28, "-ERANGE": -34}
LEVELS = ("-", "pte", "pmd", "pud", "p4d", "pgd")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_SEVERITIES = {"hazards": ("breaks", "contract"), "breaks": ("breaks",), "costs": ("cost",)}


class Translator(Protocol):
    """A machine that can be asked for translations."""

    def translate(self, va: int, mm: int = 0) -> Any:
        """Physical address, level and word; None: a fault."""


def failures(scenario: Scenario, resolved: Resolved, run: Run, machine: Translator, where: dict[str, str]) -> list[str]:
    """What is not as expected on the configuration ``where`` (backend, geometry, scheme), one line each."""
    out: list[str] = []
    for expectation in scenario.expectations:
        if expectation.applies(where["backend"], where["geometry"], where["scheme"]):
            out.extend(_check(expectation, scenario, resolved, run, machine))
    return out


def judges_hazards(scenario: Scenario, where: dict[str, str]) -> bool:
    """Whether an expectation says what hazards a run has there; otherwise there must be none that breaks."""
    return any(
        (e.ok, e.hazards, e.breaks) != (None, None, None)
        for e in scenario.expectations
        if e.applies(where["backend"], where["geometry"], where["scheme"])
    )


def _check(wanted: Expectation, scenario: Scenario, resolved: Resolved, run: Run, machine: Translator) -> list[str]:
    out = []
    if wanted.ok is not None and run.ok != wanted.ok:
        out.append(f"ok is {str(run.ok).lower()}, expected {str(wanted.ok).lower()}")
    for key, severities in _SEVERITIES.items():
        codes = getattr(wanted, key)
        found = sorted({h.code for h in run.hazards if h.severity in severities})
        if codes is not None and found != sorted(set(codes)):
            out.append(f"{key} are {', '.join(found) or 'none'}, expected {', '.join(sorted(set(codes))) or 'none'}")
    for key, value in wanted.returns.items():
        index = scenario.index_of(key)
        if index is not None and index < len(run.results):
            actual = run.results[index]
            if not _returned(actual, value, resolved):
                out.append(f"{key} returned {actual.summary()}, expected {value}")
    for key, text in wanted.counts.items():
        actual_count = run.counts.get(key, 0)
        relation, number = _comparison(text, resolved)
        if not _COMPARE[relation](actual_count, number):
            out.append(f"{key} is {actual_count}, expected {text}")
    addresses = _addresses(scenario, resolved, run)
    for translation in wanted.translations:
        out.extend(_translation(translation, resolved, addresses, machine))
    return out


def _comparison(text: int | str, resolved: Resolved) -> tuple[str, int]:
    if isinstance(text, int):
        return "", text
    relation, number = re.fullmatch(r"\s*([<>=!]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if relation not in _COMPARE:
        raise expressions.ExpressionError(f"{text!r}: unknown comparison {relation!r}")
    return relation, expressions.evaluate(number, resolved.symbols).number


def _returned(actual: Result, wanted: Any, resolved: Resolved) -> bool:
    if isinstance(wanted, str) and wanted in ERRNO:
        wanted = ERRNO[wanted]
    match actual.ending:
        case "returned":
            return bool(actual.ret == wanted)
        case "address" | "word" | "created":
            if wanted in ("NULL", "null"):
                return actual.value is None
            if isinstance(wanted, str):
                wanted = expressions.evaluate(wanted, resolved.symbols).number & expressions.MAX
            return bool(actual.value == wanted)
        case "accessed":
            return wanted in (actual.outcome, actual.summary())
        case _:
            return bool(wanted in (actual.ending, actual.summary()))


def _addresses(scenario: Scenario, resolved: Resolved, run: Run) -> dict[str, int]:
    """What slots hold behind the last step."""
    found = {}
    for step, result in zip(scenario.all_steps, run.results, strict=False):
        slot = step.args.get("slot")
        if slot in resolved.slots and result.ending == "address" and result.value is not None:
            found[slot] = result.value
    return found


def _translation(wanted: Translation, resolved: Resolved, addresses: dict[str, int], machine: Translator) -> list[str]:
    place = expressions.evaluate(wanted.va, resolved.symbols, addresses)
    va = (addresses[place.slot] if place.slot else 0) + place.number
    found = machine.translate(va & expressions.MAX, wanted.mm)
    name = f"{wanted.va} ({va & expressions.MAX:#x})"
    if (found is not None) != wanted.mapped:
        return [f"{name} is {'mapped' if found else 'not mapped'}, expected {'mapped' if wanted.mapped else 'not'}"]
    if found is None:
        return []
    out = []
    if wanted.pa is not None:
        pa = expressions.evaluate(wanted.pa, resolved.symbols).number
        if found[0] != pa:
            out.append(f"{name} translates to {found[0]:#x}, expected {pa:#x}")
    if wanted.level is not None and LEVELS[found[1]] != wanted.level:
        out.append(f"{name} is mapped by a {LEVELS[found[1]]}, expected a {wanted.level}")
    return out
