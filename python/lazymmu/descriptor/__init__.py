"""Page-table entries of every modelled architecture: decode a word, encode it back, explain it.

A word is read at a level of a geometry. Its *kind* (``page``, ``block``, ``table``, ``swap``, ...) decides which fields
its bits have; every bit belongs to exactly one field, so decoding loses nothing.

>>> from lazymmu import descriptor
>>> entry = descriptor.decode(0x00E8000000000703, "arm64-4k-48", "pte")
>>> entry.kind, entry["AttrIndx"], entry["UXN"], entry.attributes["write"]
('page', 0, 1, True)
>>> hex(descriptor.encode({"type": 3, "AF": 1, "SH": 3, "address": 0x40000000}, "arm64-4k-48", "pte"))
'0x40000703'

Arrays of words become NumPy structured arrays, and back:

>>> records = descriptor.decode_many([0x163, 0x8000000123456163], "x86-64-4level", "pte")
>>> records["XD"].tolist(), records["address"].tolist()
([0, 1], [0, 4886716416])
>>> descriptor.encode_many(records, "x86-64-4level", "pte").tolist() == [0x163, 0x8000000123456163]
True
"""

from __future__ import annotations

from lazymmu.descriptor.arrays import decode_many, dtype, encode_many
from lazymmu.descriptor.entry import Descriptor, Field, Kind, Problem, Value
from lazymmu.descriptor.picture import explain, picture
from lazymmu.descriptor.place import LEVELS, SCHEME, kinds
from lazymmu.descriptor.words import decode, encode

__all__ = [
    "LEVELS",
    "SCHEME",
    "Descriptor",
    "Field",
    "Kind",
    "Problem",
    "Value",
    "decode",
    "decode_many",
    "dtype",
    "encode",
    "encode_many",
    "explain",
    "kinds",
    "picture",
]
