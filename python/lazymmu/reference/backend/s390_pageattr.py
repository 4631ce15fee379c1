"""``__set_memory`` (``arch/s390/mm/pageattr.c``): CRDTE replaces an entry and takes it out of all TLBs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import EINVAL, INIT_MM, P4D, PGD, PTE, PUD, Store, Tlbi
from lazymmu.reference.context import cond_resched
from lazymmu.reference.descriptor import s390
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.set_memory import LinearMap, Request, lookup_address

if TYPE_CHECKING:
    from lazymmu.reference.backend.s390 import S390
    from lazymmu.reference.walk.areas import Areas

KERNEL: Final = s390.S390Format.protections["PAGE_KERNEL"]


class PageAttr:
    """One call of ``__set_memory``."""

    def __init__(self, backend: S390, request: Request) -> None:
        self.k = backend.k
        self.request = request

    def run(self, areas: Areas) -> int:
        """The range; then, of rights to write, the alias."""
        request, page = self.request, self.k.geometry.page_size
        if not request.pages:
            return 0
        end = request.va + request.pages * page
        ret = self._change(request.va, end)
        if not ret and request.linear is not None and request.change in ("ro", "rw"):
            ret = self._change_alias(areas, request.linear, end)
        return ret

    def _change_alias(self, areas: Areas, linear: LinearMap, end: int) -> int:
        """``change_page_attr_alias``: until an address is not one of ``vmalloc``."""
        k = self.k
        page = k.geometry.page_size
        for va in range(self.request.va, end, page):
            area = areas.find(va)
            if area is None or area.kind != "alloc":
                return 0
            entry = lookup_address(k, va)
            alias = None if entry is None else linear.address(k.format.leaf_address(entry.level, entry.word))
            if alias is not None and (ret := self._change(alias, alias + page)):
                return ret
        return 0

    def _change(self, start: int, end: int) -> int:
        """``change_page_attr``: five loops, of which those of folded levels turn once."""
        root = self.k.mms[INIT_MM].root
        ret = self._below(root, start, end)
        if root.level == PUD:
            cond_resched(self.k)
        if root.level != PGD and not ret:
            cond_resched(self.k)
        return ret

    def _below(self, table: Table, start: int, end: int) -> int:
        k = self.k
        for entry, addr, following in k.entries(table, start, end):
            word = entry.word
            if k.format.none(entry.level, word):
                # walk of the root with five levels: it ends there, and what went before counts
                return 0 if entry.level == PGD and addr != start else -EINVAL
            if entry.level == PTE:
                self._replace(entry, self._changed(word))
                cond_resched(k)
                continue
            ret = self._below(k.descend(entry), addr, following)
            if not ret or entry.level in (PUD, P4D):
                cond_resched(k)
            if ret:
                return ret
        return 0

    def _changed(self, word: int) -> int:
        change = self.request.change
        if change == "ro":
            return word & ~s390.WRITE | s390.PROTECT
        if change == "rw":
            return (word | s390.WRITE | s390.DIRTY) & ~s390.PROTECT
        if change == "invalid":
            return word | s390.INVALID
        if change == "default":
            return word & ~0xFFF | KERNEL
        return word | s390.NOEXEC if change == "nx" else word & ~s390.NOEXEC

    def _replace(self, entry: Entry, word: int) -> None:
        """``pgt_set``."""
        page = self.k.geometry.page_size
        start = entry.va & -page
        self.k.store(entry, word, Store.PROTECT)
        end = start + page & self.k.geometry.address_mask
        self.k.emit(ev.TLBI, aux=Tlbi.CRDTE, old=1, va=start, new=end)
