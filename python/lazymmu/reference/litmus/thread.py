"""Runs one thread, alone, over one log: every way its loads can be satisfied and its accesses translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lazymmu.reference.litmus import program as p
from lazymmu.reference.litmus.access import Accesses
from lazymmu.reference.litmus.arithmetic import apply, condition_flags, decide, extended, holds
from lazymmu.reference.litmus.state import State
from lazymmu.reference.litmus.system import System
from lazymmu.reference.visibility import START, Effect, Log, Write, join, picked

STEPS = 400
"""Instructions a thread may execute before a run is cut."""
ROUNDS = 3
"""Times a backward branch is taken before a run is cut."""

Final = tuple[tuple[tuple[str, int], ...], tuple[p.Fault, ...]]
"""Registers and faults at the end of a thread."""


@dataclass
class Findings:
    """What a thread can do over a log: end, go on with an effect, or wait for others."""

    finals: set[Final] = field(default_factory=set)
    proposals: set[Effect] = field(default_factory=set)
    waits: bool = False
    cut: bool = False
    footprints: set[tuple[int, int]] = field(default_factory=set)


class Runner(Accesses, System):
    """One thread over one log."""

    def __init__(self, test: p.Litmus, number: int, settled: tuple[Effect, ...], observed: tuple[str, ...]) -> None:
        self.test = test
        self.thread = test.threads[number]
        self.settled = settled
        self.own = frozenset(i for i, effect in enumerate(settled) if effect.cpu == number)
        self.observed = observed
        self.findings = Findings()

    def log(self, state: State) -> Log:
        """The log as this run sees it."""
        return Log(self.test.initial, self.settled, state.ahead)

    def run(self) -> Findings:
        """Goes through every run."""
        waiting = [State.start(self.test, self.number)]
        while waiting:
            state = waiting.pop()
            waiting.extend(self.step(state))
        return self.findings

    @property
    def number(self) -> int:
        """Of the thread."""
        return self.test.threads.index(self.thread)

    def end(self, state: State) -> None:
        """The thread has nothing more to do."""
        if state.met != self.own:
            return
        if not state.ahead:
            values = tuple((name, state.get(name)[0]) for name in self.observed)
            order = sorted(set(state.faults), key=lambda f: (f.at, f.address or 0, f.kind))
            self.findings.finals.add((values, tuple(order)))
        self.findings.proposals.update(state.proposals)

    def wait(self, state: State) -> None:
        """The thread cannot go on until others have done more."""
        if state.met == self.own:
            self.findings.waits = True
            self.findings.proposals.update(state.proposals)

    def hopeless(self, state: State) -> bool:
        """Whether an own store in the log can no longer be reached."""
        bound = join(state.cpu.before_writes, state.cpu.control, state.cpu.addresses)[1]
        for i in self.own - state.met:
            effect = self.settled[i]
            if i < bound and isinstance(effect, Write) and not effect.walker:
                return True
        return False

    def step(self, state: State) -> Iterator[State]:
        """One instruction: every state after it."""
        code = self.thread.code
        if self.hopeless(state):
            return
        fallen = state.pc < len(code) and code[state.pc].handler
        if state.pc >= len(code) or (fallen and not state.handling and state.level == self.thread.level):
            self.end(state)
            return
        state.steps += 1
        if state.steps > STEPS:
            self.findings.cut = True
            self.wait(state)
            return
        match code[state.pc].instruction:
            case p.Load() | p.Store() | p.Atomic() | p.CompareSwap() as access:
                yield from self.access(state, access)
            case p.Branch() as branch:
                yield from self.branch(state, branch)
            case p.Stop():
                self.end(state)
            case p.Return(exception):
                yield from self.ret(state, exception)
            case p.Call(hypervisor, number):
                yield from self.call(state, hypervisor, number)
            case p.Undefined():
                state.faults = (*state.faults, p.Fault(self.number, state.pc, None, "UndefinedInstruction"))
                yield from self.take_fault(state, 0, None, START)
            case p.Barrier(fence):
                if self.fence(state, fence):
                    state.pc += 1
                    yield state
            case p.Invalidate() as what:
                if self.invalidate(state, what):
                    state.pc += 1
                    yield state
            case other:
                self.simple(state, other)
                state.pc += 1
                yield state

    def simple(self, state: State, instruction: p.Instruction) -> None:
        """What touches only registers."""
        match instruction:
            case p.Compute(op, to, a, b, extend, width, flags):
                (x, vx), (y, vy) = state.get(a), state.get(b)
                keep = p.WIDTHS[width]
                x, y = x & keep, extended(extend, y) & keep
                value = apply(op, x, y, width) & keep
                state.set(to, value, join(vx, vy))
                if flags:
                    state.set("NZCV", condition_flags(op, x, y, value, width), join(vx, vy))
            case p.Select(to, condition, yes, no, change, width):
                flags_value, known = state.get("NZCV")
                chosen = holds(condition, flags_value)
                value, view = state.get(yes if chosen else no)
                if not chosen:
                    value = {"": value, "increment": value + 1, "invert": ~value, "negate": -value}[change]
                state.set(to, value & p.WIDTHS[width], join(view, picked(known)))
            case p.LabelAddress(to, label):
                state.set(to, self.thread.code[self.thread.place(label)].address)
            case p.Synchronise():
                state.synchronise(START)
            case p.SetRoot(value, hypervisor):
                self.set_root(state, value, hypervisor)
            case _:
                pass

    def branch(self, state: State, branch: p.Branch) -> Iterator[State]:
        """A branch, taken or not; a loop that changes nothing waits for others."""
        taken, view = decide(branch.test, state)
        state.cpu.control = join(state.cpu.control, view)
        target = self.thread.place(branch.label)
        if not taken:
            state.pc += 1
        elif target > state.pc:
            state.pc = target
        else:
            values = tuple(sorted((name, value) for name, (value, _) in state.registers.items()))
            now = (values, len(state.ahead), state.met)
            count, before = state.loops.get(state.pc, (0, None))
            state.loops[state.pc] = (count + 1, now)
            if before == now:
                self.wait(state)
                return
            if count + 1 >= ROUNDS:
                self.findings.cut = True
                self.wait(state)
                return
            state.pc = target
        yield state
