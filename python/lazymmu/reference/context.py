"""Who runs: context switches, interrupts, bottom halves, sleeping, migration, fork (micro-steps, *Environment*)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference import kmap
from lazymmu.reference.codes import INIT_MM, Resched, Warn
from lazymmu.reference.errors import RunError
from lazymmu.reference.machine import Task

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


def switch_to(k: Kernel, following: Task) -> None:
    """``context_switch`` on the executing CPU.

    ``kmap_local_sched_out``, ``arch_start_context_switch``, ``switch_mm``, ``switch_to``, and back in.
    """
    cpu = k.here()
    prev = cpu.current
    if prev is following:
        return
    elsewhere = k.running_on(following)
    if elsewhere is not None:
        raise RunError(f"task {following.id} runs on CPU {elsewhere.id}", k.op)
    prev.need_resched = False
    for mapping in prev.kmaps:  # in the order of mapping, as __kmap_local_sched_out does
        kmap.clear_slot(k, mapping.va)
    k.backend.switch_out(prev)
    if following.mm not in (INIT_MM, cpu.loaded):  # a kernel thread borrows what is loaded
        cpu.loaded = following.mm
        k.backend.load_root(k.mms[following.mm])
    cpu.current = following
    following.cpu = cpu.id
    k.emit(ev.SWITCH, old=prev.id, new=following.id)
    k.backend.switch_in(following)
    following.fresh = False
    for mapping in following.kmaps:
        kmap.set_slot(k, mapping.va, mapping.page)


def idle_task(k: Kernel) -> Task:
    """The executing CPU's idle task."""
    return k.tasks[k.idle[k.cpu]]


def sleep(k: Kernel) -> None:
    """``schedule()``: another task runs for a while."""
    task = k.task()
    k.resched(Resched.SLEEP)
    if k.in_interrupt() or task.locks:
        k.warn(Warn.SLEEP)
    give_way(k, task)


def cond_resched(k: Kernel) -> None:
    """``cond_resched``: the CPU goes to another task if one waits, and neither an interrupt nor a lock forbids it."""
    task = k.task()
    k.resched(Resched.COND_RESCHED)
    if task.need_resched and may_give_way(k):
        give_way(k, task)


def may_give_way(k: Kernel) -> bool:
    """Whether neither an interrupt nor a lock forbids that another task runs."""
    return not k.in_interrupt() and not k.task().locks


def give_way(k: Kernel, task: Task) -> None:
    """Somebody else runs for a while; the idle task stands for all of them."""
    switch_to(k, idle_task(k))
    task.need_resched = False  # the idle task itself has nobody to give way to
    switch_to(k, task)


def migrate(k: Kernel, cpu: int) -> None:
    """The task goes on elsewhere: off this CPU, onto the other."""
    task, old = k.task(), k.cpu
    if cpu == old:
        return
    switch_to(k, idle_task(k))
    k.cpu = task.cpu = cpu
    k.emit(ev.MIGRATE, old=old, new=cpu)
    switch_to(k, task)


def fork(k: Kernel, mm: int | None) -> Task:
    """``dup_task_struct``: counters and thread flags are copied with the rest (7.3 facts 6)."""
    parent = k.task()
    child = Task(len(k.tasks), k.cpu, parent.mm if mm is None else mm)
    child.flags, child.enable, child.pause = parent.flags, parent.enable, parent.pause
    child.fresh = True
    k.tasks.append(child)
    k.emit(ev.FORK, old=parent.id, new=child.id, aux=child.enable | child.pause << 8, mm=child.mm)
    return child


def interrupt(k: Kernel, code: int, work: Callable[[], None]) -> None:
    """An interrupt on the executing CPU, from entry to return."""
    cpu = k.here()
    cpu.irqs.append(code)
    k.emit(ev.IRQ_IN, aux=code)
    work()
    k.emit(ev.IRQ_OUT, aux=code)
    cpu.irqs.pop()


def local_bh(k: Kernel, disable: bool) -> None:
    """``local_bh_disable``, ``local_bh_enable``: while disabled, ``in_interrupt()`` is true."""
    task = k.task()
    task.bh += 1 if disable else -1
    k.emit(ev.BH, new=task.bh, aux=int(disable))
