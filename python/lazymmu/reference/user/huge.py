"""Large leaves of user mappings (``mm/huge_memory.c``): each has a leaf table in reserve for its split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.access import by_kernel
from lazymmu.reference.codes import ENOMEM, PMD, Access, Bug, Store
from lazymmu.reference.kmap import kmap_local, kunmap_local
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.process import Process
from lazymmu.reference.walk.apply import highpte

if TYPE_CHECKING:
    from lazymmu.reference.user.protect import Protection


class Huge:
    """What is done to one pmd."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.k = process.k
        self.size = self.k.geometry.size(PMD)

    def _reserve(self, mm: int, va: int) -> Table | None:
        """``pte_alloc_one``."""
        return self.k.new_table(1, va & ~(self.size - 1), mm, highpte(self.k))

    def _withdraw(self, pmd: Entry) -> Table | None:
        table = self.process.folios.withdraw(self.process.pmd_lock(pmd))
        if table is not None:
            table.base = pmd.first
        return table

    def map(self, mm: int, va: int, pa: int, prot: int, *, write: bool) -> int:
        """``do_huge_pmd_anonymous_page``."""
        process, leaf = self.process, self.process.large
        address, va = va, va & ~(self.size - 1)
        table = process.table(mm, va, PMD)
        reserve = None if table is None else self._reserve(mm, va)
        if table is None or reserve is None:
            return -ENOMEM
        pmd = table.at(va)
        with process.lock(process.pmd_lock(pmd)):
            taken = not self.k.none(pmd)
            if not taken:
                word = leaf.mkdirty(self.k.format.block(PMD, pa, prot))
                process.folios.allocate(pa, self.size, anon=True).refs = 1
                process.folios.deposit(process.pmd_lock(pmd), reserve)
                process.arch.set_pmd(pmd, leaf.mkwrite(word) if write else word)
                process.arch.update_mmu_cache_pmd(mm, address)
        if taken:
            process.free_table(reserve)
        return 0

    def copy(self, to: Entry, pmd: Entry) -> int:
        """``copy_huge_pmd``."""
        process = self.process
        reserve = self._reserve(to.mm, to.va)
        if reserve is None:
            return -ENOMEM
        with process.lock(process.pmd_lock(to), process.pmd_lock(pmd)):
            word = self.k.read(pmd)
            folio = process.folio(PMD, word)
            if folio is not None:
                folio.refs += 1
                folio.exclusive = False
            process.folios.deposit(process.pmd_lock(to), reserve)
            process.arch.pmdp_set_wrprotect(pmd, word)
            process.arch.set_pmd(to, process.large.mkold(self.k.format.wrprotect_huge(word)))
        return 0

    def zap(self, gather: Gather, pmd: Entry) -> None:
        """``zap_huge_pmd``: the reserve goes at once, the pages behind the flush."""
        gather.leaves(PMD)
        with self.process.lock(self.process.pmd_lock(pmd)):
            old = self.process.arch.pmdp_get_and_clear_full(pmd, full=gather.stale.full)
            self.process.arch.pmd_zapped(pmd, full=gather.stale.full)
            gather.note(PMD, pmd.va, self.size)
            if not self.process.arch.pmd_present(old):
                # Taken for a migration entry, which do not exist here: no folio, and that is looked at.
                self.k.bug(Bug.KERNEL_ACCESS, pmd.va)
            reserve = self._withdraw(pmd)
            if reserve is not None:
                self.process.free_table(reserve)
        folio = self.process.folio(PMD, old)
        if folio is not None and gather.add(folio.start, 1):
            gather.flush()

    def protect(self, gather: Gather, pmd: Entry, to: Protection) -> int:
        """``change_huge_pmd``: never empty in between."""
        process, leaf = self.process, self.process.large
        gather.leaves(PMD)
        with process.lock(process.pmd_lock(pmd)):
            old = process.arch.pmdp_invalidate(pmd, ad=True)
            new = leaf.modify(PMD, old, to.prot)
            if to.may_write(leaf, new, process.folio(PMD, old)):
                new = leaf.mkwrite(new)
            process.arch.set_pmd(pmd, new)
            if process.arch.needs_flush(old, new):
                gather.note(PMD, pmd.va, self.size)
        return self.size // self.k.geometry.page_size

    def move(self, pmd: Entry, to: Entry) -> bool:
        """``move_huge_pmd``: False if the target is taken."""
        process = self.process
        if not self.k.none(to):
            return False
        mine, other = process.pmd_lock(pmd), process.pmd_lock(to)
        with process.lock(mine, other):
            word = process.arch.pmdp_get_and_clear(pmd)
            if mine != other:
                reserve = process.folios.withdraw(mine)
                if reserve is not None:
                    process.folios.deposit(other, reserve)
            process.arch.set_pmd(to, word)
            if process.arch.pmd_present(word):
                process.arch.flush_range(pmd.mm, pmd.va, pmd.va + self.size, PMD)
        return True

    def split(self, pmd: Entry, prot: int | None = None) -> None:
        """``__split_huge_pmd``: invalidate, fill the reserve, link it. ``prot``: ``vm_page_prot``."""
        process, k, leaf, large = self.process, self.k, self.process.leaf, self.process.large
        prot = large.huge_prot(pmd.word) if prot is None else prot
        with process.lock(process.pmd_lock(pmd)):
            va = pmd.va & ~(self.size - 1)
            old = process.arch.pmdp_invalidate(pmd, ad=False)
            reserve = self._withdraw(pmd)
            if reserve is None:
                k.bug(Bug.STRAY_WALK, pmd.va)
            process.arch.pmd_on_stack()
            word = k.format.page(large.frame(PMD, old), prot)
            word = leaf.mkwrite(word) if large.write(old) else word
            word = word if large.young(old) else leaf.mkold(word)
            word = leaf.mkdirty(word) if large.dirty(old) else word
            pages = self.size // k.geometry.page_size
            folio = process.folio(PMD, old)
            if folio is not None:
                folio.refs += pages - 1
            if reserve.highmem:
                # pte_offset_map
                mapped = kmap_local(k, reserve.pa)
                by_kernel(k, mapped, Access.WRITE)
            process.arch.set_ptes(Entry(reserve, 0, va), word, pages)
            if reserve.highmem:
                kunmap_local(k, mapped, reserve.pa)
            k.emit(ev.WMB)
            k.set_entry(pmd, k.format.link(PMD, reserve.pa, kernel=False), Store.POPULATE)

    def split_at(self, mm: int, va: int, prot: int) -> None:
        """``split_huge_pmd``, if there is a large leaf."""
        table = self.process.lookup(mm, va, PMD)
        if table is not None and self.process.look(table.at(va)) == "huge":
            self.split(table.at(va), prot)

    def age(self, gather: Gather, pmd: Entry, *, free: bool) -> None:
        """``MADV_COLD`` and ``MADV_FREE`` of a whole large leaf that nobody else maps."""
        process, leaf = self.process, self.process.large
        gather.leaves(PMD)
        with process.lock(process.pmd_lock(pmd)):
            word = self.k.read(pmd)
            folio = process.folio(PMD, word) if process.arch.pmd_present(word) else None
            seen = leaf.young(word) or (free and leaf.dirty(word))
            if folio is None or folio.refs != 1 or not seen:
                return
            if free:
                process.arch.pmdp_invalidate(pmd, ad=False)
                process.arch.set_pmd(pmd, leaf.mkclean(leaf.mkold(word)))
            else:
                process.arch.pmdp_clear_young(pmd, word)
            gather.note(PMD, pmd.va, self.size)
