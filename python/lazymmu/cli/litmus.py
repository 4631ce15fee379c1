"""``lazymmu litmus``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from lazymmu.cli.common import BAD_INPUT, CLEAN, Json, complain, console, print_json, split
from lazymmu.errors import LitmusError
from lazymmu.litmus import MAX_LOGS, Result, decide

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="herd's .litmus or isla's .litmus.toml files.")]
Variants = Annotated[str, typer.Option("--variant", metavar="V,...", help="Variants, as herd names them: ets2, ...")]
Reduce = Annotated[
    bool, typer.Option("--reduction/--no-reduction", help="Leave out logs that no thread can tell apart.")
]
Logs = Annotated[int, typer.Option("--max-logs", metavar="N", min=1, help="Stop a test after this many logs.")]


def _show(result: Result) -> None:
    out = console()
    title = f"{result.name or result.file}{f' [{result.variant}]' if result.variant else ''}"
    if result.unsupported is not None:
        out.print(f"{title}: outside the subset: {result.unsupported}", markup=False)
        return
    out.print(f"{title}: {result.verdict} ({result.observation})", markup=False)
    out.print(f"  {len(result.states)} states, {result.explored} logs", markup=False)
    for state in result.states:
        out.print(f"  {'*' if state.satisfies else ' '} {state}", markup=False)
    if result.bound is not None:
        out.print(f"  not complete: {result.bound}", markup=False)
    if result.witness:
        table = Table("at", "who", "instruction", "event", box=None, pad_edge=False)
        for event in result.witness:
            table.add_row(str(event.time), event.who, event.instruction, event.event)
        out.print(table, markup=False)


def main(
    files: Files,
    variant: Variants = "",
    as_json: Json = False,
    max_logs: Logs = MAX_LOGS,
    reduction: Reduce = True,
) -> None:
    """Decides litmus tests. Exit status 0: every test was decided; 2: bad input, or a test outside the subset."""
    results = []
    wrong: list[str] = []
    for file in files:
        try:
            result = decide(file, variants=split(variant), max_logs=max_logs, reduce=reduction)
        except LitmusError as error:
            wrong.append(str(error))
            results.append(Result(file=file, unsupported=str(error)))
            continue
        results.append(result)
        if result.unsupported is not None:
            wrong.append(f"{file}: outside the subset: {result.unsupported}")
        if not as_json:
            _show(result)
    if as_json:
        print_json([result.to_json() for result in results])
    if wrong:
        complain("\nlazymmu: ".join(wrong))
    raise typer.Exit(BAD_INPUT if wrong else CLEAN)
