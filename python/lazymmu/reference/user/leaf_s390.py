"""s390 leaves of user mappings (facts 1.6; ``arch/s390/include/asm/pgtable.h``, ``arch/s390/mm/mmap.c`` of 6.12).

A large leaf has the same states, in other bits. Kernels without soft-dirty bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import s390
from lazymmu.reference.descriptor.s390 import S390Format
from lazymmu.reference.user.leaf import Leaf

READ_ONLY: Final = S390Format.protections["PAGE_READONLY"]
KERNEL: Final = S390Format.protections["PAGE_KERNEL"]
NONE: Final = S390Format.protections["PAGE_NONE"]


@dataclass(frozen=True)
class Bits:
    """Where the states are."""

    young: int
    dirty: int
    read: int
    write: int
    special: int
    invalid: int


PAGE: Final = Bits(s390.YOUNG, s390.DIRTY, s390.READ, s390.WRITE, s390.SPECIAL, s390.INVALID)


def segment(table_format: S390Format) -> Bits:
    """Where they are in a segment-table entry."""
    read, write = table_format.large_read, table_format.large_write
    return Bits(s390.LARGE_YOUNG, s390.LARGE_DIRTY, read, write, 0, s390.TABLE_INVALID)


class S390Leaf(Leaf):
    """Old is invalid; clean is protected."""

    def __init__(self, table_format: S390Format, level: int) -> None:
        self.format = table_format
        self.bits = PAGE if level == PTE else segment(table_format)
        self.origin = -table_format.geometry.size(level)

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.young)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.dirty)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.write)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.special)

    def protnone(self, word: int) -> bool:
        """Of a leaf that is present: it may not be read."""
        return not word & self.bits.read

    def mkyoung(self, word: int) -> int:  # noqa: D102
        word |= self.bits.young
        return word & ~self.bits.invalid if word & self.bits.read else word

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~self.bits.young | self.bits.invalid

    def mkdirty(self, word: int) -> int:  # noqa: D102
        word |= self.bits.dirty
        return word & ~s390.PROTECT if word & self.bits.write else word

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~self.bits.dirty | s390.PROTECT

    def mkwrite(self, word: int) -> int:  # noqa: D102
        word |= self.bits.write
        return word & ~s390.PROTECT if word & self.bits.dirty else word

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | self.bits.special

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word | self.bits.invalid

    def modify(self, level: int, word: int, prot: int) -> int:
        """The state of before with other rights."""
        state = word & (self.bits.young | self.bits.dirty)
        if level == PTE:
            new = word & (self.origin | self.bits.special) | state | prot
            new = self.mkyoung(new) if state & self.bits.young else new
            return self.mkdirty(new) if state & self.bits.dirty else new
        new = self.format.block(level, word & self.origin, prot) & ~(self.bits.young | s390.PROTECT)
        new |= state
        if prot in (NONE, READ_ONLY, READ_ONLY & ~s390.NOEXEC) or not state & self.bits.dirty:
            new |= s390.PROTECT
        return new if state & self.bits.young else new | self.bits.invalid

    def huge_prot(self, word: int) -> int:  # noqa: D102
        if self.protnone(word):
            return NONE
        return READ_ONLY if word & s390.NOEXEC else READ_ONLY & ~s390.NOEXEC

    def frame(self, level: int, word: int) -> int:  # noqa: D102, ARG002
        return word & self.origin

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << 64) - 1

    def vm_page_prot(self, prot: int) -> int:
        """``PAGE_SHARED`` is a protection of the kernel's; shared areas have ``PAGE_RW``."""
        return READ_ONLY | s390.WRITE if prot == KERNEL else prot
