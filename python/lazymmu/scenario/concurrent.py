"""Threads that run at the same time, and what may come between their micro-steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from lazymmu.scenario.operations import Block, IrqKind

Preemption: TypeAlias = Literal["none", "voluntary", "full"]
"""Where threads that share a CPU may lose it: where one is done, at ``cond_resched`` too, or anywhere."""

DECISION = ("at", "thread", "interrupt", "migrate", "fail")
"""Keys of an entry of a schedule."""
MIGRATION = ("thread", "to")
INTERRUPT = ("cpu", "irq", "task", "on", "at", "kind", "times", "ops")
THREAD = ("cpu", "task", "ops")
KEYS = ("threads", "interrupts", "migrations", "preemption", "may_fail_alloc", "schedule")
ANYWHERE = "anywhere"


@dataclass
class Thread(Block):
    """Operations that run while those of other threads do.

    They are run by ``task``, by the first task of ``cpu``, or, with neither, by the task with the thread's number.
    """

    cpu: int | None = None
    task: int | None = None

    def runs(self, number: int, tasks: Sequence[Mapping[str, int]]) -> int | None:
        """The task of thread ``number`` where the setup has these tasks; None if it names a CPU without one."""
        if self.task is not None:
            return self.task
        if self.cpu is None:
            return number
        if not tasks:
            return self.cpu
        return next((n for n, task in enumerate(tasks) if task.get("cpu", 0) == self.cpu), None)


@dataclass
class Interrupt(Block):
    """What may come between two micro-steps of a thread, ``times`` times at most.

    An interrupt (``irq``), another task on the CPU (``task``), or operations simply run there, by CPU ``on`` if given.
    Only on ``cpu``, only in the operations ``at`` (labels or indices), only behind an event of ``kind``.
    """

    interrupt: IrqKind | None = None
    cpu: int | None = None
    task: int | None = None
    on: int | None = None
    at: list[str | int] = field(default_factory=list)
    kind: str | None = None
    times: int = 1


def to_data(block: Thread | Interrupt, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Plain data of a thread or an interrupt whose steps are these."""
    if isinstance(block, Thread):
        return {**_given(cpu=block.cpu, task=block.task), "ops": steps}
    at = block.at[0] if len(block.at) == 1 else block.at or None
    times = block.times if block.times != 1 else None
    data = _given(cpu=block.cpu, irq=block.interrupt, task=block.task, on=block.on, at=at, kind=block.kind, times=times)
    return {**data, "ops": steps}


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def resolved(
    scenario: Any,
    step: Callable[..., dict[str, Any]],
    block: Callable[..., list[dict[str, Any]]],
    fail: Callable[..., Exception],
) -> dict[str, Any]:
    """The ``concurrent`` part of a scenario's program, with its steps and blocks resolved by these functions."""
    out: dict[str, Any] = {}
    threads = []
    for n, thread in enumerate(scenario.threads):
        task = thread.runs(n, scenario.tasks)
        if task is None:
            raise fail(("threads", n, "cpu"), f"no task runs on CPU {thread.cpu}")
        ops = [step(s, ("threads", n, "ops", k)) for k, s in enumerate(thread.steps)]
        threads.append({"ops": [{**op, "task": op.get("task", task)} for op in ops]})
    if threads:
        out["threads"] = threads
    interrupts = []
    for n, interrupt in enumerate(scenario.interrupts):
        path = ("interrupts", n)
        at: dict[str, Any] = {}
        for op in interrupt.at:
            index = scenario.index_of(op)
            if index is None:
                raise fail((*path, "at"), f"no step {op!r}")
            at.setdefault("ops", []).append(index)
        if interrupt.kind is not None:
            at["kind"] = interrupt.kind
        data: dict[str, Any] = {"at": at, "times": interrupt.times}
        data |= _given(irq=interrupt.interrupt, cpu=interrupt.cpu, task=interrupt.task, on=interrupt.on)
        interrupts.append({**data, "ops": block(interrupt, (*path, "ops"))})
    if interrupts:
        out["interrupts"] = interrupts
    for key in ("migrations", "schedule"):
        if value := getattr(scenario, key):
            out[key] = value
    if scenario.preemption != "full":
        out["preemption"] = scenario.preemption
    if scenario.may_fail_alloc:
        out["may_fail_alloc"] = True
    return out


def schema(step: Any, operation: Any, kinds: Sequence[str], table: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """JSON Schema of the keys that a scenario has for this."""
    index = {"type": "integer", "minimum": 0, "maximum": 65535}
    cpu = {"type": "integer", "minimum": 0, "maximum": 15}
    place = {"type": ["string", "integer"]}

    def many(items: Any) -> dict[str, Any]:
        return {"type": "array", "items": items}

    interrupt = {
        "cpu": cpu,
        "irq": {"enum": list(get_args(IrqKind))},
        "task": index,
        "on": cpu,
        "at": {"anyOf": [place, many(place)]},
        "kind": {"enum": list(kinds)},
        "times": {"type": "integer", "minimum": 1, "maximum": 65535},
        "ops": many(operation),
    }
    number = {"type": "integer", "minimum": 0}
    decision = {"at": number, "thread": index, "interrupt": index, "migrate": index, "fail": {"type": "boolean"}}
    return {
        "threads": many(table({"cpu": cpu, "task": index, "ops": many(step)}, ["ops"])),
        "interrupts": many(table(interrupt, ["ops"])),
        "migrations": many(table({"thread": index, "to": cpu}, ["thread", "to"])),
        "preemption": {"enum": list(get_args(Preemption))},
        "may_fail_alloc": {"type": "boolean"},
        "schedule": many(table(decision, ["at"])),
    }
