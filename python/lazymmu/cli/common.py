"""What the commands share: options, exit statuses, output."""

from __future__ import annotations

import contextlib
import functools
import json
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, ParamSpec

import typer
from rich.console import Console

from lazymmu import _native
from lazymmu.errors import ConfigError, CostTableError, InputError, LazymmuError
from lazymmu.hooks import Scheme
from lazymmu.machine import SchemeLike

CLEAN, HAZARDS, BAD_INPUT = 0, 1, 2
"""Exit statuses."""

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Recordings, scenario files or built-in names.")]
Backends = Annotated[str, typer.Option("--backend", metavar="B,...", help="Only these backends.")]
Geometries = Annotated[str, typer.Option("--geometry", metavar="G,...", help="These geometries.")]
Schemes = Annotated[str, typer.Option("--scheme", metavar="S,...", help="These schemes; also FILE.py:CLASS.")]
Strict = Annotated[bool, typer.Option("--strict", help="Violated contracts count, not only what breaks.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Costs = Annotated[
    Path | None, typer.Option("--costs", metavar="FILE.toml", help="Weights instead of the built-in ones.")
]

_P = ParamSpec("_P")


def console() -> Console:
    """Where reports go. Wide tables keep their shape where the output is no terminal."""
    width = None if sys.stdout.isatty() else 160
    return Console(file=sys.stdout, width=width, highlight=False)


def complain(message: str) -> NoReturn:
    """Says what is wrong with the input, and ends with status 2."""
    print(f"lazymmu: {message}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(BAD_INPUT)


def command(function: Callable[_P, bool]) -> Callable[_P, None]:
    """A command from a function that returns whether all is well: exit status 0 or 1, and 2 for bad input."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            well = function(*args, **kwargs)
        except LazymmuError as error:
            notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
            complain(f"{error}{notes}")
        raise typer.Exit(CLEAN if well else HAZARDS)

    return run


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears under its name when it is complete, or not at all.

    Raises `lazymmu.InputError` where it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(path, "", error.strerror or str(error)) from error


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def split(text: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def schemes(text: str) -> list[SchemeLike]:
    """The schemes of a comma-separated list; all where it is empty."""
    known = [name for name, *_ in _native.schemes()]
    return [_scheme(part, known) for part in split(text)] or list(known)


def _scheme(text: str, known: Sequence[str]) -> SchemeLike:
    path, _, name = text.rpartition(":")
    if not path.endswith(".py"):
        if text not in known:
            raise ConfigError(f"unknown scheme {text!r}: expected one of {', '.join(known)}, or FILE.py:CLASS")
        return text
    try:
        found = runpy.run_path(path).get(name)
    except OSError as error:
        raise InputError(path, "", error.strerror or str(error)) from error
    except Exception as error:
        raise InputError(path, "", f"{type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Scheme)):
        raise InputError(path, name, f"expected a subclass of lazymmu.Scheme, got {found!r}")
    return found


def cost_table(path: Path | None) -> _native.CostTable:
    """The weights of a file, or the built-in ones."""
    if path is None:
        return _native.CostTable()
    try:
        return _native.CostTable(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CostTableError(path, "", error.strerror or str(error)) from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise CostTableError(path, "", str(error)) from error
