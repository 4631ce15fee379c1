"""Unmapping: ``vunmap_range``, ``__vunmap_range_noflush`` and what is below (``mm/vmalloc.c``; facts 2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import PGD, PMD, PTE, PUD, Bug, Site, Store, Warn, level_bit
from lazymmu.reference.context import cond_resched
from lazymmu.reference.memory import Entry
from lazymmu.reference.walk.core import Walk, run, slots

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


def vunmap_range(k: Kernel, start: int, end: int) -> Walk:
    """``vunmap_range``: flush caches, unmap, flush TLBs."""
    k.emit(ev.FLUSH_CACHE, aux=1, va=start, new=end)
    walk = vunmap_range_noflush(k, start, end)
    k.backend.flush_tlb_kernel_range(start, end)
    return walk


def vunmap_range_noflush(k: Kernel, start: int, end: int) -> Walk:
    """``__vunmap_range_noflush``: no flush of any kind; tables are never freed here."""
    if start >= end:
        k.bug(Bug.EMPTY_RANGE, start)

    def work(walk: Walk) -> int:
        def slot(entry: Entry, addr: int, following: int) -> int | None:
            if entry.level < PGD:
                _unmap_entry(k, walk, entry, addr, following)
                return 0
            if k.format.bad(PGD, k.read(entry)):
                walk.mask |= level_bit(PGD)
            if none_or_clear_bad(k, entry, addr):
                return None
            _unmap_below(k, walk, entry, addr, following)
            return 0

        return slots(k, walk, slot)

    return run(k, Walk(Site.VUNMAP_RANGE, start, end), work)


def none_or_clear_bad(k: Kernel, entry: Entry, addr: int) -> bool:
    """``pXd_none_or_clear_bad``: a bad entry is reported and emptied, its table leaks."""
    word = k.read(entry)
    if k.format.none(entry.level, word):
        return True
    if not k.format.bad(entry.level, word):
        return False
    clear_bad(k, entry, addr)
    return True


def clear_bad(k: Kernel, entry: Entry, addr: int) -> None:
    """``pXd_clear_bad``."""
    k.warn(Warn.BAD_CLEARED, addr)
    k.set_entry(entry, k.format.empty(entry.level), Store.CLEAR_BAD)


def _unmap_entry(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int) -> None:
    """``vunmap_p4d_range`` ... ``vunmap_pmd_range``, for one entry.

    ``pXd_bad`` is asked of whatever is there after the attempt to clear a leaf, also of an empty entry: the mask
    over-reports.
    """
    level = entry.level
    if level in (PMD, PUD) and k.format.clear_huge(level, k.read(entry)):
        k.set_entry(entry, k.format.empty(entry.level), Store.CLEAR)
        walk.mask |= level_bit(level)
        if k.options.partial_unmap_warn and end - addr < k.geometry.size(level):
            k.warn(Warn.PARTIAL_LEAF, addr)
        return
    if k.format.bad(level, k.read(entry)):
        walk.mask |= level_bit(level)
    if none_or_clear_bad(k, entry, addr):
        return
    if level == PMD:
        _vunmap_pte_range(k, walk, entry, addr, end)
        cond_resched(k)
    else:
        _unmap_below(k, walk, entry, addr, end)


def _unmap_below(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int) -> None:
    for below, start, following in k.entries(k.descend(entry), addr, end):
        _unmap_entry(k, walk, below, start, following)


def _vunmap_pte_range(k: Kernel, walk: Walk, pmd: Entry, addr: int, end: int) -> None:
    """``vunmap_pte_range``: a contiguous group goes as a whole, with a warning if the range covers a part (W9)."""
    table = k.descend(pmd)
    k.pte_begin_range(Site.VUNMAP_PTE, table, addr, end)
    page = k.geometry.page_size
    va = addr
    while va != end:
        pte = table.at(va)
        size = k.backend.unmap_size(pte)
        if size == page:
            old = k.ptep_get_and_clear(pte)
        else:
            if va % size:
                k.warn(Warn.PARTIAL_GROUP, va)
                va -= va % size
            old = k.backend.clear_group(table.at(va))
            if end - va < size:
                k.warn(Warn.PARTIAL_GROUP, va)
                size = end - va
        if not k.format.none(PTE, old) and not k.format.present(PTE, old):
            k.warn(Warn.NEITHER_NONE_NOR_PRESENT, va)
        va += size
    k.pte_end(Site.VUNMAP_PTE)
    walk.mask |= level_bit(PTE)
