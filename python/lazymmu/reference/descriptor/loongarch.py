"""loongarch64 (facts 1.6; ``arch/loongarch/include/asm/pgtable.h`` and ``pgtable-bits.h``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import INIT_MM, PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.loongarch import kinds

VALID: Final = 1 << 0
DIRTY: Final = 1 << 1
PLV: Final = 3 << 2
CC: Final = 1 << 4
WUC: Final = 2 << 4
CACHE: Final = 3 << 4
GLOBAL: Final = 1 << 6
HUGE: Final = 1 << 6
PRESENT: Final = 1 << 7
WRITE: Final = 1 << 8
MODIFIED: Final = 1 << 9
PROTNONE: Final = 1 << 10
HGLOBAL: Final = 1 << 12
PRESENT_INVALID: Final = 1 << 60
NO_READ: Final = 1 << 61
NO_EXEC: Final = 1 << 62

WINDOW: Final = 0x9000_0000_0000_0000
"""``CACHE_BASE``: tables are linked by their address there."""
INVALID: Final = {PMD: WINDOW + 0x100_0000, PUD: WINDOW + 0x101_0000, 4: WINDOW + 0x102_0000, 5: WINDOW + 0x102_0000}
"""``invalid_pte_table``, ``invalid_pmd_table``, ``invalid_pud_table``, by the level of the entry that points there."""

_UNCACHED = PRESENT | VALID | DIRTY | WRITE | GLOBAL
_USER = PRESENT | PLV | CC


class LoongarchFormat(Format):
    """Nothing is a link to a table in which nothing is mapped; an empty last-level entry may keep its G."""

    protections: Final = {  # type: ignore[misc]
        "PAGE_KERNEL": _UNCACHED | CC,
        "PAGE_KERNEL_RO": _UNCACHED | CC,
        "PAGE_KERNEL_EXEC": _UNCACHED | CC,
        "PAGE_KERNEL_ROX": _UNCACHED | CC,
        "PAGE_KERNEL_SUC": _UNCACHED,
        "PAGE_KERNEL_WUC": _UNCACHED | WUC,
        "PAGE_KERNEL_NOCACHE": _UNCACHED,
        "PAGE_IOREMAP": _UNCACHED,
        "PAGE_IOREMAP_WC": _UNCACHED | WUC,
        "PAGE_SHARED": _USER | WRITE,
        "PAGE_READONLY": _USER,
        "PAGE_READONLY_EXEC": _USER | VALID,
        "PAGE_SHARED_EXEC": _USER | VALID | WRITE,
        "PAGE_NONE": PROTNONE | NO_READ | PLV | CC,
    }

    def empty(self, level: int) -> int:  # noqa: D102
        return INVALID.get(level, 0)

    def blank(self, level: int, mm: int) -> int:
        """``kernel_pte_init``."""
        return GLOBAL if level == PTE and mm == INIT_MM else self.empty(level)

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, self.geometry.shifts[0], self.empty(level))

    def none(self, level: int, word: int) -> bool:  # noqa: D102
        return not word & ~GLOBAL if level == PTE else word == INVALID[level]

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        if level == PTE:
            return bool(word & (PRESENT | PROTNONE))
        if level == PMD and word & HUGE:
            return bool(word & (PRESENT | PROTNONE | PRESENT_INVALID))
        return word != INVALID[level]

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and bool(word & HUGE)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Without ``HAVE_ARCH_HUGE_VMAP`` there is nothing to clear."""
        return False

    def bad(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Not aligned to a page; so an empty entry is not bad here."""
        return bool(word % self.geometry.page_size)

    def table(self, word: int) -> int:  # noqa: D102
        return word & 0xFFFF_FFFF_FFFF & -self.geometry.page_size

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: D102, ARG002
        return WINDOW | pa

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """``pmd_mkhuge``: G moves, for its place means huge."""
        return pa | prot & ~GLOBAL | HUGE | (HGLOBAL if prot & GLOBAL else 0)

    def pgprot_nx(self, prot: int) -> int:
        """The architecture defines none."""
        return prot

    def wrprotect(self, word: int) -> int:  # noqa: D102
        if word & DIRTY:
            word |= MODIFIED
        return word & ~(WRITE | DIRTY)

    def kind(self, level: int, word: int) -> Kind:
        """What ``LDDIR`` and ``LDPTE`` make of it; an invalid table ends the walk here."""
        if level == PTE:
            return Kind.LEAF if word & VALID else Kind.INVALID
        if level in (PMD, PUD) and word & HUGE:
            return Kind.LEAF if word & VALID else Kind.INVALID
        return Kind.TABLE if word & WINDOW == WINDOW and word != INVALID[level] else Kind.INVALID

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return self.table(word) & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if not kernel and word & PLV != PLV:
            return False
        if access == Access.WRITE:
            return bool(word & DIRTY)
        return not word & (NO_READ if access == Access.READ else NO_EXEC)
