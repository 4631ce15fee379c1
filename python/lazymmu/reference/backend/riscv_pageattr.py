"""``__set_memory`` (``arch/riscv/mm/pageattr.c``): split what is larger than the range, then store every leaf in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import ENOMEM, INIT_MM, PGD, PMD, PTE, PUD, Bug, Store, Tlbi
from lazymmu.reference.descriptor.riscv import KERNEL, R, V, W, X
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.set_memory import LinearMap, Request, lookup_address, table_for_split
from lazymmu.reference.walk.vunmap import none_or_clear_bad

if TYPE_CHECKING:
    from lazymmu.reference.backend.riscv import Riscv
    from lazymmu.reference.walk.areas import Areas

MASKS: Final = {
    "ro": (R, W),
    "rw": (R | W, 0),
    "x": (X, 0),
    "nx": (0, X),
    "invalid": (0, V),
    "default": (KERNEL, X),
}
"""Bits that are set and cleared."""
PFN_MASK: Final = ((1 << 44) - 1) << 10


class PageAttr:
    """One call of ``__set_memory``."""

    def __init__(self, backend: Riscv, request: Request) -> None:
        self.backend = backend
        self.k = backend.k
        self.set, self.clear = MASKS[request.change]
        self.linear = request.linear
        self.start = request.va
        self.end = request.va + request.pages * self.k.geometry.page_size

    def run(self, areas: Areas) -> int:
        """The alias first, then the range; whatever happens, everything is fenced."""
        root = self.k.mms[INIT_MM].root
        if not self.backend.is_64bit:
            self._change(root, self.start, self.end)
            self.backend.flush_tlb_kernel_range(self.start, self.end)
            return 0
        ret = 0 if self.linear is None else self._change_aliases(areas, self.linear)
        if not ret:
            self._change(root, self.start, self.end)
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)
        self.k.emit(ev.TLBI, aux=Tlbi.SFENCE_ALL, old=1, va=0, new=self.k.geometry.address_mask)
        return ret

    def _change_aliases(self, areas: Areas, linear: LinearMap) -> int:
        layout, page = self.k.geometry.layout, self.k.geometry.page_size
        if not layout["vmalloc_start"] <= self.start < layout["vmalloc_end"]:
            return self._split_and_change(self.start, self.end) if linear.holds(self.start) else 0
        area = areas.find(self.start)
        if area is None or area.kind != "alloc":
            self.k.bug(Bug.KERNEL_ACCESS, self.start)  # no vm_struct, or one without pages
        for va in range(self.start, self.end, page):
            pa = self._memory(va)
            alias = None if pa is None else linear.address(pa)
            if alias is not None and (ret := self._split_and_change(alias, alias + page)):
                return ret
        return 0

    def _memory(self, va: int) -> int | None:
        """What the area's array of pages says, read from its entries."""
        entry = lookup_address(self.k, va)
        word = 0 if entry is None else self.k.read(entry)
        if entry is None or not word:
            return None
        return self.k.format.leaf_address(entry.level, word) + va % self.k.geometry.size(entry.level)

    def _split_and_change(self, start: int, end: int) -> int:
        root = self.k.mms[INIT_MM].root
        ret = self._split(root, start, end)
        if not ret:
            self._change(root, start, end)
        return ret

    def _split(self, table: Table, start: int, end: int) -> int:
        """``split_linear_mapping``: a leaf that lies in the range as a whole stays."""
        k = self.k
        size = k.geometry.size(table.level)
        for entry, addr, following in k.entries(table, start, end):
            if entry.level != PGD and addr == entry.first and following - addr >= size:
                continue
            word = k.read(entry)
            if k.format.leaf(entry.level, word) and not self._split_leaf(entry, word):
                return -ENOMEM
            if entry.level > PMD and (ret := self._split(k.descend(entry), addr, following)):
                return ret
        return 0

    def _split_leaf(self, leaf: Entry, word: int) -> bool:
        k = self.k
        table = table_for_split(k, leaf)
        if table is None:
            return False
        pa, each = k.format.leaf_address(leaf.level, word), k.geometry.size(table.level)
        for index in range(len(table.words)):
            lower = Entry(table, index, table.first_address(index))
            k.store(lower, k.format.page(pa + index * each, word & ~PFN_MASK), Store.SET)
        k.emit(ev.WMB)
        k.store(leaf, k.format.link(leaf.level, table.pa, kernel=True), Store.POPULATE)
        return True

    def _change(self, table: Table, start: int, end: int) -> None:
        """``walk_kernel_page_table_range`` with ``pageattr_ops``."""
        k = self.k
        for entry, addr, following in k.entries(table, start, end):
            if entry.level == PTE:
                k.store(entry, self._changed(k.read(entry)), Store.PROTECT)
            elif entry.level > PUD:
                if not none_or_clear_bad(k, entry, addr):
                    self._change(k.descend(entry), addr, following)
            elif not k.none(entry):
                word = k.read(entry)
                if k.format.leaf(entry.level, word):
                    k.store(entry, self._changed(word), Store.PROTECT)
                word = k.read(entry)
                if k.format.present(entry.level, word) and not k.format.leaf(entry.level, word):
                    self._change(k.descend(entry), addr, following)

    def _changed(self, word: int) -> int:
        return word & ~self.clear | self.set
