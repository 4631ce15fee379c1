"""Users' hooks and schemes, made at random: the same in the core and in the reference, also when they fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import lazymmu

from .compare import Both
from .generate import MACHINES, Case, Seeded, case

CASES = 12
"""Cases for each machine."""


class Failure(Exception):
    """A user's own exception."""


def behaviours(source: Seeded, name: str) -> Callable[..., Any]:
    """A method for a hook: one of the things that proposals do there."""

    def native(self: Any, kernel: Any, *args: Any) -> Any:
        return kernel.native()

    def nothing(self: Any, kernel: Any, *args: Any) -> Any:
        return None

    def barrier_behind(self: Any, kernel: Any, *args: Any) -> Any:
        result = kernel.native()
        kernel.barrier()
        return result

    def barrier_in_front(self: Any, kernel: Any, *args: Any) -> Any:
        kernel.barrier()
        return kernel.native()

    def flag(self: Any, kernel: Any, *args: Any) -> Any:
        kernel.flags |= 1
        return None

    def complete(self: Any, kernel: Any, *args: Any) -> Any:
        if kernel.flags & 2:
            kernel.flags &= ~2
            kernel.barrier()
        return None

    def store(self: Any, kernel: Any, entry: Any, word: int, why: str) -> None:
        kernel.store(entry, word, why)
        if kernel.valid_kernel(word):
            kernel.defer(2)

    def section(self: Any, kernel: Any, *args: Any) -> Any:
        kernel.lazy_enable()
        result = kernel.native()
        kernel.lazy_disable()
        return result

    def reads(self: Any, kernel: Any, entry: Any, *args: Any) -> Any:
        kernel.read(entry)
        return kernel.native()

    options: dict[str, tuple[Callable[..., Any], ...]] = {
        "begin": (native, nothing, flag, barrier_in_front),
        "end": (native, nothing, complete, barrier_behind),
        "sync": (native, barrier_behind),
        "enter": (native, nothing, flag),
        "leave": (native, nothing, complete),
        "flush": (native, nothing, complete),
        "set_pte": (native, store, reads, barrier_behind),
        "set_entry": (native, reads, barrier_behind),
        "walk_begin": (native, nothing, barrier_in_front),
        "walk_end": (native, nothing, barrier_behind),
        "pte_begin": (native, nothing, barrier_in_front),
        "pte_end": (native, nothing, barrier_behind),
    }
    if name in ("walk_begin", "walk_end") and source.chance(5):
        return section
    return source.choice(options[name])


HOOKS = ("begin", "end", "sync", "enter", "leave", "flush", "set_pte", "set_entry")
PLACES = ("walk_begin", "walk_end", "pte_begin", "pte_end")


def made(source: Seeded, tried: Case) -> tuple[type[lazymmu.Scheme], type[lazymmu.Hooks]]:
    """A scheme and hooks with some methods of their own."""
    places = {name: behaviours(source, name) for name in PLACES if source.chance(25)}
    hooks = {name: behaviours(source, name) for name in HOOKS if source.chance(25)}
    scheme = type("Proposal", (lazymmu.Scheme,), {"base": tried.scheme, **places})
    return scheme, type("Proposed", (lazymmu.Hooks,), hooks)


def cases(machine: tuple[str, str, str]) -> list[tuple[Seeded, Case]]:
    found = []
    for number in range(CASES):
        source = Seeded("/".join(("hooks", *machine, str(number))))
        found.append((source, case(source, 2, 8, machine)))
    return found


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_hooks_agree(machine: tuple[str, str, str]) -> None:
    for source, tried in cases(machine):
        scheme, hooks = made(source, tried)
        both = Both(tried, scheme, (hooks, hooks))
        for program in tried.programs:
            both.run(program)
        both.same_state()


@pytest.mark.parametrize("machine", MACHINES[:: len(MACHINES) // 9 or 1], ids="-".join)
def test_exceptions_surface_as_themselves(machine: tuple[str, str, str]) -> None:
    """With hook, operation and event in a note, on both; then the machine goes on."""
    raised = 0
    for source, tried in cases(machine):
        left = source.number(0, 5)

        def fail(self: Any, kernel: Any, *args: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Failure("no")
            return kernel.native()

        name = source.choice(("set_pte", "set_entry"))
        hooks = type("Failing", (lazymmu.Hooks,), {"left": left + 1, name: fail})
        plain = replace(tried, programs=[{**p, "injections": []} for p in tried.programs])
        both = Both(plain, None, (hooks(), hooks()))
        for program in plain.programs:
            ends = [_end(machine_, program) for machine_ in (both.core, both.reference)]
            assert ends[0] == ends[1]
            if isinstance(ends[0], tuple):
                raised += 1
                assert name in ends[0][1]
                assert "operation" in ends[0][1]
                assert "event" in ends[0][1]
            both.same_state()
    assert raised > 0


def _end(machine: Any, program: dict[str, Any]) -> object:
    """How a run ended: a user's exception with its note, a refused operation, or events."""
    try:
        run = machine.run(program)
    except Failure as error:
        return str(error), " ".join(error.__notes__)
    except lazymmu.RunError as error:
        return error.op
    return [tuple(event) for event in (run.events if isinstance(run.events, list) else run.events.tolist())]
