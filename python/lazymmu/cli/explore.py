"""``lazymmu explore``: everything that can come of a scenario."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lazymmu.cli import common
from lazymmu.compare.matrix import rows
from lazymmu.compare.workload import Configuration
from lazymmu.errors import ConfigError
from lazymmu.explore import Exploration, Outcome, Progress, Settings, explore_workload
from lazymmu.explore.reduce import reduce
from lazymmu.inputs import load
from lazymmu.report import exploration as report
from lazymmu.scenario import Scenario, to_toml


@common.command
def main(
    source: Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario file or a built-in name.")],
    backend: common.Backends = "",
    geometry: common.Geometries = "",
    scheme: common.Schemes = "",
    max_states: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many states.")] = None,
    max_depth: Annotated[int | None, typer.Option(metavar="N", help="Choices on a path at most.")] = None,
    max_memory: Annotated[int | None, typer.Option(metavar="BYTES", help="Memory for states.")] = None,
    max_seconds: Annotated[float | None, typer.Option(metavar="S", help="Time for each search.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Host threads; 0: one for each core.")] = 0,
    partial_order: Annotated[bool, typer.Option(help="Follow one thread where its step concerns no other.")] = True,
    symmetry: Annotated[bool, typer.Option(help="Take states for one that differ in frame numbers only.")] = True,
    every_path: Annotated[bool, typer.Option("--every-path", help="Take no two ways for one.")] = False,
    fingerprint: Annotated[bool, typer.Option("--fingerprint", help="Keep 64 bits a state.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the search here.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    seed: Annotated[int, typer.Option(metavar="S", help="The first seed of --swarm.")] = 0,
    swarm: Annotated[int, typer.Option(metavar="N", help="Look at N samples instead of everything.")] = 0,
    width: Annotated[int, typer.Option(metavar="W", help="States of a depth in a sample.")] = 1000,
    shorten: Annotated[bool, typer.Option(help="Reduce what breaks to a smaller scenario.")] = True,
    progress: Annotated[bool, typer.Option("--progress", help="Say on stderr how far the search is.")] = False,
    replays: Annotated[Path | None, typer.Option(metavar="DIR", help="Write each outcome as a scenario.")] = None,
    strict: common.Strict = False,
    json: common.Json = False,
) -> bool:
    """Try every order of micro-steps. Exit status 0: nothing breaks; 1: something does; 2: bad input."""
    settings = Settings(
        max_states=max_states, max_depth=max_depth, max_memory=max_memory, max_seconds=max_seconds, threads=threads,
        partial_order=partial_order, symmetry=symmetry, every_path=every_path, fingerprint=fingerprint,
        checkpoint=checkpoint, resume=resume, swarm=(seed, swarm, width) if swarm else None,
    )  # fmt: skip
    if swarm < 0:
        raise ConfigError(f"swarm: {swarm} makes no sense: expected 0 or more")
    schemes = common.schemes(scheme)
    names = [Configuration("", "", s).scheme_name for s in schemes]
    found: list[Exploration] = []
    console = common.console()
    say = _say if progress else None
    for workload in load(source):
        for name, where in rows(workload, common.split(backend), common.split(geometry), names):
            for chosen, called in zip(schemes, names, strict=True):
                if not workload.suits(name, where, called):
                    continue
                if checkpoint is not None and found:
                    raise ConfigError("checkpoint: it holds one search; name one scenario, one backend and one scheme")
                configuration = Configuration(name, where, chosen)
                result = explore_workload(workload, configuration, settings, say)
                found.append(result)
                if replays is not None:
                    _write(replays, workload.name, result)
                if not json:
                    small = reduce(workload, configuration, result, strict=strict) if shorten else []
                    report.text(console, workload.name, result, small, strict=strict)
    if not found:
        asked = ", ".join([*common.split(backend), *common.split(geometry)]) or "any backend"
        raise ConfigError(f"{source} does not apply to {asked}")
    if json:
        common.print_json(report.plain(found, strict=strict))
    return all(result.fine(strict=strict) for result in found)


def _say(p: Progress) -> None:
    text = f"{p.states} states, {p.rate:.0f}/s, frontier {p.frontier}, depth {p.depth}, {p.memory / 1e6:.1f} MB"
    print(f"lazymmu: {text}, {p.outcomes} outcomes", file=sys.stderr)  # noqa: T201


def _write(folder: Path, name: str, result: Exploration) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror or error}") from error
    stem = f"{name.replace('/', '-')}-{result.backend}-{result.scheme}"
    for n, outcome in enumerate(result.outcomes):
        with common.whole_file(folder / f"{stem}-{n}.lmmu.toml") as file:
            file.write(_toml(outcome).encode())


def _toml(outcome: Outcome) -> str:
    if not isinstance(outcome.replay, Scenario):
        raise ConfigError("replays: only scenarios can be written as such, not programs and recordings")
    return to_toml(outcome.replay)
