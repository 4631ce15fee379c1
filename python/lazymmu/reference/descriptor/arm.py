"""32-bit arm: LPAE and short descriptors (facts 1.2, 1.6; ``asm/pgtable-*level*.h``, ``mm/proc-v7-*level.S``, 6.12).

SMP, write-allocate caches, TEX remapping. ``set_pte_ext`` does not store what it is given: it makes the hardware's bits
of it, in the same word with LPAE, in a second one with short descriptors.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.arm import kinds
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.geometry import Geometry

HARDWARE_OFFSET: Final = 2048
HALF: Final = 0xFFFF_FFFF

_LPAE = {
    "PRESENT": 3,
    "USER": 1 << 6,
    "SHARED": 3 << 8,
    "YOUNG": 1 << 10,
    "PXN": 1 << 53,
    "XN": 1 << 54,
    "DIRTY": 1 << 55,
    "NONE": 1 << 57,
    "RDONLY": 1 << 58,
    "WC": 1 << 2,
    "MT": 7 << 2,
}
_LINUX = {
    "PRESENT": 1,
    "YOUNG": 1 << 1,
    "DIRTY": 1 << 6,
    "RDONLY": 1 << 7,
    "USER": 1 << 8,
    "XN": 1 << 9,
    "SHARED": 1 << 10,
    "NONE": 1 << 11,
    "PXN": 0,
    "WC": 9 << 2,
    "MT": 15 << 2,
}


class ArmFormat(Format):
    """Linux's bits by name; what the hardware sees is asked of what was stored for it."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.lpae = geometry.entry_bytes == 8
        self.bits = b = _LPAE if self.lpae else _LINUX
        present = b["PRESENT"] | b["YOUNG"] | b["SHARED"]
        kernel, user = present | b["DIRTY"] | 7 << 2, present | b["PXN"] | 7 << 2
        device = present | b["DIRTY"] | b["XN"]
        self.protections = {
            "PAGE_KERNEL": kernel | b["XN"],
            "PAGE_KERNEL_RO": kernel | b["XN"],  # not defined by arm: the generic default
            "PAGE_KERNEL_EXEC": kernel,
            "PAGE_KERNEL_ROX": kernel | b["XN"],
            "PAGE_KERNEL_NOCACHE": (kernel | b["XN"]) & ~b["MT"],
            "PAGE_IOREMAP": device | 4 << 2,
            "PAGE_IOREMAP_WC": device | b["WC"],
            "PAGE_SHARED": user | b["USER"] | b["XN"],
            "PAGE_SHARED_EXEC": user | b["USER"],
            "PAGE_READONLY": user | b["USER"] | b["RDONLY"] | b["XN"],
            "PAGE_READONLY_EXEC": user | b["USER"] | b["RDONLY"],
            "PAGE_NONE": user | b["XN"] | b["RDONLY"] | b["NONE"],
        }

    def valid_user(self, word: int) -> bool:
        """``pte_valid_user``."""
        return all(word & bit for bit in (1, self.bits["USER"], self.bits["YOUNG"]))

    def stored(self, word: int, user: bool) -> tuple[int, ...]:
        """What ``cpu_v7_set_pte_ext`` stores; ``user``: with nG."""
        b = self.bits
        read_only = word & b["RDONLY"] or not word & b["DIRTY"]
        if self.lpae:
            word |= 1 << 11 if user else 0
            if not word & 1:
                return (word,)
            if word & b["NONE"]:
                return (word & ~1,)
            return (word | 1 << 7 if read_only else word & ~(1 << 7),)
        if not (word & b["YOUNG"] and word & b["PRESENT"]) or word & b["NONE"]:
            return word, 0
        hardware = word & ~0x3F3 | 1 << 4 | 2
        for wanted, bit in (
            (user, 1 << 11),
            (word & 1 << 4, 1 << 6),
            (read_only, 1 << 9),
            (word & b["USER"], 1 << 5),
            (word & b["XN"], 1),
        ):
            hardware |= bit if wanted else 0
        return word, hardware

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, lpae=self.lpae)

    def none(self, level: int, word: int) -> bool:
        """Of a pair only the first half is looked at."""
        return word == 0 if self.lpae or level == PTE else not word & HALF

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        if level == PTE:
            return bool(word & self.bits["PRESENT"])
        return bool(word & 1) if self.lpae and level == PMD else not self.none(level, word)

    def leaf(self, level: int, word: int) -> bool:
        """A section."""
        return level == PMD and (word & 3 == 1 if self.lpae else bool(word & 2))

    def trans_huge(self, word: int) -> bool:
        """LPAE: whatever is not a table."""
        return self.lpae and word != 0 and word & 3 != 3

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Without ``HAVE_ARCH_HUGE_VMAP`` there is nothing to clear."""
        return False

    def bad(self, level: int, word: int) -> bool:  # noqa: ARG002
        """With short descriptors 0 is not bad."""
        return not word & 2 if self.lpae else bool(word & 2)

    def table(self, word: int) -> int:  # noqa: D102
        return word & (0xFF_FFFF_F000 if self.lpae else 0xFFFF_F000)

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: ARG002
        """``__pmd_populate``: with short descriptors both halves, each to the hardware's part of the leaf table."""
        if self.lpae:
            return pa | 3
        first = pa + HARDWARE_OFFSET | (0x11 if kernel else 0x35)
        return first | first + 1024 << 32

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """Not made by vmap."""
        return pa | prot & ~2 if self.lpae else pa | 2

    def pgprot_nx(self, prot: int) -> int:
        """The architecture defines none."""
        return prot

    def wrprotect(self, word: int) -> int:  # noqa: D102
        return word | self.bits["RDONLY"]

    def kind(self, level: int, word: int) -> Kind:
        """Of what was stored for the hardware. LPAE: a leaf without its access flag faults, software sets the flag."""
        if self.lpae:
            if level == PTE:
                return Kind.LEAF if word & 3 == 3 and word & self.bits["YOUNG"] else Kind.INVALID
            if word & 3 == 3:
                return Kind.TABLE
            return Kind.LEAF if level == PMD and word & 1 and word & self.bits["YOUNG"] else Kind.INVALID
        if level == PTE:
            return Kind.LEAF if word & 2 else Kind.INVALID
        return {1: Kind.TABLE, 2: Kind.LEAF}.get(word & 3, Kind.INVALID)

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return self.table(word) & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if self.lpae:
            user, read_only = word & 1 << 6, word & 1 << 7
            no_exec = word & 1 << 54 or (not user and word & 1 << 53)
        else:
            user, read_only, no_exec = word & 1 << 5, word & 1 << 9, word & 1
        if not kernel and not user:
            return False
        if access == Access.WRITE:
            return not read_only
        return access != Access.EXEC or not no_exec
