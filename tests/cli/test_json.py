"""What --json prints is one JSON value, and as its schema says."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest

from lazymmu.report import schemas


def lazymmu(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from lazymmu.cli import main; main()", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", schemas.names())
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schema(name))


@pytest.mark.parametrize(
    ("schema", "args", "status"),
    [
        ("run", ["run", "seed/interrupt", "--backend", "arm64", "--scheme", "begin-end"], 1),
        ("run", ["run", "seed/map", "--backend", "x86-32", "--geometry", "x86-32-2level", "--scheme", "v7.0"], 0),
        ("compare", ["compare", "seed", "root-alias"], 1),
        ("compare", ["compare", "seed/map", "--scheme", "v6.12,v7.0", "--strict"], 0),
        ("explore", ["explore", "explore/interrupt", "--backend", "arm64", "--scheme", "v6.12,begin-end"], 1),
        ("explore", ["explore", "explore/sync-window", "--backend", "x86-32", "--scheme", "v7.0"], 0),
        ("explore", ["explore", "explore/neighbours", "--backend", "x86-64", "--max-states", "50"], 0),
        ("list", ["list", "backends"], 0),
        ("list", ["list", "geometries"], 0),
        ("list", ["list", "schemes"], 0),
        ("list", ["list", "scenarios"], 0),
        ("list", ["list", "hazards"], 0),
    ],
)
def test_output(schema: str, args: list[str], status: int) -> None:
    done = lazymmu(*args, "--json")
    assert (done.returncode, done.stderr) == (status, "")
    jsonschema.validate(json.loads(done.stdout), schemas.schema(schema))
