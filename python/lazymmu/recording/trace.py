"""Event traces as text: the ring buffer's own format (ftrace), and what ``perf script`` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lazymmu.errors import RecordingError
from lazymmu.recording.files import read_lines

_FTRACE = re.compile(
    r"\s*(?P<comm>.*\S)-(?P<pid>\d+)\s+\[(?P<cpu>\d+)\]\s+(?P<flags>\S+)\s+(?P<time>[\d.]+):\s+(?P<name>\w+):\s?(?P<rest>.*)$"
)
_PERF = re.compile(
    r"\s*(?P<comm>.*\S)\s+(?P<pid>\d+)(?:/\d+)?\s+\[(?P<cpu>\d+)\]\s+(?P<flags>)(?P<time>[\d.]+):\s+(?:\w+:)?(?P<name>\w+):\s?(?P<rest>.*)$"
)
_ARGUMENT = re.compile(r"(\w+)(?:=|: )(-?0x[0-9a-fA-F]+|-?\d+)(?![\w.+])")
_LOST = re.compile(r"CPU:\d+ \[LOST (\d+ )?EVENTS\]")


class TraceEvent(NamedTuple):
    """One line: who, where, when (seconds), and the event with its numbers.

    ``leaving``: it was recorded when a function returned, not when it was called.
    """

    line: int
    comm: str
    pid: int
    cpu: int
    time: float
    name: str
    arguments: dict[str, int]
    leaving: bool


def read_trace(path: Path) -> Iterator[TraceEvent]:
    """The events of a trace file (plain or ``.xz``), in its order.

    Raises `RecordingError` for a line that is no event, with its number.
    """
    for number, line in read_lines(path):
        if not line or line.startswith("#") or _LOST.match(line):
            continue
        found = _FTRACE.match(line) or _PERF.match(line)
        if found is None:
            shown = line if len(line) <= 60 else line[:60] + "..."
            raise RecordingError(
                path, f"line {number}", f"expected an event (TASK-PID [CPU] TIME: NAME: ...), got {shown!r}"
            )
        comm, pid, cpu, _, time, name, rest = found.groups()
        arguments = {key: int(value, 0) for key, value in _ARGUMENT.findall(rest)}
        yield TraceEvent(number, comm, int(pid), int(cpu), float(time), name, arguments, " <- " in rest)


def argument(path: Path, event: TraceEvent, name: str) -> int:
    """One number of an event; raises `RecordingError` where the line does not have it."""
    try:
        return event.arguments[name]
    except KeyError:
        problem = f"{event.name} has no number {name!r}: the line is damaged"
        raise RecordingError(path, f"line {event.line}", problem) from None
