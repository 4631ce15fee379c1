"""``lazymmu convert`` and ``lazymmu schema``: the forms of a scenario."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lazymmu.cli import common
from lazymmu.errors import ConfigError
from lazymmu.report import schemas
from lazymmu.scenario import Scenario, builtin, files

Output = Annotated[Path | None, typer.Argument(metavar="OUT.toml|OUT.py", help="Where to; TOML on stdout if missing.")]


@common.command
def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A scenario file or a built-in name.")],
    output: Output = None,
) -> bool:
    """Turn a scenario into TOML or a Python script; both forms mean the same."""
    found: list[Scenario] | None = builtin.load(source)
    if found is None:
        if not Path(source).exists():
            raise ConfigError(f"unknown input {source!r}: neither a file nor a built-in scenario")
        found = files.read(source)
    if len(found) != 1:
        raise ConfigError(f"{source} is {len(found)} scenarios, expected one of: {', '.join(s.name for s in found)}")
    if output is None:
        sys.stdout.write(files.to_toml(found[0]))
        return True
    if output.suffix not in (".toml", ".py"):
        raise ConfigError(f"{output}: expected a name that ends in .toml or .py")
    text = files.to_script(found[0]) if output.suffix == ".py" else files.to_toml(found[0])
    with common.whole_file(output) as file:
        file.write(text.encode())
    return True


@common.command
def print_schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="scenario, or a command that has --json.")] = "scenario",
) -> bool:
    """Print the JSON Schema of scenarios, or of what a command prints with --json."""
    common.print_json(schemas.schema(name))
    return True
