"""User entries on powerpc with the radix MMU (facts 1.6; ``arch/powerpc/mm/book3s64/{radix_tlb,pgtable}.c``, 6.12).

An invalidation by tlbiel is for this CPU, by tlbie for all. Events have ``level`` 1 where the page-walk cache stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.powerpc import Radix
from lazymmu.reference.codes import PMD, Store, Tlbi
from lazymmu.reference.descriptor import powerpc as ppc
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import EVERYTHING
from lazymmu.reference.user.arch_powerpc import PowerPcUser
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.leaf_powerpc import PowerPcLeaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale

CEILING: Final = {"local": 256, "global": 33}
"""``tlb_local_single_page_flush_ceiling`` and ``tlb_single_page_flush_ceiling``."""


class RadixUser(PowerPcUser):
    """Where only this CPU can have entries of the process, the invalidation stays here."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Radix) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    def huge(self) -> bool:  # noqa: D102
        return True

    def gathers_one_size(self) -> bool:  # noqa: D102
        return True

    # Entries --------------------------------------------------------------------------------------

    def invalidate(self, entry: Entry) -> int:  # noqa: D102
        old = entry.word
        self.k.store(entry, old & ~ppc.PRESENT | ppc.INVALID, Store.INVALIDATE)
        return old

    def wrprotect(self, first: Entry, count: int) -> None:  # noqa: D102
        for entry in self.run(first, count):
            self.pmdp_set_wrprotect(entry, entry.word)

    def pmdp_set_wrprotect(self, entry: Entry, word: int) -> None:
        """Nothing where it is not writable."""
        if word & ppc.WRITE:
            self.k.store(entry, word & ~ppc.WRITE, Store.PROTECT)

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002, D102
        return self.grant(entry, word, 0)

    def needs_flush(self, old: int, new: int) -> bool:  # noqa: D102
        return isinstance(self.leaf, PowerPcLeaf) and self.leaf.needs_flush(old, new)

    def pmdp_invalidate(self, entry: Entry, *, ad: bool) -> int:
        """Flushed at once, also for ``_ad``."""
        old = super().pmdp_invalidate(entry, ad=ad)
        self._flush_pmd(entry)
        return old

    def pmd_zapped(self, entry: Entry, *, full: bool) -> None:
        """A fault may put a table there: the large leaf must be gone from TLBs before."""
        if not full:
            self._flush_pmd(entry)

    # TLBs -----------------------------------------------------------------------------------------

    def flush_range(self, mm: int, start: int, end: int, level: int | None = None) -> None:
        """``flush_tlb_page``, ``flush_pmd_tlb_range``; without a level ``__radix__flush_tlb_range``."""
        if level is not None:
            self._flush_sized(mm, start, end, level, walks=False)
            return
        reach = self._reach(mm, full=False)
        if not reach:
            return
        page, large = self.k.geometry.page_size, self.k.geometry.size(PMD)
        pages = (end - start) // page
        if pages > CEILING[reach]:
            self._flush_pid(mm, (start, end), reach, walks=True)
            return
        self.backend.ptesync()
        self._va(mm, (start, end), pages, reach, walks=end - start >= large)
        inner = (-(-start // large) * large, end // large * large)
        if inner[0] < inner[1]:
            self._va(mm, inner, (inner[1] - inner[0]) // large, reach, walks=False)
        self.backend.ptesync()

    def flush_mm(self, mm: int) -> None:
        """``radix__flush_tlb_mm``."""
        self._flush_all(mm, full=False, walks=False)

    def tlb_flush(self, stale: Stale) -> None:
        """``radix__tlb_flush``: a gather of tables alone has no page size, and everything goes."""
        if stale.full:
            self._trim(stale.mm)
            self._flush_all(stale.mm, full=True, walks=True)
        elif stale.page is None:
            self._flush_all(stale.mm, full=False, walks=stale.freed_tables)
        else:
            self._flush_sized(stale.mm, stale.start, stale.end, stale.page, walks=stale.freed_tables)

    def _flush_pmd(self, entry: Entry) -> None:
        size = self.k.geometry.size(PMD)
        start = entry.va & ~(size - 1)
        self._flush_sized(entry.mm, start, start + size, PMD, walks=False)

    def _flush_sized(self, mm: int, start: int, end: int, level: int, *, walks: bool) -> None:
        """``__radix__flush_tlb_range_psize``."""
        reach = self._reach(mm, full=False)
        if not reach:
            return
        size = self.k.geometry.size(level)
        if (end - start) // size > CEILING[reach]:
            self._flush_pid(mm, (start, end), reach, walks=walks)
            return
        self.backend.ptesync()
        self._va(mm, (start, end), -(-(end - start) // size), reach, walks=walks)
        self.backend.ptesync()

    def _flush_all(self, mm: int, *, full: bool, walks: bool) -> None:
        reach = self._reach(mm, full=full)
        if reach:
            self._flush_pid(mm, EVERYTHING, reach, walks=walks)

    def _flush_pid(self, mm: int, span: tuple[int, int], reach: str, *, walks: bool) -> None:
        """``_tlbie_pid``, ``_tlbiel_pid``: ``RIC_FLUSH_ALL`` or ``RIC_FLUSH_TLB``."""
        self.backend.ptesync()
        self.tlbi(mm, span, 1, Tlbi.TLBIE_PID if reach == "global" else Tlbi.TLBIEL_PID, last_level=not walks)
        self.backend.ptesync()

    def _va(self, mm: int, span: tuple[int, int], count: int, reach: str, *, walks: bool) -> None:
        self.tlbi(mm, span, count, Tlbi.TLBIE if reach == "global" else Tlbi.TLBIEL, last_level=not walks)

    def _reach(self, mm: int, *, full: bool) -> str:
        """``flush_type_needed``: empty, local or global."""
        cpus = self.backend.footmarks.of(mm)
        if not cpus:
            return ""
        if cpus == {self.k.cpu}:
            return "local"
        users = sum(task.mm == mm and not task.dead for task in self.k.tasks)
        if not full and users <= 1 and self.k.task().mm == mm:
            self._trim(mm)
            return "local"
        return "global"

    def _trim(self, mm: int) -> None:
        """``exit_flush_lazy_tlbs``: the others invalidate what they have and leave the mask."""
        others = self.backend.footmarks.of(mm) - {self.k.cpu}
        if others:
            self.k.emit(ev.IPI, aux=len(others), mm=mm)
            self.backend.footmarks.forget(mm, others)
