"""What a run returns: the same types from the Rust core and from the Python reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from lazymmu.arrays import Records

EVENT_FIELDS = ("kind", "level", "cpu", "context", "task", "mm", "op", "aux", "va", "addr", "old", "new")
"""Fields of an event, in the order of the record."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One finding of the checker.

    ``event`` is the index of the event at which it was found, ``level`` a level number or 0, ``count`` how often the
    same was found in this operation.
    """

    code: str
    severity: str
    rule: str
    event: int
    op: int
    cpu: int
    task: int
    va: int
    level: int
    message: str
    count: int = 1

    LEVELS = ("-", "pte", "pmd", "pud", "p4d", "pgd")

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return (
            f"{self.code} {self.severity} cpu{self.cpu} {self.va:#x} {self.LEVELS[self.level]} "
            f"event {self.event}: {self.rule}: {self.message}{times}"
        )

    def key(self) -> tuple[str, str, int, int, int, int, int, int, int]:
        """Everything but the wording, for comparison between implementations."""
        return (
            self.code,
            self.severity,
            self.event,
            self.op,
            self.cpu,
            self.task,
            self.va,
            self.level,
            self.count,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """How one operation ended.

    ``ending`` is one of ``done`` (a void function returned), ``returned`` (``ret``, ``mask`` and, for apply,
    ``calls``), ``address`` (``value``; None is NULL), ``created`` (``value``: a task or an mm), ``accessed``
    (``outcome``, ``pa``), ``word`` (``value``), ``died`` (``bug``: a bug code), ``hook-failed``, ``not-run`` (the
    task was dead).
    """

    ending: str
    ret: int = 0
    mask: int = 0
    calls: int = 0
    value: int | None = None
    outcome: str = ""
    pa: int = 0
    bug: int = 0

    def summary(self) -> int | str | None:
        """The result as JSON shows it: a number, a hex address or a word, a text, or None for a void function."""
        match self.ending:
            case "done":
                return None
            case "returned":
                return self.ret
            case "address" | "word":
                return None if self.value is None else hex(self.value)
            case "created":
                return self.value
            case "accessed":
                return self.outcome if self.outcome not in ("ok", "repaired") else f"{self.outcome} {self.pa:#x}"
            case "died":
                return f"died {self.bug}"
            case other:
                return other


ENDINGS = (
    "done",
    "returned",
    "address",
    "created",
    "accessed",
    "word",
    "died",
    "hook-failed",
    "not-run",
    "suspended",
)
OUTCOMES = ("ok", "repaired", "not-present", "permission")


def from_record(record: Any) -> Result:
    """A result from a record of dtype `lazymmu.arrays.RESULT`."""
    ending = ENDINGS[record["ending"]]
    match ending:
        case "returned":
            return Result(ending, ret=int(record["ret"]), mask=int(record["mask"]), calls=int(record["calls"]))
        case "address" | "created" | "word":
            return Result(ending, value=None if record["null"] else int(record["value"]))
        case "accessed":
            return Result(ending, outcome=OUTCOMES[record["outcome"]], pa=int(record["pa"]))
        case "died":
            return Result(ending, bug=int(record["bug"]))
        case _:
            return Result(ending)


class Results(Sequence[Result]):
    """The results of a run, made when asked for. ``array`` holds them as records of dtype `lazymmu.arrays.RESULT`."""

    def __init__(self, array: Records) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [from_record(record) for record in self.array[index]]
        return from_record(self.array[index])

    def __iter__(self) -> Iterator[Result]:
        return map(from_record, self.array)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} results>"


@dataclass(slots=True)
class Run:
    """A run of a program."""

    results: Sequence[Result]
    injected: list[tuple[int, int, int, Result]] = field(default_factory=list)
    """Results of injected operations: interrupted op, injection, step, result."""
    missed: list[int] = field(default_factory=list)
    """Injections whose point did not come."""
    log: Any = ()
    """The events, or a function that makes them when `events` is first asked for."""
    total: int = 0
    """Events that happened, logged or not."""
    counts: dict[str, int] = field(default_factory=dict)
    hazards: Sequence[Hazard] = ()

    @property
    def events(self) -> Any:
        """A NumPy structured array (core) or a list of tuples (reference) with the fields `EVENT_FIELDS`.

        The core keeps events in a shorter form and makes the array when it is first asked for. Raises `RunError` if it
        would be larger than the machine's ``log_limit``.
        """
        if callable(self.log):
            self.log = self.log()
        return self.log

    @property
    def died(self) -> bool:
        """A kernel BUG ended a task."""
        if isinstance(self.results, Results):
            return bool((self.results.array["ending"] == ENDINGS.index("died")).any())
        return any(result.ending == "died" for result in self.results)

    @property
    def ok(self) -> bool:
        """No finding breaks a legal machine."""
        return not any(h.severity == "breaks" for h in self.hazards)

    @property
    def strict_ok(self) -> bool:
        """Neither breaks nor violated contracts."""
        return not any(h.severity in ("breaks", "contract") for h in self.hazards)
