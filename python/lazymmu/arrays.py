"""Records of the core as NumPy sees them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("level", "u1"),
        ("cpu", "u1"),
        ("context", "u1"),
        ("task", "<u2"),
        ("mm", "<u2"),
        ("op", "<u4"),
        ("aux", "<u4"),
        ("va", "<u8"),
        ("addr", "<u8"),
        ("old", "<u8"),
        ("new", "<u8"),
    ]
)
"""One micro-step: 48 bytes. ``lazymmu list events`` says what the fields of each kind mean."""

RESULT = np.dtype(
    [
        ("ending", "u1"),
        ("outcome", "u1"),
        ("mask", "u1"),
        ("bug", "u1"),
        ("null", "<u4"),
        ("ret", "<i8"),
        ("calls", "<u8"),
        ("value", "<u8"),
        ("pa", "<u8"),
    ]
)
"""The result of one operation: 40 bytes; see `lazymmu.results.Result`."""

Records: TypeAlias = np.ndarray[Any, np.dtype[np.void]]
Words: TypeAlias = npt.NDArray[np.uint64]


def records(words: Words, dtype: np.dtype[np.void]) -> Records:
    """The same memory, seen as records."""
    return words.view(dtype)
