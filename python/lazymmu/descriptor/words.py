"""One word at a time."""

from __future__ import annotations

from collections.abc import Mapping

from lazymmu.descriptor.entry import Descriptor, Problem, Value
from lazymmu.descriptor.place import GEOMETRIES, LEVELS, SCHEME, codec, kinds_of, level_number
from lazymmu.errors import DescriptorError


def _number(name: str, value: int) -> int:
    if not 0 <= int(value) < 1 << 64:
        raise DescriptorError(f"{name} = {value:#x}, limit: 64 bits", name, int(value), "64 bits")
    return int(value)


def decode(
    word: int,
    geometry: str,
    level: str | int,
    *,
    backend: str | None = None,
    pa_bits: int | None = None,
    scheme: str = SCHEME,
    strict: bool = True,
) -> Descriptor:
    """Takes a word apart.

    ``level`` is a name (``pte`` ... ``pgd``) or a number from 1. ``backend`` chooses among architectures that share a
    geometry; ``pa_bits`` is the physical width of a CPU that has less than the format can say; ``scheme`` is the kernel
    whose bits those of software are (s390 moved some between 6.12 and 7.3). With ``strict`` a word that is reserved at
    its level, or whose address is above the physical width, raises `lazymmu.DescriptorError`, which names field, value
    and limit; without, its verdict is ``invalid``.
    """
    native = codec(geometry, level, backend, pa_bits, scheme)
    found = native.decode(_number("word", word), strict)
    kind = next(kind for kind in kinds_of(native) if kind.name == found["kind"])
    return Descriptor(
        word=int(word),
        geometry=geometry,
        backend=native.backend,
        level=LEVELS[level_number(level) - 1],
        bits=8 * int(GEOMETRIES[geometry]["entry_bytes"]),
        kind=kind.name,
        hardware=kind.hardware,
        about=kind.about,
        values=tuple(Value(field, value) for field, value in zip(kind.fields, found["values"], strict=True)),
        address=found["address"],
        attributes=found["attributes"],
        grants=found["grants"],
        software=found["software"],
        verdict=found["verdict"],
        problems=tuple(Problem(*problem) for problem in found["problems"]),
    )


def encode(
    fields: Mapping[str, int],
    geometry: str,
    level: str | int,
    *,
    kind: str | None = None,
    backend: str | None = None,
    pa_bits: int | None = None,
    scheme: str = SCHEME,
) -> int:
    """The word with these fields; a field that is not named is zero, or what makes the entry of its kind.

    Without ``kind`` it is the first kind of the level that has all the fields. Raises `lazymmu.DescriptorError`, which
    names field, value and limit, for a value that does not fit, for an address above the physical width or not aligned,
    and for a word that would be reserved.
    """
    native = codec(geometry, level, backend, pa_bits, scheme)
    return native.encode(kind, [(name, _number(name, value)) for name, value in fields.items()])
