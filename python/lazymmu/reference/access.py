"""A CPU uses a virtual address: the hardware walk of memory, faults and their repair (facts 7.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.codes import INIT_MM, PTE, Bug, Handler, Outcome
from lazymmu.reference.descriptor.base import Kind
from lazymmu.reference.memory import Table

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Found:
    """Where a hardware walk ended: at a leaf (``pa``: the address reached) or at an entry that leads nowhere (None)."""

    level: int
    word: int
    pa: int | None


def hardware_walk(k: Kernel, root: Table | None, va: int) -> Found:
    """What a page-table walker finds in memory: all that was stored, and nothing that waits in a queue."""
    if root is None:
        return Found(k.geometry.levels, 0, None)
    table = root
    while True:
        level = table.level
        word = table.words[k.geometry.hardware_index(level, va)]
        kind = k.format.kind(level, word)
        if kind is Kind.LEAF:
            offset = va & (k.geometry.size(level) - 1)
            return Found(level, word, k.format.leaf_address(level, word) | offset)
        below = k.memory.tables.get(k.format.table(word)) if kind is Kind.TABLE else None
        if below is None or below.level != level - 1:
            return Found(level, word, None)
        table = below


def root_for(k: Kernel, mm: int, va: int) -> tuple[int, Table | None]:
    """The root that an address is looked up in, and its mm.

    Where roots are split, no user address is found in init_mm's. User addresses are used by user mode, which may run on
    a root of its own.
    """
    if not k.backend.split_roots():
        user = None if k.geometry.is_kernel(va) else k.backend.user_root(mm)
        return mm, user or k.mms[mm].root
    if k.geometry.is_kernel(va):
        return INIT_MM, k.mms[INIT_MM].root
    return mm, k.mms[mm].root if mm != INIT_MM else None


@dataclass(frozen=True, slots=True)
class Accessed:
    """How an access ended."""

    outcome: int
    pa: int


def access(k: Kernel, va: int, kind: int) -> Accessed:
    """One access by the executing CPU. A fault may be repaired, then the walk is repeated."""
    mm, root = root_for(k, k.here().loaded, va)
    if root is not None:
        k.backend.before_access(mm, va, kind)
    found = hardware_walk(k, root, va)
    repaired = False
    if found.pa is None:
        handler = k.backend.fault_handler(va) if k.geometry.is_kernel(va) else Handler.NOBODY
        k.emit(ev.FAULT, level=found.level, aux=kind | handler << 8, va=va, old=found.word, mm=mm)
        if handler != Handler.NOBODY:
            k.backend.repair(va)
            found = hardware_walk(k, root, va)
            repaired = True
    if found.pa is None:
        outcome = Outcome.NOT_PRESENT
    elif not k.format.permits(found.word, kind, k.geometry.is_kernel(va)):
        outcome = Outcome.PERMISSION
    else:
        outcome = Outcome.REPAIRED if repaired else Outcome.OK
    word, pa = found.word, found.pa
    if outcome in (Outcome.OK, Outcome.REPAIRED) and found.level == PTE:
        word = k.backend.used(mm, va, word, kind)
        # Another CPU may change the entry while it is used for the first time.
        if not k.format.usable(PTE, word):
            outcome = Outcome.NOT_PRESENT
        elif not k.format.permits(word, kind, k.geometry.is_kernel(va)):
            outcome = Outcome.PERMISSION
        pa = k.format.leaf_address(PTE, word) | (va & (k.geometry.page_size - 1))
    if pa is None or outcome not in (Outcome.OK, Outcome.REPAIRED):
        pa = 0
    k.emit(ev.ACCESS, level=found.level, aux=kind | outcome << 8, va=va, addr=pa, old=word, mm=mm)
    return Accessed(outcome, pa)


def by_kernel(k: Kernel, va: int, kind: int) -> None:
    """An access that kernel code itself makes: if it fails, that is an oops."""
    if access(k, va, kind).outcome in (Outcome.NOT_PRESENT, Outcome.PERMISSION):
        k.bug(Bug.KERNEL_ACCESS, va)
