"""Barriers, invalidations, roots, exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lazymmu.reference.litmus.program import Fault, Invalidate, Litmus, Operand, Thread, Unsupported
from lazymmu.reference.litmus.state import Root, State
from lazymmu.reference.visibility import (
    START,
    Completed,
    Effect,
    Fence,
    Invalidation,
    OwnInvalidation,
    Scope,
    View,
    at,
    join,
)


class System:
    """The part of a thread's run that is about the system."""

    test: Litmus
    thread: Thread
    settled: tuple[Effect, ...]

    if TYPE_CHECKING:

        @property
        def number(self) -> int: ...  # noqa: D102
        def end(self, state: State) -> None: ...  # noqa: D102
        def wait(self, state: State) -> None: ...  # noqa: D102

    def fence(self, state: State, fence: Fence) -> bool:
        """A barrier. False where the log says that it cannot be here."""
        completion = None
        if fence.completes and state.pending:
            cpu = state.cpu
            since = (at(made.since) for made in state.pending)
            before = join(cpu.reads, cpu.writes, cpu.implicit, cpu.dsb, *since)
            completion = self.complete(state, Completed(self.number, state.pending), before)
            state.pending = ()
            if completion is None:
                return False
        state.cpu.fence(fence, completion)
        return True

    def complete(self, state: State, wanted: Completed, before: View) -> int | None:
        """Finds the completion in the log, or puts it ahead."""
        for i, effect in enumerate(self.settled):
            if isinstance(effect, Completed) and effect.cpu == self.number and i not in state.met:
                if effect != wanted or i + 1 <= before[1]:
                    return None
                state.met |= {i}
                return i + 1
        if before[1] <= len(self.settled):
            state.proposals = (*state.proposals, wanted)
        state.ahead = (*state.ahead, wanted)
        return len(self.settled) + len(state.ahead)

    def invalidate(self, state: State, what: Invalidate) -> bool:
        """An invalidation instruction. False where the log says that it cannot be here."""
        argument, page, asid = START, None, None
        if what.packed is not None:
            value, argument = state.get(what.packed)
            page = value & 0xFFF_FFFF_FFFF if what.by_page else None
            asid = value >> 48 & 0xFFFF if what.by_asid else None
        if what.address is not None:
            value, view = state.get(what.address)
            argument, page = join(argument, view), (value & 0x0000_FFFF_FFFF_FFFF) >> 12
        if what.asid is not None:
            value, view = state.get(what.asid)
            argument, asid = join(argument, view), value & 0xFFFF
        before = state.cpu.before_invalidation(argument)
        if what.immediate:
            before = join(before, state.cpu.reads, state.cpu.writes)
        scope = Scope(page, asid, what.last_level, what.global_too, what.all_tables)
        made = Invalidation(scope, before[1], what.remote)
        if what.remote is None or what.remote == self.number:
            done = before[1] if what.immediate else None
            state.cpu.own = [*state.cpu.own, OwnInvalidation(made, done, what.immediate)]
            if what.immediate and not what.broadcast and page is None:
                state.roots = [replace(root, replaced=True) for root in state.roots]
        if what.immediate:
            if self.test.profile.architecture == "x86-tso":
                state.cpu.before_reads = join(state.cpu.before_reads, before)
                state.cpu.before_writes = join(state.cpu.before_writes, before)
            state.cpu.context = join(state.cpu.context, before)
        if what.broadcast or what.remote is not None:
            state.pending = (*state.pending, made)
            if what.immediate:
                return self.fence(state, Fence(reads=False, writes=False, completes=True))
        return True

    def set_root(self, state: State, operand: Operand, hypervisor: bool) -> None:
        """A write of a translation root."""
        value, view = state.get(operand)
        root = Root(hypervisor, value & 0x0000_FFFF_FFFF_F000, value >> 48, view, synchronised=False)
        state.roots = [*state.roots, root]

    def ret(self, state: State, exception: bool) -> Iterator[State]:
        """From an exception, or to the link register."""
        suffix = "EL2" if state.level == 2 else "EL1"
        name = f"ELR_{suffix}" if exception else "X30"
        if name not in state.registers:
            self.end(state)
            return
        to = state.get(name)[0]
        if exception:
            if self.thread.handler is None and f"SPSR_{suffix}" in state.registers:
                saved = state.get(f"SPSR_{suffix}")[0]
                state.level, state.own_stack = saved >> 2 & 3, bool(saved & 1)
            state.handling = state.again = False
            if self.test.profile.return_synchronises():
                state.synchronise(START)
        pc = self.thread.at_address(to)
        if pc is None:
            self.end(state)
            return
        state.pc = pc
        yield state

    def has_vector(self, state: State, target: int) -> bool:
        """Whether exceptions go somewhere."""
        return self.thread.handler is not None or (self.thread.levels and state.level <= target)

    def vector(
        self, state: State, target: int, resume: int, syndrome: int, address: int | None, call: bool, trigger: View
    ) -> Iterator[State]:
        """Takes an exception to a level."""
        pc = self.thread.handler
        if pc is None and target in self.thread.vectors:
            offset = 0x400 if state.level < target else 0x200 if state.own_stack else 0
            pc = self.thread.at_address(self.thread.vectors[target] + offset)
        suffix = "EL2" if target == 2 else "EL1"
        values: dict[str, int | None] = {"ELR": resume, "ESR": syndrome, "FAR": address}
        values["SPSR"] = state.level << 2 | int(state.own_stack and state.level > 0)
        for name, value in values.items():
            if value is not None and f"{name}_{suffix}" in state.registers:
                state.set(f"{name}_{suffix}", value)
        if self.test.profile.entry_synchronises(call):
            state.synchronise(trigger)
        if pc is None:
            self.wait(state)
            return
        state.handling, state.level, state.own_stack, state.pc = True, target, True, pc
        yield state

    def take_fault(self, state: State, syndrome: int, address: int | None, trigger: View) -> Iterator[State]:
        """The instruction at hand has faulted."""
        here = self.thread.code[state.pc].address
        target = max(state.level, 1)
        if self.has_vector(state, target):
            if state.handling and self.thread.handler is not None:
                raise Unsupported("a fault inside a fault handler")
            yield from self.vector(state, target, here, syndrome, address, False, trigger)
            return
        if "ELR_EL1" in state.registers:
            state.set("ELR_EL1", here)
        if self.test.on_fault == "fatal":
            self.end(state)
        elif self.test.on_fault == "handled" and state.again:
            self.wait(state)
        else:
            state.synchronise(trigger)
            if self.test.on_fault == "skip":
                state.pc += 1
            else:
                state.again = True
            yield state

    def call(self, state: State, hypervisor: bool, number: int) -> Iterator[State]:
        """SVC or HVC."""
        state.faults = (*state.faults, Fault(self.number, state.pc, None, "SupervisorCall"))
        target = 2 if hypervisor else max(state.level, 1)
        syndrome = (0x16 if hypervisor else 0x15) << 26 | 1 << 25 | number
        resume = self.thread.code[state.pc].address + 4
        if self.has_vector(state, target):
            yield from self.vector(state, target, resume, syndrome, None, True, START)
        elif self.test.on_fault == "fatal":
            self.end(state)
        else:
            if self.test.profile.entry_synchronises(call=True):
                state.synchronise(START)
            state.pc += 1
            yield state
