"""What the loops over user mappings share: tables, locks, folios, and the walk down to the pmd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lazymmu.reference import events as ev
from lazymmu.reference.backend.arm import Arm
from lazymmu.reference.backend.arm64 import Arm64
from lazymmu.reference.backend.loongarch import Loongarch
from lazymmu.reference.backend.powerpc import Hash, Radix
from lazymmu.reference.backend.riscv import Riscv
from lazymmu.reference.backend.s390 import S390
from lazymmu.reference.backend.sparc64 import Sparc64
from lazymmu.reference.backend.xen_pv import XenPv
from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.arch import UserArch, X86User
from lazymmu.reference.user.arch_arm import ArmUser
from lazymmu.reference.user.arch_arm64 import Arm64User
from lazymmu.reference.user.arch_loongarch import LoongarchUser
from lazymmu.reference.user.arch_powerpc import HashUser
from lazymmu.reference.user.arch_radix import RadixUser
from lazymmu.reference.user.arch_riscv import RiscvUser
from lazymmu.reference.user.arch_s390 import S390User
from lazymmu.reference.user.arch_sparc64 import Sparc64User
from lazymmu.reference.user.arch_xen import XenUser
from lazymmu.reference.user.folios import Folio, Folios
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.leaf_arm import ArmLeaf
from lazymmu.reference.user.leaves import large_leaf_of
from lazymmu.reference.walk.apply import highpte, map_and_lock, unlock_and_unmap
from lazymmu.reference.walk.core import Walk
from lazymmu.reference.walk.vunmap import clear_bad, none_or_clear_bad

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


class Process:
    """User mappings of one machine."""

    def __init__(self, k: Kernel, leaf: Leaf, folios: Folios) -> None:
        self.k = k
        self.leaf = leaf
        self.large = large_leaf_of(k.format, leaf)
        self.folios = folios
        self.word_bytes = 4 if k.geometry.va_bits == 32 else 8
        self.arch: UserArch
        if isinstance(k.backend, XenPv):
            self.arch = XenUser(k, leaf, k.backend)
        elif isinstance(k.backend, Arm64):
            self.arch = Arm64User(k, leaf, k.backend, folios)
        elif isinstance(k.backend, Radix):
            self.arch = RadixUser(k, leaf, k.backend)
        elif isinstance(k.backend, Hash):
            self.arch = HashUser(k, leaf, k.backend)
        elif isinstance(k.backend, Riscv):
            self.arch = RiscvUser(k, leaf, k.backend)
        elif isinstance(k.backend, S390):
            self.arch = S390User(k, leaf, self.large, k.backend)
        elif isinstance(k.backend, Loongarch):
            self.arch = LoongarchUser(k, leaf, k.backend)
        elif isinstance(k.backend, Arm) and isinstance(leaf, ArmLeaf):
            self.arch = ArmUser(k, leaf, k.backend)
        elif isinstance(k.backend, Sparc64):
            self.arch = Sparc64User(k, leaf, k.backend)
        else:
            self.arch = X86User(k, leaf)

    # Walks ----------------------------------------------------------------------------------------

    def walk(self, site: int, mm: int, start: int, end: int, work: Callable[[], int]) -> int:
        """A walk function that begin and end are not for."""
        k = self.k
        k.emit(ev.WALK, aux=site, va=start, new=end, mm=mm)
        result = work()
        k.emit(ev.WALK_END, aux=site, va=start, new=end, old=result, mm=mm)
        return result

    def each_pmd(self, mm: int, start: int, end: int) -> Iterator[tuple[Entry, int]]:
        """The pmd entries of a range that have tables above them, each with the end of its part."""
        yield from self._below(self.k.mms[mm].root, start, end)

    def _below(self, table: Table, start: int, end: int) -> Iterator[tuple[Entry, int]]:
        for entry, addr, following in self.k.entries(table, start, end):
            if entry.level == PMD:
                yield entry, following
            elif not none_or_clear_bad(self.k, entry, addr):
                yield from self._below(self.k.descend(entry), addr, following)

    def table(self, mm: int, va: int, level: int) -> Table | None:
        """The table of a level for an address; what is missing is allocated. None: no memory."""
        table = self.k.mms[mm].root
        while table.level > level:
            entry = table.at(va)
            if self.k.none(entry) and not self.alloc_below(entry):
                return None
            table = self.k.descend(entry)
        return table

    def lookup(self, mm: int, va: int, level: int) -> Table | None:
        """The table of a level for an address, if it is there."""
        table = self.k.mms[mm].root
        while table.level > level:
            entry = table.at(va)
            if none_or_clear_bad(self.k, entry, va):
                return None
            table = self.k.descend(entry)
        return table

    def leaf_table(self, mm: int, va: int) -> Table | None:
        """The leaf table of an address, if it is there."""
        table = self.lookup(mm, va, PMD)
        if table is None or self.look(table.at(va)) != "table":
            return None
        return self.k.descend(table.at(va))

    def alloc_below(self, entry: Entry) -> bool:
        """``__pud_alloc``, ``__pmd_alloc``, ``__pte_alloc``."""
        high = entry.level == PMD and highpte(self.k)
        done = self.k.alloc_below(entry, entry.mm, highmem=high)
        if done:
            self.arch.populated(entry)
        return done

    def look(self, pmd: Entry) -> str:
        """One look at a pmd: ``none``, ``huge`` or ``table``; a bad one is emptied."""
        word = self.k.read(pmd)
        if self.k.format.none(PMD, word):
            return "none"
        if self.k.format.trans_huge(word):
            return "huge"
        if self.k.format.bad(PMD, word):
            clear_bad(self.k, pmd, pmd.va)
            return "none"
        return "table"

    # Locks ----------------------------------------------------------------------------------------

    @contextmanager
    def pte_lock(self, table: Table) -> Iterator[None]:
        """``pte_offset_map_lock`` to ``pte_unmap_unlock``."""
        mapped = map_and_lock(self.k, table)
        yield
        unlock_and_unmap(self.k, table, mapped)

    def pmd_lock(self, pmd: Entry) -> int:
        """``pmd_lockptr``: the table's, or where tables have none the mm's, which is known by its root."""
        return pmd.table if self.arch.splits_pmd_locks() else self.k.mms[pmd.mm].root.pa

    @contextmanager
    def lock(self, *tables: int) -> Iterator[None]:
        """``pmd_lock`` of one table or two, or the mm's own lock: each once."""
        taken = list(dict.fromkeys(tables))
        for pa in taken:
            self.k.task().locks += 1
            self.k.emit(ev.LOCK, addr=pa)
        yield
        for pa in reversed(taken):
            task = self.k.task()
            task.locks = max(task.locks - 1, 0)
            self.k.emit(ev.UNLOCK, addr=pa)

    @contextmanager
    def lazy_section(self, site: int, table: Table | None = None, start: int = 0, end: int = 0) -> Iterator[None]:
        """The scheme's places around a loop over entries, which it may say."""
        if table is None:
            self.k.pte_begin(site)
        else:
            self.k.pte_begin_range(site, table, start, end)
        yield
        self.k.pte_end(site)

    # Pages ----------------------------------------------------------------------------------------

    def alloc_page(self) -> int | None:
        """A page that is no table."""
        frame = self.k.take_frame(0, 0, 0)
        if frame is not None:
            self.k.emit(ev.ALLOC, addr=frame)
        return frame

    def free_page(self, pa: int) -> None:
        """It goes back."""
        self.k.memory.give(pa)
        self.k.emit(ev.FREE, addr=pa)

    def free_table(self, table: Table) -> None:
        """A table that nothing links goes back, unless an interrupt in the middle of the operation has freed it."""
        if table.pa not in self.k.memory.tables:
            return
        self.k.memory.remove(table)
        self.k.emit(ev.FREE, level=table.level, va=table.base, addr=table.pa, mm=table.mm)

    def put_folio(self, start: int, refs: int) -> None:
        """References go; with the last one the folio."""
        folio = self.folios.put(start, refs)
        if folio is not None:
            self.k.emit(ev.FREE, addr=folio.start, aux=folio.size // self.k.geometry.page_size)

    def grace_period(self) -> None:
        """RCU frees what it was handed."""
        waiting, self.folios.rcu = self.folios.rcu, []
        for item in waiting:
            if isinstance(item, Table):
                self.free_table(item)
            else:
                self.free_page(item)

    def folio(self, level: int, word: int) -> Folio | None:
        """``vm_normal_folio``."""
        leaf = self.leaf if level == PTE else self.large
        return None if leaf.special(word) else self.folios.at(leaf.frame(level, word))

    def special(self, word: int) -> bool:
        """Whether a present leaf has no folio behind it: its bit says so, or without such a bit the area."""
        if self.leaf.marks_special():
            return self.leaf.special(word)
        return self.folio(PTE, word) is None

    def batch(
        self, folio: Folio | None, first: Entry, word: int, limit: int, *, write: bool, dirty: bool
    ) -> tuple[int, list[int]]:
        """``folio_pte_batch``: how many entries map the folio's next pages, and their words.

        ``write``, ``dirty``: they may differ in that. Small folios are not looked at.
        """
        page = self.k.geometry.page_size
        words = [word]
        if folio is None or folio.size == page or limit == 1:
            return 1, words

        def plain(word: int) -> int:
            word = self.leaf.mkold(self.leaf.noncont(word))
            word = self.leaf.mkclean(word) if dirty else word
            return self.k.format.wrprotect(word) if write else word

        limit = min(limit, (folio.start + folio.size - self.leaf.frame(PTE, word)) // page)
        while len(words) < limit:
            following = self.arch.ptep_get(self.arch.behind(first, len(words)))
            if not self.leaf.same(plain(following), plain(self.leaf.advance(word, len(words) * page))):
                break
            words.append(following)
        return len(words), words

    def present(self, word: int) -> bool:
        """``pte_present``."""
        return self.k.format.present(PTE, word)


def returned(result: int) -> Walk:
    """What an operation returns."""
    walk = Walk(0, 0, 0)
    walk.ret = result
    return walk
