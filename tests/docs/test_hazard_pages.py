"""The examples of the hazard pages run, and find what they say on every configuration that they name."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import lazymmu
from lazymmu import _native, reference
from lazymmu.compare import Configuration, ScenarioWorkload, execute
from lazymmu.scenario import Scenario, schema
from lazymmu.scenario.read import from_data

HAZARDS = Path(__file__).parents[2] / "docs" / "hazards"
CODES = [code for code, *_ in _native.hazards()]
SCHEMES = [name for name, *_ in _native.schemes()]
PAIRS = [(backend, geometry) for backend, _, geometries in _native.backends() for geometry in geometries]


def examples(code: str) -> list[dict[str, Any]]:
    text = (HAZARDS / f"{code}.md").read_text()
    return [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]


def configurations(scenario: Scenario) -> list[tuple[str, str, str]]:
    """Where at least one expectation speaks."""
    every = [(b, g, s) for (b, g), s in itertools.product(PAIRS, SCHEMES) if scenario.suits(b, g, s)]
    return [where for where in every if any(e.applies(*where) for e in scenario.expectations)]


ALL = [(code, data) for code in CODES for data in examples(code)]
CASES = [pytest.param(code, data, id=f"{code}-{data['name']}") for code, data in ALL]


@pytest.mark.parametrize("code", CODES)
def test_an_example_finds_the_code(code: str) -> None:
    wanted = [e for data in examples(code) for e in from_data(data).expectations]
    named = [e for e in wanted if code in [*(e.hazards or ()), *(e.breaks or ()), *(e.costs or ())]]
    assert named
    assert all({"backend", "scheme"} & e.when.keys() for e in named), "an expectation says where it holds"


@pytest.mark.parametrize(("code", "data"), CASES)
def test_the_example_is_as_it_expects(code: str, data: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(json.dumps(data)), schema())
    scenario = from_data(data)
    workload = ScenarioWorkload(scenario, code)
    places = configurations(scenario)
    for expectation in scenario.expectations:
        assert any(expectation.applies(*where) for where in places), expectation.when
    for where in places:
        assert not execute(workload, Configuration(*where)).failures, where


@pytest.mark.parametrize(("code", "data"), CASES)
def test_the_reference_finds_the_same(code: str, data: dict[str, Any]) -> None:
    scenario = from_data(data)
    workload = ScenarioWorkload(scenario, code)
    for where in configurations(scenario):
        given = workload.prepare(Configuration(*where)).program
        setup = {key: given[key] for key in ("cpus", "mms", "tasks") if key in given}
        core = lazymmu.Machine(*where, scenario.options, **setup).run(given)
        plain = reference.Machine(*where, scenario.options, **setup).run(given)
        assert found(core.hazards) == found(plain.hazards), where


def found(hazards: Sequence[Any]) -> list[tuple[str, str, int, int]]:
    return sorted((h.code, h.severity, h.event, h.va) for h in hazards)
