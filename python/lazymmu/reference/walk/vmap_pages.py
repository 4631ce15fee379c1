"""Mapping an array of pages: ``vmap_pages_range`` and what is below (``mm/vmalloc.c``; facts 2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazymmu.reference.codes import EBUSY, EINVAL, ENOMEM, PGD, PMD, PTE, Bug, Site, Warn, level_bit
from lazymmu.reference.memory import Entry
from lazymmu.reference.walk.core import Walk, alloc_track, inner, run, slots
from lazymmu.reference.walk.vmap_range import flush_cache_vmap, vmap_range_noflush

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


@dataclass(frozen=True)
class Pages:
    """``struct page **``: a run of pages, or a list; one of them may be NULL, and one may have an invalid frame."""

    count: int
    start: int = 0
    step: int = 0
    list: tuple[int, ...] = field(default=())
    null_at: int | None = None
    invalid_at: int | None = None

    def address(self, index: int) -> int:
        """Physical address of a page."""
        return self.list[index] if self.list else self.start + index * self.step


def vmap_pages_range(k: Kernel, start: int, end: int, prot: int, pages: Pages, page_shift: int) -> Walk:
    """``vmap_pages_range``: the cache flush comes also after an error."""
    walk = vmap_pages_range_noflush(k, start, end, prot, pages, page_shift)
    flush_cache_vmap(k, start, end)
    return walk


def vmap_pages_range_noflush(k: Kernel, start: int, end: int, prot: int, pages: Pages, page_shift: int) -> Walk:
    """``__vmap_pages_range_noflush``: small pages, or one physical range for each ``1 << page_shift`` bytes."""
    base = k.geometry.shift(PTE)
    if page_shift < base:
        k.warn(Warn.PAGE_SHIFT, start)

    def work(walk: Walk) -> int:
        if page_shift <= base or not k.backend.huge_vmalloc:
            return inner(walk, _vmap_small_pages_range_noflush(k, start, end, prot, pages))
        size = 1 << page_shift
        for index in range(0, (end - start) >> base, size >> base):
            addr = start + (index << base)
            if index in (pages.null_at, pages.invalid_at):
                # page_to_phys makes a wild address of it, unnoticed.
                k.bug(Bug.KERNEL_ACCESS, addr)
            error = inner(walk, vmap_range_noflush(k, addr, addr + size, pages.address(index), prot, page_shift))
            if error:
                return error
        return 0

    return run(k, Walk(Site.VMAP_PAGES_RANGE, start, end), work)


def _vmap_small_pages_range_noflush(k: Kernel, start: int, end: int, prot: int, pages: Pages) -> Walk:
    """``vmap_small_pages_range_noflush``: a bad pgd is only noted in the mask, not cleared."""
    if start >= end:
        k.bug(Bug.EMPTY_RANGE, start)

    def work(walk: Walk) -> int:
        def slot(entry: Entry, addr: int, following: int) -> int:
            if entry.level == PGD and k.format.bad(PGD, k.read(entry)):
                walk.mask |= level_bit(PGD)
            return _map_entry(k, walk, entry, addr, following, prot, pages)

        return slots(k, walk, slot)

    return run(k, Walk(Site.VMAP_SMALL_PAGES, start, end), work)


def _map_entry(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int, prot: int, pages: Pages) -> int:
    """``vmap_pages_p4d_range`` ... ``vmap_pages_pmd_range``, for one entry: whatever fails below is -ENOMEM here."""
    if entry.level == PMD:
        return -ENOMEM if _vmap_pages_pte_range(k, walk, entry, addr, end, prot, pages) else 0
    table = alloc_track(k, walk, entry)
    if table is None:
        return -ENOMEM
    for below, start, following in k.entries(table, addr, end):
        if _map_entry(k, walk, below, start, following, prot, pages):
            return -ENOMEM
    return 0


def _vmap_pages_pte_range(k: Kernel, walk: Walk, pmd: Entry, addr: int, end: int, prot: int, pages: Pages) -> int:
    """``vmap_pages_pte_range``: three checks for each page, in this order.

    v6.16-rc1 returned from inside the loop: lazy mode stayed on and the mask lost its bit (fea18c686320).
    """
    table = alloc_track(k, walk, pmd)
    if table is None:
        return -ENOMEM
    k.pte_begin_range(Site.VMAP_PAGES_PTE, table, addr, end)
    shift = k.geometry.shift(PTE)
    error = 0
    for pte, va, _ in k.entries(table, addr, end):
        index = (va - walk.start) >> shift
        error = _check(k, pte, va, index, pages)
        if error:
            if k.options.pages_error_exit == "return":
                return error
            break
        k.set_pte(pte, k.format.page(pages.address(index), prot))
    k.pte_end(Site.VMAP_PAGES_PTE)
    walk.mask |= level_bit(PTE)
    return error


def _check(k: Kernel, pte: Entry, va: int, index: int, pages: Pages) -> int:
    if not k.none(pte):
        k.warn(Warn.OCCUPIED, va)
        return -EBUSY
    if index == pages.null_at:
        k.warn(Warn.NO_PAGE, va)
        return -ENOMEM
    if index == pages.invalid_at:
        k.warn(Warn.INVALID_PFN, va)
        return -EINVAL
    return 0
