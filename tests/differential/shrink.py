"""The smallest case that still fails, and cases as TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import tomli_w

import lazymmu

from .compare import Disagreement, compare
from .generate import Case

_TOML_INTEGER = 1 << 63


def disagreement(case: Case) -> str | None:
    """What the implementations disagree about in a case."""
    try:
        compare(case)
    except Disagreement as error:
        return str(error)
    except lazymmu.LazymmuError:
        return None  # a case that shrinking made meaningless
    return None


def shrink(case: Case, fails: Callable[[Case], object] = disagreement) -> Case:
    """Leaves out whatever is not needed for the case to fail."""
    while True:
        smaller = next((other for other in _smaller(case) if fails(other)), None)
        if smaller is None:
            return case
        case = smaller


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with something left out, the largest parts first."""
    programs = case.programs
    if len(programs) > 1 and not any(p.get("injections") for p in programs):
        yield replace(case, programs=[{"ops": [op for program in programs for op in program["ops"]]}])
    yield from (replace(case, programs=[*programs[:n], *programs[n + 1 :]]) for n in range(len(programs)))
    for number, program in enumerate(programs):
        for less in _less(program):
            yield replace(case, programs=[*programs[:number], less, *programs[number + 1 :]])
    for name in case.options:
        yield replace(case, options={key: value for key, value in case.options.items() if key != name})
    for number in reversed(range(len(case.tasks))):
        yield replace(case, tasks=[*case.tasks[:number], *case.tasks[number + 1 :]])
    if case.mms:
        yield replace(case, mms=case.mms - 1)
    if case.cpus > 1:
        yield replace(case, cpus=case.cpus - 1)


def _less(program: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Programs with an injection, operations or arguments left out."""
    ops, injections = program["ops"], program.get("injections", [])
    for n in range(len(injections)):
        yield {**program, "injections": [*injections[:n], *injections[n + 1 :]]}
    size = len(ops)
    while size:
        for start in range(0, len(ops), size):
            yield _without(program, start, min(start + size, len(ops)))
        size //= 2
    for n, step in enumerate(ops):
        for less in _less_of(step):
            yield {**program, "ops": [*ops[:n], less, *ops[n + 1 :]]}
    for n, injection in enumerate(injections):
        for key in ("irq", "task", "cpu"):
            if key in injection:
                less = {name: value for name, value in injection.items() if name != key}
                yield {**program, "injections": [*injections[:n], less, *injections[n + 1 :]]}
        for m in range(len(injection["ops"]) if len(injection["ops"]) > 1 else 0):
            less = {**injection, "ops": [*injection["ops"][:m], *injection["ops"][m + 1 :]]}
            yield {**program, "injections": [*injections[:n], less, *injections[n + 1 :]]}


def _less_of(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A step without one of its arguments, or with a smaller one."""
    for key in ("task", "fail_alloc"):
        if key in step:
            yield {name: value for name, value in step.items() if name != key}
    for op, args in step["op"].items():
        for key in args:
            yield {**step, "op": {op: {name: value for name, value in args.items() if name != key}}}
        size = args.get("size")
        if isinstance(size, int) and size > 0x1000:
            yield {**step, "op": {op: {**args, "size": 0x1000}}}


def _without(program: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """A program without some operations; injections move with the operations that they interrupt."""
    kept = {n: n - (end - start) * (n >= end) for n in range(len(program["ops"])) if not start <= n < end}
    injections = [
        {**injection, "at": {**injection["at"], "op": kept[injection["at"]["op"]]}}
        for injection in program.get("injections", [])
        if injection["at"]["op"] in kept
    ]
    return {"ops": [*program["ops"][:start], *program["ops"][end:]], "injections": injections}


def to_toml(case: Case) -> str:
    """A case as TOML. Numbers that TOML does not have are hex strings."""
    return tomli_w.dumps(_encoded(asdict(case)))


def from_toml(text: str) -> Case:
    """The case of such a text."""
    return Case(**_decoded(tomllib.loads(text)))


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    large = isinstance(value, int) and value >= _TOML_INTEGER
    return hex(value) if large else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
