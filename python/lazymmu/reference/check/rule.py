"""The shape of a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from lazymmu.reference.check.track import Track
from lazymmu.reference.events import Event

BREAKS = "breaks"
CONTRACT = "contract"
COST = "cost"


class Report(Protocol):
    """Takes a finding; ``va`` and ``level`` are the event's unless given."""

    def __call__(
        self, rule: Rule, severity: str, event: Event, message: str, va: int | None = None, level: int | None = None
    ) -> None:
        """A rule fires."""


class Rule(ABC):
    """A hazard: which kinds of events it looks at, and when it fires."""

    code: ClassVar[str]
    name: ClassVar[str]
    kinds: ClassVar[tuple[int, ...]]

    @abstractmethod
    def look(self, track: Track, event: Event, report: Report) -> None:
        """An event of one of the kinds is about to happen to the track."""
