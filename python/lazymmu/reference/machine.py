"""CPUs, tasks, contexts and address spaces. Knows nothing of hook placement."""

from __future__ import annotations

from lazymmu.reference.codes import INTERRUPT_CONTEXT, Context
from lazymmu.reference.memory import Table


class Kmap:
    """A ``kmap_local`` mapping of a highmem page."""

    __slots__ = ("page", "va")

    def __init__(self, va: int, page: int) -> None:
        self.va = va
        self.page = page


class Task:
    """A ``task_struct``, as far as page tables care."""

    __slots__ = ("bh", "cpu", "dead", "enable", "flags", "fresh", "id", "kmaps", "locks", "mm", "need_resched", "pause")

    def __init__(self, number: int, cpu: int, mm: int) -> None:
        self.id = number
        self.cpu = cpu
        self.mm = mm
        self.flags = 0
        """Thread flags (`codes.Flag`)."""
        self.enable = 0
        """``lazy_mmu_state.enable_count``, a u8."""
        self.pause = 0
        """``lazy_mmu_state.pause_count``, a u8."""
        self.bh = 0
        """How often bottom halves are disabled."""
        self.locks = 0
        """Page-table locks held."""
        self.need_resched = False
        """``TIF_NEED_RESCHED``: another task waits for the CPU."""
        self.kmaps: list[Kmap] = []
        """The stack of local mappings."""
        self.fresh = False
        """Forked, and never run."""
        self.dead = False


class Cpu:
    """A CPU: who runs there, which root it walks, which interrupts interrupt each other."""

    __slots__ = ("current", "id", "irqs", "lazy", "loaded")

    def __init__(self, number: int, current: Task, loaded: int) -> None:
        self.id = number
        self.current = current
        self.loaded = loaded
        """The mm whose root is loaded."""
        self.irqs: list[int] = []
        """Interrupt codes, innermost last."""
        self.lazy = 0
        """Xen PV's per-CPU lazy MMU mode: 0 off, else 1 + nesting."""


class Mm:
    """An address space."""

    __slots__ = ("id", "root")

    def __init__(self, number: int, root: Table) -> None:
        self.id = number
        self.root = root


class State:
    """Who runs where, and in what context."""

    def __init__(self) -> None:
        self.mms: list[Mm] = []
        self.pgd_list: list[Mm] = []
        """Process roots in the order that syncs visit them: newest first."""
        self.tasks: list[Task] = []
        self.cpus: list[Cpu] = []
        self.idle: list[int] = []
        """The idle task of each CPU."""
        self.cpu = 0
        """The executing CPU."""
        self.op = 0
        """Index of the program's operation."""
        self.dumping = False
        """ptdump holds init_mm's mmap lock for writing."""

    def here(self) -> Cpu:
        """The executing CPU."""
        return self.cpus[self.cpu]

    def task(self) -> Task:
        """``current``: an interrupt runs on the task that it interrupted."""
        return self.cpus[self.cpu].current

    def context(self) -> int:
        """What the code runs in: the innermost interrupt, or softirq while bottom halves are disabled, or a task."""
        cpu = self.cpus[self.cpu]
        if cpu.irqs:
            return INTERRUPT_CONTEXT[cpu.irqs[-1]]
        return Context.SOFTIRQ if cpu.current.bh else Context.TASK

    def in_interrupt(self) -> bool:
        """``in_interrupt()``: also true while bottom halves are disabled (facts 2.8 D)."""
        cpu = self.cpus[self.cpu]
        return bool(cpu.irqs) or cpu.current.bh > 0

    def running_on(self, task: Task) -> Cpu | None:
        """The CPU on which a task runs now."""
        return next((cpu for cpu in self.cpus if cpu.current is task), None)
