"""A callback for each PTE: ``apply_to_page_range``, ``apply_to_existing_page_range`` (``mm/memory.c``; facts 2.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from lazymmu.reference import access, kmap
from lazymmu.reference import events as ev
from lazymmu.reference.codes import EINVAL, ENOMEM, INIT_MM, PGD, PMD, PTE, PUD, Access, Bug, Site, Warn, level_bit
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.walk.core import Walk, alloc_track, run, slots
from lazymmu.reference.walk.vunmap import clear_bad

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

PteFn: TypeAlias = Callable[[Entry], int]
"""``pte_fn_t``: any result but 0 ends the walk and is returned."""


def apply_to_page_range(k: Kernel, mm: int, start: int, end: int, fn: PteFn | None, create: bool) -> Walk:
    """``__apply_to_page_range``."""
    walk = Walk(Site.APPLY, start, end, mm)
    if start >= end:
        k.warn(Warn.APPLY_RANGE, start)
        walk.ret = -EINVAL
        return walk

    def work(walk: Walk) -> int:
        def slot(entry: Entry, addr: int, following: int) -> int | None:
            passed = _passed_over(k, entry, addr, create)
            if passed == 0 and entry.level == PGD:
                return None  # the tests of a pgd are made here; those of lower levels in the function that a slot calls
            if passed is not None:
                return passed
            return _apply_below(k, walk, entry, addr, following, fn, create)

        return slots(k, walk, slot)

    return run(k, walk, work)


def _passed_over(k: Kernel, entry: Entry, addr: int, create: bool) -> int | None:
    """The tests that every level makes of an entry: 0 to pass it over, an error, or None to go below."""
    level = entry.level
    word = k.read(entry)
    if k.format.none(level, word):
        return None if create else 0
    if k.format.leaf(level, word):
        k.warn(Warn.APPLY_LEAF, addr)
        return -EINVAL
    if k.format.bad(level, word):
        k.warn(Warn.APPLY_BAD, addr)
        if not create:
            return 0
        clear_bad(k, entry, addr)
    return None


def _apply_below(k: Kernel, walk: Walk, entry: Entry, addr: int, end: int, fn: PteFn | None, create: bool) -> int:
    """``apply_to_p4d_range`` ... ``apply_to_pte_range``: called for an entry that holds or gets a table."""
    if entry.level == PMD:
        return _apply_to_pte_range(k, walk, entry, addr, end, fn, create)
    if entry.level == PUD and k.format.leaf(PUD, k.read(entry)):
        k.bug(Bug.APPLY_PUD_LEAF, addr)
    table = alloc_track(k, walk, entry) if create else k.descend(entry)
    if table is None:
        return -ENOMEM
    for below, start, following in k.entries(table, addr, end):
        passed = _passed_over(k, below, start, create)
        error = _apply_below(k, walk, below, start, following, fn, create) if passed is None else passed
        if error:
            return error
    return 0


def _apply_to_pte_range(k: Kernel, walk: Walk, pmd: Entry, addr: int, end: int, fn: PteFn | None, create: bool) -> int:
    """``apply_to_pte_range``: allocate, map, lock, and only then lazy mode (facts 5.3)."""
    user = walk.mm != INIT_MM
    if user:
        if create and k.none(pmd) and not k.alloc_below(pmd, walk.mm, highmem=highpte(k)):
            return -ENOMEM
        table: Table | None = k.descend(pmd)
    else:
        table = alloc_track(k, walk, pmd) if create else k.descend(pmd)
    if table is None:
        return -ENOMEM
    mapped = map_and_lock(k, table) if user else 0
    k.pte_begin_range(Site.APPLY_PTE, table, addr, end)
    error = 0
    if fn is not None:
        for pte, _, _ in k.entries(table, addr, end):
            if create or not k.none(pte):
                walk.calls += 1
                error = fn(pte)
                if error:
                    break
    walk.mask |= level_bit(PTE)
    k.pte_end(Site.APPLY_PTE)
    if user:
        unlock_and_unmap(k, table, mapped)
    return error


def highpte(k: Kernel) -> bool:
    """``CONFIG_HIGHPTE``: a user's leaf table may lie in highmem, where there is any."""
    return k.options.highpte and k.geometry.layout["highmem_frames"] != 0


def map_and_lock(k: Kernel, table: Table) -> int:
    """``pte_offset_map_lock``: a highmem table is mapped first, and used through that mapping at once."""
    va = kmap.kmap_local(k, table.pa)
    k.task().locks += 1
    k.emit(ev.LOCK, addr=table.pa)
    if table.highmem:
        access.by_kernel(k, va, Access.WRITE)
    return va


def unlock_and_unmap(k: Kernel, table: Table, mapped: int) -> None:
    """``pte_unmap_unlock``."""
    k.task().locks = max(k.task().locks - 1, 0)
    k.emit(ev.UNLOCK, addr=table.pa)
    kmap.kunmap_local(k, mapped, table.pa)
