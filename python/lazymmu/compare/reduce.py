"""From a run that breaks to the shortest one that still does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lazymmu.compare.workload import Configuration, Prepared
from lazymmu.errors import ConfigError, ProgramError, RunError
from lazymmu.machine import load_program
from lazymmu.results import Hazard, Run

Program = dict[str, Any]

BUDGET = 2_000_000
"""Operations that a reduction may execute; a program too long for that is only cut off behind the finding."""


@dataclass(frozen=True)
class Shortest:
    """A program from which nothing can be taken away without losing the finding."""

    program: Program
    hazard: Hazard
    run: Run


class _Oracle:
    """Says whether a program still has a finding of this code and severity."""

    def __init__(self, prepared: Prepared, configuration: Configuration, hazard: Hazard) -> None:
        self.prepared = prepared
        self.configuration = configuration
        self.hazard = hazard
        self.spent = 0

    def run(self, program: Program, *, log: bool = False) -> Run | None:
        self.spent += len(program["ops"]) + 1
        prepared = replace(self.prepared, program=program)
        try:
            return prepared.machine(self.configuration, log=log).run(load_program(program))
        except (ConfigError, ProgramError, RunError):
            return None

    def finding(self, run: Run | None) -> Hazard | None:
        wanted = (self.hazard.code, self.hazard.severity)
        return next((h for h in run.hazards if (h.code, h.severity) == wanted), None) if run else None

    def fails(self, program: Program) -> bool:
        return self.spent < BUDGET and self.finding(self.run(program)) is not None


def reduce(prepared: Prepared, configuration: Configuration, hazard: Hazard) -> Shortest | None:
    """The shortest program found that has the same finding.

    No operation and no injection can be left out of it, and no number made smaller, without losing the finding.
    None where the finding does not come again.
    """
    oracle = _Oracle(prepared, configuration, hazard)
    program = dict(prepared.program)
    cut = _cut(program, hazard.op)
    if oracle.fails(cut):
        program = cut
    program = shrink(program, oracle.fails)
    run = oracle.run(program, log=True)
    found = oracle.finding(run)
    return Shortest(program, found, run) if found and run else None


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """A program that still fails, of which no smaller one tried does."""
    changed = True
    while changed:
        changed = False
        for candidate in _smaller(program):
            if fails(candidate):
                program = candidate
                changed = True
                break
    return program


def _cut(program: Program, last: int) -> Program:
    """Nothing behind the operation at which the finding was made."""
    out = {**program, "ops": program["ops"][: last + 1]}
    if "injections" in program:
        out["injections"] = [i for i in program["injections"] if i["at"]["op"] <= last]
    return out


def _smaller(program: Program) -> Iterator[Program]:
    """Programs one step smaller, the largest steps first."""
    if "concurrent" in program:
        yield from _smaller_together(program)
    ops = program["ops"]
    size = len(ops) // 2
    while size >= 1:
        for start in range(0, len(ops), size):
            yield _without(program, start, min(start + size, len(ops)))
        size //= 2
    injections = program.get("injections", [])
    for n, injection in enumerate(injections):
        yield {**program, "injections": injections[:n] + injections[n + 1 :]}
        for k in range(len(injection["ops"])):
            shorter = {**injection, "ops": injection["ops"][:k] + injection["ops"][k + 1 :]}
            yield {**program, "injections": [*injections[:n], shorter, *injections[n + 1 :]]}
        yield from _simpler_point(program, n)
    for n, step in enumerate(ops):
        if "fail_alloc" in step:
            plain = {key: value for key, value in step.items() if key != "fail_alloc"}
            yield {**program, "ops": [*ops[:n], plain, *ops[n + 1 :]]}
        for smaller in _smaller_numbers(step["op"]):
            yield {**program, "ops": [*ops[:n], {**step, "op": smaller}, *ops[n + 1 :]]}


def _without(program: Program, start: int, end: int) -> Program:
    gone = end - start
    out = {**program, "ops": program["ops"][:start] + program["ops"][end:]}
    kept = []
    for injection in program.get("injections", []):
        op = injection["at"]["op"]
        if start <= op < end:
            continue
        at = {**injection["at"], "op": op - gone if op >= end else op}
        kept.append({**injection, "at": at})
    if "injections" in program:
        out["injections"] = kept
    if "concurrent" in program:
        out["concurrent"] = _renumbered(program["concurrent"], start, gone)
    return out


def _renumbered(together: Program, start: int, gone: int) -> Program:
    """Interrupts where ``gone`` operations from ``start`` on are no more; those of none of the others go too."""
    kept = []
    for interrupt in together.get("interrupts", []):
        wanted = interrupt.get("at", {}).get("ops")
        if not wanted:
            kept.append(interrupt)
            continue
        left = [op - gone if op >= start + gone else op for op in wanted if not start <= op < start + gone]
        if left:
            kept.append({**interrupt, "at": {**interrupt["at"], "ops": left}})
    out = {key: value for key, value in together.items() if key not in ("interrupts", "schedule")}
    return {**out, "interrupts": kept} if kept else out


def _smaller_together(program: Program) -> Iterator[Program]:
    """Fewer threads, operations of threads, interrupts; smaller operations of threads."""
    together = {key: value for key, value in program["concurrent"].items() if key != "schedule"}
    threads = together["threads"]
    first = len(program["ops"])
    for n, thread in enumerate(threads):
        count = len(thread["ops"])
        if len(threads) > 1:
            fewer = {**_renumbered(together, first, count), "threads": threads[:n] + threads[n + 1 :]}
            if not fewer.get("migrations"):
                yield {**program, "concurrent": fewer}
        for k, step in enumerate(thread["ops"]):
            less = {**thread, "ops": thread["ops"][:k] + thread["ops"][k + 1 :]}
            if less["ops"]:
                shorter = [*threads[:n], less, *threads[n + 1 :]]
                yield {**program, "concurrent": {**_renumbered(together, first + k, 1), "threads": shorter}}
            for smaller in _smaller_numbers(step["op"]):
                ops = [*thread["ops"][:k], {**step, "op": smaller}, *thread["ops"][k + 1 :]]
                changed = [*threads[:n], {**thread, "ops": ops}, *threads[n + 1 :]]
                yield {**program, "concurrent": {**together, "threads": changed}}
        first += count
    interrupts = together.get("interrupts", [])
    for n, interrupt in enumerate(interrupts):
        yield {**program, "concurrent": {**together, "interrupts": interrupts[:n] + interrupts[n + 1 :]}}
        for k in range(len(interrupt["ops"])):
            less = {**interrupt, "ops": interrupt["ops"][:k] + interrupt["ops"][k + 1 :]}
            yield {**program, "concurrent": {**together, "interrupts": [*interrupts[:n], less, *interrupts[n + 1 :]]}}
    for key in ("may_fail_alloc", "migrations"):
        if together.get(key):
            yield {**program, "concurrent": {k: v for k, v in together.items() if k != key}}


def _simpler_point(program: Program, n: int) -> Iterator[Program]:
    injections = program["injections"]
    at = injections[n]["at"]
    for key in ("nth", "event"):
        if value := at.get(key):
            for less in sorted({0, value // 2, value - 1}):
                changed = {**injections[n], "at": {**at, key: less}}
                yield {**program, "injections": [*injections[:n], changed, *injections[n + 1 :]]}


_SIZES = ("size", "count")
PAGE = 4096


def _smaller_numbers(op: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    (name, arguments), *_ = op.items()
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "count" in value and "list" not in value:
            for inner in _smaller_numbers({key: value}):
                yield {name: {**arguments, **inner}}
        elif key in _SIZES and isinstance(value, int):
            unit = PAGE if key == "size" else 1
            for less in sorted({unit, value // 2 // unit * unit, value - unit}):
                if 0 < less < value:
                    yield {name: {**arguments, key: less}}
