"""Where the recorded addresses lie on another machine.

Recorded ranges that lie close together keep their distances; the gaps between such clusters shrink until all fits.
The order of addresses and their alignment to large pages stay as they are.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from typing import Any

GAP = 64 << 20
"""Ranges further apart belong to different clusters."""


class Placement:
    """Addresses of the recorded machine, in pages of ``page`` bytes, on a machine with a geometry.

    ``fits`` says whether all of them have room there.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]], page: int, geometry: Mapping[str, Any]) -> None:
        self.page = page
        shift: int = geometry["page_shift"]
        self.to_page = 1 << shift
        unit = 1 << geometry["levels"][1][2]
        at = -(-geometry["vmalloc_start"] // unit) * unit
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.places: list[int] = []
        for start, end in _clusters(ranges):
            # Leaf tables of the recorded machine begin where they begin here, as far as both have the same size.
            base = start // unit * unit
            self.starts.append(base)
            self.ends.append(end)
            self.places.append(at)
            at += -(-self._scaled(end - base) // unit) * unit
        self.fits = at <= geometry["vmalloc_end"]

    def _scaled(self, size: int) -> int:
        return size // self.page * self.to_page

    def __call__(self, va: int) -> int:
        """Where an address lies. One between clusters lies at the edge of the nearest below."""
        n = max(bisect.bisect_right(self.starts, va) - 1, 0)
        va = min(max(va, self.starts[n]), self.ends[n])
        return self.places[n] + self._scaled(va - self.starts[n])


def _clusters(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1] + GAP:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out
