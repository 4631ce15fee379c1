"""JSON Schemas of what ``--json`` prints, one for each command."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from lazymmu.errors import ConfigError
from lazymmu.scenario import schema as scenario_schema

_SUFFIX = ".schema.json"


def names() -> list[str]:
    """Commands whose output has a schema, and ``scenario`` for the TOML form of scenarios."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return ["scenario", *sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))]


def schema(name: str) -> dict[str, Any]:
    """A schema by name.

    Raises `lazymmu.ConfigError` where there is none.
    """
    if name not in names():
        raise ConfigError(f"unknown schema {name!r}: expected one of {', '.join(names())}")
    if name == "scenario":
        return scenario_schema()
    found: dict[str, Any] = json.loads(resources.files(__name__).joinpath(name + _SUFFIX).read_text(encoding="utf-8"))
    return found
