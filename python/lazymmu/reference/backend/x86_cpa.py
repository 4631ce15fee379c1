"""``change_page_attr_set_clr`` (``arch/x86/mm/pat/set_memory.c``): the tables are looked up page by page.

A large leaf of which only a part changes is split; the alias in the linear map follows, and keeps its NX.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import EFAULT, EINVAL, ENOMEM, PMD, PTE, PUD, Store, Tlbi, Warn
from lazymmu.reference.descriptor.x86 import (
    DIRTY,
    GLOBAL,
    KERNPG_TABLE,
    NX,
    PAT,
    PAT_LARGE,
    PSE,
    RW,
    P,
    X86Format,
)
from lazymmu.reference.memory import Entry
from lazymmu.reference.set_memory import LinearMap, Request, lookup_address, table_for_split

if TYPE_CHECKING:
    from lazymmu.reference.backend.x86 import X86
    from lazymmu.reference.walk.areas import Areas

SINGLE_PAGES: Final = 33
"""``tlb_single_page_flush_ceiling``."""
MASKS: Final = {
    "ro": (0, RW | DIRTY),
    "rw": (RW, 0),
    "x": (0, NX),
    "nx": (NX, 0),
    "invalid": (0, P | RW | DIRTY),
    "default": (P | RW, 0),
}
"""Bits that are set and cleared."""


@dataclass
class _Cpa:
    """``struct cpa_data``."""

    set: int
    clear: int
    linear: LinearMap | None
    check_alias: bool
    primary: bool = True
    pages: int = 0
    """How many pages are left; after a step, with how many it dealt."""
    pa: int = 0
    changed: bool = False
    """``CPA_FLUSHTLB``."""
    force_flush_all: bool = False


class ChangePageAttr:
    """One call of ``change_page_attr_set_clr``."""

    def __init__(self, backend: X86) -> None:
        if not isinstance(backend.k.format, X86Format):
            raise TypeError("x86 needs its own entry format")
        self.backend = backend
        self.k = backend.k
        self.format = backend.k.format

    def run(self, areas: Areas, request: Request) -> int:
        """The whole: stale vmalloc addresses go first, what was cached of the changed ones last."""
        set_bits, clear_bits = MASKS[request.change]
        if not self.format.nx and (set_bits | clear_bits) & NX:
            return 0
        direct = request.change in ("invalid", "default")
        if not direct:
            areas.purge()
        cpa = _Cpa(set_bits, clear_bits, request.linear, check_alias=not direct, pages=request.pages)
        ret = self._change(cpa, request.va)
        if direct or not cpa.changed:
            return ret
        if ret or cpa.force_flush_all or request.pages > SINGLE_PAGES:
            self._flush_all()
        else:
            self.backend.flush_tlb_kernel_range(request.va, request.va + request.pages * self.k.geometry.page_size)
        return ret

    def _flush_all(self) -> None:
        """``flush_tlb_all``."""
        self.backend.ipi()
        self.k.emit(ev.TLBI, aux=Tlbi.ALL_GLOBAL, old=1, va=0, new=self.k.geometry.address_mask)

    def _change(self, cpa: _Cpa, va: int) -> int:
        """``__change_page_attr_set_clr``."""
        left = cpa.pages
        if not cpa.set | cpa.clear:
            return 0
        while left:
            cpa.pages = left
            ret = self._change_one(cpa, va)
            if not ret and cpa.primary and cpa.check_alias:
                ret = self._change_alias(cpa, va)
            if ret:
                return ret
            left -= cpa.pages
            va += cpa.pages * self.k.geometry.page_size
        return 0

    def _change_alias(self, cpa: _Cpa, va: int) -> int:
        """``cpa_process_alias``."""
        alias = None if cpa.linear is None or cpa.linear.holds(va) else cpa.linear.address(cpa.pa)
        if alias is None:
            return 0
        cpa.force_flush_all = True
        # What the alias needs flushed is flushed with everything.
        return self._change(replace(cpa, set=cpa.set & ~NX, clear=cpa.clear & ~NX, primary=False), alias)

    def _change_one(self, cpa: _Cpa, va: int) -> int:
        """``__change_page_attr``: a page, or as much of the range as one large leaf holds."""
        k = self.k
        while True:
            entry = lookup_address(k, va)
            word = 0 if entry is None else k.read(entry)
            if entry is None or k.format.none(PTE, word):
                return self._hole(cpa, va)
            if entry.level == PTE:
                self._change_pte(cpa, entry, word)
                return 0
            if entry.level > PUD:
                return -EINVAL
            if self._keep_large(cpa, entry, va, word):
                return 0
            if not self._split(entry, word):
                return -ENOMEM

    def _hole(self, cpa: _Cpa, va: int) -> int:
        """``__cpa_process_fault``: only the linear map may have holes."""
        cpa.pages = 1
        if not cpa.primary:
            return 0
        if cpa.linear is not None and cpa.linear.holds(va):
            cpa.pa = va - cpa.linear.start + cpa.linear.pa
            return 0
        self.k.warn(Warn.CPA_HOLE, va)
        return -EFAULT

    def _change_pte(self, cpa: _Cpa, entry: Entry, word: int) -> None:
        flags = _clear_protnone(word & ~self.format.pfn_mask & ~cpa.clear | cpa.set)
        cpa.pa, cpa.pages = self._frame(word), 1
        new = self.format.page(cpa.pa, flags)
        if new != word:
            self.k.store(entry, new, Store.PROTECT)
            cpa.changed = True

    def _frame(self, word: int) -> int:
        """``pte_pfn``: that of an entry which is not present is stored inverted."""
        inverted = self.format.wide and word and not word & P
        return (~word if inverted else word) & self.format.pfn_mask

    def _parts(self, level: int, word: int) -> tuple[int, int]:
        """What a large leaf maps, and its flags."""
        mask = self.format.pfn_mask & ~(self.k.geometry.size(level) - 1)
        return self._frame(word) & mask, word & ~mask

    def _keep_large(self, cpa: _Cpa, entry: Entry, va: int, word: int) -> bool:
        """``__should_split_large_page``: nothing changes, or all that the leaf maps does."""
        size, page = self.k.geometry.size(entry.level), self.k.geometry.page_size
        offset = va % size
        cpa.pages = min(cpa.pages, (size - offset) // page)
        pa, flags = self._parts(entry.level, word)
        wanted = _clear_protnone(_to_large(_to_small(flags) & ~cpa.clear | cpa.set))
        if wanted & P:
            wanted |= PSE
        cpa.pa = pa + offset
        if wanted == flags:
            return True
        if offset or cpa.pages * page != size:
            return False
        self._set_everywhere(entry, self.format.page(pa, wanted), Store.PROTECT)
        cpa.changed = True
        return True

    def _split(self, entry: Entry, word: int) -> bool:
        """``split_large_page``: the TLBs hold nothing of the large leaf when the first small one changes."""
        table = table_for_split(self.k, entry)
        if table is None:
            return False
        pa, flags = self._parts(entry.level, word)
        if table.level == PTE:
            flags = _to_small(flags)
        elif not flags & P:
            flags &= ~PSE
        flags = _clear_protnone(flags)
        each = self.k.geometry.size(table.level)
        for index in range(len(table.words)):
            lower = Entry(table, index, table.first_address(index))
            self.backend.set_pte(lower, self.format.page(pa + index * each, flags), Store.SET)
        self._set_everywhere(entry, table.pa | KERNPG_TABLE, Store.POPULATE)
        self._flush_all()
        return True

    def _set_everywhere(self, entry: Entry, word: int, code: int) -> None:
        """``__set_pmd_pte``: 32-bit kernels have copies of a kernel pmd in every process."""
        k = self.k
        k.store(entry, word, code)
        for mm in list(k.pgd_list) if self.backend.is_32bit else []:
            table = mm.root
            while table.level > PMD:
                table = k.descend(table.at(entry.first))
            k.store(table.at(entry.first), word, Store.SYNC)


def _clear_protnone(flags: int) -> int:
    """``pgprot_clear_protnone_bits``."""
    return flags if flags & P else flags & ~GLOBAL


def _to_small(flags: int) -> int:
    """``pgprot_large_2_4k``: the place of PSE is that of PAT in a small entry."""
    return flags & ~(PAT | PAT_LARGE) | (flags & PAT_LARGE) >> 5


def _to_large(flags: int) -> int:
    """``pgprot_4k_2_large``."""
    return flags & ~(PAT | PAT_LARGE) | (flags & PAT) << 5
