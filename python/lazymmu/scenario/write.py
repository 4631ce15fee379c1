"""Scenarios as plain data again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lazymmu.scenario import concurrent
from lazymmu.scenario.model import FORMAT, Expectation, Injection, Scenario, Translation
from lazymmu.scenario.operations import Block, Step


def to_data(scenario: Scenario) -> dict[str, Any]:
    """The plain data of a scenario; what has its default is left out."""
    data: dict[str, Any] = {"lazymmu": FORMAT, "name": scenario.name}
    for key in ("about", "mms", "tasks", "backends", "geometries", "schemes", "options"):
        if value := getattr(scenario, key):
            data[key] = value
    if scenario.cpus != 1:
        data["cpus"] = scenario.cpus
    data["ops"] = [_step_data(step) for step in scenario.steps]
    if scenario.injections:
        data["injections"] = [_injection_data(injection) for injection in scenario.injections]
    for key, blocks in (("threads", scenario.threads), ("interrupts", scenario.interrupts)):
        if blocks:
            data[key] = [concurrent.to_data(block, [_step_data(step) for step in block.steps]) for block in blocks]
    if scenario.migrations:
        data["migrations"] = scenario.migrations
    if scenario.preemption != "full":
        data["preemption"] = scenario.preemption
    if scenario.may_fail_alloc:
        data["may_fail_alloc"] = True
    if scenario.schedule:
        data["schedule"] = scenario.schedule
    if scenario.expectations:
        data["expect"] = [_expectation_data(expectation) for expectation in scenario.expectations]
    return data


def _step_data(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if step.label is not None:
        data["label"] = step.label
    if step.task:
        data["task"] = step.task
    if step.fail_alloc is not None:
        data["fail_alloc"] = step.fail_alloc
    args = {k: [_step_data(s) for s in v.steps] if isinstance(v, Block) else v for k, v in step.args.items()}
    return {**data, step.name: args}


def _injection_data(injection: Injection) -> dict[str, Any]:
    after: dict[str, Any] = {"op": injection.after.op}
    for key in ("event", "kind"):
        if (value := getattr(injection.after, key)) is not None:
            after[key] = value
    if injection.after.nth:
        after["nth"] = injection.after.nth
    data: dict[str, Any] = {"after": after}
    for key, value in (("irq", injection.interrupt), ("task", injection.task), ("cpu", injection.cpu)):
        if value is not None:
            data[key] = value
    return {**data, "ops": [_step_data(step) for step in injection.steps]}


def _expectation_data(expectation: Expectation) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for f in fields(Expectation):
        value = getattr(expectation, f.name)
        if f.name == "translations":
            value = [_translation_data(t) for t in value]
        if value is not None and value != {} and (value != [] or f.name in ("hazards", "breaks", "costs")):
            data[f.name] = value
    return data


def _translation_data(translation: Translation) -> dict[str, Any]:
    defaults = Translation(translation.va)
    data: dict[str, Any] = {"va": translation.va}
    for f in fields(Translation):
        if (value := getattr(translation, f.name)) != getattr(defaults, f.name):
            data[f.name] = value
    return data
