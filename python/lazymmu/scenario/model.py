"""What a scenario is: a machine, operations, what happens in between, and what is expected of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lazymmu.scenario.concurrent import Interrupt, Preemption, Thread
from lazymmu.scenario.operations import Block, IrqKind, Step

FORMAT = 1
"""Version of the file format."""


@dataclass
class Point:
    """A place between two micro-steps: right after an event of a step.

    ``op`` is a label or an index. The event is the step's own number ``event``, or the ``nth`` of ``kind`` (from 0);
    with neither it is the first.
    """

    op: str | int
    event: int | None = None
    kind: str | None = None
    nth: int = 0


@dataclass
class Injection(Block):
    """What happens at a point: in an interrupt, in another task on this CPU, on another CPU, or simply there."""

    after: Point = field(default_factory=lambda: Point(0))
    interrupt: IrqKind | None = None
    task: int | None = None
    cpu: int | None = None


@dataclass
class Translation:
    """What a hardware walk must find at an address behind the last step.

    Without ``mapped: false`` it must find something.
    """

    va: int | str
    mm: int = 0
    mapped: bool = True
    pa: int | str | None = None
    level: str | None = None


@dataclass
class Expectation:
    """What must hold of a run, on the configurations that ``when`` names.

    ``when`` maps ``backend``, ``geometry`` or ``scheme`` to names. ``hazards`` are exactly the codes found with
    severity breaks or contract, ``breaks`` exactly those that break, ``costs`` exactly those of severity cost.
    ``returns`` are results by label or index, ``counts`` numbers or comparisons.
    """

    when: dict[str, list[str]] = field(default_factory=dict)
    ok: bool | None = None
    hazards: list[str] | None = None
    breaks: list[str] | None = None
    costs: list[str] | None = None
    returns: dict[str, Any] = field(default_factory=dict)
    translations: list[Translation] = field(default_factory=list)
    counts: dict[str, int | str] = field(default_factory=dict)

    def applies(self, backend: str, geometry: str, scheme: str) -> bool:
        """Whether it is about this configuration."""
        actual = {"backend": backend, "geometry": geometry, "scheme": scheme}
        return all(actual[key] in wanted for key, wanted in self.when.items())


@dataclass
class Scenario(Block):
    """A scenario: build one step after the other by the methods of `Block`, or read one from a file.

    ``cpus``, ``mms`` and ``tasks`` are those of `lazymmu.Machine`. ``backends``, ``geometries`` and ``schemes``
    restrict where it makes sense, ``options`` sets dated facts.

    ``threads`` run at the same time, behind the steps. What may happen to them (``interrupts``, ``migrations``,
    ``preemption`` where they share a CPU, ``may_fail_alloc``) `lazymmu.explore` tries everywhere; a run does what
    ``schedule`` says, and nothing where it says nothing.
    """

    name: str = "scenario"
    about: str = ""
    cpus: int = 1
    mms: int = 0
    tasks: list[dict[str, int]] = field(default_factory=list)
    backends: list[str] = field(default_factory=list)
    geometries: list[str] = field(default_factory=list)
    schemes: list[str] = field(default_factory=list)
    options: dict[str, str | bool] = field(default_factory=dict)
    injections: list[Injection] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    interrupts: list[Interrupt] = field(default_factory=list)
    migrations: list[dict[str, int]] = field(default_factory=list)
    preemption: Preemption = "full"
    may_fail_alloc: bool = False
    schedule: list[dict[str, Any]] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)

    def inject(
        self,
        after: Step | str | int,
        event: int | None = None,
        kind: str | None = None,
        nth: int = 0,
        *,
        irq: IrqKind | None = None,
        task: int | None = None,
        cpu: int | None = None,
    ) -> Injection:
        """Adds something that happens right after an event of a step; add its operations to what this returns."""
        op = self._reference(after) if isinstance(after, Step) else after
        injection = Injection(after=Point(op, event, kind, nth), interrupt=irq, task=task, cpu=cpu)
        self.injections.append(injection)
        return injection

    def thread(self, cpu: int | None = None, task: int | None = None) -> Thread:
        """Adds a thread; add its operations to what this returns."""
        thread = Thread(cpu=cpu, task=task)
        self.threads.append(thread)
        return thread

    def interrupt(
        self,
        at: Step | str | int | list[str | int] | None = None,
        kind: str | None = None,
        *,
        irq: IrqKind | None = None,
        cpu: int | None = None,
        task: int | None = None,
        on: int | None = None,
        times: int = 1,
    ) -> Interrupt:
        """Adds something that may come between micro-steps of threads; add its operations to what this returns."""
        places = at if isinstance(at, list) else [] if at is None else [at]
        known: list[str | int] = [self._reference(p) if isinstance(p, Step) else p for p in places]
        interrupt = Interrupt(interrupt=irq, cpu=cpu, task=task, on=on, at=known, kind=kind, times=times)
        self.interrupts.append(interrupt)
        return interrupt

    @property
    def all_steps(self) -> list[Step]:
        """The steps, and behind them those of threads: as results are numbered."""
        return [*self.steps, *(step for thread in self.threads for step in thread.steps)]

    def expect(self, when: Mapping[str, str | list[str]] | None = None, **wanted: Any) -> Expectation:
        """Adds an expectation; keywords are the fields of `Expectation`."""
        lists = {key: [value] if isinstance(value, str) else list(value) for key, value in (when or {}).items()}
        expectation = Expectation(when=lists, **wanted)
        self.expectations.append(expectation)
        return expectation

    def _reference(self, step: Step) -> str | int:
        if step.label is not None:
            return step.label
        return next(n for n, known in enumerate(self.all_steps) if known is step)

    def index_of(self, op: str | int) -> int | None:
        """The index of a step by label or number; None if there is none."""
        if isinstance(op, int):
            return op if 0 <= op < len(self.all_steps) else None
        found = [n for n, step in enumerate(self.all_steps) if step.label == op]
        if not found and op.isdecimal():
            return self.index_of(int(op))
        return found[0] if found else None

    def suits(self, backend: str, geometry: str | None = None, scheme: str | None = None) -> bool:
        """Whether the scenario makes sense there."""
        pairs = ((self.backends, backend), (self.geometries, geometry), (self.schemes, scheme))
        return all(not wanted or actual is None or actual in wanted for wanted, actual in pairs)
