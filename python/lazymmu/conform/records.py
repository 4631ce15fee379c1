"""The records of a file, each looked at once: what a comparison reads later has the shape that it expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lazymmu.errors import RecordingError
from lazymmu.recording import read_records


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _call(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "n": ("a number", _integer),
    "ret": ("a return value", _integer),
    "win": ("two addresses", _list_of(_is(str))),
    "chg": ("a list of runs of changes", _list_of(_is(list))),
    "alloc": ("numbers of tables by level", _is(dict)),
    "freed": ("numbers of tables by level", _is(dict)),
    "ev": ("a list of calls, each beginning with a name", _list_of(_call)),
    "fn_calls": ("a number of callbacks", _integer),
    "steps": ("a list of steps", _is(list)),
    "on": ("a list of names", _list_of(_is(str))),
}
"""What a key holds in words, and whether a value is that."""


def read(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The records with their line numbers.

    Raises `RecordingError` that names file, line, key, value and what was expected.
    """
    records = list(read_records(path))
    for line, record in records:
        check(path, line, record)
    return records


def check(path: Path, line: int, record: Mapping[str, Any]) -> None:
    """Looks at the keys that a record has."""
    for key, (expected, test) in SHAPES.items():
        if key in record and not test(record[key]):
            text = repr(record[key])
            shown = text if len(text) <= 60 else f"{text[:60]}..."
            raise RecordingError(path, f"line {line}", f"{key!r}: expected {expected}, got {shown}")
