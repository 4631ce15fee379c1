"""A scenario means the same as TOML, as a script, and as an object."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from lazymmu import _native
from lazymmu.compare import Configuration, ScenarioWorkload, execute
from lazymmu.scenario import Scenario, builtin, files, schema

NAMES = sorted({known.name for known in builtin.known()})


ENOUGH = 300


def scenarios(name: str) -> list[Scenario]:
    found = builtin.load(name)
    assert found
    return found


def beginnings(name: str) -> list[Scenario]:
    """Scenarios with the first of their steps: what is tested of them does not depend on how many follow."""
    found = scenarios(name)
    for scenario in found:
        del scenario.steps[ENOUGH:]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_toml_and_script_round_trip(name: str, tmp_path: Path) -> None:
    for scenario in beginnings(name):
        for suffix, text in (("lmmu.toml", files.to_toml(scenario)), ("py", files.to_script(scenario))):
            path = tmp_path / f"one.{suffix}"
            path.write_text(text)
            assert files.read(path) == [scenario]


@pytest.mark.parametrize("name", NAMES)
def test_toml_is_as_the_schema_says(name: str) -> None:
    import tomllib

    for scenario in beginnings(name):
        jsonschema.validate(json.loads(json.dumps(tomllib.loads(files.to_toml(scenario)))), schema())


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_scenario_is_as_it_expects_everywhere(name: str) -> None:
    for scenario in scenarios(name):
        workload = ScenarioWorkload(scenario, name)
        for backend, _, geometries in _native.backends():
            for geometry in geometries[:1]:
                for scheme in ("v6.12", "v6.16", "v7.0"):
                    if workload.suits(backend, geometry, scheme) and not name.startswith("long_busy"):
                        outcome = execute(workload, Configuration(backend, geometry, scheme))
                        assert not outcome.failures, (backend, scheme, outcome.failures)


def test_expectations_can_fail() -> None:
    s = Scenario(name="x")
    made = s.vmalloc("a", 8192, label="made")
    s.expect(returns={"made": "NULL"})
    s.expect(counts={"stores": "< 1"})
    s.expect(hazards=["H1"])
    s.expect(translations=[])
    workload = ScenarioWorkload(s, "x")
    outcome = execute(workload, Configuration("arm64", "arm64-4k-48", "v7.0"))
    assert len(outcome.failures) == 3
    assert made.slot == "a"
