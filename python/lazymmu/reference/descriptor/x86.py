"""x86: 64-bit, PAE and two-level entries (facts 1.3; ``arch/x86/include/asm/pgtable.h``, ``pgtable_types.h``)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import P4D, PGD, PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.x86 import kinds
from lazymmu.reference.geometry import Geometry

P: Final = 1 << 0
RW: Final = 1 << 1
USER: Final = 1 << 2
PWT: Final = 1 << 3
PCD: Final = 1 << 4
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
PSE: Final = 1 << 7
PAT: Final = 1 << 7
GLOBAL: Final = 1 << 8
PROTNONE: Final = GLOBAL
PAT_LARGE: Final = 1 << 12
NX: Final = 1 << 63

KERNPG_TABLE: Final = P | RW | ACCESSED | DIRTY
PAGE_TABLE: Final = KERNPG_TABLE | USER

_KERNEL = P | RW | ACCESSED | NX | DIRTY | GLOBAL
_USER = P | USER | ACCESSED
_PROTECTIONS: Final = {
    "PAGE_KERNEL": _KERNEL,
    "PAGE_KERNEL_EXEC": _KERNEL & ~NX,
    "PAGE_KERNEL_RO": _KERNEL & ~RW & ~DIRTY,
    "PAGE_KERNEL_ROX": _KERNEL & ~RW & ~DIRTY & ~NX,
    "PAGE_KERNEL_NOCACHE": _KERNEL | PWT | PCD,
    "PAGE_IOREMAP": _KERNEL | PCD,
    "PAGE_IOREMAP_WC": _KERNEL | PWT,
    "PAGE_NONE": ACCESSED | PROTNONE,
    "PAGE_SHARED": _USER | RW | NX,
    "PAGE_SHARED_EXEC": _USER | RW,
    "PAGE_READONLY": _USER | NX,
    "PAGE_READONLY_EXEC": _USER,
}


class X86Format(Format):
    """Words of 64 bits (x86-64, PAE) or 32 bits (two levels)."""

    def __init__(self, geometry: Geometry, *, global_pages: bool = True) -> None:
        super().__init__(geometry)
        self.wide = geometry.entry_bytes == 8
        self.pae = self.wide and geometry.va_bits == 32
        self.word_mask = (1 << (8 * geometry.entry_bytes)) - 1
        self.pfn_mask = ((1 << geometry.pa_bits) - 1) & ~(geometry.page_size - 1)
        self.nx = NX if self.wide else 0
        self.ignored = ACCESSED | DIRTY if self.wide else 0
        """``_PAGE_KNL_ERRATUM_MASK``: bits that a stray hardware store may leave in an empty entry."""
        self.saved_dirty = 1 << 58 if self.wide and not self.pae else 1 << 10
        self.global_pages = global_pages
        self.protections = {name: self._massage(prot) for name, prot in _PROTECTIONS.items()}

    def _massage(self, prot: int) -> int:
        """``massage_pgprot``: without the bits that this machine does not support."""
        prot &= self.word_mask
        return prot & ~GLOBAL if prot & P and not self.global_pages else prot

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, "two" if not self.wide else "pae" if self.pae else "long")

    def none(self, level: int, word: int) -> bool:  # noqa: D102
        if level == PGD:
            return word == 0
        if level == PMD and self.pae:
            word &= 0xFFFF_FFFF  # pmd_none looks at the low half only: the halves may be out of step
        return word & ~self.ignored == 0

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        if level == PTE:
            return bool(word & (P | PROTNONE))
        if level == PMD:
            return bool(word & (P | PROTNONE | PSE))
        return bool(word & P)

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and bool(word & PSE)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: D102
        return self.leaf(level, word)

    def bad(self, level: int, word: int) -> bool:  # noqa: D102
        flags = word & ~self.pfn_mask
        if level == PMD:
            return flags & ~(USER | ACCESSED) != KERNPG_TABLE & ~ACCESSED
        if level == PUD:
            return flags & ~(KERNPG_TABLE | USER) != 0
        if level == P4D:
            return flags & ~(KERNPG_TABLE | USER | NX) != 0
        return flags & ~(USER | NX) != KERNPG_TABLE

    def table(self, word: int) -> int:  # noqa: D102
        return word & self.pfn_mask

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: ARG002
        """``_PAGE_TABLE``, for kernel tables too; in PAE's PDPT nearly all but P is reserved (``pud_populate``)."""
        return pa | (P if self.pae and level == PUD else PAGE_TABLE)

    def page(self, pa: int, prot: int) -> int:
        """``pfn_pte``: the frame of a PROT_NONE page is stored inverted (``protnone_mask``)."""
        prot = self._massage(prot)
        if self.wide and prot and not prot & P:
            pa = ~pa
        return (pa & self.pfn_mask) | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """``protval_4k_2_large``: the PAT bit moves, for its place means PSE in a large entry."""
        large = prot & ~(PAT | PAT_LARGE) | (prot & PAT) << 5
        return self.page(pa, large | PSE)

    def pgprot_nx(self, prot: int) -> int:  # noqa: D102
        return prot | self.nx

    def wrprotect(self, word: int) -> int:
        """``pte_wrprotect``: a dirty read-only entry would be a shadow stack, so the dirty bit moves to software's."""
        word &= ~RW
        if word & DIRTY:
            word = word & ~DIRTY | self.saved_dirty
        return word

    def kind(self, level: int, word: int) -> Kind:  # noqa: D102
        if not word & P:
            return Kind.INVALID
        if level == PTE:
            return Kind.LEAF
        return Kind.LEAF if level in (PMD, PUD) and word & PSE and not (self.pae and level == PUD) else Kind.TABLE

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return word & self.pfn_mask & ~(self.geometry.size(level) - 1)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if not kernel and not word & USER:
            return False
        if access == Access.WRITE:
            return bool(word & RW)
        return access != Access.EXEC or not word & self.nx
