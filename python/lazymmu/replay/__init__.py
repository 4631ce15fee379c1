"""Recorded traces as workloads: what a real kernel did, under every scheme."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lazymmu.errors import RecordingError
from lazymmu.recording import describe, open_recording
from lazymmu.replay.workload import TraceWorkload

__all__ = ["TraceWorkload", "workloads"]


def workloads(path: Path) -> Sequence[TraceWorkload]:
    """The traces of a recording: of a directory all that have operations in them, of a file that one.

    A directory without traces has the commands of its driver (``ops*.jsonl``) instead; so has such a file.

    Raises `lazymmu.RecordingError` where there is none, or a file cannot be read.
    """
    recording = open_recording(path)
    files = recording.matching("trace_", ".txt") or recording.matching("ops", ".jsonl")
    if not files:
        raise RecordingError(path, "", "no trace_*.txt and no ops*.jsonl to replay")
    kernel = describe(recording)
    found = [TraceWorkload(kernel, file) for file in files]
    moving = [workload for workload in found if workload.read.moves]
    if not moving:
        raise RecordingError(path, "", "its traces have no operations on kernel page tables in them")
    return moving
