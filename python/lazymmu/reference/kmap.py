"""``kmap_local_page``, ``kunmap_local``: mapping a highmem page stores a kernel PTE (``mm/highmem.c``; facts 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import INIT_MM, PTE, Bug, Store
from lazymmu.reference.machine import Kmap
from lazymmu.reference.memory import Entry

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

KM_MAX_IDX: Final = 16
"""Slots of a CPU."""


def slot_entry(k: Kernel, va: int) -> Entry:
    """``kmap_get_pte``: init_mm's entry of a slot."""
    table = k.mms[INIT_MM].root
    while table.level > PTE:
        table = k.descend(table.at(va))
    return table.at(va)


def set_slot(k: Kernel, va: int, page: int) -> None:
    """Maps a page at a slot that must be empty."""
    entry = slot_entry(k, va)
    if not k.none(entry):
        k.bug(Bug.KMAP_OCCUPIED, va)
    k.set_pte(entry, k.format.page(page, k.format.protections["PAGE_KERNEL"]), Store.KMAP)
    k.backend.post_map(va)


def clear_slot(k: Kernel, va: int) -> None:
    """Unmaps a slot."""
    k.pte_clear(slot_entry(k, va))
    k.backend.post_unmap(va)


def kmap_local(k: Kernel, page: int) -> int:
    """``kmap_local_page``: the address; 0 stands for the direct map, which every lowmem page has."""
    return int(k.overrides.call("kmap", _kmap_local, (k, page), (page,)) or 0)


def _kmap_local(k: Kernel, page: int) -> int:
    if not k.memory.is_highmem(page):
        k.emit(ev.KMAP, addr=page, aux=1)
        return 0
    task = k.task()
    slot = KM_MAX_IDX * k.cpu + len(task.kmaps)
    va = k.geometry.layout["fixaddr_top"] - (slot + 1) * k.geometry.page_size
    if len(task.kmaps) + 1 >= KM_MAX_IDX:  # kmap_local_idx_push: the last index is never used
        k.bug(Bug.KMAP_FULL, va)
    set_slot(k, va, page)
    task.kmaps.append(Kmap(va, page))
    k.emit(ev.KMAP, va=va, addr=page)
    return va


def kunmap_local(k: Kernel, va: int, page: int) -> None:
    """``kunmap_local``: in reverse order of mapping; ``va`` 0 is the direct map."""
    k.overrides.call("kunmap", _kunmap_local, (k, page, va), (va,))


def _kunmap_local(k: Kernel, page: int, va: int) -> int:
    if va == 0:
        k.emit(ev.KUNMAP, addr=page, aux=1)
        return 0
    task = k.task()
    if not task.kmaps or task.kmaps[-1].va != va:
        k.bug(Bug.KUNMAP_ORDER, va)
    clear_slot(k, va)
    page = task.kmaps.pop().page
    k.emit(ev.KUNMAP, va=va, addr=page)
    return 0
