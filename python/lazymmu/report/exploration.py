"""Explorations for people and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from lazymmu.explore.outcomes import Exploration, Outcome
from lazymmu.explore.reduce import Reduced
from lazymmu.report import plain as plain_report
from lazymmu.report.story import story
from lazymmu.report.text import program as show_program
from lazymmu.scenario.model import Scenario
from lazymmu.scenario.write import to_data


def plain(results: Sequence[Exploration], *, strict: bool) -> dict[str, Any]:
    """One or several searches as one JSON value; addresses are hex strings."""
    bounds = [result.bound for result in results if result.bound is not None]
    return {
        "ok": all(result.fine(strict=strict) for result in results),
        "complete": not bounds,
        "bound": bounds[0] if bounds else None,
        "explored": sum(result.states for result in results),
        "outcomes": [_outcome(result, outcome, strict=strict) for result in results for outcome in result.outcomes],
        "searches": [_search(result, strict=strict) for result in results],
    }


def _search(result: Exploration, *, strict: bool) -> dict[str, Any]:
    keys = ("backend", "geometry", "scheme", "complete", "bound", "states", "steps", "depth", "memory", "seconds")
    shown = {key: getattr(result, key) for key in (*keys, "error_probability")}
    return {**shown, "ok": result.fine(strict=strict), "outcomes": len(result.outcomes)}


def _outcome(result: Exploration, outcome: Outcome, *, strict: bool) -> dict[str, Any]:
    mappings = [
        {**m._asdict(), "va": hex(m.va), "size": hex(m.size), "pa": None if m.pa is None else hex(m.pa)}
        for m in outcome.final
    ]
    replay = to_data(outcome.replay) if isinstance(outcome.replay, Scenario) else outcome.replay
    return {
        "backend": result.backend,
        "geometry": result.geometry,
        "scheme": result.scheme,
        "ok": outcome.ok(strict=strict),
        "hazards": [plain_report.hazard(h) for h in outcome.hazards],
        "returns": outcome.returns,
        "interrupts": [
            {"op": op, "interrupt": n, "step": step, "returned": value} for op, n, step, value in outcome.interrupts
        ],
        "final": {"tables": outcome.tables, "mappings": mappings},
        "deadlock": outcome.deadlock,
        "failures": list(outcome.failures),
        "replay": replay,
    }


def text(console: Console, name: str, result: Exploration, small: Sequence[Reduced], *, strict: bool) -> None:
    """The verdict, the outcomes, and for what breaks the smallest run that was found."""
    well = result.fine(strict=strict)
    far = "complete" if result.complete else f"[bold yellow]bounded by {result.bound}[/]"
    console.print(
        f"[bold]{name}[/] on [bold]{result.backend}[/] {result.geometry} under [bold]{result.scheme}[/]: "
        f"{'[green]none[/]' if well else '[bold red]breaks[/]'} in {result.states} states, {far}; "
        f"{len(result.outcomes)} outcomes, {result.steps} steps, depth {result.depth}, {result.seconds:.2f} s",
        highlight=False,
        soft_wrap=True,
    )
    for n, outcome in enumerate(result.outcomes):
        parts = [f"returned {', '.join(map(str, outcome.returns))}"]
        if outcome.interrupts:
            parts.append("in between " + ", ".join(f"{value}" for *_, value in outcome.interrupts))
        codes = outcome.codes() + (outcome.codes("contract") if strict else [])
        bad = "" if outcome.ok(strict=strict) else f"  {' '.join(codes) or 'not as expected'}"
        dead = "  threads wait for ever" if outcome.deadlock else ""
        style = "default" if outcome.ok(strict=strict) else "red"
        line = f"  {n}: {'; '.join(parts)}{bad}{dead}"
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    for found in small:
        outcome = found.outcome
        title = f"\n{found.code}, reduced to {found.size}:"
        console.print(title, style="bold red", highlight=False, markup=False, soft_wrap=True)
        if isinstance(outcome.replay, dict):
            show_program(console, outcome.replay)
        console.print(story(outcome, found.code), highlight=False, markup=False, soft_wrap=True)
