"""What all walk functions share: the report of a walk, its slots, and the allocation that is tracked in the mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import INIT_MM, SITES, level_bit
from lazymmu.reference.memory import Entry, Table

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


class Walk:
    """One call of a walk function: where it is, and the ``pgtbl_mod_mask`` that it collects."""

    __slots__ = ("calls", "code", "end", "mask", "mm", "ret", "start")

    def __init__(self, code: int, start: int, end: int, mm: int = INIT_MM) -> None:
        self.code = code
        self.start = start
        self.end = end
        self.mm = mm
        self.mask = 0
        self.ret = 0
        self.calls = 0
        """Callbacks made, for ``apply_to_page_range``."""

    @property
    def site(self) -> str:
        """Name of the walk function."""
        return SITES[self.code]


def run(k: Kernel, walk: Walk, work: Callable[[Walk], int]) -> Walk:
    """A walk function from its range check to its return, with the scheme's two places."""
    k.emit(ev.WALK, aux=walk.code, va=walk.start, new=walk.end, mm=walk.mm)
    k.walk_begin(walk)
    walk.ret = work(walk)
    k.walk_end(walk, walk.mask)
    k.emit(ev.WALK_END, aux=walk.code | walk.mask << 8, va=walk.start, new=walk.end, old=walk.ret, mm=walk.mm)
    return walk


def inner(outer: Walk, walk: Walk) -> int:
    """A walk function called another one: the mask of the inner counts for the outer, too."""
    outer.mask |= walk.mask
    outer.calls += walk.calls
    return walk.ret


def slots(k: Kernel, walk: Walk, work: Callable[[Entry, int, int], int | None]) -> int:
    """The loop over pgd slots: ``do { next = pgd_addr_end(addr, end); ... } while (pgd++, addr = next, addr != end)``.

    ``work`` returns an error number, 0, or None for a slot that was passed over before the function below was called.
    A slot is an entry of the root, but where the kernel's loop takes several as one.
    """
    root = k.mms[walk.mm].root
    start = walk.start
    for entry, addr, following in k.entries(root, walk.start, walk.end):
        end = k.geometry.slot_end(start, walk.end)
        error = work(entry, addr, following)
        if error is not None and (error or following == end):
            k.emit(ev.SLOT, level=root.level, aux=walk.mask, va=start, new=end, old=error, mm=walk.mm)
        if error:
            return error
        if following == end:
            start = following
    return 0


def alloc_track(k: Kernel, walk: Walk, entry: Entry) -> Table | None:
    """``p4d_alloc_track`` ... ``pte_alloc_kernel_track`` (``mm/pgalloc-track.h``; facts 2.0): None is out of memory.

    The bit names the level of the entry that was written.
    """
    if k.none(entry):
        if not k.alloc_below(entry, walk.mm):
            return None
        walk.mask |= level_bit(entry.level)
    return k.descend(entry)
