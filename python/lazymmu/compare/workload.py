"""What can be run on many configurations: scenarios, and replays of recordings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lazymmu import _native
from lazymmu._native import Program
from lazymmu.errors import ConfigError, ScenarioError
from lazymmu.machine import Machine, SchemeLike, load_program
from lazymmu.results import Run
from lazymmu.scenario.expect import failures, judges_hazards
from lazymmu.scenario.expressions import ExpressionError
from lazymmu.scenario.model import Scenario
from lazymmu.scenario.read import Problem
from lazymmu.scenario.resolve import Resolved, resolve


@dataclass(frozen=True)
class Configuration:
    """One cell: a backend, one of its geometries, and a scheme."""

    backend: str
    geometry: str
    scheme: SchemeLike

    @property
    def scheme_name(self) -> str:
        """What reports call the scheme."""
        if isinstance(self.scheme, str):
            return self.scheme
        return self.scheme.__name__ if isinstance(self.scheme, type) else self.scheme.name

    def where(self) -> dict[str, str]:
        """The configuration as names."""
        return {"backend": self.backend, "geometry": self.geometry, "scheme": self.scheme_name}


@dataclass
class Prepared:
    """A program for one configuration, and what the machine needs besides.

    ``setup`` is a program that the machine has carried out before; nothing of it is counted.
    """

    program: Mapping[str, Any]
    options: Mapping[str, str | bool] = field(default_factory=dict)
    layout: Mapping[str, int] = field(default_factory=dict)
    setup: Mapping[str, Any] | None = None

    @functools.cached_property
    def parsed(self) -> Program:
        """The program, ready to run."""
        return load_program(self.program)

    def machine(self, configuration: Configuration, *, check: bool = True, log: bool = True) -> Machine:
        """The machine that the program asks for."""
        program = self.program
        machine = Machine(
            configuration.backend,
            configuration.geometry,
            configuration.scheme,
            self.options,
            cpus=program.get("cpus", 1),
            mms=program.get("mms", 0),
            tasks=program.get("tasks", ()),
            layout=self.layout,
            check=check,
            log=log,
        )
        if self.setup is not None:
            machine.run(load_program(self.setup))
        return machine


@dataclass
class Outcome:
    """A run, and what it says about its configuration."""

    run: Run
    machine: Machine
    failures: Sequence[str] = ()
    """Expectations that did not hold."""
    judged: bool = False
    """The expectations say which hazards there are, so that finding them is no failure."""

    def ok(self, *, strict: bool) -> bool:
        """All as expected, and without an expectation about hazards.

        Nothing breaks (strict: no contract is violated).
        """
        if self.failures:
            return False
        return self.judged or (self.run.strict_ok if strict else self.run.ok)


class Workload(Protocol):
    """Something to run."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def about(self) -> str:
        """What it is, in one line."""

    def suits(self, backend: str, geometry: str, scheme: str) -> bool:
        """Whether it makes sense there."""

    def prepare(self, configuration: Configuration) -> Prepared:
        """The program for a configuration."""

    def judge(self, configuration: Configuration, prepared: Prepared, run: Run, machine: Machine) -> Outcome:
        """What a run says."""


def execute(workload: Workload, configuration: Configuration, *, log: bool = False) -> Outcome:
    """Runs a workload on a configuration."""
    prepared = workload.prepare(configuration)
    machine = prepared.machine(configuration, log=log)
    run = machine.run(prepared.parsed)
    return workload.judge(configuration, prepared, run, machine)


@dataclass
class ScenarioWorkload:
    """A scenario, from where it came."""

    scenario: Scenario
    source: str
    _prepared: dict[str, tuple[Resolved, Prepared]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenario.name

    @property
    def about(self) -> str:
        """What it is about."""
        return self.scenario.about

    def suits(self, backend: str, geometry: str, scheme: str) -> bool:
        """As the scenario says."""
        return self.scenario.suits(backend, geometry, scheme)

    def _resolve(self, geometry: str) -> tuple[Resolved, Prepared]:
        if geometry not in self._prepared:
            known = _native.geometries()
            if geometry not in known:
                raise ConfigError(f"unknown geometry {geometry!r}: expected one of {', '.join(known)}")
            try:
                resolved = resolve(self.scenario, known[geometry])
            except Problem as problem:
                raise ScenarioError(self.source, f"on {geometry}", str(problem)) from None
            self._prepared[geometry] = resolved, Prepared(resolved.program, self.scenario.options)
        return self._prepared[geometry]

    def prepare(self, configuration: Configuration) -> Prepared:
        """The scenario's program in the configuration's geometry."""
        return self._resolve(configuration.geometry)[1]

    def judge(self, configuration: Configuration, prepared: Prepared, run: Run, machine: Machine) -> Outcome:
        """What the scenario expects of the run."""
        del prepared
        where = configuration.where()
        resolved, _ = self._resolve(configuration.geometry)
        try:
            found = failures(self.scenario, resolved, run, machine, where)
        except ExpressionError as error:
            raise ScenarioError(self.source, "expect", str(error)) from None
        if run.missed:
            found += [f"injection {n} did not happen: its point never came" for n in run.missed]
        return Outcome(run, machine, found, judges_hazards(self.scenario, where))
