"""64-bit Book3S powerpc (facts 1.6; ``arch/powerpc/include/asm/book3s/64/pgtable.h``, ``radix.h``, ``hash*.h``, 6.12).

Words are what ``pte_val`` returns; memory has them big-endian.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.powerpc import kinds
from lazymmu.reference.geometry import Geometry

EXEC: Final = 0x1
WRITE: Final = 0x2
READ: Final = 0x4
PRIVILEGED: Final = 0x8
NON_IDEMPOTENT: Final = 0x20
TOLERANT: Final = 0x30
DIRTY: Final = 0x80
ACCESSED: Final = 0x100
INVALID: Final = 1 << 61
LEAF: Final = 1 << 62
"""``_PAGE_PTE``."""
PRESENT: Final = 1 << 63

_KERNEL = PRESENT | ACCESSED | PRIVILEGED | READ
_KERNEL_RW = _KERNEL | WRITE | DIRTY
_ADDRESS_BITS = 53
_NOT_A_TABLE: Final = 0xC000_0000_0000_00FF
_RADIX_BAD: Final = 0x6000_0000_0000_00E0


class PowerPcFormat(Format):
    """Both MMUs' words; a hash kernel's say where the hash table has the page."""

    protections: Final = {  # type: ignore[misc]
        "PAGE_KERNEL": _KERNEL_RW,
        "PAGE_KERNEL_RO": _KERNEL,
        "PAGE_KERNEL_EXEC": _KERNEL_RW | EXEC,
        "PAGE_KERNEL_ROX": _KERNEL | EXEC,
        "PAGE_KERNEL_NC": _KERNEL_RW | TOLERANT,
        "PAGE_KERNEL_NCG": _KERNEL_RW | NON_IDEMPOTENT,
        "PAGE_KERNEL_NOCACHE": _KERNEL_RW | NON_IDEMPOTENT,
        "PAGE_IOREMAP": _KERNEL_RW | NON_IDEMPOTENT,
        "PAGE_IOREMAP_WC": _KERNEL_RW | TOLERANT,
        "PAGE_SHARED": PRESENT | ACCESSED | READ | WRITE,
        "PAGE_READONLY": PRESENT | ACCESSED | READ,
        "PAGE_SHARED_EXEC": PRESENT | ACCESSED | READ | WRITE | EXEC,
        "PAGE_READONLY_EXEC": PRESENT | ACCESSED | READ | EXEC,
        "PAGE_NONE": PRESENT | ACCESSED,
    }

    def __init__(self, geometry: Geometry, *, radix: bool) -> None:
        super().__init__(geometry)
        self.radix = radix
        if geometry.page_size == 4096:
            self.hashed = 1 << 60
            self.hash_flags = self.hashed | 1 << 6 | 1 << 56 | 7 << 53
        else:
            self.hashed = 1 << 55
            self.hash_flags = self.hashed | 1 << 6 | 1 << 12
        """``H_PAGE_HASHPTE`` and ``_PAGE_HPTEFLAGS``: the second group, the slot in it, busy; made of 4K pages."""

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        below = self.geometry.entries_of(max(level - 1, PTE)).bit_length() - 1
        left = DIRTY | ACCESSED if self.radix else self.hash_flags
        return kinds(level, radix=self.radix, shifts=self.geometry.shifts, below=below, flags=left)

    def none(self, level: int, word: int) -> bool:
        """An empty PTE may still have R and C written back (radix), or flags of a hash fault that is at work."""
        if level == PTE:
            return not word & ~(DIRTY | ACCESSED if self.radix else self.hash_flags)
        return not word

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        if level == PTE:
            return bool(word & LEAF and word & (PRESENT | INVALID))
        return bool(word & (PRESENT | INVALID if level == PMD else PRESENT))

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and bool(word & LEAF)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: D102
        return self.leaf(level, word)

    def bad(self, level: int, word: int) -> bool:
        """``hash__pmd_bad``: not aligned as a table is; ``hash__p4d_bad``: empty."""
        if self.radix:
            return bool(word & _RADIX_BAD)
        if level in (PMD, PUD):
            return bool(word % (8 * self.geometry.entries_of(level - 1)))
        return not word

    def table(self, word: int) -> int:  # noqa: D102
        return word & ~_NOT_A_TABLE

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: ARG002
        """``RADIX_PMD_VAL_BITS`` and its like: the index bits of the table below."""
        size = self.geometry.entries_of(level - 1).bit_length() - 1
        return PRESENT | pa | (size if self.radix else 0)

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa | prot | LEAF

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: D102, ARG002
        return self.page(pa, prot)

    def pgprot_nx(self, prot: int) -> int:  # noqa: D102
        return prot & ~EXEC

    def wrprotect(self, word: int) -> int:  # noqa: D102
        return word & ~WRITE

    def kind(self, level: int, word: int) -> Kind:
        """The radix walker; and ``hash_page``, which walks the same way."""
        if not word & PRESENT:
            return Kind.INVALID
        if level == PTE:
            return Kind.LEAF if word & LEAF else Kind.INVALID
        return Kind.LEAF if self.leaf(level, word) else Kind.TABLE

    def valid(self, word: int) -> bool:
        """Bit 0 in the manual's counting."""
        return bool(word & PRESENT)

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return word & (1 << _ADDRESS_BITS) - 1 & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if not kernel and word & PRIVILEGED:
            return False
        return bool(word & {Access.READ: READ, Access.WRITE: WRITE}.get(access, EXEC))
