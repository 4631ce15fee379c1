"""``struct mmu_gather`` (``mm/mmu_gather.c``; facts 6): invalidate first, free after that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import P4D, PTE
from lazymmu.reference.memory import Table

if TYPE_CHECKING:
    from lazymmu.reference.user.process import Process

BUNDLE: Final = 8
"""``MMU_GATHER_BUNDLE``: pages that a gather keeps in itself."""
MOST_PAGES: Final = 10_000
NOTHING: Final = (1 << 64) - 1


@dataclass
class Stale:
    """What a flush looks at."""

    mm: int
    full: bool
    start: int = NOTHING
    end: int = 0
    freed_tables: bool = False
    cleared: set[int] = field(default_factory=set)
    """Levels at which entries were cleared."""
    page: int | None = None
    """The level of its leaves, where a gather has only those of one size."""

    def level(self) -> int:
        """The lowest of them: ``tlb_get_unmap_shift``."""
        return min(self.cleared, default=PTE)

    def widen(self, start: int, size: int) -> None:
        """``__tlb_adjust_range``."""
        self.start = min(self.start, start)
        self.end = max(self.end, start + size)

    def note(self, level: int, start: int, size: int) -> None:
        """The same, and the level."""
        self.widen(start, size)
        if level <= P4D:
            self.cleared.add(level)


@dataclass
class Batch:
    """Some pages that wait."""

    room: int
    page: int | None = None
    used: int = 0
    items: list[tuple[int, int] | Table] = field(default_factory=list)
    """Folios, each with the number of references; tables, where those do not wait for RCU."""


class Gather:
    """From ``tlb_gather_mmu`` to ``tlb_finish_mmu``."""

    def __init__(self, process: Process, mm: int, *, full: bool) -> None:
        self.process = process
        self.k = process.k
        self.stale = Stale(mm, full)
        self.batches = [Batch(BUNDLE)]
        self.active = 0
        self.tables: list[Table] = []
        self.table_page: int | None = None
        self.delayed_rmap = False

    def _capacity(self, header_words: int, header_bytes: int = 0) -> int:
        """Entries of a page behind a header."""
        word = self.process.word_bytes
        return (self.k.geometry.page_size - header_words * word - header_bytes) // word

    def note(self, level: int, start: int, size: int) -> None:
        """Entries of a level were cleared or changed."""
        self.stale.note(level, start, size)

    def add(self, folio: int, refs: int) -> bool:
        """``__tlb_remove_folio_pages``: True if there is no room for more."""
        if not self.process.arch.gathers_pages():
            self.process.put_folio(folio, refs)
            return False
        return self._add((folio, refs), 1 if refs == 1 else 2)

    def _add(self, item: tuple[int, int] | Table, places: int) -> bool:
        batch = self.batches[self.active]
        batch.items.append(item)
        batch.used += places
        return batch.used >= batch.room - 1 and not self._next_batch()

    def _next_batch(self) -> bool:
        """``tlb_next_batch``: a page from the allocator, inside the lazy section."""
        if self.delayed_rmap and self.active:
            return False
        if self.active + 1 == len(self.batches):
            room = self._capacity(1, 8)
            if len(self.batches) > MOST_PAGES // room:
                return False
            page = self.process.alloc_page()
            if page is None:
                return False
            self.batches.append(Batch(room, page))
        self.active += 1
        return True

    def end_area(self, *, pfnmap: bool) -> None:
        """``tlb_end_vma``."""
        if not self.stale.full and (pfnmap or not self.process.arch.merges_areas()):
            self.flush_only()

    def flush_only(self) -> None:
        """``tlb_flush_mmu_tlbonly``."""
        stale = self.stale
        if stale.cleared or stale.freed_tables:
            self.process.arch.tlb_flush(stale)
            self.stale = Stale(stale.mm, stale.full, page=stale.page)

    def flush(self) -> None:
        """``tlb_flush_mmu``: TLBs, then tables to RCU, then pages."""
        self.flush_only()
        self._free_tables()
        for batch in self.batches:
            items, batch.items, batch.used = batch.items, [], 0
            for item in items:
                if isinstance(item, Table):
                    self.process.free_table(item)
                else:
                    self.process.put_folio(*item)
        self.active = 0

    def leaves(self, level: int) -> None:
        """``tlb_change_page_size``: those of another size are flushed first."""
        if self.process.arch.gathers_one_size():
            if not self.stale.full and self.stale.page not in (None, level):
                self.flush()
            self.stale.page = level

    def finish(self) -> None:
        """``tlb_finish_mmu``."""
        self.flush()
        while len(self.batches) > 1:
            page = self.batches.pop(1).page
            if page is not None:
                self.process.free_page(page)

    def free_table(self, table: Table, va: int) -> None:
        """``pte_free_tlb``, ``pmd_free_tlb``, ``pud_free_tlb``; ``va``: where the entry was cleared."""
        self.note(table.level + 1, va, self.k.geometry.page_size)
        self.stale.freed_tables = True
        more = self.process.arch.leaf_table_freed(va) if table.level == PTE else None
        if more is not None:
            self.stale.widen(*more)
        self.process.arch.unlinked(table)
        if table.level > PTE and self.process.arch.frees_upper_at_once():
            self.process.free_table(table)
            return
        if not self.process.arch.frees_by_rcu():
            # tlb_remove_page
            if self._add(table, 1):
                self.flush()
            return
        if self.table_page is None:
            self.table_page = self.process.alloc_page()
            if self.table_page is None:
                # tlb_remove_table_one
                self._invalidate_tables()
                others = len(self.k.cpus) - 1
                if others:
                    self.k.emit(ev.IPI, aux=others)
                self.process.free_table(table)
                return
        self.tables.append(table)
        if len(self.tables) == self._capacity(3):
            self._free_tables()

    def _invalidate_tables(self) -> None:
        if self.process.arch.invalidates_tables():
            self.flush_only()

    def _free_tables(self) -> None:
        """``tlb_table_flush``."""
        if not self.tables:
            return
        self._invalidate_tables()
        tables, self.tables = self.tables, []
        self.k.emit(ev.CALL_RCU, old=len(tables))
        self.process.folios.rcu += tables
        if self.table_page is not None:
            self.process.folios.rcu.append(self.table_page)
            self.table_page = None
