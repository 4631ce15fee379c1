"""Loads, stores, atomics: translate, then read and write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazymmu.reference.litmus import program as p
from lazymmu.reference.litmus.arithmetic import apply, extended, signed
from lazymmu.reference.litmus.state import Root, State
from lazymmu.reference.visibility import (
    NEVER,
    START,
    Effect,
    Log,
    Reading,
    Regime,
    Request,
    Update,
    View,
    Walk,
    Write,
    at,
    join,
    picked,
    walks,
)

if TYPE_CHECKING:
    from lazymmu.reference.litmus.thread import Findings

STATUS = {"MMU:Translation": 4, "MMU:AccessFlag": 8, "MMU:Permission": 12}


@dataclass(frozen=True)
class Spot:
    """A translated access: the cell, when address and walk are known, when it has to be over."""

    cell: int
    view: View
    limit: int = NEVER


def strong(on: bool) -> str:
    """The strength an acquire or release flag means."""
    return "strong" if on else ""


class Accesses:
    """The part of a thread's run that is about memory."""

    test: p.Litmus
    thread: p.Thread
    settled: tuple[Effect, ...]
    findings: Findings

    if TYPE_CHECKING:

        @property
        def number(self) -> int: ...  # noqa: D102
        def log(self, state: State) -> Log: ...  # noqa: D102
        def take_fault(self, state: State, syndrome: int, address: int | None, trigger: View) -> Iterator[State]: ...  # noqa: D102

    def ordered(self, state: State, access: p.Access, address: View) -> View:
        """What the access itself waits for."""
        cpu = state.cpu
        match access:
            case p.Load(strength=strength):
                return cpu.before_read(strength)
            case p.Store(value=value, strength=strength):
                return cpu.before_store(join(address, state.get(value)[1]), strength)
            case p.Atomic(operand=data) | p.CompareSwap(new=data):
                store = cpu.before_store(join(address, state.get(data)[1]), strong(access.release))
                return join(cpu.before_read(strong(access.acquire)), store)

    def access(self, state: State, access: p.Access) -> Iterator[State]:
        """Every way an access can go."""
        where = access.address
        target, view = state.get(where.base)
        if where.index is not None:
            index, known = state.get(where.index)
            target, view = target + extended(where.extend, index), join(view, known)
        target = (target + where.offset) & 0xFFFF_FFFF_FFFF_FFFF
        write = not isinstance(access, p.Load)
        if target % access.width:
            raise p.Unsupported("an unaligned access")
        if self.test.is_direct(target):
            if self.thread.user and not state.handling:
                yield from self.fault(state, Walk((), None, "MMU:Permission", view, NEVER), target, write, view)
            else:
                yield from self.data(state, access, Spot(target, view))
            return
        optional = isinstance(access, p.CompareSwap) and self.thread.hardware_dirty
        choices = (True, False) if optional and self.test.profile.architecture == "armv8" else (True,)
        for dirties in choices:
            request = Request(target, view, self.ordered(state, access, view), write, dirties)
            for regime, named in self.regimes(state):
                for walk in walks(self.log(state), self.test.profile, state.cpu, regime, request):
                    if not named and not walk.global_:
                        continue
                    if walk.address is not None:
                        yield from self.translated(state.copy(), access, walk, target, view, dirties)
                    elif dirties:
                        yield from self.fault(state.copy(), walk, target, write, view)

    def regimes(self, state: State) -> Iterator[tuple[Regime, bool]]:
        """The regimes in use, and those of which only cached global entries are left."""
        thread = self.thread
        user = state.level == 0 if thread.levels else thread.user and not state.handling

        def regime(root: Root) -> Regime:
            hardware = (thread.hardware_access, thread.hardware_dirty)
            return Regime(root.root, self.test.root_level, root.asid, root.view, *hardware, user)

        mine = [root for root in reversed(state.roots) if root.hypervisor == (state.level == 2)]
        count = next((i for i, root in enumerate(mine, 1) if root.synchronised), len(mine))
        for root in mine[:count]:
            yield regime(root), True
        seen = {root.root for root in mine[:count]}
        named = {root.asid for root in mine[:count]}
        for root in mine[count:]:
            if not root.replaced and root.root not in seen:
                seen.add(root.root)
                yield regime(root), root.asid in named

    def fault(self, state: State, walk: Walk, target: int, write: bool, address: View) -> Iterator[State]:
        """The walk ended in a fault."""
        if state.cpu.fault_view(walk.view)[0] >= walk.limit or walk.fault is None:
            return
        # In the isla work an earlier access at the same page offset orders a faulting one too; herd's model says no.
        if self.test.profile.ets == 1 and state.cpu.offsets.get(target & 0xFFF, 0) > walk.limit:
            return
        if walk.stale_invalid is not None:
            if self.test.profile.svvptc and walk.stale_invalid in state.stale:
                return
            state.stale |= {walk.stale_invalid}
        for cell in walk.cells:
            state.cpu.walk_read(cell, walk.view)
        state.faults = (*state.faults, p.Fault(self.number, state.pc, target, walk.fault))
        level = self.test.root_level + len(walk.cells) - 1 if walk.cells else 3
        status = STATUS[walk.fault] | level
        syndrome = (0x24 if state.level == 0 else 0x25) << 26 | 1 << 25 | int(write) << 6 | status
        yield from self.take_fault(state, syndrome, target, join(walk.view, address))

    def translated(
        self, state: State, access: p.Access, walk: Walk, target: int, address: View, dirties: bool
    ) -> Iterator[State]:
        """The walk ended at a page."""
        offset = target & 0xFFF
        if walk.address is None or state.cpu.offsets.get(offset, 0) > walk.limit:
            return
        if walk.update is not None and not self.update(state, walk.update, walk.view):
            return
        for cell in walk.cells:
            state.cpu.walk_read(cell, walk.view)
        state.cpu.offsets[offset] = max(state.cpu.offsets.get(offset, 0), walk.view[0])
        spot = Spot(walk.address, join(walk.view, address), walk.limit)
        if dirties:
            yield from self.data(state, access, spot)
        elif isinstance(access, p.CompareSwap):
            yield from self.failing_compare(state, access, spot, back=False)

    def update(self, state: State, update: Update, walk: View) -> bool:
        """The walker's own write to the entry. False where the log says that it cannot be."""
        before = state.cpu.before_update(self.test.profile, update.cell, walk)
        effect = Write(self.number, update.cell, update.value, walker=True)
        following = self.log(state).next_settled_write(update.cell, update.replaces)
        if following == NEVER:
            time = self.put_ahead(state, effect, before)
        elif self.settled[following - 1] == effect and following - 1 not in state.met and following > before[1]:
            time = following
            state.met |= {time - 1}
        else:
            return False
        state.cpu.implicit = join(state.cpu.implicit, at(time))
        return True

    def put_ahead(self, state: State, effect: Effect, before: View) -> int:
        """An effect that the log does not have yet; it can be the next one if all it waits for is there."""
        if before[1] <= len(self.settled):
            state.proposals = (*state.proposals, effect)
        state.ahead = (*state.ahead, effect)
        return len(self.settled) + len(state.ahead)

    def place(self, state: State, spot: Spot, value: int, before: View, after: int | None) -> int | None:
        """Finds the place of a store in the log, or puts it ahead; ``after`` is what it must directly follow."""
        log = self.log(state)
        following = NEVER if after is None else log.next_settled_write(spot.cell, after)
        for i, effect in enumerate(self.settled):
            if i in state.met or not isinstance(effect, Write) or effect.walker:
                continue
            if effect.cpu == self.number and effect.cell == spot.cell:
                time = i + 1
                fits = before[1] < time < spot.limit and effect.value == value
                if not fits or (after is not None and following != time):
                    return None
                state.met |= {i}
                return time
        if spot.limit != NEVER or following != NEVER:
            return None
        return self.put_ahead(state, Write(self.number, spot.cell, value), before)

    def data(self, state: State, access: p.Access, spot: Spot) -> Iterator[State]:
        """The access itself."""
        keep = p.WIDTHS[access.width]
        self.findings.footprints.add((spot.cell, access.width))
        match access:
            case p.Load(to, _, width, sign, strength, exclusive):
                for reading in state.cpu.readings(self.log(state), spot.cell, spot.view, strength, spot.limit):
                    new = state.copy()
                    new.cpu.read(spot.cell, reading, spot.view, strength, returns=True)
                    value = reading.value & keep
                    new.set(to, signed(value, width) if sign else value, reading.view)
                    if exclusive:
                        new.monitor = (spot.cell, reading.source, reading.view)
                    new.pc += 1
                    yield new
            case p.Store(exclusive=True):
                yield from self.store_exclusive(state, access, spot)
            case p.Store(operand, _, _, strength):
                value, data = state.get(operand)
                before = state.cpu.before_write(spot.cell, join(spot.view, data), strength)
                time = self.place(state, spot, value & keep, before, None)
                if time is not None:
                    state.cpu.wrote(spot.cell, time, spot.view, data, strength, False, None)
                    state.pc += 1
                    yield state
            case p.Atomic(op, to, operand, _, width):
                acquire = access.acquire and to is not None
                for reading in state.cpu.readings(self.log(state), spot.cell, spot.view, strong(acquire), spot.limit):
                    new = state.copy()
                    value, data = new.get(operand)
                    new.cpu.read(spot.cell, reading, spot.view, strong(acquire), returns=to is not None)
                    old = reading.value & keep
                    inputs = data if op == "swap" else join(data, reading.view)
                    result = apply(op, old, value & keep, width) & keep
                    if self.write_half(new, spot, result, inputs, reading, access.release, acquire):
                        new.set(to, old, reading.view)
                        new.pc += 1
                        yield new
            case p.CompareSwap():
                yield from self.compare_swap(state, access, spot)

    def write_half(
        self, state: State, spot: Spot, value: int, inputs: View, reading: Reading, release: bool, acquire: bool
    ) -> bool:
        """The store of an atomic. False where the log says that it cannot be here."""
        before = state.cpu.before_write(spot.cell, join(spot.view, inputs, reading.view), strong(release))
        time = self.place(state, spot, value, before, reading.source)
        if time is None:
            return False
        state.cpu.wrote(spot.cell, time, spot.view, inputs, strong(release), acquire, reading.view)
        if self.test.profile.architecture == "rvwmo":
            state.cpu.forwards.pop(spot.cell, None)
        return True

    def compare_swap(self, state: State, access: p.CompareSwap, spot: Spot) -> Iterator[State]:
        """Succeeds, or fails with or without writing back."""
        keep = p.WIDTHS[access.width]
        for reading in state.cpu.readings(self.log(state), spot.cell, spot.view, strong(access.acquire), spot.limit):
            wanted, compared = state.get(access.expected)
            if wanted & keep != reading.value & keep:
                continue
            new = state.copy()
            value, data = new.get(access.new)
            new.cpu.read(spot.cell, reading, spot.view, strong(access.acquire), returns=True)
            inputs = join(data, picked(compared), picked(reading.view))
            if self.write_half(new, spot, value & keep, inputs, reading, access.release, access.acquire):
                new.set(access.expected, reading.value & keep, reading.view)
                yield self.compared(new, equal=True)
        if self.test.profile.architecture != "x86-tso":
            yield from self.failing_compare(state.copy(), access, spot, back=False)
        yield from self.failing_compare(state, access, spot, back=True)

    def failing_compare(self, state: State, access: p.CompareSwap, spot: Spot, back: bool) -> Iterator[State]:
        """A compare-and-swap that fails, and writes back what it read or nothing."""
        keep = p.WIDTHS[access.width]
        wanted, compared = state.get(access.expected)
        for reading in state.cpu.readings(self.log(state), spot.cell, spot.view, strong(access.acquire), spot.limit):
            old = reading.value & keep
            if wanted & keep == old:
                continue
            new = state.copy()
            new.cpu.read(spot.cell, reading, spot.view, strong(access.acquire), returns=True)
            if back and not self.write_half(new, spot, old, reading.view, reading, access.release, access.acquire):
                continue
            new.set(access.expected, old, join(reading.view, picked(compared)))
            yield self.compared(new, equal=False)

    def compared(self, state: State, equal: bool) -> State:
        """After a compare-and-swap; x86 sets ZF."""
        if self.test.profile.architecture == "x86-tso":
            state.set("NZCV", int(equal) << 2)
        state.pc += 1
        return state

    def store_exclusive(self, state: State, access: p.Store, spot: Spot) -> Iterator[State]:
        """Fails, or succeeds with no foreign store since the exclusive load."""
        monitor, state.monitor = state.monitor, None
        failed = state.copy()
        failed.set(access.status, 1)
        failed.pc += 1
        yield failed
        if monitor is None or monitor[0] != spot.cell:
            return
        _, source, read = monitor
        value, data = state.get(access.value)
        value &= p.WIDTHS[access.width]
        before = state.cpu.before_write(spot.cell, join(spot.view, data, read), access.strength)
        time = self.place(state, spot, value, before, self.own_since(state, spot.cell, source))
        if time is None:
            return
        state.cpu.wrote(spot.cell, time, spot.view, data, access.strength, False, read)
        if self.test.profile.architecture == "rvwmo":
            state.cpu.forwards.pop(spot.cell, None)
        state.set(access.status, 0, START)
        state.pc += 1
        yield state

    def own_since(self, state: State, cell: int, source: int) -> int:
        """The last of the own stores that directly follow ``source``."""
        log = self.log(state)
        while True:
            following = log.next_settled_write(cell, source)
            if following == NEVER or following - 1 not in state.met:
                return source
            source = following
