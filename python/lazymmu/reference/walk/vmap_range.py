"""Mapping a physical range: ``vmap_page_range`` and what is below (``mm/vmalloc.c``; facts 2.1 to 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import EINVAL, ENOMEM, PMD, PTE, PUD, Bug, Resched, Site, Warn, level_bit
from lazymmu.reference.memory import Entry
from lazymmu.reference.walk.core import Walk, alloc_track, inner, run, slots

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


def vmap_page_range(k: Kernel, start: int, end: int, pa: int, prot: int) -> Walk:
    """``vmap_page_range``: not executable, leaves as large as ioremap's; the cache flush also after an error."""

    def work(walk: Walk) -> int:
        prot_nx = k.format.pgprot_nx(prot)
        return inner(walk, vmap_range_noflush(k, start, end, pa, prot_nx, k.backend.ioremap_max_page_shift()))

    walk = run(k, Walk(Site.VMAP_PAGE_RANGE, start, end), work)
    flush_cache_vmap(k, start, end)
    return walk


def flush_cache_vmap(k: Kernel, start: int, end: int) -> None:
    """``flush_cache_vmap``, as every architecture has it."""
    k.emit(ev.FLUSH_CACHE, aux=0, va=start, new=end)
    k.backend.flush_cache_vmap(start, end)


def vmap_range_noflush(k: Kernel, start: int, end: int, pa: int, prot: int, max_shift: int) -> Walk:
    """``vmap_range_noflush``: all slots, until the first error. Nothing is rolled back."""
    k.resched(Resched.MIGHT_SLEEP)
    if start >= end:
        k.bug(Bug.EMPTY_RANGE, start)

    def work(walk: Walk) -> int:
        def slot(entry: Entry, addr: int, following: int) -> int:
            return _map_entry(k, walk, entry, addr, following, pa + (addr - start), prot, max_shift)

        return slots(k, walk, slot)

    return run(k, Walk(Site.VMAP_RANGE, start, end), work)


def _map_entry(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int, pa: int, prot: int, max_shift: int) -> int:
    """``vmap_p4d_range`` ... ``vmap_pmd_range``, for one entry of that level."""
    if _try_huge(k, entry, addr, end, pa, prot, max_shift):
        walk.mask |= level_bit(entry.level)
        return 0
    if entry.level == PMD:
        error = _vmap_pte_range(k, walk, entry, addr, end, pa, prot, max_shift)
    else:
        error = _map_below(k, walk, entry, addr, end, pa, prot, max_shift)
    # Up to v6.19 every level hides what went wrong below it; later the error is handed up (7.3 facts 9).
    return error if k.options.child_errors == "unchanged" or not error else -ENOMEM


def _map_below(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int, pa: int, prot: int, max_shift: int) -> int:
    table = alloc_track(k, walk, entry)
    if table is None:
        return -ENOMEM
    for below, start, following in k.entries(table, addr, end):
        error = _map_entry(k, walk, below, start, following, pa + (start - addr), prot, max_shift)
        if error:
            return error
    return 0


def _try_huge(k: Kernel, entry: Entry, addr: int, end: int, pa: int, prot: int, max_shift: int) -> bool:
    """``vmap_try_huge_pmd``, ``vmap_try_huge_pud`` (facts 2.1).

    A table that is in the way is freed: clear, flush, free.
    """
    level = entry.level
    if level not in (PMD, PUD):
        return False
    size = k.geometry.size(level)
    if max_shift < k.geometry.shift(level) or not k.backend.huge_supported(level):
        return False
    if end - addr != size or addr % size or pa % size:
        return False
    if k.format.present(level, k.read(entry)):
        if k.options.huge_table_trylock and k.dumping:
            return False
        if not k.backend.free_below(entry):
            return False
    return k.backend.set_huge(entry, pa, prot)


def _vmap_pte_range(k: Kernel, walk: Walk, pmd: Entry, addr: int, end: int, pa: int, prot: int, max_shift: int) -> int:
    """``vmap_pte_range`` (facts 2.2): an occupied entry is a crash, not an error."""
    page = k.geometry.page_size
    if k.options.vmap_alignment_check and (end - addr) % page:
        k.warn(Warn.UNALIGNED, addr)
        return -EINVAL
    table = alloc_track(k, walk, pmd)
    if table is None:
        return -ENOMEM
    k.pte_begin_range(Site.VMAP_PTE, table, addr, end)
    va = addr
    while va != end:
        pte = table.at(va)
        if not k.none(pte):
            k.bug(Bug.REMAP, va)
        size = k.backend.map_size(va, end, pa + (va - addr), max_shift)
        if size == page:
            k.set_pte(pte, k.format.page(pa + (va - addr), prot))
        else:
            k.backend.set_group(pte, pa + (va - addr), prot)
        va += size
    k.pte_end(Site.VMAP_PTE)
    walk.mask |= level_bit(PTE)
    return 0
