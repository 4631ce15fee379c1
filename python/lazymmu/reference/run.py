"""The runner: a machine, and programs that run on it one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lazymmu import hooks as public
from lazymmu.reference import context
from lazymmu.reference import events as ev
from lazymmu.reference.access import hardware_walk, root_for
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.check import Checker, Laws
from lazymmu.reference.codes import INIT_MM, INTERRUPTS
from lazymmu.reference.errors import ConfigError, ProgramError, RunError, TaskDied
from lazymmu.reference.events import Event, Log
from lazymmu.reference.geometry import Geometry, geometry_named
from lazymmu.reference.kernel import Kernel
from lazymmu.reference.machine import Cpu, Task
from lazymmu.reference.operations import DONE, Operations
from lazymmu.reference.options import Options, defaults
from lazymmu.reference.overrides import Overrides
from lazymmu.reference.program import CODES, Injection, Operation, Program, Step, TaskSetup, parse
from lazymmu.reference.scheme import Scheme, scheme_named
from lazymmu.reference.user.folios import Folios
from lazymmu.reference.user.leaves import leaf_of
from lazymmu.reference.user.process import Process
from lazymmu.reference.walk.core import Walk
from lazymmu.results import Result, Run

NOT_RUN: Final = Result("not-run")


class Armed:
    """The injections of one operation, and how often their event was seen."""

    def __init__(self, injections: Sequence[tuple[int, Injection]]) -> None:
        self.waiting = list(injections)
        self.index = 0
        self.of_kind: dict[int, int] = {}

    def due(self, event: Event) -> list[tuple[int, Injection]]:
        """Those whose point is this event of the operation's own, in the order of the program."""
        nth = self.of_kind.get(event[0], 0)
        index = self.index
        self.of_kind[event[0]] = nth + 1
        self.index += 1
        due = [item for item in self.waiting if self._matches(item[1], index, event[0], nth)]
        self.waiting = [item for item in self.waiting if item not in due]
        return due

    @staticmethod
    def _matches(injection: Injection, index: int, kind: int, nth: int) -> bool:
        if injection.event is not None:
            return injection.event == index
        if injection.kind is not None:
            return (injection.kind, injection.nth) == (kind, nth)
        return index == 0


class Machine:
    """An executable model of page tables under one kernel, architecture and configuration."""

    def __init__(
        self,
        backend: str = "x86-64",
        geometry: str | None = None,
        scheme: str | object = "v7.0",
        options: Mapping[str, str | bool] | None = None,
        *,
        cpus: int = 1,
        mms: int = 0,
        tasks: Sequence[Mapping[str, int]] = (),
        layout: Mapping[str, int] | None = None,
        hooks: object | None = None,
        check: bool = True,
        log: bool = True,
    ) -> None:
        native, chosen, replacing = _scheme(scheme, options)
        backend_class = _backend(backend)
        shape = _geometry(backend, backend_class, geometry).with_layout(layout)
        try:
            setup = parse({"cpus": cpus, "mms": mms, "tasks": [dict(task) for task in tasks], "ops": []})
        except ProgramError as error:
            raise ConfigError(str(error)) from error
        self._log = Log(log, None)
        if hooks is None and replacing is not None:
            hooks = getattr(replacing, "hooks", {}).get(backend)
        overrides = Overrides(replacing, hooks)
        self._kernel = Kernel(
            shape, backend_class.entry_format(shape, chosen), chosen, backend_class, native, overrides, self._log
        )
        _boot(self._kernel, setup)
        self._checker: Checker | None = None
        if check:
            self._checker = Checker(_laws(self._kernel))
            self._log.checker = self._checker.see
        leaf = leaf_of(self._kernel.format)
        if leaf is not None:
            self._kernel.process = Process(self._kernel, leaf, Folios())
        self._operations = Operations(self._kernel, self._run_inner)
        self._armed: Armed | None = None
        self._injected: list[tuple[int, int, int, Result]] = []

    # What there is to see -------------------------------------------------------------------------

    @property
    def layout(self) -> dict[str, int]:
        """Where things are."""
        return dict(self._kernel.geometry.layout)

    @property
    def sync_mask(self) -> int:
        """``ARCH_PAGE_TABLE_SYNC_MASK``."""
        return self._kernel.backend.sync_mask

    def translate(self, va: int, mm: int = INIT_MM) -> tuple[int, int, int] | None:
        """Physical address, level and word of the leaf that maps an address, as memory stands now; None: a fault."""
        k = self._kernel
        if mm >= len(k.mms) or not k.geometry.canonical(va):
            raise RunError(f"there is no mm {mm}, or {va:#x} is not canonical")
        found = hardware_walk(k, root_for(k, mm, va)[1], va)
        return None if found.pa is None else (found.pa, found.level, found.word)

    def image(self) -> dict[int, tuple[int, list[int]]]:
        """All live tables: physical address to level of the entries, and words."""
        tables = self._kernel.memory.tables
        return {pa: (tables[pa].level, list(tables[pa].words)) for pa in sorted(tables)}

    def roots(self) -> list[int]:
        """Physical address of each address space's root."""
        return [mm.root.pa for mm in self._kernel.mms]

    def lazy(self, task: int) -> tuple[int, int, int]:
        """A task's lazy MMU counters (enable, pause) and thread flags."""
        found = self._operations.resolver.task(task)
        return found.enable, found.pause, found.flags

    def peek(self, table: int, index: int) -> int:
        """A word of a table."""
        return self._words(table, index)[index]

    def poke(self, table: int, index: int, word: int) -> None:
        """Changes a word of a table, without an event."""
        words = self._words(table, index)
        if word < 0 or word >> (8 * self._kernel.geometry.entry_bytes):
            raise RunError(f"{word:#x} does not fit an entry")
        words[index] = word

    def _words(self, table: int, index: int) -> list[int]:
        found = self._kernel.memory.tables.get(table)
        if found is None or not 0 <= index < len(found.words):
            raise RunError(f"there is no entry {index} in a table at {table:#x}")
        return found.words

    # Running --------------------------------------------------------------------------------------

    def run(self, program: Mapping[str, Any] | str) -> Run:
        """Runs the operations of a program; its setup is not looked at, for the machine exists."""
        return self._run(parse(program))

    def _run(self, program: Program) -> Run:
        self._log.restart()
        if self._checker is not None:
            self._checker.restart()
        self._injected = []
        self._check_injections(program)
        missed: list[int] = []
        results = []
        by_op: dict[int, list[tuple[int, Injection]]] = {}
        for number, injection in enumerate(program.injections):
            by_op.setdefault(injection.op, []).append((number, injection))
        try:
            for index, step in enumerate(program.ops):
                armed = Armed(by_op.pop(index, []))
                results.append(self._step(index, step, armed))
                missed += [number for number, _ in armed.waiting]
        except BaseException:
            # An error, or an exception of a user's hook: the machine stays usable.
            self._cut_short()
            if self._checker is not None:
                self._checker.track.forget()
            raise
        missed += [number for waiting in by_op.values() for number, _ in waiting]
        return Run(
            results=results,
            injected=self._injected,
            missed=sorted(missed),
            log=self._log.events,
            total=self._log.total,
            counts=dict(self._log.counts),
            hazards=[] if self._checker is None else self._checker.hazards(),
        )

    def _check_injections(self, program: Program) -> None:
        """Points and places that injections name exist."""
        k = self._kernel
        for number, injection in enumerate(program.injections):
            for what, index, limit in (
                ("op", injection.op, len(program.ops)),
                ("CPU", injection.cpu, len(k.cpus)),
                ("task", injection.task, len(k.tasks)),
            ):
                if index is not None and index >= limit:
                    raise RunError(f"injection {number}: {what} {index} does not exist: expected below {limit}")

    def _cut_short(self) -> None:
        """An operation stopped in the middle."""
        self._kernel.dying = None
        for cpu in self._kernel.cpus:
            cpu.irqs.clear()
        for task in self._kernel.tasks:
            task.locks = 0

    def _step(self, index: int, step: Step, armed: Armed) -> Result:
        """One operation of the program (micro-steps, *An operation*)."""
        k = self._kernel
        k.op = index
        task = self._operations.resolver.task(step.task)
        if task.dead:
            return NOT_RUN
        k.cpu = task.cpu
        k.fail_alloc = step.fail_alloc
        try:
            if task is not k.task():
                context.switch_to(k, task)
            if armed.waiting:
                self._armed = armed
                self._log.after = self._inject
            result = self._operate(step.op)
        except TaskDied as died:
            self._cut_short()
            result = Result("died", bug=died.code)
        finally:
            self._log.after = None
            k.fail_alloc = None
        return result

    def _operate(self, op: Operation) -> Result:
        """From `OP` to `OP_END`. Arguments are looked at behind `OP`: an interrupt there may change what they mean."""
        k = self._kernel
        start, end = self._operations.shown_range(op)
        k.emit(ev.OP, aux=CODES[op.name], va=start, new=end)
        result = self._inner(op)
        if k.process is not None:
            k.process.grace_period()
        k.emit(ev.OP_END, aux=result.mask, old=result.ret, new=result.calls)
        return result

    def _inner(self, op: Operation) -> Result:
        """An operation inside another one: only what it does is an event."""
        return _result(self._operations.prepare(op)())

    def _run_inner(self, ops: tuple[Operation, ...]) -> None:
        for op in ops:
            self._inner(op)

    # Injections -----------------------------------------------------------------------------------

    def _inject(self, event: Event) -> None:
        """After an event of the operation's own: whatever is due there happens, and is not interrupted itself."""
        if self._armed is None:
            return
        due = self._armed.due(event)
        if not due:
            return
        self._log.after = None
        for number, injection in due:
            self._carry_out(number, injection)
        self._log.after = self._inject

    def _carry_out(self, number: int, injection: Injection) -> None:
        k, resolver = self._kernel, self._operations.resolver
        old_cpu = k.cpu
        if injection.cpu is not None:
            k.cpu = resolver.cpu(injection.cpu)
        old_task = None
        if injection.task is not None:
            old_task = k.task()
            context.switch_to(k, resolver.free_task(injection.task))

        def work() -> None:
            for step, op in enumerate(injection.ops):
                try:
                    result = self._inner(op)
                except TaskDied as died:
                    self._injected.append((k.op, number, step, Result("died", bug=died.code)))
                    raise
                self._injected.append((k.op, number, step, result))

        if injection.irq is None:
            work()
        else:
            context.interrupt(k, INTERRUPTS[injection.irq], work)
        if old_task is not None:
            context.switch_to(k, resolver.free_task(old_task.id))
        k.cpu = old_cpu


def run(
    program: Mapping[str, Any] | str,
    backend: str = "x86-64",
    geometry: str | None = None,
    scheme: str | object = "v7.0",
    options: Mapping[str, str | bool] | None = None,
    hooks: object | None = None,
) -> Run:
    """Runs a program on a new machine with the program's setup."""
    parsed = parse(program)
    machine = Machine(
        backend,
        geometry,
        scheme,
        options,
        cpus=parsed.cpus,
        mms=parsed.mms,
        tasks=[{"mm": task.mm, "cpu": task.cpu} for task in parsed.tasks],
        hooks=hooks,
    )
    return machine._run(parsed)


def _result(done: Result | Walk | None) -> Result:
    if isinstance(done, Walk):
        return Result("returned", ret=done.ret, mask=done.mask, calls=done.calls)
    return DONE if done is None else done


# Building a machine -------------------------------------------------------------------------------


def _scheme(scheme: str | object, changes: Mapping[str, str | bool] | None) -> tuple[Scheme, Options, object | None]:
    """The native scheme, the options, and the user's scheme if it is one."""
    if isinstance(scheme, str):
        return scheme_named(scheme), defaults(scheme).with_changes(changes), None
    given = public.instance(scheme)
    if isinstance(given, Scheme):
        return given, defaults(given.name).with_changes(changes), None
    base = getattr(given, "base", public.Scheme.base)
    own = getattr(given, "options", public.Scheme.options)
    return scheme_named(base), defaults(base).with_changes(own).with_changes(changes), given


def _backend(name: str) -> type[Backend]:
    if name not in BACKENDS:
        raise ConfigError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name]


def _geometry(backend: str, backend_class: type[Backend], name: str | None) -> Geometry:
    if name is None:
        return geometry_named(backend_class.geometries[0])
    geometry = geometry_named(name)
    if name not in backend_class.geometries:
        raise ConfigError(f"{backend} has no geometry {name!r}; known: {', '.join(backend_class.geometries)}")
    return geometry


def _laws(k: Kernel) -> Laws:
    return Laws(
        needs_barrier=k.backend.needs_barrier,
        repairs_faults=k.backend.repairs_faults,
        sync_mask=k.backend.sync_mask,
        scope_postpones=k.backend.scope_postpones or k.overrides.overridden("begin") is not None,
        counted_api=k.options.lazy_api == "counted",
        usable=k.format.usable,
        fences=k.backend.fences,
        dsb_completes=k.backend.dsb_completes,
        vmalloc_end=k.geometry.layout["vmalloc_end"],
        sizes=tuple(1 << shift for shift in k.geometry.shifts),
    )


def _boot(k: Kernel, setup: Program) -> None:
    """init_mm, address spaces, tasks, CPUs (micro-steps, *Boot*)."""
    k.backend.boot()
    for number in range(1, setup.mms + 1):
        if k.backend.pgd_alloc(number, booting=True) is None:
            raise ConfigError(f"no table frames for {setup.mms} address spaces")
    for wanted in setup.tasks or tuple(TaskSetup(INIT_MM, cpu) for cpu in range(setup.cpus)):
        if wanted.mm > setup.mms or wanted.cpu >= setup.cpus:
            raise ConfigError(f"a task with mm {wanted.mm} on CPU {wanted.cpu}: there is no such mm or CPU")
        k.tasks.append(Task(len(k.tasks), wanted.cpu, wanted.mm))
    k.idle = list(range(len(k.tasks), len(k.tasks) + setup.cpus))
    k.tasks += [Task(number, cpu, INIT_MM) for cpu, number in enumerate(k.idle)]
    for cpu in range(setup.cpus):
        first = next(task for task in k.tasks if task.cpu == cpu)
        k.cpus.append(Cpu(cpu, first, first.mm))
    for task in k.tasks:
        if k.running_on(task) is None:
            k.backend.boot_idle(task)
    k.backend.booted()
