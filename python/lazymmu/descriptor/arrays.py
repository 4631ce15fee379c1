"""Arrays of words as NumPy structured arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lazymmu import _native
from lazymmu.descriptor.place import SCHEME, codec

Records = np.ndarray[Any, np.dtype[np.void]]


@lru_cache(maxsize=256)
def _dtype(native: _native.Codec) -> np.dtype[np.void]:
    names, offsets, sizes = zip(*native.columns, strict=True)
    return np.dtype(
        {
            "names": list(names),
            "formats": [f"<u{size}" for size in sizes],
            "offsets": list(offsets),
            "itemsize": 8 * native.lanes,
        }
    )


def dtype(geometry: str, level: str | int, *, backend: str | None = None, scheme: str = SCHEME) -> np.dtype[np.void]:
    """The type of a record.

    Columns are ``address``, ``kind`` (index into `kinds`), ``verdict`` (0 valid, 1 acceptable, 2 invalid), and one for
    each field of the leaves and tables of the level, all unsigned.
    """
    return _dtype(codec(geometry, level, backend, None, scheme))


def decode_many(
    words: npt.ArrayLike,
    geometry: str,
    level: str | int,
    *,
    backend: str | None = None,
    pa_bits: int | None = None,
    scheme: str = SCHEME,
    out: Records | None = None,
) -> Records:
    """Records of an array of words of any shape; the result has the same shape.

    Words that hardware would not use keep their bits in the columns of a leaf (of a table where the level has no leaf),
    so `encode_many` gives back every word. Nothing is refused but words wider than an entry
    (`lazymmu.DescriptorError`): look at ``verdict``. ``out``, of `dtype` and of the same shape, is filled and returned.
    """
    native = codec(geometry, level, backend, pa_bits, scheme)
    given = np.ascontiguousarray(words, dtype=np.uint64)
    if out is None:
        out = np.empty(given.shape, _dtype(native))
    elif out.dtype != _dtype(native) or out.shape != given.shape or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous, of shape {given.shape} and dtype(...) of this level")
    native.decode_many(given.reshape(-1), _lanes(out))
    return out


def encode_many(
    records: Records,
    geometry: str,
    level: str | int,
    *,
    backend: str | None = None,
    pa_bits: int | None = None,
    scheme: str = SCHEME,
    out: npt.NDArray[np.uint64] | None = None,
) -> npt.NDArray[np.uint64]:
    """The words of an array of records, as `decode_many` makes them.

    ``verdict`` is not looked at. Raises `lazymmu.DescriptorError` for the first record with a value that does not fit;
    the message has its index in the flattened array, field, value and limit.
    """
    native = codec(geometry, level, backend, pa_bits, scheme)
    if records.dtype != _dtype(native):
        raise ValueError("records must have the dtype(...) of this level")
    given = np.ascontiguousarray(records)
    if out is None:
        out = np.empty(given.shape, np.uint64)
    elif out.dtype != np.uint64 or out.shape != given.shape or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous, of shape {given.shape} and uint64")
    native.encode_many(_lanes(given), out.reshape(-1))
    return out


def _lanes(records: Records) -> npt.NDArray[np.uint64]:
    return records.reshape(-1).view(np.uint64)
