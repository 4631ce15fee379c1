"""What a comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Found: TypeAlias = tuple[str, str, str]
"""What differs, and what the model and the kernel have."""


@dataclass(frozen=True)
class Difference:
    """Something that model and kernel do not agree about in one operation."""

    op: int
    command: str
    what: str
    model: str
    kernel: str


@dataclass
class Report:
    """What one file of a recording says about the model. ``agree`` counts the operations without any difference."""

    recording: str
    ops: int = 0
    agree: int = 0
    adopted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    """How many returns, changed descriptors, calls, ... were compared."""

    @property
    def ok(self) -> bool:
        """Every operation agrees."""
        return self.agree == self.ops

    def count(self, what: str, number: int) -> None:
        """Notes that so many more of something were compared."""
        self.checked[what] = self.checked.get(what, 0) + number

    def skip(self, what: str) -> None:
        """Notes that one more of something was not compared."""
        self.skipped[what] = self.skipped.get(what, 0) + 1


class _Place(int):
    """An index that is true even where it is 0."""

    def __bool__(self) -> bool:
        return True


def first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> _Place | None:
    """Where two sequences part; None where they do not."""
    for n, (a, b) in enumerate(zip(found, wanted, strict=False)):
        if a != b:
            return _Place(n)
    return None if len(found) == len(wanted) else _Place(min(len(found), len(wanted)))
