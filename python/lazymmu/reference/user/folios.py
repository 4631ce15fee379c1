"""The memory behind user mappings: folios, tables kept for a split, tables that wait for RCU."""

from __future__ import annotations

from dataclasses import dataclass

from lazymmu.reference.memory import Table


@dataclass
class Folio:
    """A run of pages that is allocated and freed as one."""

    start: int
    size: int
    anon: bool
    exclusive: bool
    """``PageAnonExclusive``: nobody else maps it."""
    refs: int = 0
    """Entries that map it, references that a gather holds, and the page cache's."""


class Folios:
    """All folios that faults have mapped, and what belongs to them."""

    def __init__(self) -> None:
        self.by_start: dict[int, Folio] = {}
        self.deposits: dict[int, list[Table]] = {}
        """``pmd_huge_pte`` by pmd table: the first is taken next."""
        self.rcu: list[Table | int] = []
        """Tables and plain pages between ``call_rcu`` and the end of the grace period."""

    def at(self, pa: int) -> Folio | None:
        """The folio of a frame."""
        return next((f for f in self.by_start.values() if f.start <= pa < f.start + f.size), None)

    def allocate(self, start: int, size: int, anon: bool) -> Folio:
        """A new folio. What was known about its frames is forgotten: they have been used again."""
        for old in [f for f in self.by_start.values() if f.start < start + size and start < f.start + f.size]:
            del self.by_start[old.start]
        folio = self.by_start[start] = Folio(start, size, anon, anon)
        return folio

    def put(self, start: int, refs: int) -> Folio | None:
        """Gives references back; the folio if those were the last."""
        folio = self.by_start.get(start)
        if folio is None:
            return None
        folio.refs = max(0, folio.refs - refs)
        return None if folio.refs else self.by_start.pop(start)

    def deposit(self, pmd_table: int, table: Table) -> None:
        """``pgtable_trans_huge_deposit``: to the front; the one that was there goes to the back."""
        waiting = self.deposits.setdefault(pmd_table, [])
        self.deposits[pmd_table] = [table, *waiting[1:], *waiting[:1]]

    def withdraw(self, pmd_table: int) -> Table | None:
        """``pgtable_trans_huge_withdraw``."""
        waiting = self.deposits.get(pmd_table)
        return waiting.pop(0) if waiting else None
