"""What a trace says the kernel did to its page tables: moves, with the addresses of the recorded machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a move is."""

    MAP = "vmap_page_range"
    MAP_NOFLUSH = "vmap_range_noflush"
    PAGES = "vmap_pages_range"
    UNMAP = "vunmap_range"
    APPLY = "apply_to_page_range"
    FLUSH = "flush_tlb_kernel_range"


@dataclass(slots=True)
class Move:
    """One operation on kernel page tables, and what the trace tells of its course.

    ``mask`` and ``ret`` are what the walker had when it returned (None: not recorded), ``visited`` first addresses of
    leaf tables that existed or were made when it came there, ``made`` tables that it allocated as (level of their
    entries, first address), ``huge`` first addresses of leaf tables that gave way to a large leaf.
    """

    kind: Kind
    line: int
    cpu: int
    va: int
    end: int
    pa: int = 0
    prot: int = 0
    shift: int = 0
    create: bool = True
    fn: str = ""
    fail_at: int = 0
    hole: int | None = None
    mask: int | None = None
    ret: int | None = None
    visited: list[int] = field(default_factory=list)
    made: list[tuple[int, int]] = field(default_factory=list)
    huge: list[int] = field(default_factory=list)
    syncs: list[tuple[int, int]] = field(default_factory=list)

    def covers(self, va: int, end: int) -> bool:
        """Whether a range lies inside."""
        return self.va <= va and end <= self.end
