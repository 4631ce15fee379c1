"""Reports for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lazymmu import _native
from lazymmu.compare.matrix import Cell, Matrix
from lazymmu.compare.reduce import Shortest
from lazymmu.compare.summary import Total
from lazymmu.compare.summary import summary as compare_summary
from lazymmu.compare.workload import Configuration
from lazymmu.report import events
from lazymmu.results import Run

SHOWN = _native.shown_counts()
"""The counts that matter on a backend."""

STYLE = {"breaks": "bold red", "contract": "yellow", "cost": "cyan"}
_CONTEXT = 8
_SHORT = 40


def _codes(codes: Mapping[str, Collection[str]]) -> Text:
    """Hazard codes by severity."""
    text = Text()
    for severity in STYLE:
        found = sorted(codes.get(severity, ()), key=_order)
        if found:
            text.append(("\n" if text else "") + f"{severity} ", STYLE[severity])
            text.append(" ".join(found), STYLE[severity])
    return text if text else Text("clean", "green")


def _order(code: str) -> tuple[int, str]:
    return (int(code[1:]), code) if code[1:].isdecimal() else (999, code)


def counts(backend: str, values: Mapping[str, int]) -> str:
    """The counts that matter on a backend, and how many stores there were."""
    shown = [name for name in SHOWN.get(backend, ()) if values.get(name)]
    return ", ".join(f"{name} {values[name]}" for name in (*shown, "stores"))


def _cell(cell: Cell) -> Text:
    if cell.outcome is None:
        return Text(cell.error, "dim")
    run = cell.outcome.run
    text = _codes({severity: {h.code for h in run.hazards if h.severity == severity} for severity in STYLE})
    if cell.outcome.failures:
        text.append(f"\nnot as expected ({len(cell.outcome.failures)})", "bold red")
    _figures(text, cell.configuration.backend, run.counts)
    text.append("\nthe task died" if run.died else f"\ncost {cell.cost:,.0f}", "dim")
    return text


def _figures(text: Text, backend: str, values: Mapping[str, int]) -> None:
    for name in SHOWN.get(backend, ()):
        if values.get(name):
            text.append(f"\n{name} {values[name]:,}", "default")


def _total(total: Total) -> Text:
    if not total.runs:
        return Text("does not apply", "dim")
    text = _codes(total.codes)
    if total.unexpected:
        text.append(f"\nnot as expected in {total.unexpected}", "bold red")
    _figures(text, total.backend, total.counts)
    text.append(f"\ncost {total.cost:,.0f}", "dim")
    if total.died:
        text.append(f"\na task died in {total.died}", "dim")
    return text


def summary(console: Console, matrices: Sequence[Matrix]) -> None:
    """One table for several workloads."""
    totals = {(t.backend, t.scheme): t for t in compare_summary(matrices)}
    schemes = list(dict.fromkeys(scheme for _, scheme in totals))
    backends = list(dict.fromkeys(backend for backend, _ in totals))
    table = Table(title=f"[bold]All {len(matrices)} together[/]", title_justify="left", show_lines=True)
    table.add_column("backend", no_wrap=True)
    for name in schemes:
        table.add_column(name)
    for backend in backends:
        runs = max(totals[backend, scheme].runs for scheme in schemes)
        table.add_row(f"{backend}\n[dim]{runs} runs[/]", *(_total(totals[backend, scheme]) for scheme in schemes))
    console.print(table)


def matrix(console: Console, result: Matrix) -> None:
    """A table of backends by schemes, and what did not hold."""
    names = [Configuration("", "", scheme).scheme_name for scheme in result.schemes]
    table = Table(
        title=f"[bold]{result.workload.name}[/]: {result.workload.about}", title_justify="left", show_lines=True
    )
    table.add_column("backend", no_wrap=True)
    for name in names:
        table.add_column(name)
    cells = iter(result.cells)
    for backend, geometry in result.rows:
        table.add_row(f"{backend}\n[dim]{geometry}[/]", *(_cell(next(cells)) for _ in names))
    console.print(table)
    for cell in result.cells:
        for failure in cell.outcome.failures if cell.outcome else ():
            where = " ".join(cell.configuration.where().values())
            console.print(f"  {where}: {failure}", style="red", highlight=False)


def shortest_runs(console: Console, matrices: Sequence[Matrix]) -> None:
    """The shortest failing run for each finding of each backend; schemes that fail in the same way together."""
    groups = _groups(matrices)
    if groups:
        console.print("\n[bold]Shortest failing runs[/]")
    for group in groups:
        _shortest(console, group)


@dataclass
class _Group:
    """Cells that fail with the same code on the same geometry by the same events."""

    cell: Cell
    found: Shortest
    schemes: list[str]
    workloads: list[str]


def _groups(matrices: Sequence[Matrix]) -> list[_Group]:
    best: dict[tuple[str, ...], _Group] = {}
    for result in matrices:
        for cell in result.cells:
            for found in cell.shortest:
                where = cell.configuration
                key = (found.hazard.code, where.backend, where.geometry, where.scheme_name)
                group = _Group(cell, found, [where.scheme_name], [result.workload.name])
                known = best.setdefault(key, group)
                if known is not group:
                    shorter = min(known, group, key=lambda g: (len(g.found.program["ops"]), g.found.hazard.event))
                    names = dict.fromkeys([*shorter.workloads, *known.workloads, *group.workloads])
                    best[key] = _Group(shorter.cell, shorter.found, [where.scheme_name], list(names))
    merged: dict[tuple[object, ...], _Group] = {}
    for (code, backend, geometry, scheme), group in best.items():
        events_seen = group.found.run.events[: group.found.hazard.event + 1].tobytes()
        same = merged.setdefault((code, backend, geometry, events_seen), group)
        if same is not group:
            same.schemes.append(scheme)
    return list(merged.values())


def _shortest(console: Console, group: _Group) -> None:
    where, found = group.cell.configuration, group.found
    ops, last = len(found.program["ops"]), found.hazard.event
    others = f" and {len(group.workloads) - 1} more" if len(group.workloads) > 1 else ""
    console.print(
        f"\n[bold red]{found.hazard.code}[/] on [bold]{where.backend}[/] {where.geometry} under "
        f"[bold]{', '.join(group.schemes)}[/]: {ops} operation{'s' if ops != 1 else ''}, {last + 1} events "
        f"[dim]({group.workloads[0]}{others})[/]",
        highlight=False,
    )
    program(console, found.program)
    start = max(0, last - _CONTEXT)
    if start:
        console.print(f"  {'':6}  ...", style="dim")
    for text in events.lines(found.run.events, start, last):
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"  {found.hazard}", style=STYLE["breaks"], highlight=False, markup=False, soft_wrap=True)


def program(console: Console, data: Mapping[str, Any]) -> None:
    """The operations of a program, one line each."""
    for n, step in enumerate(data["ops"]):
        console.print(f"  op {n}  {operation(step['op'])}", highlight=False, markup=False)
        for injection in data.get("injections", ()):
            at = injection["at"]
            if at["op"] != n:
                continue
            point = f"event {at['event']}" if "event" in at else f"{at.get('kind', 'event')} {at.get('nth', 0)}"
            console.print(f"        after {point}, {_between(injection, 'cpu')}", highlight=False, markup=False)
    together = data.get("concurrent", {})
    number = len(data["ops"])
    for n, thread in enumerate(together.get("threads", ())):
        for step in thread["ops"]:
            console.print(f"  op {number}  thread {n}: {operation(step['op'])}", highlight=False, markup=False)
            number += 1
    for n, interrupt in enumerate(together.get("interrupts", ())):
        console.print(f"  interrupt {n}  {_between(interrupt, 'on')}", highlight=False, markup=False)
    for entry in together.get("schedule", ()):
        what = ", ".join(f"{key} {value}" for key, value in entry.items() if key != "at")
        console.print(f"  at point {entry['at']}: {what}", highlight=False, markup=False)


def _between(what: Mapping[str, Any], cpu: str) -> str:
    """What comes between two micro-steps, and where it runs."""
    context = [f"{key} {what[key]}" for key in ("irq", "task", cpu) if what.get(key) is not None]
    return f"{', '.join(context)}: {'; '.join(operation(op) for op in what['ops'])}"


def steps(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The operations of a program, those of threads behind the others, as results are numbered."""
    threads = data.get("concurrent", {}).get("threads", ())
    return [*data["ops"], *(step for thread in threads for step in thread["ops"])]


def operation(op: Mapping[str, Any]) -> str:
    """An operation as a call."""
    (name, arguments), *_ = op.items()
    return f"{name}({', '.join(f'{key}={_value(value)}' for key, value in arguments.items())})"


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value > 9 else str(value)
    if isinstance(value, Mapping):
        if set(value) <= {"slot", "offset"}:
            return f"slot{value['slot']}" + (f"+{value['offset']:#x}" if value.get("offset") else "")
        return "{" + ", ".join(f"{key}={_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)


def run(
    console: Console, given: Mapping[str, Any], result: Run, backend: str, cost: float, failures: Sequence[str]
) -> None:
    """What a short program's operations returned; the verdicts of the run, its counts, and what did not hold."""
    if len(result.results) <= _SHORT:
        for n, (step, returned) in enumerate(zip(steps(given), result.results, strict=False)):
            value = returned.summary()
            line = f"op {n}  {operation(step['op'])}" + (f" = {value}" if value is not None else "")
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for hazard in result.hazards:
        console.print(str(hazard), style=STYLE[hazard.severity], highlight=False, markup=False, soft_wrap=True)
    for failure in failures:
        console.print(f"not as expected: {failure}", style="bold red", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{len(result.results)} operations, {result.total} events; {counts(backend, result.counts)}; cost {cost:,.0f}",
        highlight=False,
        soft_wrap=True,
    )
    if not result.hazards and not failures:
        console.print("clean", style="green")
