"""Litmus tests in the reference: the same tests, read and decided in plain Python."""

from __future__ import annotations

from collections.abc import Iterable

from lazymmu.reference.litmus import herd, isla
from lazymmu.reference.litmus.program import Litmus, Malformed, Unsupported
from lazymmu.reference.litmus.search import Answer, decide, rows

__all__ = ["Answer", "Litmus", "Malformed", "Unsupported", "decide", "read", "rows"]


def read(text: str, variants: Iterable[str] = (), *, in_isla_format: bool = False) -> Litmus:
    """Reads a test in herd's format, or in isla's.

    Raises:
        Unsupported: It is outside the subset.
        Malformed: It makes no sense.
    """
    return isla.read(text, variants) if in_isla_format else herd.read(text, variants)
