"""User entries on powerpc: with the hash MMU, what changes in the tables leaves the hash table at the same time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lazymmu.reference.backend.powerpc import Hash
from lazymmu.reference.codes import Store
from lazymmu.reference.descriptor import powerpc as ppc
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.arch import UserArch
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.leaf_powerpc import RWX, SOFT_DIRTY

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.user.gather import Stale


class PowerPcUser(UserArch, ABC):
    """What both MMUs have."""

    def merges_areas(self) -> bool:  # noqa: D102
        return True

    def modify_start(self, first: Entry, count: int) -> int:
        """``ptep_modify_prot_start``: not present for hardware, still present for software."""
        return self._collected([self.invalidate(entry) for entry in self.run(first, count)])

    @abstractmethod
    def invalidate(self, entry: Entry) -> int:
        """``pte_update(_PAGE_PRESENT, _PAGE_INVALID)``; the word before."""

    def grant(self, entry: Entry, word: int, ignored: int) -> bool:
        """``ptep_set_access_flags``: what is granted comes to what is there."""
        if not (self.k.read(entry) ^ word) & ~ignored:
            return False
        granted = word & (ppc.DIRTY | SOFT_DIRTY | ppc.ACCESSED | RWX)
        self.k.store(entry, entry.word | granted, Store.FLAGS)
        return True


class HashUser(PowerPcUser):
    """``pte_update`` of what the hash table has ends there, at once or by batch (facts 4.2; ``hash.h`` of 6.12)."""

    def __init__(self, k: Kernel, leaf: Leaf, backend: Hash) -> None:
        super().__init__(k, leaf)
        self.backend = backend

    def invalidate(self, entry: Entry) -> int:  # noqa: D102
        return self.backend.update(entry, entry.word & ~ppc.PRESENT | ppc.INVALID, Store.INVALIDATE)

    def wrprotect(self, first: Entry, count: int) -> None:  # noqa: D102
        for entry in self.run(first, count):
            if entry.word & ppc.WRITE:
                self.backend.update(entry, entry.word & ~ppc.WRITE, Store.PROTECT)

    def test_and_clear_young(self, entry: Entry) -> bool:
        """What is hashed is removed from there even if nobody used it."""
        if not self.k.read(entry) & (ppc.ACCESSED | self.backend.format.hashed):
            return False
        return bool(self.backend.update(entry, entry.word & ~ppc.ACCESSED, Store.YOUNG) & ppc.ACCESSED)

    def set_access_flags(self, entry: Entry, word: int, *, write: bool) -> bool:  # noqa: ARG002, D102
        return self.grant(entry, word, self.backend.format.hash_flags)

    def moves_tables(self) -> bool:
        """``arch_supports_page_table_move``: the hash table knows addresses."""
        return False

    def invalidates_tables(self) -> bool:
        """No hardware walks the tables."""
        return False

    def tlb_flush(self, stale: Stale) -> None:  # noqa: ARG002
        """``hash__tlb_flush``."""
        self.backend.tlb_flush()
