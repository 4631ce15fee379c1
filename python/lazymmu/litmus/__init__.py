"""Litmus tests: small programs with a question about their final states, decided by the memory model of the core."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazymmu import _native
from lazymmu.errors import LitmusError

__all__ = ["Event", "Result", "State", "decide", "decide_text"]

MAX_LOGS = 2_000_000
"""Logs a test may have before the search is cut, where the caller says nothing else."""


@dataclass(frozen=True)
class State:
    """One final state.

    ``values`` has what the condition and the ``locations`` clause name, as text; ``faults`` the faults taken;
    ``satisfies`` whether the body of the condition holds.
    """

    values: dict[str, str]
    faults: tuple[str, ...]
    satisfies: bool

    def __str__(self) -> str:
        return "; ".join([*(f"{name}={value}" for name, value in self.values.items()), *self.faults])


@dataclass(frozen=True)
class Event:
    """One line of a witness: ``time`` is a position in the log of effects."""

    time: int
    who: str
    instruction: str
    event: str


@dataclass(frozen=True)
class Result:
    """What is known of one test.

    ``verdict`` is Allowed, Forbidden, Required or "Not required"; ``observation`` herd's Always, Sometimes or Never.
    ``explored`` counts logs. ``bound`` says what the search left out, None where it is complete. ``unsupported`` says
    what puts the test outside the subset, and then nothing else is set.
    """

    file: str
    name: str = ""
    variant: str = ""
    verdict: str | None = None
    observation: str | None = None
    states: list[State] = field(default_factory=list)
    witness: list[Event] = field(default_factory=list)
    explored: int = 0
    bound: str | None = None
    seconds: float = 0.0
    unsupported: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``lazymmu litmus --json`` has it."""
        return {
            "file": self.file,
            "name": self.name,
            "variant": self.variant,
            "verdict": self.verdict,
            "observation": self.observation,
            "states": [{"values": s.values, "faults": list(s.faults), "satisfies": s.satisfies} for s in self.states],
            "witness": [vars(event) for event in self.witness],
            "explored": self.explored,
            "bound": self.bound,
            "seconds": self.seconds,
            "unsupported": self.unsupported,
        }


def decide_text(
    text: str,
    *,
    isla: bool = False,
    variants: Iterable[str] = (),
    file: str = "",
    max_logs: int = MAX_LOGS,
    reduce: bool = True,
) -> Result:
    """Decides a test given as text: herd's format, or isla's.

    ``reduce`` leaves out logs that differ only by what no thread can tell apart; the answer is the same without.

    Raises:
        LitmusError: The text makes no sense, or a variant is unknown.
    """
    start = time.perf_counter()
    try:
        raw = json.loads(_native.litmus(text, isla, list(variants), max_logs, reduce))
    except LitmusError as error:
        raise LitmusError(file, error.place, error.problem) from None
    seconds = time.perf_counter() - start
    if "unsupported" in raw:
        return Result(file=file, variant=",".join(variants), unsupported=raw["unsupported"], seconds=seconds)
    states = [State(dict(s["values"]), tuple(s["faults"]), s["satisfies"]) for s in raw["states"]]
    return Result(
        file=file,
        name=raw["name"],
        variant=raw["variant"],
        verdict=raw["verdict"],
        observation=raw["observation"],
        states=states,
        witness=[Event(**event) for event in raw["witness"]],
        explored=raw["explored"],
        bound=raw["bound"],
        seconds=seconds,
    )


def decide(path: str | Path, *, variants: Sequence[str] = (), max_logs: int = MAX_LOGS, reduce: bool = True) -> Result:
    """Decides the test in a file: isla's format where the name ends in ``.toml``, herd's otherwise.

    Raises:
        LitmusError: The file cannot be read or makes no sense, or a variant is unknown.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LitmusError(path, "", reason) from error
    isla = path.suffix == ".toml"
    return decide_text(text, isla=isla, variants=variants, file=str(path), max_logs=max_logs, reduce=reduce)
