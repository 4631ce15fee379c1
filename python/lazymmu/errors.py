"""The exception tree.

Errors of the modelled kernel (-ENOMEM, a BUG) are results and findings, not exceptions; these are about input that
makes no sense.
"""

from __future__ import annotations


class LazymmuError(Exception):
    """Base of all exceptions of this package."""


class ConfigError(LazymmuError, ValueError):
    """A machine that cannot be built: unknown backend, geometry, scheme or option, or numbers out of range."""


class ProgramError(LazymmuError, ValueError):
    """A program that cannot be read: an unknown key, a wrong type."""


class RunError(LazymmuError, ValueError):
    """A program that cannot be carried out: an address, a slot or a task that makes no sense.

    ``op`` is the index of the operation, or None where the error is not about one.
    """

    def __init__(self, message: str, op: int | None = None) -> None:
        super().__init__(message)
        self.op = op


class DescriptorError(LazymmuError, ValueError):
    """A word that is reserved at its level, a field that cannot have its value, a geometry or level that cannot exist.

    ``field``, ``value`` and ``limit`` say what is wrong; ``value`` is None where it is no number.
    """

    def __init__(self, message: str, field: str = "", value: int | None = None, limit: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.limit = limit


class KernelStopped(LazymmuError):
    """The modelled kernel stopped the task while a hook was asking it for something.

    Raised into the hook so that it ends; the run itself goes on with the next operation.
    """


class InputError(LazymmuError, ValueError):
    """A file that cannot be used. The message says file, place, what was found, and what was expected."""

    def __init__(self, path: object, place: str, problem: str) -> None:
        super().__init__(": ".join(part for part in (str(path), place, problem) if part))
        self.path = str(path)
        self.place = place
        self.problem = problem


class ScenarioError(InputError):
    """A scenario with an unknown key, a wrong type, or a name that nothing defines."""


class LitmusError(InputError):
    """A litmus test that makes no sense, or an unknown variant."""


class RecordingError(InputError):
    """A recording that is truncated, corrupt, or of an unknown format."""


class ImageError(InputError):
    """A table image that is truncated, or whose tables point outside it."""


class CostTableError(InputError):
    """A cost table with an unknown backend, an unknown quantity, or a weight that is no number."""
