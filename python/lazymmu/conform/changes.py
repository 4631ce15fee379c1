"""Descriptor changes as columns: what a record lists, and what the model's tables show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]
WRAP = (1 << 64) - 1
MOST = 1 << 24
"""Descriptors that one run may have: more than any kernel changes in one operation."""


class BadRecord(ValueError):
    """A record whose changes cannot be read."""


class Change(NamedTuple):
    """One descriptor: level (1 pte to 5 pgd), its table, its place there, first address it maps, words."""

    level: int
    table: int
    place: int
    va: int
    old: int
    new: int


@dataclass(frozen=True)
class Changes:
    """Descriptors as columns of equal length."""

    level: npt.NDArray[np.uint8]
    table: Words
    index: Words
    va: Words
    old: Words
    new: Words

    def __len__(self) -> int:
        return len(self.level)

    def rows(self, chosen: npt.NDArray[Any]) -> Changes:
        """Some of them."""
        return Changes(*(column[chosen] for column in self.columns()))

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns in the order of the fields."""
        return self.level, self.table, self.index, self.va, self.old, self.new

    def upper(self) -> Iterator[Change]:
        """Those above the leaf tables, one by one."""
        yield from self.rows(self.level > 1)

    def __iter__(self) -> Iterator[Change]:
        for row in zip(*(column.tolist() for column in self.columns()), strict=True):
            yield Change(*row)

    def addresses(self, widths: Words) -> Words:
        """Physical addresses of the descriptors; ``widths`` are the bytes of an entry by level."""
        return self.table + self.index * widths[self.level]


def renamed(changes: Changes, nothing: Mapping[int, tuple[int, int]]) -> Changes:
    """The same with the model's words for entries where nothing is: by level the kernel's word, and the model's."""
    words = changes.old.copy(), changes.new.copy()
    for level, (theirs, ours) in nothing.items():
        for column in words:
            column[(changes.level == level) & (column == np.uint64(theirs))] = ours
    return replace(changes, old=words[0], new=words[1])


def recorded(runs: Iterable[Sequence[Any]], sizes: Mapping[int, int], *, swapped: bool = False) -> Changes:
    """The changes of a record, its runs expanded. ``sizes`` are the bytes that an entry of each level maps.

    ``swapped``: words stand as memory has them, in the other byte order; so do their steps.
    """
    heads: list[tuple[int, ...]] = []
    for run in runs:
        try:
            level, index = int(run[0]), int(run[2])
            table, va, old, new = (int(run[n], 0) for n in (1, 3, 4, 5))
            count = int(run[6]) if len(run) > 6 else 1
            steps = (int(run[7], 0), int(run[8], 0)) if len(run) > 6 else (0, 0)
            heads.append((level, table, index, va, old, new, count, sizes[level], *(s & WRAP for s in steps)))
        except (IndexError, KeyError, TypeError, ValueError):
            raise BadRecord(f"{run!r} is no run of changes") from None
        if not 0 < count <= MOST or not 0 <= index < MOST or not all(0 <= n <= WRAP for n in (table, va, old, new)):
            raise BadRecord(f"{run!r}: a number is out of range")
    if not heads:
        empty = np.empty(0, np.uint64)
        return Changes(np.empty(0, np.uint8), empty, empty, empty, empty, empty)
    columns = [np.array(column, np.uint64) for column in zip(*heads, strict=True)]
    counts = columns[6].astype(np.int64)
    if counts.sum() > MOST:
        raise BadRecord(f"{counts.sum()} descriptors in one record")
    levels, tables, indices, vas, olds, news, _, size, old_step, new_step = (np.repeat(c, counts) for c in columns)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    k = (np.arange(counts.sum()) - firsts).astype(np.uint64)
    words = olds + k * old_step, news + k * new_step
    if swapped:
        words = words[0].byteswap(), words[1].byteswap()
    return Changes(levels.astype(np.uint8), tables, indices + k, vas + k * size, *words)
