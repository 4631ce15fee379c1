"""``lazymmu conform``: the model against recorded kernels."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Console

from lazymmu.cli import common
from lazymmu.conform import Difference, Report, conform
from lazymmu.recording import open_recording

SHOWN = 40
"""Differences of a recording that are shown one by one."""

Recordings = Annotated[
    list[str],
    typer.Argument(
        metavar="RECORDING...", help="Configuration directories, or ops*.jsonl, user*.jsonl or hwseq.jsonl."
    ),
]


@common.command
def main(recordings: Recordings, json: common.Json = False) -> bool:
    """Run the operations of recorded kernels in the model, and list every difference. Exit status 1: there are some."""
    found: list[tuple[str, list[Report]]] = []
    console = common.console()
    for source in recordings:
        reports = []
        recording = open_recording(source)
        for report in conform(recording):
            reports.append(report)
            if not json:
                _show(console, report)
        found.append((source, reports))
    if json:
        values = [_value(source, reports) for source, reports in found]
        common.print_json(values[0] if len(values) == 1 else values)
    return all(report.ok for _, reports in found for report in reports)


def _difference(report: Report, d: Difference) -> dict[str, Any]:
    out = {"op": d.op, "what": d.what, "model": d.model, "kernel": d.kernel}
    return {**out, "command": d.command, "file": report.recording}


def _value(source: str, reports: list[Report]) -> dict[str, Any]:
    checked: Counter[str] = Counter()
    for report in reports:
        checked.update(report.checked)
    return {
        "ok": all(report.ok for report in reports),
        "recording": source,
        "ops": sum(report.ops for report in reports),
        "agree": sum(report.agree for report in reports),
        "differences": [_difference(report, d) for report in reports for d in report.differences],
        "compared": dict(checked),
        "files": [{"file": r.recording, "ops": r.ops, "agree": r.agree} for r in reports],
    }


def _show(console: Console, report: Report) -> None:
    compared = ", ".join(f"{number} {what}" for what, number in report.checked.items())
    head = f"{report.recording}: {report.agree} of {report.ops} operations agree"
    console.print(f"{head} ({compared})", soft_wrap=True, markup=False)
    for d in report.differences[:SHOWN]:
        console.print(f"  op {d.op} {d.command}", soft_wrap=True, markup=False)
        text = f"    {d.what}: model {d.model or '-'}, kernel {d.kernel or '-'}"
        console.print(text, soft_wrap=True, markup=False)
    if (more := len(report.differences) - SHOWN) > 0:
        console.print(f"  ... and {more} more differences")
    for name, count in report.skipped.items():
        console.print(f"  not compared: {count} of {name}")
