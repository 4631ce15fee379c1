"""s390 (facts 1.6; z/Architecture Principles of Operation, chapter 3; ``arch/s390/include/asm/pgtable.h``, 6.12).

Nothing is an invalid entry, not 0; what is old is invalid, and what is clean is protected.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PGD, PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.s390 import kinds
from lazymmu.reference.geometry import Geometry

PRESENT: Final = 0x1
YOUNG: Final = 0x4
DIRTY: Final = 0x8
READ: Final = 0x10
WRITE: Final = 0x20
SPECIAL: Final = 0x40
NOEXEC: Final = 0x100
PROTECT: Final = 0x200
INVALID: Final = 0x400

TABLE_INVALID: Final = 0x20
TYPE: Final = 0xC
LARGE: Final = 0x400
LARGE_YOUNG: Final = 0x1000
LARGE_DIRTY: Final = 0x2000

_KERNEL = PRESENT | READ | WRITE | YOUNG | DIRTY | NOEXEC
_RO = PRESENT | READ | NOEXEC | INVALID | PROTECT
_NONE = PRESENT | INVALID | PROTECT


def table_type(level: int) -> int:
    """The type of the tables that entries of a level are in."""
    return max(level - PMD, 0) << 2


class S390Format(Format):
    """One format for three to five levels; what software keeps in segment-table entries moved between 6.12 and 7.3."""

    protections = {
        "PAGE_KERNEL": _KERNEL,
        "PAGE_KERNEL_RO": PRESENT | READ | YOUNG | PROTECT | NOEXEC,
        "PAGE_KERNEL_EXEC": _KERNEL & ~NOEXEC,
        "PAGE_KERNEL_ROX": _KERNEL & ~NOEXEC,
        "PAGE_KERNEL_NOCACHE": _KERNEL,
        "PAGE_IOREMAP": _KERNEL,
        "PAGE_SHARED": _KERNEL,
        "PAGE_READONLY": _RO,
        "PAGE_READONLY_EXEC": _RO & ~NOEXEC,
        "PAGE_SHARED_EXEC": (_RO | WRITE) & ~NOEXEC,
        "PAGE_RX": _RO & ~NOEXEC,
        "PAGE_RW": _RO | WRITE,
        "PAGE_RWX": (_RO | WRITE) & ~NOEXEC,
        "PAGE_NONE": _NONE,
    }

    def __init__(self, geometry: Geometry, *, present_bits: bool = False) -> None:
        super().__init__(geometry)
        if present_bits:
            # 7.3 defines no PAGE_KERNEL_EXEC.
            self.protections = {**self.protections, "PAGE_KERNEL_EXEC": _KERNEL, "PAGE_KERNEL_ROX": _KERNEL}
        self.large_present, self.large_read, self.large_write = (0x1, 0x4000, 0x8000) if present_bits else (0, 0x1, 0x2)
        # massage_pgprot_pmd; all else may do everything.
        self.segments = {
            _NONE: TABLE_INVALID | PROTECT,
            _RO: PROTECT | self.large_read | NOEXEC,
            _RO & ~NOEXEC: PROTECT | self.large_read,
            _RO | WRITE: self.large_read | self.large_write | NOEXEC,
        }

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, present_bits=bool(self.large_present))

    def empty(self, level: int) -> int:
        """``_PAGE_INVALID``, ``_SEGMENT_ENTRY_EMPTY``, ``_REGION3_ENTRY_EMPTY`` and so on."""
        return INVALID if level == PTE else table_type(level) | TABLE_INVALID

    def none(self, level: int, word: int) -> bool:
        """``pgd_none`` looks at one bit, the others at all."""
        return bool(word & TABLE_INVALID) if level == PGD else word == self.empty(level)

    def present(self, level: int, word: int) -> bool:
        """Of a region: it has an origin. A present bit is in segment tables and in region-third tables."""
        if level == PTE:
            return bool(word & PRESENT)
        if self.large_present and level in (PMD, PUD):
            return bool(word & self.large_present)
        return word != TABLE_INVALID if level == PMD else word >> 12 != 0

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        bits = LARGE | self.large_present
        if level == PUD:
            return word & (TYPE | bits) == table_type(PUD) | bits
        return level == PMD and word & bits == bits

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Without ``HAVE_ARCH_HUGE_VMAP`` there is nothing to clear."""
        return False

    def bad(self, level: int, word: int) -> bool:
        """A lower type is that of a folded level, and not bad."""
        if level == PMD:
            return self.leaf(level, word) or bool(word & (TYPE | 0x1C0))
        kind, own = word & TYPE, table_type(level)
        if kind != own:
            return kind > own
        return self.leaf(level, word) or bool(word & 0xDD0)

    def table(self, word: int) -> int:
        """A page table begins where 2 KiB do, the other tables where 4 KiB do."""
        return word & ~(0xFFF if word & TYPE else 0x7FF)

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: ARG002
        """Tables have their full length."""
        return pa | table_type(level) | (3 if level > PMD else self.large_present)

    def page(self, pa: int, prot: int) -> int:
        """``mk_pte_phys``: young, and so valid if it may be read."""
        return (pa | prot | YOUNG) & ~(INVALID if prot & READ else 0)

    def block(self, level: int, pa: int, prot: int) -> int:
        """``pmd_mkhuge``."""
        segment = self.segments.get(prot, self.large_read | self.large_write) | self.large_present
        return pa | segment | table_type(level) | LARGE | LARGE_YOUNG | PROTECT

    def pgprot_nx(self, prot: int) -> int:
        """The architecture defines none."""
        return prot

    def wrprotect(self, word: int) -> int:
        """``pte_wrprotect``."""
        return word & ~WRITE | PROTECT

    def wrprotect_huge(self, word: int) -> int:  # noqa: D102
        return word & ~self.large_write | PROTECT

    def kind(self, level: int, word: int) -> Kind:  # noqa: D102
        if level == PTE:
            return Kind.INVALID if word & (INVALID | 0x800) else Kind.LEAF
        if word & (TABLE_INVALID | TYPE) != table_type(level):
            return Kind.INVALID
        return Kind.LEAF if self.leaf(level, word) else Kind.TABLE

    def valid(self, word: int) -> bool:
        """Of a page."""
        return not word & INVALID

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return word & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: ARG002
        """No bit tells the kernel's pages from the users': their tables do."""
        return not word & {Access.WRITE: PROTECT, Access.EXEC: NOEXEC}.get(access, 0)
