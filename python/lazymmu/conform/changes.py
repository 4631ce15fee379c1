"""Descriptor changes: what a record lists, and what two images of the model show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lazymmu import _native

WRAP = (1 << 64) - 1


class Change(NamedTuple):
    """One descriptor: level (1 pte to 5 pgd), physical address of its table, index, first address it maps, words."""

    level: int
    table: int
    index: int
    va: int
    old: int
    new: int


class BadRecord(ValueError):
    """A record whose changes cannot be read."""


def recorded(runs: Iterable[Sequence[Any]], sizes: Mapping[int, int]) -> list[Change]:
    """The changes of a record, its runs expanded. ``sizes`` are the bytes that an entry of each level maps."""
    out = []
    for run in runs:
        try:
            level, index = int(run[0]), int(run[2])
            table, va, old, new = (int(run[n], 0) for n in (1, 3, 4, 5))
            count = int(run[6]) if len(run) > 6 else 1
            old_step, new_step = (int(run[7], 0), int(run[8], 0)) if len(run) > 6 else (0, 0)
            size = sizes[level]
        except (IndexError, KeyError, TypeError, ValueError):
            raise BadRecord(f"{run!r} is no run of changes") from None
        for k in range(count):
            words = (old + k * old_step) & WRAP, (new + k * new_step) & WRAP
            out.append(Change(level, table, index + k, va + k * size, *words))
    return out


Image = dict[int, tuple[int, np.ndarray]]
"""Tables by physical address: level and words."""


def image(machine: _native.Machine) -> Image:
    """The tables of init_mm."""
    return {pa: (level, words) for pa, level, words in machine.image(0)}


def differences(before: Image, after: Image) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Old and new word by (level, table, index). A table that is gone has lost its words."""
    out = {}
    for pa in before.keys() | after.keys():
        level, old = before.get(pa, (0, None))
        new_level, new = after.get(pa, (level, None))
        if old is not None and new is not None and level == new_level:
            changed = np.flatnonzero(old != new)
            out.update({(level, pa, int(n)): (int(old[n]), int(new[n])) for n in changed})
            continue
        if old is not None:
            out.update({(level, pa, int(n)): (int(old[n]), 0) for n in np.flatnonzero(old)})
        if new is not None:
            out.update({(new_level, pa, int(n)): (0, int(new[n])) for n in np.flatnonzero(new)})
    return out
