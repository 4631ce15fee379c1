"""The files of a recording: plain or xz-compressed, JSON or one JSON object a line."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazymmu.errors import RecordingError


def read_bytes(path: Path) -> bytes:
    """The contents, decompressed.

    Raises `RecordingError` where the file cannot be read, or its compression ends early.
    """
    try:
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data
    except lzma.LZMAError as error:
        raise RecordingError(path, "", f"truncated or corrupt xz data: {error}") from error
    except OSError as error:
        raise RecordingError(path, "", error.strerror or str(error)) from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1. A last line without an end of line is complete if it can be read."""
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordingError(path, f"byte {error.start}", "not UTF-8 text") from error
    yield from enumerate(text.splitlines(), start=1)


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects, one a line, with their line numbers."""
    for number, line in read_lines(path):
        if line.strip():
            yield number, parse(line, path, number)


def parse(text: str, path: Path, number: int) -> dict[str, Any]:
    """One JSON object of a file."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordingError(path, f"line {number}", f"not JSON (truncated?): {error.msg} at {error.colno}") from error
    if not isinstance(record, dict):
        raise RecordingError(path, f"line {number}", f"expected an object, got {type(record).__name__}")
    return record


@dataclass(frozen=True)
class Recording:
    """A configuration directory, and the one file of it that was asked for, if it was one."""

    folder: Path
    file: Path | None = None

    def find(self, name: str) -> Path | None:
        """A file of the directory by its name without ``.xz``."""
        for candidate in (self.folder / name, self.folder / f"{name}.xz"):
            if candidate.is_file():
                return candidate
        return None

    def need(self, name: str) -> Path:
        """The same; raises `RecordingError` where it is missing."""
        found = self.find(name)
        if found is None:
            raise RecordingError(self.folder, "", f"no {name} or {name}.xz in this directory")
        return found

    def matching(self, prefix: str, suffix: str) -> list[Path]:
        """The files whose names (without ``.xz``) begin and end so; only the one asked for, if any."""
        files = sorted(self.folder.iterdir()) if self.file is None else [self.file]
        return [f for f in files if f.is_file() and _fits(f.name.removesuffix(".xz"), prefix, suffix)]


def _fits(name: str, prefix: str, suffix: str) -> bool:
    return name.startswith(prefix) and name.endswith(suffix)


def open_recording(path: str | Path) -> Recording:
    """The recording at a path: a configuration directory or one of its files.

    Raises `RecordingError` where there is no ``info.json`` beside it.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(path, "", "no such file or directory")
    recording = Recording(path) if path.is_dir() else Recording(path.parent, path)
    if recording.find("info.json") is None:
        raise RecordingError(path, "", "not a recording: there is no info.json in its directory")
    return recording
