"""The lazy MMU API of generic code, and the architecture's three functions behind it.

The API is plain up to v6.19 and counted from v7.0 on.

On a backend without a lazy mode all calls compile to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import Warn
from lazymmu.reference.machine import Task

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

_U8 = 0xFF
_IGNORED = 1
_BY_SWITCH = 2


def exists(k: Kernel) -> bool:
    """``CONFIG_ARCH_HAS_LAZY_MMU_MODE``; a user who replaces one of its functions brings the mode along."""
    overridden = k.overrides.overridden
    return k.backend.has_lazy or any(overridden(name) is not None for name in ("enter", "leave", "flush"))


def is_active(k: Kernel) -> bool:
    """``is_lazy_mmu_mode_active()``: enabled, not paused, not in an interrupt (facts 2.8 D)."""
    task = k.task()
    return not k.in_interrupt() and task.enable > 0 and task.pause == 0


# The architecture's functions ---------------------------------------------------------------------


def _arch(k: Kernel, kind: int, name: str, work: Callable[[], int], event_first: bool) -> None:
    before = k.backend.lazy_state()
    if event_first:
        k.emit(kind, old=before, new=before)
    k.overrides.call(name, work, (), ())
    if not event_first:
        k.emit(kind, old=before, new=k.backend.lazy_state())


def arch_enter(k: Kernel) -> None:
    """``arch_enter_lazy_mmu_mode``."""
    _arch(k, ev.ENTER, "enter", k.backend.enter, event_first=False)


def arch_leave(k: Kernel) -> None:
    """``arch_leave_lazy_mmu_mode``."""
    _arch(k, ev.LEAVE, "leave", k.backend.leave, k.backend.leave_event_first)


def arch_flush(k: Kernel) -> None:
    """``arch_flush_lazy_mmu_mode``."""
    _arch(k, ev.LAZY_FLUSH, "flush", k.backend.lazy_flush, k.backend.flush_event_first)


def flush(k: Kernel) -> None:
    """``arch_flush_lazy_mmu_mode`` where the backend has it."""
    if exists(k):
        arch_flush(k)


# The API ------------------------------------------------------------------------------------------


def enable(k: Kernel) -> None:
    """``lazy_mmu_mode_enable``, before v7.0 ``arch_enter_lazy_mmu_mode``."""
    if not exists(k):
        return
    if k.options.lazy_api == "plain":
        arch_enter(k)
        return
    task = k.task()
    if k.in_interrupt() or task.pause > 0:
        _counted(k, ev.ENABLE, task, aux=_IGNORED)
        return
    if task.enable == _U8:
        k.warn(Warn.ENABLE_WRAP)
    was = task.enable
    _counted(k, ev.ENABLE, task, enable=1)
    if was == 0:
        arch_enter(k)


def disable(k: Kernel) -> None:
    """``lazy_mmu_mode_disable``, before v7.0 ``arch_leave_lazy_mmu_mode``. A nested one flushes."""
    if not exists(k):
        return
    if k.options.lazy_api == "plain":
        arch_leave(k)
        return
    task = k.task()
    if k.in_interrupt() or task.pause > 0:
        _counted(k, ev.DISABLE, task, aux=_IGNORED)
        return
    if task.enable == 0:
        k.warn(Warn.DISABLE_WRAP)
    _counted(k, ev.DISABLE, task, enable=-1)
    if task.enable == 0:
        arch_leave(k)
    else:
        arch_flush(k)


def pause(k: Kernel) -> None:
    """``lazy_mmu_mode_pause``; before v7.0 callers left the mode."""
    k.overrides.call("pause", _pause, (k,), ())


def resume(k: Kernel) -> None:
    """``lazy_mmu_mode_resume``; before v7.0 callers entered the mode again."""
    k.overrides.call("resume", _resume, (k,), ())


def _pause(k: Kernel) -> int:
    if not exists(k):
        return 0
    if k.options.lazy_api == "plain":
        arch_leave(k)
    elif k.in_interrupt():
        _counted(k, ev.PAUSE, k.task(), aux=_IGNORED)
    else:
        pause_task(k, k.task(), 0)
    return 0


def _resume(k: Kernel) -> int:
    if not exists(k):
        return 0
    if k.options.lazy_api == "plain":
        arch_enter(k)
    elif k.in_interrupt():
        _counted(k, ev.RESUME, k.task(), aux=_IGNORED)
    else:
        resume_task(k, k.task(), 0)
    return 0


def pause_task(k: Kernel, task: Task, aux: int = _BY_SWITCH) -> None:
    """``__task_lazy_mmu_mode_pause`` (7.3 facts 3): no test for interrupts, for the context switch uses it."""
    if task.pause == _U8:
        k.warn(Warn.PAUSE_WRAP)
    was = task.pause
    _counted(k, ev.PAUSE, task, pause=1, aux=aux)
    if was == 0 and task.enable > 0:
        arch_leave(k)


def resume_task(k: Kernel, task: Task, aux: int = _BY_SWITCH) -> None:
    """``__task_lazy_mmu_mode_resume`` (7.3 facts 3 and 7): a task that was never paused wraps to 255."""
    if task.pause == 0:
        k.warn(Warn.RESUME_WRAP)
    _counted(k, ev.RESUME, task, pause=-1, aux=aux)
    if task.pause == 0 and task.enable > 0:
        arch_enter(k)


def _counted(k: Kernel, kind: int, task: Task, *, enable: int = 0, pause: int = 0, aux: int = 0) -> None:
    """Counts, in eight bits (facts 2.8 D: the checks warn and do not return), and tells."""
    before = task.enable | task.pause << 8
    task.enable = (task.enable + enable) & _U8
    task.pause = (task.pause + pause) & _U8
    k.emit(kind, old=before, new=task.enable | task.pause << 8, aux=aux)
