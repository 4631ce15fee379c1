"""Recordings of real kernels: their files, and the machine they were made on."""

from __future__ import annotations

from lazymmu.recording.files import Recording, open_recording, read_lines, read_records
from lazymmu.recording.kernel import Kernel, describe

__all__ = ["Kernel", "Recording", "describe", "open_recording", "read_lines", "read_records"]
