"""User entries on arm64: contiguous groups (``arch/arm64/mm/contpte.c``; facts 7.1) and TLB invalidation by ASID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.arm64 import ISH, ISHST, MAX_TLBI_RANGE_PAGES, Arm64
from lazymmu.reference.codes import INIT_MM, PMD, PTE, Store, Tlbi
from lazymmu.reference.descriptor.arm64 import AF, CONT, DIRTY, RDONLY, VALID, WRITE
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import EVERYTHING, UserArch
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.folios import Folios
    from lazymmu.reference.user.gather import Stale

NSHST: Final = 3
NSH: Final = 4
FLAGS: Final = RDONLY | AF | WRITE | DIRTY
"""What ``__ptep_set_access_flags`` takes over."""


class Arm64User(UserArch):
    """A group is folded when the last entry of its block is set, and unfolded before a part of it changes."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Arm64, folios: Folios) -> None:
        super().__init__(k, leaf)
        self.backend = backend
        self.folios = folios

    def huge(self) -> bool:  # noqa: D102
        return True

    # Groups ---------------------------------------------------------------------------------------

    def _pages(self, entry: Entry) -> int:
        """Pages of a group; 0: no groups are made here."""
        if entry.mm == INIT_MM or not self.k.options.arm64_contpte:
            return 0
        return self.backend.group_pages()

    def _cont(self, entry: Entry) -> bool:
        return bool(self._pages(entry)) and entry.word & (VALID | CONT) == VALID | CONT

    def _whole(self, entry: Entry) -> list[Entry]:
        """The group of an entry, or the entry alone."""
        if not self._cont(entry):
            return [entry]
        pages = self._pages(entry)
        return self.run(self.behind(entry, -(entry.index % pages)), pages)

    def _convert(self, entry: Entry, word: int) -> None:
        """``contpte_convert``: break, invalidate, make. With BBML3 TLBs may have both sizes at once."""
        pages, page = self._pages(entry), self.k.geometry.page_size
        group = self.run(self.behind(entry, -(entry.index % pages)), pages)
        word = self.leaf.advance(word, -(self.leaf.frame(PTE, word) % (pages * page)))
        for member in group:
            old = member.word
            self.k.store(member, 0, Store.CONVERT)
            word = self.leaf.collect(word, old)
        if not self.k.options.arm64_bbml3:
            self._flush(entry.mm, group[0].va, group[0].va + pages * page, PTE, last_level=True)
        for n, member in enumerate(group):
            self.k.store(member, self.leaf.advance(word, n * page), Store.CONVERT)

    def _unfold(self, entry: Entry) -> None:
        """``contpte_try_unfold``."""
        if self._cont(entry):
            self._convert(entry, self.leaf.noncont(entry.word))

    def _unfold_partial(self, first: Entry, count: int) -> None:
        """``contpte_try_unfold_partial``."""
        pages = self._pages(first)
        if not pages:
            return
        if first.index % pages or count < pages:
            self._unfold(first)
        if (first.index + count) % pages:
            self._unfold(self.behind(first, count - 1))

    def _fold(self, entry: Entry, word: int) -> None:
        """``contpte_try_fold``."""
        pages, page = self._pages(entry), self.k.geometry.page_size
        if not pages:
            return
        frame = self.leaf.frame(PTE, word)
        last = entry.index % pages == pages - 1 and frame // page % pages == pages - 1
        if not last or not word & VALID or word & CONT or self.leaf.special(word):
            return
        base = frame - (pages - 1) * page
        folio = self.folios.at(frame)
        if folio is None or folio.start > base or folio.start + folio.size < base + pages * page:
            return
        plain = self.leaf.mkold(self.leaf.mkclean(self.leaf.advance(word, base - frame)))
        for n, member in enumerate(self.run(self.behind(entry, 1 - pages), pages)):
            if self.leaf.mkold(self.leaf.mkclean(member.word)) != self.leaf.advance(plain, n * page):
                return
        self._convert(entry, word | CONT)

    # The helpers ----------------------------------------------------------------------------------

    def ptep_get(self, entry: Entry) -> int:
        """What any member has seen counts for all."""
        word = entry.word
        for member in self._whole(entry):
            word = self.leaf.collect(word, member.word) if self._cont(entry) else word
        return word

    def set_ptes(self, first: Entry, word: int, count: int) -> None:  # noqa: D102
        self.store_ptes(first, word, count, Store.SET)

    def store_ptes(self, first: Entry, word: int, count: int, code: int) -> None:
        """``set_ptes``: one entry may complete a block, several are made contiguous block by block."""
        word, page, pages = self.leaf.noncont(word), self.k.geometry.page_size, self._pages(first)
        if pages and count == 1:
            self._unfold(first)
            self.k.store(first, word, code)
            self._fold(first, word)
            return
        entries = self.run(first, count)
        for n, entry in enumerate(entries):
            new = self.leaf.advance(word, n * page)
            start = n - entry.index % pages if pages else 0
            whole = bool(pages) and word & VALID and start >= 0 and start + pages <= count
            if whole and self.leaf.frame(PTE, self.leaf.advance(word, start * page)) % (pages * page) == 0:
                new |= CONT
            self.k.store(entry, new, code)

    def get_and_clear(self, first: Entry, count: int) -> int:  # noqa: D102
        self._unfold_partial(first, count)
        words = []
        for entry in self.run(first, count):
            words.append(entry.word)
            self.k.store(entry, 0, Store.GET_AND_CLEAR)
        return self._collected(words)

    def wrprotect(self, first: Entry, count: int) -> None:  # noqa: D102
        self._unfold_partial(first, count)
        super().wrprotect(first, count)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """Of a group all; an exchange, whatever is there."""
        young = False
        for member in self._whole(entry):
            young |= self.leaf.young(member.word)
            self.k.store(member, self.leaf.mkold(member.word), Store.YOUNG)
        return young

    def clear_flush_young(self, entry: Entry) -> bool:
        """The flush is begun and not waited for."""
        young = self.test_and_clear_young(entry)
        if young:
            group, page = self._whole(entry), self.k.geometry.page_size
            if len(group) == 1:
                self._flush_page(entry.mm, entry.va)
            else:
                self._flush_nosync(entry.mm, group[0].va, group[0].va + len(group) * page, PTE, last_level=True)
        return young

    def clear_young_dirty(self, first: Entry, count: int, *, dirty: bool) -> None:
        """Groups at both ends are treated as wholes."""
        start = self._whole(first)[0]
        end = self._whole(self.behind(first, count - 1))[-1]
        for entry in self.run(start, end.index - start.index + 1):
            word = self.leaf.mkold(entry.word)
            self.k.store(entry, self.leaf.mkclean(word) if dirty else word, Store.YOUNG)

    def _set_flags(self, entry: Entry, word: int) -> bool:
        """``__ptep_set_access_flags``: RDONLY only goes, the other flags only come."""
        old = entry.word
        if old == word:
            return False
        granted = old | word & FLAGS & ~RDONLY
        new = granted & ~RDONLY | old & word & RDONLY
        self.k.store(entry, new, Store.FLAGS)
        return True

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:
        """A group is unfolded only if the permission to write changes."""
        word, page = self.leaf.noncont(word), self.k.geometry.page_size
        group = self._whole(entry)
        if len(group) == 1:
            changed = self._set_flags(entry, word)
            if changed and write:
                self._flush_relaxed(entry.mm, entry.va, entry.va + page)
            return changed
        if all(not (member.word ^ word) & FLAGS for member in group):
            return False
        if not (entry.word ^ word) & WRITE:
            for member in group:
                self._set_flags(member, word)
            if write:
                self._flush_relaxed(entry.mm, group[0].va, group[0].va + len(group) * page)
            return True
        self._unfold(entry)
        self._set_flags(entry, word)
        if write:
            self._flush_relaxed(entry.mm, entry.va, entry.va + page)
        return True

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:
        """Always flushed: break-before-make."""
        old = super().pmdp_invalidate(entry, ad=ad)
        size = self.k.geometry.size(PMD)
        start = entry.va & ~(size - 1)
        self._flush(entry.mm, start, start + size, PMD, last_level=False)
        return old

    def pmd_on_stack(self) -> None:
        """``set_pmd`` does not know that no walker will see it."""
        self.backend.complete()

    def needs_flush(self, old: int, new: int) -> bool:  # noqa: ARG002, D102
        return not self.k.options.arm64_flush_valid_only or bool(old & VALID)

    # TLBs -----------------------------------------------------------------------------------------

    def _dsb(self, kind: int) -> None:
        self.k.emit(ev.DSB, aux=kind)

    def _flush_page(self, mm: int, va: int) -> None:
        """``flush_tlb_page_nosync``."""
        self._dsb(ISHST)
        self.tlbi(mm, (va, va + self.k.geometry.page_size), 1, Tlbi.VALE1IS, last_level=True)

    def _flush_nosync(self, mm: int, start: int, end: int, level: int | None, *, last_level: bool) -> None:
        """``__flush_tlb_range_nosync``: too much is the whole ASID."""
        stride = self.k.geometry.size(level or PTE)
        start, end = start & ~(stride - 1), -(-end // stride) * stride
        pages = (end - start) // self.k.geometry.page_size
        ranges = self.k.options.arm64_range_tlbi
        limit = self.k.geometry.entries_of(PTE) * stride
        if (not ranges and end - start >= limit) or pages > MAX_TLBI_RANGE_PAGES:
            self.flush_mm(mm)
            return
        self._dsb(ISHST)
        if ranges:
            code = Tlbi.RVALE1IS if last_level else Tlbi.RVAE1IS
            count = self.backend.range_operations(start, pages)
        else:
            code = Tlbi.VALE1IS if last_level else Tlbi.VAE1IS
            count = (end - start) // stride
        self.tlbi(mm, (start, end), count, code, last_level=last_level)

    def _flush(self, mm: int, start: int, end: int, level: int | None, *, last_level: bool) -> None:
        """``__flush_tlb_range``: no ISB, the return to user space is one."""
        self._flush_nosync(mm, start, end, level, last_level=last_level)
        self._dsb(ISH)

    def _flush_relaxed(self, mm: int, start: int, end: int) -> None:
        """Another CPU with the old entry faults, and finds the new one: 7.x invalidates here only."""
        if not self.k.options.arm64_flush_relaxed_local:
            self._flush(mm, start, end, None, last_level=True)
            return
        self._dsb(NSHST)
        pages = (end - start) // self.k.geometry.page_size
        self.tlbi(mm, (start, end), pages, Tlbi.VALE1, last_level=True)
        self._dsb(NSH)

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:  # noqa: D102
        if level == PTE and end - start == self.k.geometry.page_size:
            self._flush_page(mm, start)
            self._dsb(ISH)
        else:
            self._flush(mm, start, end, PMD if level == PMD else None, last_level=False)

    def flush_mm(self, mm: int) -> None:  # noqa: D102
        self._dsb(ISHST)
        self.tlbi(mm, EVERYTHING, 1, Tlbi.ASIDE1IS)
        self._dsb(ISH)

    def tlb_flush(self, stale: Stale) -> None:
        """Of an address space that ends, only walk caches matter: its ASID is not used again before a full flush."""
        last_level = not stale.freed_tables
        if not stale.full:
            self._flush(stale.mm, stale.start, stale.end, stale.level(), last_level=last_level)
        elif not last_level:
            self.flush_mm(stale.mm)
