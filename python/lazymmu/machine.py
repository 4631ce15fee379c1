"""Machines and runs: the face of the Rust core."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lazymmu import _native
from lazymmu._native import Program
from lazymmu.arrays import EVENT, RESULT, records
from lazymmu.errors import ConfigError, ProgramError
from lazymmu.hooks import Hooks, Scheme, instance, overridden
from lazymmu.results import Hazard, Results, Run, from_record

ProgramLike = Program | str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A program: parsed, as JSON text, as a dictionary, or as a list of its operations."""

SchemeLike = str | Scheme | type[Scheme]
HooksLike = Hooks | type[Hooks] | None

DEFAULT_SCHEME = "v7.0"


class Translation(NamedTuple):
    """What hardware finds at an address: physical address of the byte, level of the leaf (1 pte to 5 pgd), its word."""

    pa: int
    level: int
    word: int


class Table(NamedTuple):
    """One table page: physical address, level of its entries, and their words."""

    pa: int
    level: int
    words: npt.NDArray[np.uint64]


def events_of(events: npt.NDArray[np.void], kind: str) -> npt.NDArray[np.void]:
    """The events of one kind (``lazymmu list events``), such as ``STORE``.

    Raises `ConfigError` where there is no such kind.
    """
    codes = {name: code for code, name, _ in _native.event_kinds()}
    if kind not in codes:
        raise ConfigError(f"unknown event kind {kind!r}: expected one of {', '.join(codes)}")
    found: npt.NDArray[np.void] = events[events["kind"] == codes[kind]]
    return found


def load_program(program: ProgramLike) -> Program:
    """Parses a program once, for many runs.

    Raises `ProgramError` naming the key or value that is wrong.
    """
    if isinstance(program, Program):
        return program
    if isinstance(program, str):
        return Program(program)
    if not isinstance(program, Mapping):
        program = {"ops": [step if "op" in step else {"op": step} for step in program]}
    try:
        text = json.dumps(program)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"not a program: {error}") from error
    return Program(text)


def _texts(options: Mapping[str, str | bool]) -> list[tuple[str, str]]:
    texts = []
    for name, value in options.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str):
            raise ConfigError(f"option {name}: expected a text or a truth value, got {value!r}")
        texts.append((name, value))
    return texts


def _tasks(tasks: Iterable[Mapping[str, int] | tuple[int, int]]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for task in tasks:
        if isinstance(task, Mapping):
            if unknown := set(task) - {"mm", "cpu"}:
                raise ConfigError(f"task {len(pairs)}: unknown key {sorted(unknown)[0]!r}: expected mm, cpu")
            pairs.append((task.get("mm", 0), task.get("cpu", 0)))
        else:
            mm, cpu = task
            pairs.append((mm, cpu))
    return pairs


class Machine:
    """A machine of one backend, geometry and scheme, on which programs run one after the other.

    Args:
        backend: ``arm64``, ``x86-64``, ``x86-32`` or ``xen-pv``; see ``lazymmu list backends``.
        geometry: a geometry of the backend; None: its default.
        scheme: where hooks are called: a name, or a `Scheme`.
        options: dated facts that differ from the scheme's defaults; see ``lazymmu list options``.
        cpus: 1 to 16.
        mms: user address spaces, numbered from 1; 0 is init_mm.
        tasks: ``{"mm": 0, "cpu": 0}`` each, the first of a CPU runs there; none: one kernel thread a CPU.
        layout: addresses of the geometry's layout to replace, by field name.
        hooks: what hooks do, where that differs: a `Hooks`; None: what a `Scheme` says for the backend. Classes are
            instantiated.
        check: look for hazards and count.
        log: keep every event. With neither check nor log operations run at full speed and only results are kept.
        log_limit: bytes that the log of a run may take, and the array made of it; None: 2 GiB. Loops are kept as one
            turn and a count, so that logs are much smaller than the array. A run that needs more ends with a
            `RunError`.

    Raises:
        ConfigError: a name or a number that makes no sense; the message lists what would.
    """

    def __init__(
        self,
        backend: str,
        geometry: str | None = None,
        scheme: SchemeLike = DEFAULT_SCHEME,
        options: Mapping[str, str | bool] | None = None,
        *,
        cpus: int = 1,
        mms: int = 0,
        tasks: Iterable[Mapping[str, int] | tuple[int, int]] = (),
        layout: Mapping[str, int] | None = None,
        hooks: HooksLike = None,
        check: bool = True,
        log: bool = True,
        log_limit: int | None = None,
    ) -> None:
        placed = None if isinstance(scheme, str) else instance(scheme)
        if placed is not None and not isinstance(placed, Scheme):
            raise ConfigError(f"scheme: expected a name or a lazymmu.Scheme, got {scheme!r}")
        given = instance(hooks if hooks is not None else placed.hooks.get(backend) if placed else None)
        if given is not None and not isinstance(given, Hooks):
            raise ConfigError(f"hooks: expected a lazymmu.Hooks, got {hooks!r}")
        merged = {**(placed.options if placed else {}), **(options or {})}
        bridge = overridden(placed, given)
        names = sorted(vars(bridge))
        mode = "logged" if log else "checked" if check or names else "quiet"
        self.scheme: str = placed.name if placed else str(scheme)
        self.backend = backend
        try:
            self._native = _native.Machine(
                backend,
                placed.base if placed else str(scheme),
                geometry,
                _texts(merged),
                dict(layout or {}),
                cpus,
                mms,
                _tasks(tasks),
                mode,
                (bridge, names) if names else None,
                log_limit,
            )
        except (OverflowError, TypeError) as error:
            given_numbers = f"cpus {cpus!r}, mms {mms!r}, tasks {tasks!r}, layout {layout!r}, log_limit {log_limit!r}"
            raise ConfigError(f"{given_numbers}: {error}") from error

    @classmethod
    def _of(cls, native: _native.Machine, like: Machine) -> Machine:
        new = cls.__new__(cls)
        new._native, new.scheme, new.backend = native, like.scheme, like.backend
        return new

    def run(self, program: ProgramLike) -> Run:
        """Runs a program's operations here, in the state the machine is in. Its cpus, mms and tasks are not looked at.

        Raises:
            ProgramError: not a program.
            RunError: an operation that makes no sense; those before it have been carried out.
        """
        raw = self._native.run(load_program(program))
        return Run(
            results=Results(records(raw.take_results(), RESULT)),
            injected=[
                (op, injection, step, from_record(np.array(words, np.uint64).view(RESULT)[0]))
                for op, injection, step, words in raw.injected
            ],
            missed=raw.missed,
            log=lambda: records(raw.events(), EVENT),
            total=raw.total,
            counts=raw.counts,
            hazards=[Hazard(*row) for row in raw.hazards],
        )

    def translate(self, va: int, mm: int = 0) -> Translation | None:
        """What a hardware walk finds at an address, from the words in memory; None: a fault."""
        found = self._native.translate(va, mm)
        return None if found is None else Translation(*found)

    def translate_many(
        self, vas: npt.ArrayLike, mm: int = 0
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
        """The same for an array of addresses: physical addresses, levels (0: a fault), words."""
        return self._native.translate_many(np.ascontiguousarray(vas, np.uint64), mm)

    def image(self, mm: int | None = None) -> list[Table]:
        """Table pages by ascending physical address: all, or those that a walk of one address space reaches."""
        return [Table(*table) for table in self._native.image(mm)]

    def roots(self) -> list[int]:
        """Physical addresses of the root tables, by address space."""
        return self._native.roots()

    def peek(self, pa: int) -> int:
        """The word at the physical address of a table entry."""
        return self._native.peek(pa)

    def poke(self, pa: int, word: int) -> None:
        """Changes a word in memory, as a debugger would: no event, no hook."""
        self._native.poke(pa, word)

    def snapshot(self) -> Machine:
        """A machine in the same state; both share table pages until one changes them. Hooks are the same objects."""
        return self._of(self._native.snapshot(), self)

    @property
    def geometry(self) -> dict[str, Any]:
        """Levels, sizes and address layout."""
        return self._native.geometry

    @property
    def options(self) -> dict[str, str]:
        """Every option with its value."""
        return self._native.options

    @property
    def sync_mask(self) -> int:
        """``ARCH_PAGE_TABLE_SYNC_MASK``."""
        return self._native.sync_mask

    def __repr__(self) -> str:
        return f"<Machine {self.backend} {self.geometry['name']} {self.scheme}>"


def run(
    program: ProgramLike,
    backend: str,
    geometry: str | None = None,
    scheme: SchemeLike = DEFAULT_SCHEME,
    options: Mapping[str, str | bool] | None = None,
    *,
    layout: Mapping[str, int] | None = None,
    hooks: HooksLike = None,
    check: bool = True,
    log: bool = True,
    log_limit: int | None = None,
) -> Run:
    """Builds the machine that a program asks for, runs the program on it, and forgets the machine.

    Arguments and errors are those of `Machine` and `Machine.run`.
    """
    parsed = load_program(program)
    cpus, mms, tasks = parsed.setup
    machine = Machine(
        backend,
        geometry,
        scheme,
        options,
        cpus=cpus,
        mms=mms,
        tasks=tasks,
        layout=layout,
        hooks=hooks,
        check=check,
        log=log,
        log_limit=log_limit,
    )
    return machine.run(parsed)
