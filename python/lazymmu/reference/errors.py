"""Errors of the reference: the package's own exception tree, and the stop of a modelled task."""

from __future__ import annotations

from lazymmu.errors import ConfigError, KernelStopped, LazymmuError, ProgramError, RunError

__all__ = ["ConfigError", "KernelStopped", "LazymmuError", "ProgramError", "RunError", "TaskDied"]


class TaskDied(KernelStopped):
    """The modelled kernel hit a ``BUG``: the task ends. ``code`` is the bug code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"kernel BUG {code}")
        self.code = code
