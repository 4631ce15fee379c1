"""Kinds of entries and their fields, written as one line each.

A line names fields with their bits: ``AttrIndx:4-2`` or ``AF:10``. ``@n`` says which bit of the value the lowest one
is, ``~`` that the word holds the complement, ``?`` that software keeps the bits zero (RES0), ``!`` that hardware faults
where they are not zero. A name may occur twice: its parts make one value. ``name:*`` takes the bits that are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lazymmu.reference.errors import ConfigError

VERDICTS = ("valid", "acceptable", "invalid")
Rule = tuple[int, int, str]
"""``word & mask == value`` has this verdict."""


@dataclass
class Field:
    """Bits with a name: (high, low, at), lowest first."""

    name: str
    parts: list[tuple[int, int, int]]
    mark: str = ""

    @property
    def mask(self) -> int:
        """Bits of the word."""
        return sum(((2 << high - low) - 1) << low for high, low, _ in self.parts)

    def get(self, word: int) -> int:
        """The value in a word."""
        word = ~word if "~" in self.mark else word
        return sum((word >> low & (2 << high - low) - 1) << at for high, low, at in self.parts)

    def put(self, value: int) -> int:
        """The bits of a value."""
        value = ~value if "~" in self.mark else value
        return sum((value >> at & (2 << high - low) - 1) << low for high, low, at in self.parts)


def fields_of(line: str, bits: int) -> tuple[Field, ...]:
    """Reads a line."""
    found: dict[str, Field] = {}
    rest = None
    for token in line.split():
        match = re.fullmatch(r"([~?!]*)(\w+):(?:(\d+)(?:-(\d+))?(?:@(\d+))?|(\*))", token)
        if not match:
            raise ConfigError(f"{token!r} is no field")
        mark, name, high, low, at, star = match.groups()
        field = found.setdefault(name, Field(name, [], mark))
        if star:
            rest = field
        else:
            field.parts.append((int(high), int(low or high), int(at or 0)))
    if rest is not None:
        free = (1 << bits) - 1 & ~sum(field.mask for field in found.values())
        at = 0
        while free:
            low = (free & -free).bit_length() - 1
            width = (~(free >> low) & (free >> low) + 1).bit_length() - 1
            rest.parts.append((low + width - 1, low, at))
            at += width
            free &= ~(((1 << width) - 1) << low)
    for field in found.values():
        field.parts.sort(key=lambda part: part[1])
    return tuple(sorted((f for f in found.values() if f.parts), key=lambda f: f.parts[0][1]))


@dataclass(frozen=True)
class EntryKind:
    """One kind of entry: words with ``word & mask == value`` that no kind before it takes."""

    name: str
    hardware: str
    mask: int
    value: int
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()


def kind(
    name: str, hardware: str, mask: int, value: int, line: str, bits: int, rules: Iterable[Rule] = ()
) -> EntryKind:
    """A kind of entry from its line."""
    return EntryKind(name, hardware, mask, value, fields_of(line, bits), tuple(rules))


@dataclass(frozen=True)
class Entry:
    """A word taken apart."""

    kind: str
    hardware: str
    fields: Mapping[str, int]
    verdict: str


@dataclass(frozen=True)
class Place:
    """A level of a geometry under a backend, on a CPU with physical addresses of ``pa_bits``."""

    kinds: tuple[EntryKind, ...]
    bits: int
    pa_bits: int

    def kind_of(self, word: int) -> EntryKind:
        """The kind of a word."""
        return next(kind for kind in self.kinds if word & kind.mask == kind.value)

    def decode(self, word: int) -> Entry:
        """Fields and verdict; nothing is refused."""
        kind = self.kind_of(word)
        verdict = max((VERDICTS.index(v) for mask, value, v in kind.rules if word & mask == value), default=0)
        for field in kind.fields:
            value = field.get(word)
            if value and "?" in field.mark:
                verdict = max(verdict, 1)
            too_wide = field.name == "address" and kind.hardware != "invalid" and value >> self.pa_bits
            if too_wide or (value and "!" in field.mark):
                verdict = 2
        return Entry(kind.name, kind.hardware, {f.name: f.get(word) for f in kind.fields}, VERDICTS[verdict])

    def encode(self, name: str, fields: Mapping[str, int]) -> int:
        """The word of a kind with these fields, all of them."""
        kind = next(kind for kind in self.kinds if kind.name == name)
        return sum(field.put(fields[field.name]) for field in kind.fields)
