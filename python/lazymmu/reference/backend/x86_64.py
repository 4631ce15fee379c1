"""x86-64 on the bare machine: no lazy mode, coherent walkers, huge leaves (``arch/x86/mm/pgtable.c``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.x86 import X86
from lazymmu.reference.backend.x86_cpa import ChangePageAttr
from lazymmu.reference.codes import PMD, PUD, Store
from lazymmu.reference.memory import Entry, Table

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.set_memory import Request
    from lazymmu.reference.walk.areas import Areas


class X86_64(X86):  # noqa: N801
    """Every store is one plain store."""

    name = "x86-64"
    order = 20
    geometries = ("x86-64-4level", "x86-64-5level")

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.huge_vmalloc = True
        self.sets_memory = True

    def set_pte(self, entry: Entry, word: int, code: int) -> None:  # noqa: D102
        self.k.store(entry, word, code)

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self.k.store(entry, 0, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:  # noqa: D102
        old = entry.word
        self.k.store(entry, 0, Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:  # noqa: D102
        if self.k.format.occupied(self.k.read(entry)):
            return False
        self.k.store(entry, word, Store.TRY_SET)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:  # noqa: D102
        self.k.store(entry, self.isolated(entry, word), code)

    def set_memory(self, areas: Areas, request: Request) -> int:  # noqa: D102
        return ChangePageAttr(self).run(areas, request)

    # Huge leaves ----------------------------------------------------------------------------------

    def ioremap_max_page_shift(self) -> int:
        """``BITS_PER_LONG - 1`` unless ``nohugeiomap``."""
        return 63 if self.k.options.huge_vmap else super().ioremap_max_page_shift()

    def huge_supported(self, level: int) -> bool:  # noqa: D102
        return self.k.options.x86_pse if level == PMD else self.k.options.x86_gbpages

    def set_huge(self, entry: Entry, pa: int, prot: int) -> bool:
        """``pmd_set_huge``: a table that is in the way refuses. The MTRRs are uniform here."""
        k = self.k
        word = k.read(entry)
        if k.format.present(entry.level, word) and not k.format.leaf(entry.level, word):
            return False
        k.set_entry(entry, k.format.block(entry.level, pa, prot), Store.HUGE)
        return True

    def free_below(self, entry: Entry) -> bool:
        """Clear, flush, free: ``INVLPG`` flushes the paging-structure caches (facts 2.1)."""
        table = self.k.descend(entry)
        if entry.level == PUD:
            return self._pud_free_pmd_page(entry, table)
        self._clear_and_flush(entry)
        self.k.free_table(table)
        return True

    def _clear_and_flush(self, entry: Entry) -> None:
        self.k.set_entry(entry, 0, Store.CLEAR)
        self.flush_tlb_kernel_range(entry.va, entry.va + self.k.geometry.page_size - 1)

    def _pud_free_pmd_page(self, pud: Entry, table: Table) -> bool:
        """``pud_free_pmd_page``: before 7.x the pmds were saved in a scratch page and cleared first (7.3 facts 12)."""
        k = self.k
        scratch: int | None = None
        if k.options.x86_pud_free_scratch:
            scratch = k.take_frame(0, 0, 0)
            if scratch is None:
                return False
            k.emit(ev.ALLOC, level=0, addr=scratch)
        words = []
        for index in range(len(table.words)):
            pmd = table.at(table.first_address(index))
            words.append(k.read(pmd))
            if scratch is not None and not k.format.none(PMD, words[-1]):
                k.set_entry(pmd, 0, Store.CLEAR)
        self._clear_and_flush(pud)
        for word in words:
            lower = k.linked(PMD, word)
            if lower is not None:
                k.free_table(lower)
        if scratch is not None:
            k.memory.give(scratch)
            k.emit(ev.FREE, level=0, addr=scratch)
        k.free_table(table)
        return True
