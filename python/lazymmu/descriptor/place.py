"""A level of a geometry: where a word stands."""

from __future__ import annotations

import re
from functools import lru_cache

from lazymmu import _native
from lazymmu.descriptor.entry import Field, Kind
from lazymmu.errors import ConfigError, DescriptorError

LEVELS = ("pte", "pmd", "pud", "p4d", "pgd")
"""Names of levels, from the leaf table upwards; the numbers 1 to 5 are the same levels."""


SCHEME = "v6.12"
"""Whose entries are read where nobody says: the bits that software has in them differ by release on s390."""

GEOMETRIES = _native.geometries()


def _unknown(name: str) -> DescriptorError:
    """Says which part of the name cannot exist, by its difference from geometries that do."""
    known = list(GEOMETRIES)
    text = f"unknown geometry {name!r}"
    match = re.fullmatch(r"(.*?)(\d+)(level)?", name)
    if match:
        family, number, levels = match[1], int(match[2]), match[3] or ""
        others = [re.fullmatch(rf"{re.escape(family)}(\d+){levels}", other) for other in known]
        numbers = sorted(int(other[1]) for other in others if other)
        if numbers:
            what = "levels" if levels else "va_bits"
            limit = f"{numbers[-1]}; there are {', '.join(map(str, numbers))}"
            return DescriptorError(f"{text}: {what} = {number}, limit: {limit}", what, number, limit)
    match = re.match(r"(.+-)(\d+)k(?![^-])", name)
    if match:
        pages = {
            int(other[1]) for other in (re.match(rf"{match[1]}(\d+)k(?![^-])", known_) for known_ in known) if other
        }
        number = int(match[2])
        if pages and number not in pages:
            limit = f"{max(pages)} KiB; there are {', '.join(map(str, sorted(pages)))}"
            return DescriptorError(f"{text}: page size = {number} KiB, limit: {limit}", "page size", number, limit)
    limit = ", ".join(known)
    return DescriptorError(f"{text}: geometry = {name}, limit: one of {limit}", "geometry", None, limit)


def level_number(level: str | int) -> int:
    """The number of a level. Raises `lazymmu.DescriptorError` for anything that is none."""
    if isinstance(level, str) and level in LEVELS:
        return LEVELS.index(level) + 1
    if isinstance(level, int) and 1 <= level <= len(LEVELS):
        return int(level)
    limit = f"{', '.join(LEVELS)}, or 1 to {len(LEVELS)}"
    value = level if isinstance(level, int) else None
    raise DescriptorError(f"level = {level}, limit: {limit}", "level", value, limit)


def codec(geometry: str, level: str | int, backend: str | None, pa_bits: int | None, scheme: str) -> _native.Codec:
    """The compiled format; the same one for the same question."""
    number = level_number(level)
    if geometry not in GEOMETRIES:
        raise _unknown(geometry)
    if pa_bits is not None and not 0 < pa_bits < 256:
        raise DescriptorError(f"pa_bits = {pa_bits}, limit: 1 to 64", "pa_bits", pa_bits, "1 to 64")
    if backend is not None and backend not in [name for name, *_ in _native.backends()]:
        known = ", ".join(name for name, *_ in _native.backends())
        raise ConfigError(f"unknown backend {backend!r}: expected one of {known}")
    return _codec(backend, geometry, number, pa_bits, scheme)


@lru_cache(maxsize=256)
def _codec(backend: str | None, geometry: str, level: int, pa_bits: int | None, scheme: str) -> _native.Codec:
    return _native.Codec(backend, geometry, level, pa_bits, scheme)


@lru_cache(maxsize=256)
def kinds_of(native: _native.Codec) -> tuple[Kind, ...]:
    """The kinds of entry, in the order of their codes in arrays."""
    rows = zip(native.kinds, native.fields, strict=True)
    return tuple(
        Kind(name, hardware, about, tuple(_field(*row) for row in fields), mask, value)
        for (name, hardware, about, mask, value), fields in rows
    )


def _field(
    name: str,
    parts: list[tuple[int, int, int]],
    role: str,
    about: str,
    values: list[tuple[int, str]],
    inverted: bool,
) -> Field:
    return Field(name, tuple(parts), role, about, dict(values), inverted)


def kinds(geometry: str, level: str | int, *, backend: str | None = None, scheme: str = SCHEME) -> tuple[Kind, ...]:
    """Every kind of entry at a level, with its fields. The index of a kind is its code in arrays.

    Raises `lazymmu.DescriptorError` where the geometry has no such level.
    """
    return kinds_of(codec(geometry, level, backend, None, scheme))
