"""The command line. Exit status 0: clean; 1: hazards, or not as expected; 2: bad input."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import lazymmu
from lazymmu.cli import compare, conform, convert, decode, explore, lists, litmus, run, walk

app = typer.Typer(
    name="lazymmu",
    help="How Linux changes page tables: which hook placement breaks which machine, and what it costs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("compare")(compare.main)
app.command("run")(run.main)
app.command("conform")(conform.main)
app.command("walk")(walk.main)
app.command("explore")(explore.main)
app.command("decode")(decode.main)
app.command("encode")(decode.encode)
app.command("list")(lists.main)
app.command("litmus")(litmus.main)
app.command("convert")(convert.convert)
app.command("schema")(convert.print_schema)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lazymmu {lazymmu.__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    del version


def main() -> None:
    """The ``lazymmu`` command."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python must not try to flush it again on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
