"""arm64 stage 1 (facts 1.4; ``arch/arm64/include/asm/pgtable.h``, ``pgtable-prot.h`` and ``pgtable-hwdef.h``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.arm64 import kinds
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.geometry import Geometry

VALID: Final = 1 << 0
TYPE: Final = 3
TYPE_TABLE: Final = 3
TYPE_PAGE: Final = 3
TYPE_SECT: Final = 1
ATTRINDX: Final = 7 << 2
USER: Final = 1 << 6
RDONLY: Final = 1 << 7
SHARED: Final = 3 << 8
AF: Final = 1 << 10
NG: Final = 1 << 11
PRESENT_INVALID: Final = NG
GP: Final = 1 << 50
WRITE: Final = 1 << 51
CONT: Final = 1 << 52
PXN: Final = 1 << 53
UXN: Final = 1 << 54
DIRTY: Final = 1 << 55
SWBITS: Final = 1 << 63 | 0xF << 55
TABLE_PXN: Final = 1 << 59
TABLE_UXN: Final = 1 << 60

CONT_PTES: Final = {12: 16, 14: 128, 16: 32}
"""Members of a contiguous group at pte level, by page shift."""
CONT_PMDS: Final = {12: 16, 14: 32, 16: 32}

_NORMAL, _NORMAL_TAGGED, _NORMAL_NC, _DEVICE_nGnRnE, _DEVICE_nGnRE = (index << 2 for index in range(5))

_DEFAULT = TYPE_PAGE | AF | SHARED
_KERNEL_DATA = _DEFAULT | PXN | UXN | WRITE
_USER = _DEFAULT | _NORMAL | USER | RDONLY | NG | PXN
_PROTECTIONS: Final = {
    "PAGE_KERNEL": _KERNEL_DATA | DIRTY,
    "PAGE_KERNEL_EXEC": _KERNEL_DATA & ~PXN | DIRTY,
    "PAGE_KERNEL_RO": _KERNEL_DATA & ~WRITE | RDONLY | DIRTY,
    "PAGE_KERNEL_ROX": _KERNEL_DATA & ~(WRITE | PXN) | RDONLY | DIRTY,
    "PAGE_KERNEL_NOCACHE": _KERNEL_DATA | DIRTY | _DEVICE_nGnRnE,
    "PAGE_KERNEL_TAGGED": _KERNEL_DATA | DIRTY | _NORMAL_TAGGED,
    "PAGE_IOREMAP": _KERNEL_DATA | _DEVICE_nGnRE,
    "PAGE_IOREMAP_WC": _KERNEL_DATA | _NORMAL_NC,
    "PROT_DEVICE_nGnRnE": _KERNEL_DATA | _DEVICE_nGnRnE,
    "PROT_DEVICE_nGnRE": _KERNEL_DATA | _DEVICE_nGnRE,
    "PROT_NORMAL_NC": _KERNEL_DATA | _NORMAL_NC,
    "PROT_NORMAL_TAGGED": _KERNEL_DATA | _NORMAL_TAGGED,
    "PAGE_SHARED": _USER | UXN | WRITE,
    "PAGE_SHARED_EXEC": _USER | WRITE,
    "PAGE_READONLY": _USER | UXN,
    "PAGE_READONLY_EXEC": _USER,
    "PAGE_EXECONLY": _USER & ~USER,
    "PAGE_NONE": _DEFAULT & ~VALID | PRESENT_INVALID | RDONLY | PXN | UXN,
}


class Arm64Format(Format):
    """With 52-bit addresses and 4K or 16K pages LPA2 is on: bits 9:8 hold address bits 51:50, no shareability.

    With 64K pages bits 15:12 hold address bits 51:48.
    """

    def __init__(self, geometry: Geometry, *, table_af: bool = False) -> None:
        super().__init__(geometry)
        wide = geometry.pa_bits == 52
        self.lpa2 = wide and geometry.shift(PTE) < 16
        self.lpa = wide and not self.lpa2
        self.pud_blocks = geometry.shift(PTE) < 16 and geometry.levels >= PUD
        """``pud_sect`` exists."""
        self.table_flag = AF if table_af else 0
        dropped = SHARED if self.lpa2 else 0
        self.protections = {name: prot & ~dropped for name, prot in _PROTECTIONS.items()}
        self.address_low = (1 << 50) - geometry.page_size

    def encode(self, pa: int) -> int:
        """``__phys_to_pte_val``: the address field."""
        if self.lpa2:
            return (pa | pa >> 42) & 0x3_FFFF_FFFF_FF00
        return (pa | pa >> 36) & (self.address_low | 0xF000) if self.lpa else pa

    def decode(self, word: int) -> int:
        """``__pte_to_phys``."""
        high = (word & 0x300) << 42 if self.lpa2 else (word & 0xF000) << 36 if self.lpa else 0
        return word & self.address_low | high

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, self.geometry)

    def none(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return word == 0

    def present(self, level: int, word: int) -> bool:
        """``pte_present``: valid, or present-invalid. At p4d and pgd level: not none."""
        return bool(word & (VALID | PRESENT_INVALID)) if level <= PUD else word != 0

    def leaf(self, level: int, word: int) -> bool:
        """``pmd_leaf``: present and no table."""
        has_leaves = level == PMD or (level == PUD and self.pud_blocks)
        return has_leaves and self.present(level, word) and word & TYPE != TYPE_TABLE

    def clear_huge(self, level: int, word: int) -> bool:
        """``pmd_sect``: narrower than ``pmd_leaf``, a present-invalid block is left alone."""
        return (level == PMD or (level == PUD and self.pud_blocks)) and word & TYPE == TYPE_SECT

    def bad(self, level: int, word: int) -> bool:
        """No table; so 0 is bad too, which over-reports the mask (facts 2.5)."""
        return word & TYPE != TYPE_TABLE if level <= PUD else not word & 2

    def is_table(self, word: int) -> bool:
        """``pmd_table``, ``pud_table``."""
        return word & TYPE == TYPE_TABLE

    def table(self, word: int) -> int:  # noqa: D102
        return self.decode(word)

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: ARG002
        """``pmd_populate_kernel`` (UXNTable) and ``pmd_populate`` (PXNTable).

        7.x adds the table access flag (7.3 facts 26), to user tables as well, as the recording
        arm64-7.3.4-4k48/user.jsonl shows.
        """
        return self.encode(pa) | TYPE_TABLE | self.table_flag | (TABLE_UXN if kernel else TABLE_PXN)

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return self.encode(pa) | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """``mk_pmd_sect_prot``: the same attributes, without the table bit."""
        return self.page(pa, prot & ~2)

    def contiguous(self, word: int) -> int:
        """``pte_mkcont``."""
        return word | CONT | TYPE_PAGE

    def pgprot_nx(self, prot: int) -> int:  # noqa: D102
        return prot & ~GP | PXN

    def wrprotect(self, word: int) -> int:
        """``pte_wrprotect``: hardware dirt becomes software dirt first."""
        if word & WRITE and not word & RDONLY:
            word |= DIRTY
        return word & ~WRITE | RDONLY

    def kind(self, level: int, word: int) -> Kind:  # noqa: D102
        if not word & VALID:
            return Kind.INVALID
        if level == PTE:
            return Kind.LEAF if word & 2 else Kind.INVALID
        if word & 2:
            return Kind.TABLE
        return Kind.LEAF if level == PMD or (level == PUD and self.pud_blocks) else Kind.INVALID

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return self.decode(word) & ~(self.geometry.size(level) - 1)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if not kernel and not word & USER:
            return False
        if access == Access.WRITE:
            return not word & RDONLY
        return access != Access.EXEC or not word & (PXN if kernel else UXN)

    def valid_not_user(self, word: int) -> bool:
        """``pte_valid_not_user``: (VALID, USER, UXN) = (1, 0, 1). A user's exec-only page has UXN clear."""
        return word & (VALID | USER | UXN) == VALID | UXN

    def valid_kernel(self, word: int) -> bool:  # noqa: D102
        return self.valid_not_user(word)

    def valid_cont(self, word: int) -> bool:
        """``pte_valid_cont``."""
        return bool(word & VALID and word & CONT)

    def pgattr_change_is_safe(self, old: int, new: int) -> bool:
        """Whether an entry may change in place, without break-before-make (``arch/arm64/mm/mmu.c``; facts 10.3)."""
        if not old & VALID or not new & VALID:
            return True
        if self.decode(old) != self.decode(new) or (old | new) & CONT or old & ~new & NG:
            return False
        free = PXN | RDONLY | WRITE | NG | SWBITS
        if old & ATTRINDX in (_NORMAL, _NORMAL_TAGGED) and new & ATTRINDX in (_NORMAL, _NORMAL_TAGGED):
            free |= ATTRINDX
        return (old ^ new) & ~free == 0
