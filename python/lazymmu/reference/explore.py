"""Threads that run at the same time, in every order of their events: each order is a run of its own.

Nothing is taken for the same and nothing is left out, so this is for programs of a few events; the core's search must
find the same outcomes. A thread can be overtaken behind each of its events and between its operations, nowhere else.
Each has a host thread, and whoever has the turn runs while all others wait.

Of `concurrent` only threads are known here, each on a CPU of its own. Locks are none: tables that threads need must be
there (`populate_kernel`, `populate_user`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazymmu.reference import context
from lazymmu.reference.errors import ProgramError, RunError, TaskDied
from lazymmu.reference.events import Event
from lazymmu.reference.program import Program, Step, parse
from lazymmu.reference.run import NOT_RUN, Machine
from lazymmu.results import Hazard, Result


@dataclass(frozen=True)
class End:
    """How one order of events ended."""

    results: Sequence[Result]
    """Of all operations: those in front, then thread by thread."""
    hazards: Sequence[Hazard]
    machine: Machine


def explore(
    program: Mapping[str, Any], backend: str, geometry: str | None = None, scheme: str = "v7.0", *, most: int = 10_000
) -> Iterator[End]:
    """The end of every order of events of a program's threads.

    Raises:
        ProgramError: the program makes no sense, or has what is not known here.
        RunError: an operation makes no sense, or there are more than `most` orders.
    """
    first, threads = _parts(program)
    path: list[int] = []
    for _ in range(most):
        turns = _Turns(first, threads, (backend, geometry, scheme), path)
        yield turns.run()
        # The next path: the last choice that has not been made in every way is made in the next.
        path = [chosen for chosen, _ in turns.taken]
        counts = [count for _, count in turns.taken]
        while path and path[-1] + 1 == counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1
    raise RunError(f"more than {most} orders of events")


def _parts(program: Mapping[str, Any]) -> tuple[Program, list[tuple[Step, ...]]]:
    """What comes first, and the threads."""
    given = dict(program)
    together = dict(given.pop("concurrent", {}))
    threads = together.pop("threads", ())
    if together:
        raise ProgramError(f"concurrent: the reference knows threads only, not {', '.join(together)}")
    first = parse(given)
    if first.injections:
        raise ProgramError("injections: the reference has none where threads run at the same time")
    steps = [parse({**given, "ops": thread["ops"]}).ops for thread in threads]
    cpus = []
    for number, thread in enumerate(steps):
        tasks = {step.task for step in thread}
        if len(tasks) != 1 or max(tasks) >= len(first.tasks):
            raise ProgramError(f"thread {number}: expected one task of {len(first.tasks)}, found {sorted(tasks)}")
        cpus.append(first.tasks[tasks.pop()].cpu)
    if len(set(cpus)) != len(cpus):
        raise ProgramError(f"threads on CPUs {cpus}: the reference wants a CPU for each")
    return first, steps


class _Turns:
    """One run: who is next is decided by a path, and beyond it by whoever comes first."""

    def __init__(
        self,
        first: Program,
        threads: list[tuple[Step, ...]],
        where: tuple[str, str | None, str],
        path: Sequence[int],
    ) -> None:
        tasks = [{"mm": task.mm, "cpu": task.cpu} for task in first.tasks]
        self.machine = Machine(*where, cpus=first.cpus, mms=first.mms, tasks=tasks, log=False)
        self.first = first
        self.threads = threads
        self.path = path
        self.taken: list[tuple[int, int]] = []
        """The choices: which, and of how many."""
        self.current = 0
        self.open = list(range(len(threads)))
        self.wake = [threading.Semaphore(0) for _ in threads]
        self.over = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.results: list[list[Result]] = [[] for _ in threads]

    def run(self) -> End:
        """Everything, once."""
        before = list(self.machine._run(self.first).results)
        if not self.threads:
            return self._end(before)
        hosts = [threading.Thread(target=self._host, args=(n,), daemon=True) for n in range(len(self.threads))]
        for host in hosts:
            host.start()
        self.machine._log.after = self._behind
        self.current = self._choose(self.open)
        self.wake[self.current].release()
        self.over.acquire()
        self.machine._log.after = None
        if self.error is not None:
            raise self.error
        for host in hosts:
            host.join()
        return self._end(before + [result for thread in self.results for result in thread])

    def _end(self, results: list[Result]) -> End:
        checker = self.machine._checker
        return End(results, [] if checker is None else checker.hazards(), self.machine)

    def _choose(self, among: Sequence[int]) -> int:
        if len(among) == 1:
            return among[0]
        at = len(self.taken)
        chosen = self.path[at] if at < len(self.path) else 0
        self.taken.append((chosen, len(among)))
        return among[chosen]

    def _behind(self, _: Event) -> None:
        """A micro-step is done; this chooses whose is the next."""
        me, k = self.current, self.machine._kernel
        chosen = self._choose(self.open)
        if chosen != me:
            saved = (k.cpu, k.op)
            self.current = chosen
            self.wake[chosen].release()
            self.wake[me].acquire()
            k.cpu, k.op = saved

    def _host(self, me: int) -> None:
        self.wake[me].acquire()
        try:
            before = len(self.first.ops) + sum(len(thread) for thread in self.threads[:me])
            for number, step in enumerate(self.threads[me]):
                self.results[me].append(self._step(before + number, step))
        except BaseException as error:
            self.error = error
            self.over.release()
            return
        self.open.remove(me)
        if self.open:
            self.current = self._choose(self.open)
            self.wake[self.current].release()
        else:
            self.over.release()

    def _step(self, index: int, step: Step) -> Result:
        """As `Machine._step`, but what dies is this thread alone."""
        machine, k = self.machine, self.machine._kernel
        task = machine._operations.resolver.task(step.task)
        if task.dead:
            return NOT_RUN
        k.op, k.cpu = index, task.cpu
        try:
            if task is not k.task():
                context.switch_to(k, task)
            return machine._operate(step.op)
        except TaskDied as died:
            k.dying = None
            k.cpus[task.cpu].irqs.clear()
            task.locks = 0
            return Result("died", bug=died.code)


def mapped(end: End, addresses: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int | None]:
    """Where each (mm, address) leads at the end; None: nowhere."""
    found = {(mm, va): end.machine.translate(va, mm) for mm, va in addresses}
    return {at: None if leaf is None else leaf[0] for at, leaf in found.items()}


__all__ = ["End", "explore", "mapped"]
