"""User entries of a Xen PV guest: words hold machine frames, and only some helpers are paravirtualised (facts 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazymmu.reference.backend.x86 import SINGLE_PAGE_FLUSH_CEILING
from lazymmu.reference.backend.xen_pv import EXTENDED, PROTECT, XenPv
from lazymmu.reference.codes import PTE, Hypercall, Store, Tlbi
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.user.arch import EVERYTHING, X86User
from lazymmu.reference.user.leaf import Leaf

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale


class XenUser(X86User):
    """The guest's versions. Frames of the model's guest are the machine's own."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: XenPv) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    def huge(self) -> bool:
        """A guest has no large pages."""
        return False

    def modify_start(self, first: Entry, count: int) -> int:
        """``xen_ptep_modify_prot_start``: only reads."""
        return self._collected([self.ptep_get(entry) for entry in self.run(first, count)])

    def modify_commit(self, first: Entry, word: int, count: int) -> None:
        """``xen_ptep_modify_prot_commit``: an update that keeps what hardware set meanwhile."""
        for n, entry in enumerate(self.run(first, count)):
            new = self.backend.leaf_word(self.leaf.advance(word, n * self.k.geometry.page_size))
            self.backend.queue_preserving(entry, new, Store.PROTECT)
            self.backend.issue()

    def wrprotect(self, first: Entry, count: int) -> None:
        """Trapped and emulated."""
        for entry in self.run(first, count):
            self.k.read(entry)
            self._emulate(entry, self.k.format.wrprotect, Store.PROTECT)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """Trapped and emulated."""
        word = self.k.read(entry)
        young = self.leaf.young(word)
        if young:
            self._emulate(entry, self.leaf.mkold, Store.YOUNG)
        return young

    def _emulate(self, entry: Entry, change: Callable[[int], int], code: int) -> None:
        """The hypervisor reads and writes at once."""
        self.backend.directly(Hypercall.TRAP)
        self.k.store(entry, change(entry.word), code)

    def unlinked(self, table: Table) -> None:
        """``xen_release_ptpage``: a leaf table is unpinned, and the page writable again."""
        if table.level == PTE:
            self.backend.reserve(EXTENDED)
        self.backend.reserve(PROTECT)
        self.backend.issue()

    def tlb_flush(self, stale: Stale) -> None:  # noqa: D102
        self._flush(stale.mm, None if stale.full else (stale.start, stale.end), self.k.geometry.page_size)

    def _flush(self, mm: int, span: tuple[int, int] | None, stride: int) -> None:
        """Other CPUs are the hypervisor's business, in one call; alone, page by page up to the ceiling."""
        here, others = self.runs(mm)
        if not here and not others:
            return
        if others:
            start, end = span or EVERYTHING
            one = span is not None and end - start <= stride
            self._invalidate(mm, start, end, Tlbi.MMUEXT_INVLPG if one else Tlbi.MMUEXT_ALL)
        elif span is None or (span[1] - span[0]) // stride > SINGLE_PAGE_FLUSH_CEILING:
            self._invalidate(mm, *EVERYTHING, Tlbi.MMUEXT_ALL)
        else:
            for addr in range(*span, stride):
                self._invalidate(mm, addr, addr + stride, Tlbi.MMUEXT_INVLPG)

    def _invalidate(self, mm: int, start: int, end: int, code: int) -> None:
        self.backend.queue_invalidation(code, start, end, mm)
        self.backend.issue()
