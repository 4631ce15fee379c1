"""Scenario files: ``*.lmmu.toml`` and Python scripts, read and written, with errors that name file and line."""

from __future__ import annotations

import json
import runpy
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any

import tomli_w

from lazymmu import _native
from lazymmu.errors import ScenarioError
from lazymmu.scenario.model import Injection, Scenario
from lazymmu.scenario.operations import Block, Step
from lazymmu.scenario.read import Problem, from_data
from lazymmu.scenario.write import to_data


def read(path: str | Path) -> list[Scenario]:
    """The scenarios of a file: one of a ``.toml`` file, all that a ``.py`` script defines at its top level.

    Raises `lazymmu.ScenarioError` with file, line, what was found and what was expected.
    """
    path = Path(path)
    if path.suffix == ".py":
        return _read_script(path)
    if path.suffix in (".toml", ".json"):
        return [_read_text(path)]
    raise ScenarioError(path, "", "not a scenario: expected a .lmmu.toml file, its data as .json, or a .py script")


def _read_text(path: Path) -> Scenario:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(path, "", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(path, f"byte {error.start}", "not UTF-8 text") from error
    if path.suffix == ".toml":
        return parse_toml(text, path)
    try:
        return from_data(json.loads(text))
    except json.JSONDecodeError as error:
        raise ScenarioError(path, f"line {error.lineno}", f"not JSON: {error.msg}") from error
    except Problem as problem:
        raise ScenarioError(path, "", str(problem)) from None


def parse_toml(text: str, path: str | Path = "<text>") -> Scenario:
    """The scenario that TOML text describes."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(path, "", f"not TOML: {error}") from error
    try:
        return from_data(data)
    except Problem as problem:
        raise located(problem, text, path) from None


def located(problem: Problem, text: str, path: str | Path) -> ScenarioError:
    """The problem with the line of the text that it is about."""
    line = _native.toml_line(text, [str(part) for part in problem.path])
    where = f"line {line}" if line is not None else ""
    key = ".".join(str(part) for part in problem.path)
    return ScenarioError(path, where, f"{key}: {problem.message}" if key else problem.message)


def _read_script(path: Path) -> list[Scenario]:
    try:
        names = runpy.run_path(str(path))
    except OSError as error:
        raise ScenarioError(path, "", error.strerror or str(error)) from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(sys.exc_info()[2]) if f.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        where = f"line {line}" if line is not None else ""
        raise ScenarioError(path, where, f"{type(error).__name__}: {error}") from error
    found: dict[int, Scenario] = {}
    for value in names.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Scenario):
                found[id(item)] = item
    if not found:
        raise ScenarioError(path, "", "the script defines no lazymmu.scenario.Scenario")
    scenarios = list(found.values())
    for scenario in scenarios:
        check(scenario, path)
    return scenarios


def check(scenario: Scenario, path: str | Path = "<scenario>") -> None:
    """Raises `lazymmu.ScenarioError` where the scenario could not be read back from a file."""
    try:
        from_data(to_data(scenario))
    except Problem as problem:
        raise ScenarioError(path, f"scenario {scenario.name}", str(problem)) from None


def to_toml(scenario: Scenario) -> str:
    """The scenario as TOML."""
    return tomli_w.dumps(to_data(scenario))


def to_script(scenario: Scenario) -> str:
    """The scenario as a Python script."""
    fields = []
    for key in ("about", "cpus", "mms", "tasks", "backends", "geometries", "schemes", "options", *_TOGETHER):
        value = getattr(scenario, key)
        if value != getattr(Scenario(), key):
            fields.append(f", {key}={value!r}")
    blocks: list[str] = []
    lines = [f"scenario = Scenario(name={scenario.name!r}{''.join(fields)})"]
    lines += [_call("scenario", step, blocks) for step in scenario.steps]
    for n, injection in enumerate(scenario.injections):
        lines.append(f"injection_{n} = scenario.inject({_point(injection)})")
        lines += [_call(f"injection_{n}", step, blocks) for step in injection.steps]
    for n, thread in enumerate(scenario.threads):
        lines.append(f"thread_{n} = scenario.thread({_some(cpu=thread.cpu, task=thread.task)})")
        lines += [_call(f"thread_{n}", step, blocks) for step in thread.steps]
    for n, given in enumerate(scenario.interrupts):
        how = _some(
            at=given.at or None,
            kind=given.kind,
            irq=given.interrupt,
            cpu=given.cpu,
            task=given.task,
            on=given.on,
            times=given.times if given.times != 1 else None,
        )
        lines.append(f"interrupt_{n} = scenario.interrupt({how})")
        lines += [_call(f"interrupt_{n}", step, blocks) for step in given.steps]
    for data in to_data(scenario).get("expect", []):
        translations = data.pop("translations", None)
        arguments = [f"{key}={value!r}" for key, value in data.items()]
        if translations:
            made = ", ".join(f"Translation({_keywords(t)})" for t in translations)
            arguments.append(f"translations=[{made}]")
        lines.append(f"scenario.expect({', '.join(arguments)})")
    text = "\n".join([*blocks, *lines])
    wanted = [name for name in ("Block", "Scenario", "Translation") if f"{name}(" in text]
    return f"from lazymmu.scenario import {', '.join(wanted)}\n\n{text}\n"


_TOGETHER = ("migrations", "preemption", "may_fail_alloc", "schedule")


def _some(**values: Any) -> str:
    return _keywords({key: value for key, value in values.items() if value is not None})


def _keywords(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in values.items())


def _point(injection: Injection) -> str:
    after = injection.after
    parts = [repr(after.op)]
    pairs = {"event": after.event, "kind": after.kind, "nth": after.nth or None}
    pairs |= {"irq": injection.interrupt, "task": injection.task, "cpu": injection.cpu}
    return ", ".join([*parts, *(f"{key}={value!r}" for key, value in pairs.items() if value is not None)])


def _call(owner: str, step: Step, blocks: list[str]) -> str:
    """One step as a method call; blocks of operations inside it come first, under names of their own."""
    values = dict(step.args)
    for key, value in values.items():
        if isinstance(value, Block):
            name = f"block_{sum(line.endswith(' = Block()') for line in blocks)}"
            blocks.append(f"{name} = Block()")
            blocks.extend(_call(name, inner, blocks) for inner in value.steps)
            values[key] = name
    shown = [f"{key}={value}" if key == "ops" else f"{key}={value!r}" for key, value in values.items()]
    extras = {"label": step.label, "fail_alloc": step.fail_alloc, "task": step.task or None}
    shown += [f"{key}={value!r}" for key, value in extras.items() if value is not None]
    return f"{owner}.{step.name}({', '.join(shown)})"
