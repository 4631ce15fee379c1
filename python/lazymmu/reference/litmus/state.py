"""One thread on its way through its program over one log."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from lazymmu.reference.litmus.program import Fault, Litmus, Operand
from lazymmu.reference.visibility import START, Effect, Invalidation, Ordering, View


@dataclass(frozen=True)
class Root:
    """A translation root the registers named: until context is synchronised the one before may still be used."""

    hypervisor: bool
    root: int
    asid: int
    view: View = START
    synchronised: bool = True
    replaced: bool = False


@dataclass
class State:
    """Where the thread is, and what it knows."""

    pc: int
    level: int
    own_stack: bool
    registers: dict[str, tuple[int, View]]
    cpu: Ordering
    roots: list[Root]
    handling: bool = False
    again: bool = False
    steps: int = 0
    ahead: tuple[Effect, ...] = ()
    met: frozenset[int] = frozenset()
    proposals: tuple[Effect, ...] = ()
    faults: tuple[Fault, ...] = ()
    monitor: tuple[int, int, View] | None = None
    pending: tuple[Invalidation, ...] = ()
    loops: dict[int, tuple[int, object]] = field(default_factory=dict)
    stale: frozenset[tuple[int, int]] = frozenset()

    @staticmethod
    def start(test: Litmus, number: int) -> State:
        """At the beginning."""
        thread = test.threads[number]
        registers = {name: (value, START) for name, value in thread.registers.items()}
        roots = [Root(i == 1, root, asid) for i, (root, asid) in enumerate(thread.roots)]
        return State(0, thread.level, thread.own_stack, registers, Ordering(number), roots)

    def copy(self) -> State:
        """One that goes its own way."""
        new = copy.copy(self)
        new.registers, new.cpu, new.roots = dict(self.registers), self.cpu.copy(), list(self.roots)
        new.loops = dict(self.loops)
        return new

    def get(self, operand: Operand) -> tuple[int, View]:
        """Value of an operand, and when it is known."""
        if isinstance(operand, int):
            return operand & 0xFFFF_FFFF_FFFF_FFFF, START
        return self.registers.get(operand, (0, START))

    def set(self, name: str | None, value: int, view: View = START) -> None:
        """Sets a register, if there is one."""
        if name is not None:
            self.registers[name] = (value & 0xFFFF_FFFF_FFFF_FFFF, view)

    def synchronise(self, trigger: View) -> None:
        """Context synchronisation."""
        self.cpu.synchronise_context(trigger)
        self.roots = [replace(root, synchronised=True) for root in self.roots]
