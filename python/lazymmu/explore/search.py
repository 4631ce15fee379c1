"""From a scenario to its outcomes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

from lazymmu._native import Program
from lazymmu.compare.workload import Configuration, Prepared, ScenarioWorkload, Workload
from lazymmu.errors import ConfigError
from lazymmu.explore.outcomes import Exploration, Outcome, mappings
from lazymmu.machine import DEFAULT_SCHEME, ProgramLike, SchemeLike, load_program
from lazymmu.scenario.concurrent import Interrupt, Thread
from lazymmu.scenario.model import Scenario


class Progress(NamedTuple):
    """How far a search has come; ``frontier`` states still have to be looked at, ``memory`` is in bytes."""

    states: int
    steps: int
    depth: int
    frontier: int
    memory: int
    seconds: float
    outcomes: int

    @property
    def rate(self) -> float:
        """States a second."""
        return self.states / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Settings:
    """How far to search, and how; see `explore`."""

    max_states: int | None = None
    max_depth: int | None = None
    max_memory: int | None = None
    max_seconds: float | None = None
    max_outcomes: int | None = None
    threads: int = 0
    partial_order: bool = True
    symmetry: bool = True
    every_path: bool = False
    fingerprint: bool = False
    checkpoint: str | PathLike[str] | None = None
    checkpoint_every: float = 10.0
    resume: bool = False
    swarm: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        whole = {"max_states": 1, "max_depth": 1, "max_memory": 1, "max_outcomes": 1, "threads": 0}
        for name, low in whole.items():
            value = getattr(self, name)
            high = (1 << 32) - 1 if name in ("max_depth", "threads") else (1 << 63) - 1
            if value is not None and not (isinstance(value, int) and low <= value <= high):
                raise ConfigError(f"{name}: {value!r} is no bound that can be met: expected an integer from {low} up")
        if self.threads > 1024:
            raise ConfigError(f"threads: {self.threads} is more than 1024")
        for name in ("max_seconds", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1e9:
                raise ConfigError(f"{name}: {value!r} is no length of time: expected seconds from 0 up")
        if self.resume and self.checkpoint is None:
            raise ConfigError("resume: there is no checkpoint to resume from; name its file")
        if self.swarm is not None:
            if self.checkpoint is not None:
                raise ConfigError("swarm: a sample has no checkpoint; leave one of both out")
            for name, value, low in zip(("seed", "swarm", "width"), self.swarm, (0, 1, 1), strict=True):
                if not low <= value < 1 << 62:
                    raise ConfigError(f"{name}: {value!r} makes no sense: expected {low} or more")


def explore(
    what: Scenario | str | ProgramLike,
    backend: str,
    geometry: str | None = None,
    scheme: SchemeLike = DEFAULT_SCHEME,
    *,
    max_states: int | None = None,
    max_depth: int | None = None,
    max_memory: int | None = None,
    max_seconds: float | None = None,
    max_outcomes: int | None = None,
    threads: int = 0,
    partial_order: bool = True,
    symmetry: bool = True,
    every_path: bool = False,
    fingerprint: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 10.0,
    resume: bool = False,
    seed: int = 0,
    swarm: int = 0,
    width: int = 1000,
    progress: Callable[[Progress], object] | None = None,
    executor: Executor | None = None,
) -> Exploration:
    """Everything that can come of a scenario on one configuration.

    Threads run in every order, interrupts and migrations come at every point that the scenario allows, and so fail
    allocations. A scenario without threads is one thread, and its injections may come at any point of their operation.

    Args:
        what: a scenario, a built-in name or a file, or a program.
        backend: a backend; see ``lazymmu list backends``.
        geometry: one of its geometries; None: the first that suits the scenario.
        scheme: where hooks are called.
        max_states: states after which the search stops. `Exploration.bound` says which bound it was.
        max_depth: choices on a path.
        max_memory: bytes for states.
        max_seconds: time.
        max_outcomes: outcomes after which nobody wants more.
        threads: host threads; 0: one for each core. The result is the same for any number.
        partial_order: follows one thread alone where its next step concerns no other.
        symmetry: takes states for one that differ only in which frame a table got.
        every_path: takes no two ways for one, even if they lead to the same state; for small programs.
        fingerprint: keeps 64 bits a state.
        checkpoint: a file that holds the search.
        checkpoint_every: seconds between two checkpoints; one more is written at the end.
        resume: goes on from the checkpoint, if there is one.
        seed: the first seed of a swarm.
        swarm: instead of everything, this many samples, each by a seed of its own.
        width: states of a depth that a sample looks at.
        progress: called from time to time; False ends the search.
        executor: where samples of a swarm, or the search, are computed: anything with ``submit`` of
            `concurrent.futures`.

    Raises:
        ConfigError: a name, a bound or a checkpoint that makes no sense.
        ScenarioError, ProgramError, RunError: the input does.
    """
    settings = Settings(
        max_states, max_depth, max_memory, max_seconds, max_outcomes, threads, partial_order, symmetry, every_path,
        fingerprint, checkpoint, checkpoint_every, resume, (seed, swarm, width) if swarm else None,
    )  # fmt: skip
    workload = _workload(what)
    name = geometry or _default_geometry(workload, backend, scheme)
    configuration = Configuration(backend, name, scheme)
    return explore_workload(workload, configuration, settings, progress, executor)


def _default_geometry(workload: Workload, backend: str, scheme: SchemeLike) -> str:
    from lazymmu.compare.matrix import rows

    found = rows(workload, [backend], [], [Configuration("", "", scheme).scheme_name])
    if not found:
        raise ConfigError(f"{workload.name} does not apply to {backend}")
    return found[0][1]


def _workload(what: Scenario | str | ProgramLike) -> Workload:
    if isinstance(what, Scenario):
        return ScenarioWorkload(what, what.name)
    if isinstance(what, str) and not what.lstrip().startswith("{"):
        from lazymmu.inputs import load

        found = load(what)
        if len(found) != 1:
            raise ConfigError(f"{what} is {len(found)} inputs, expected one of: {', '.join(w.name for w in found)}")
        return found[0]
    return _Raw(load_program(what))


class _Raw:
    """A program as a workload."""

    name = "program"
    about = "a program"

    def __init__(self, program: Program) -> None:
        self.prepared = Prepared(json.loads(program.json()))

    def suits(self, backend: str, geometry: str, scheme: str) -> bool:
        del backend, geometry, scheme
        return True

    def prepare(self, configuration: Configuration) -> Prepared:
        del configuration
        return self.prepared

    def judge(self, *_: Any) -> Any:
        raise TypeError("a program expects nothing")


def threaded(scenario: Scenario) -> Scenario:
    """The scenario with threads: one without becomes a single thread, and its injections may come anywhere.

    It begins with the first step to which anything can happen; numbers of steps stay as they are.
    """
    if scenario.threads:
        return scenario
    hit = [index for i in scenario.injections if (index := scenario.index_of(i.after.op)) is not None]
    first = 0 if scenario.may_fail_alloc else min(hit, default=len(scenario.steps))
    out = copy.deepcopy(scenario)
    out.threads = [Thread(out.steps[first:])]
    out.steps = out.steps[:first]
    out.interrupts += [
        Interrupt(i.steps, interrupt=i.interrupt, task=i.task, on=i.cpu, at=[i.after.op]) for i in out.injections
    ]
    out.injections, out.expectations = [], []
    return out


def explore_workload(
    workload: Workload,
    configuration: Configuration,
    settings: Settings,
    progress: Callable[[Progress], object] | None = None,
    executor: Executor | None = None,
) -> Exploration:
    """The same for a workload, on one configuration."""
    if isinstance(workload, ScenarioWorkload):
        workload = ScenarioWorkload(threaded(workload.scenario), workload.source)
    prepared = workload.prepare(configuration)
    parts = _search(prepared, configuration, settings, progress, executor)
    best = parts[0]
    out = Exploration(
        backend=configuration.backend,
        geometry=configuration.geometry,
        scheme=configuration.scheme_name,
        states=sum(part.states for part in parts),
        steps=sum(part.steps for part in parts),
        depth=max(part.depth for part in parts),
        bound=None if any(part.bound is None for part in parts) else _together(parts, settings),
        memory=max(part.memory for part in parts),
        seconds=sum(part.seconds for part in parts),
        error_probability=min(1.0, sum(part.error_probability for part in parts)),
    )
    seen = set()
    for part in parts:
        for found in part.outcomes:
            outcome = _outcome(workload, configuration, prepared, json.loads(best.program), found)
            key = _key(outcome)
            if key not in seen:
                seen.add(key)
                out.outcomes.append(outcome)
    return out


def _together(parts: Sequence[_Searched], settings: Settings) -> str | None:
    if settings.swarm is not None and len(parts) > 1:
        return f"{settings.swarm[1]} samples of {settings.swarm[2]} states a depth"
    return parts[0].bound


def _key(outcome: Outcome) -> object:
    hazards = sorted({(h.code, h.severity, h.op) for h in outcome.hazards if h.severity != "cost"})
    parts = (hazards, outcome.returns, sorted(map(repr, outcome.interrupts)), outcome.final, outcome.tables)
    return repr((*parts, outcome.deadlock))


class _Searched(NamedTuple):
    """A search as plain data, which can come from another process."""

    states: int
    steps: int
    depth: int
    bound: str | None
    memory: int
    seconds: float
    error_probability: float
    outcomes: list[tuple[str, bool, list[tuple[int, int, int, int | None, int]], int]]
    program: str


def _search(
    prepared: Prepared,
    configuration: Configuration,
    settings: Settings,
    progress: Callable[[Progress], object] | None,
    executor: Executor | None,
) -> list[_Searched]:
    if executor is None:
        return [_searched(prepared, configuration, settings, progress)]
    split: Iterable[Settings] = [settings]
    if settings.swarm is not None:
        seed, seeds, width = settings.swarm
        split = [replace(settings, swarm=(seed + n, 1, width)) for n in range(seeds)]
    plain = Prepared(dict(prepared.program), dict(prepared.options), dict(prepared.layout))
    return [job.result() for job in [executor.submit(_searched, plain, configuration, part) for part in split]]


def _searched(
    prepared: Prepared,
    configuration: Configuration,
    settings: Settings,
    progress: Callable[[Progress], object] | None = None,
) -> _Searched:
    machine = prepared.machine(configuration, log=False)
    report = None if progress is None else lambda *row: progress(Progress(*row))
    raw = machine._native.explore(prepared.parsed, asdict(settings), report)
    return _Searched(
        raw.states, raw.steps, raw.depth, raw.bound, raw.memory, raw.seconds, raw.error_probability, raw.outcomes,
        raw.program().json(),
    )  # fmt: skip


def _outcome(
    workload: Workload, configuration: Configuration, prepared: Prepared, program: dict[str, Any], found: Any
) -> Outcome:
    text, deadlock, leaves, tables = found
    schedule = json.loads(text)
    replayed = with_schedule(program, schedule)
    machine = Prepared(replayed, prepared.options, prepared.layout).machine(configuration)
    run = machine.run(replayed)
    failures: Sequence[str] = ()
    replay: Scenario | dict[str, Any] = replayed
    if isinstance(workload, ScenarioWorkload):
        replay = _replay(workload.scenario, configuration, schedule)
        failures = workload.judge(configuration, prepared, run, machine).failures
    shifts = {number: shift for number, _, shift, _ in machine.geometry["levels"]}
    return Outcome(
        hazards=list(run.hazards),
        returns=[result.summary() for result in run.results],
        interrupts=[(op, number, step, result.summary()) for op, number, step, result in run.injected],
        final=mappings(leaves, shifts),
        tables=tables,
        deadlock=deadlock,
        schedule=schedule,
        replay=replay,
        run=run,
        failures=failures,
    )


def with_schedule(program: Mapping[str, Any], schedule: list[dict[str, Any]]) -> dict[str, Any]:
    """The program that does what the schedule says."""
    together = {key: value for key, value in program.get("concurrent", {}).items() if key != "schedule"}
    if schedule:
        together["schedule"] = schedule
    return {**program, "concurrent": together}


def _replay(scenario: Scenario, configuration: Configuration, schedule: list[dict[str, Any]]) -> Scenario:
    out = copy.deepcopy(scenario)
    out.schedule, out.expectations = schedule, []
    out.backends, out.geometries = [configuration.backend], [configuration.geometry]
    if isinstance(configuration.scheme, str):
        out.schemes = [configuration.scheme]
    return out
