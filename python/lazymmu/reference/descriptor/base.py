"""What walkers and backends ask of an entry format.

Two views of the same word: *software* predicates are those that the kernel's headers define (``pmd_none``, ``pmd_bad``,
...), *hardware* ones (`Format.kind`, `Format.permits`) say what a table walker of the CPU makes of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum

from lazymmu.reference.codes import PMD
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.geometry import Geometry


class Kind(Enum):
    """What a hardware walker finds in an entry."""

    INVALID = "invalid"
    TABLE = "table"
    LEAF = "leaf"


class Format(ABC):
    """An architecture's descriptors, for one geometry and one set of options."""

    protections: Mapping[str, int]

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def empty(self, level: int) -> int:  # noqa: ARG002
        """The word that ``pXd_clear`` stores."""
        return 0

    def blank(self, level: int, mm: int) -> int:  # noqa: ARG002
        """What the entries of a new table of an address space hold."""
        return self.empty(level)

    @abstractmethod
    def none(self, level: int, word: int) -> bool:
        """``pte_none`` ... ``pgd_none``."""

    @abstractmethod
    def present(self, level: int, word: int) -> bool:
        """``pte_present`` ... ``pgd_present``: for software; hardware may still fault."""

    @abstractmethod
    def leaf(self, level: int, word: int) -> bool:
        """``pmd_leaf``, ``pud_leaf``; never true at p4d and pgd level."""

    def trans_huge(self, word: int) -> bool:
        """``pmd_trans_huge``: of a user mapping, also one that hardware does not use now."""
        return self.leaf(PMD, word)

    @abstractmethod
    def clear_huge(self, level: int, word: int) -> bool:
        """Whether ``pmd_clear_huge`` and ``pud_clear_huge`` take the word for a leaf."""

    @abstractmethod
    def bad(self, level: int, word: int) -> bool:
        """``pmd_bad`` ... ``pgd_bad``: neither none nor a table (facts 2.5 has the values for 0)."""

    @abstractmethod
    def table(self, word: int) -> int:
        """Physical address in a table entry."""

    @abstractmethod
    def link(self, level: int, pa: int, kernel: bool) -> int:
        """The word that links a table below an entry of this level: ``pmd_populate_kernel`` and its like."""

    @abstractmethod
    def page(self, pa: int, prot: int) -> int:
        """``pfn_pte``."""

    @abstractmethod
    def block(self, level: int, pa: int, prot: int) -> int:
        """The leaf that ``pmd_set_huge`` or ``pud_set_huge`` writes."""

    @abstractmethod
    def pgprot_nx(self, prot: int) -> int:
        """``pgprot_nx``: without permission to execute."""

    @abstractmethod
    def wrprotect(self, word: int) -> int:
        """``pte_wrprotect``."""

    def wrprotect_huge(self, word: int) -> int:
        """``pmd_wrprotect``."""
        return self.wrprotect(word)

    @abstractmethod
    def kind(self, level: int, word: int) -> Kind:
        """What a hardware walker makes of the word."""

    @abstractmethod
    def leaf_address(self, level: int, word: int) -> int:
        """Physical address that a valid leaf maps."""

    @abstractmethod
    def permits(self, word: int, access: int, kernel: bool) -> bool:
        """Whether a valid leaf allows an access; ``kernel``: of an address in the kernel half."""

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: ARG002
        """The kinds of entry of a level with their fields, in the order in which they are tried."""
        return ()

    def valid(self, word: int) -> bool:
        """Bit 0: both architectures' hardware looks at it first."""
        return bool(word & 1)

    def usable(self, level: int, word: int) -> bool:
        """Whether a hardware walker finds something in an entry of this level."""
        return self.kind(level, word) is not Kind.INVALID

    def valid_kernel(self, word: int) -> bool:
        """Whether the word is a valid mapping of the kernel's own."""
        return self.valid(word)

    def occupied(self, word: int) -> bool:
        """Not ``pte_none``."""
        return not self.none(1, word)
