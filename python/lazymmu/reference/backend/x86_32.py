"""32-bit x86 on the bare machine: PAE and two levels (``pgtable-3level.h``, ``pgtable-2level.h``, ``highmem.h``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.x86 import X86
from lazymmu.reference.backend.x86_cpa import ChangePageAttr
from lazymmu.reference.codes import PMD, Store, Tlbi
from lazymmu.reference.memory import Entry

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.set_memory import Request
    from lazymmu.reference.walk.areas import Areas

_LOW = 0xFFFF_FFFF


class X86_32(X86):  # noqa: N801
    """A PAE entry has two halves.

    Present must never be seen with a wrong high half, which orders the two stores (facts 1.3).
    """

    name = "x86-32"
    order = 30
    geometries = ("x86-32-pae", "x86-32-2level")

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.sets_memory = True

    def _set_halves(self, entry: Entry, word: int, code: int) -> None:
        """``native_set_pte``: high, then low."""
        if self.pae:
            self.k.store(entry, word & ~_LOW | entry.word & _LOW, code)
        self.k.store(entry, word, code)

    def _clear_halves(self, entry: Entry, code: int) -> None:
        """``native_pte_clear``, ``native_pmd_clear``: low, then high."""
        if self.pae:
            self.k.store(entry, entry.word & ~_LOW, code)
        self.k.store(entry, 0, code)

    def set_pte(self, entry: Entry, word: int, code: int) -> None:  # noqa: D102
        self._set_halves(entry, word, code)

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self._clear_halves(entry, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """``cmpxchg8b``: one store."""
        old = entry.word
        self.k.store(entry, 0, Store.GET_AND_CLEAR)
        return old

    def ptep_try_set(self, entry: Entry, word: int) -> bool:  # noqa: D102
        if self.k.format.occupied(self.k.read(entry)):
            return False
        self.k.store(entry, word, Store.TRY_SET)
        return True

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``set_pmd`` and ``set_pud`` exchange the whole; ``pmd_clear`` and ``pmd_set_huge`` work by halves."""
        word = self.isolated(entry, word)
        if entry.level == PMD and code == Store.HUGE:
            self._set_halves(entry, word, code)
        elif entry.level == PMD and code in (Store.CLEAR, Store.CLEAR_BAD) and word == 0:
            self._clear_halves(entry, code)
        else:
            self.k.store(entry, word, code)

    def set_memory(self, areas: Areas, request: Request) -> int:  # noqa: D102
        return ChangePageAttr(self).run(areas, request)

    # Huge leaves: with PAE only (facts 1.7) -------------------------------------------------------

    def ioremap_max_page_shift(self) -> int:  # noqa: D102
        return 31 if self.pae and self.k.options.huge_vmap else super().ioremap_max_page_shift()

    def huge_supported(self, level: int) -> bool:  # noqa: D102
        return self.pae and level == PMD and self.k.options.x86_pse

    def free_below(self, entry: Entry) -> bool:
        """``pmd_free_pte_page``: never frees, for other roots have copies of the pmd."""
        return self.k.none(entry)

    def set_huge(self, entry: Entry, pa: int, prot: int) -> bool:  # noqa: D102
        k = self.k
        word = k.read(entry)
        if k.format.present(PMD, word) and not k.format.leaf(PMD, word):
            return False
        k.set_entry(entry, k.format.block(PMD, pa, prot), Store.HUGE)
        return True

    def post_unmap(self, va: int) -> None:
        """``arch_kmap_local_post_unmap``: ``INVLPG`` on this CPU; there is no lazy mode to flush."""
        self.k.emit(ev.TLBI, aux=Tlbi.INVLPG, old=1, va=va, new=va + self.k.geometry.page_size)
