"""Effects, their log, and views of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ENVIRONMENT = 255
"""The hardware, on nobody's behalf."""

NEVER = 1 << 30
"""Later than every effect."""

View = tuple[int, int]
"""What something is ordered after, as positions in the log: for everything, and for what stores respect beside that.

The second is at least the first. A value that chose between two registers delays the stores that depend on it, not the
reads: the "pick dependencies" of the Arm memory model.
"""

START: View = (0, 0)


def at(time: int) -> View:
    """After the effect at ``time``."""
    return (time, time)


def join(*views: View) -> View:
    """After all of them."""
    return (max((v[0] for v in views), default=0), max((v[1] for v in views), default=0))


def picked(view: View) -> View:
    """The same, felt by stores only."""
    return (0, view[1])


def full(view: View) -> View:
    """The same, felt by everything."""
    return (view[1], view[1])


@dataclass(frozen=True)
class Scope:
    """Which translations an invalidation reaches; None for page or ASID means every one."""

    page: int | None
    asid: int | None
    last_level: bool = False
    global_too: bool = True
    all_tables: bool = False


@dataclass(frozen=True)
class Invalidation:
    """An invalidation, and since when nothing older may be fetched again."""

    scope: Scope
    since: int
    reaches: int | None = None


@dataclass(frozen=True)
class Write:
    """A cell gets a value; ``walker`` where the hardware set a flag of an entry."""

    cpu: int
    cell: int
    value: int
    walker: bool = False


@dataclass(frozen=True)
class Completed:
    """A barrier has waited for this CPU's broadcast invalidations."""

    cpu: int
    invalidations: tuple[Invalidation, ...]


Effect = Write | Completed


@dataclass(frozen=True)
class Version:
    """A value a cell held from one effect up to another."""

    value: int
    since: int
    until: int


@dataclass(frozen=True)
class Log:
    """Effects so far, and those one CPU would add if it went on alone."""

    initial: Mapping[int, int]
    settled: tuple[Effect, ...]
    ahead: tuple[Effect, ...] = ()

    @property
    def now(self) -> int:
        """The time of the last settled effect."""
        return len(self.settled)

    def writes(self, cell: int, after: int = 0) -> Iterator[tuple[int, int]]:
        """Time and value of the writes to a cell after a time."""
        for time, effect in enumerate(self.settled + self.ahead, 1):
            if time > after and isinstance(effect, Write) and effect.cell == cell:
                yield time, effect.value

    def value_at(self, cell: int, time: int) -> tuple[int, int]:
        """The last write to a cell not after ``time``."""
        found = (0, self.initial.get(cell, 0))
        for when, value in self.writes(cell):
            if when <= time:
                found = (when, value)
        return found

    def next_settled_write(self, cell: int, after: int) -> int:
        """When the first settled write after a time is."""
        return next((time for time, _ in self.writes(cell, after) if time <= self.now), NEVER)

    def versions(self, cell: int) -> list[Version]:
        """Every value a cell ever held."""
        changes = [(0, self.initial.get(cell, 0)), *self.writes(cell)]
        ends = [time for time, _ in changes[1:]] + [NEVER]
        return [Version(value, since, until) for (since, value), until in zip(changes, ends, strict=True)]

    def completions(self) -> Iterator[tuple[int, Completed]]:
        """Completed invalidations with their times."""
        for time, effect in enumerate(self.settled + self.ahead, 1):
            if isinstance(effect, Completed):
                yield time, effect
