"""loongarch64 leaves of user mappings (facts 1.6; ``arch/loongarch/include/asm/pgtable.h``, ``mm/cache.c`` of 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import loongarch as la
from lazymmu.reference.descriptor.loongarch import LoongarchFormat
from lazymmu.reference.user.leaf import Leaf

SPECIAL: Final = 1 << 11
DEVMAP: Final = 1 << 59


class LoongarchLeaf(Leaf):
    """Valid is accessed; D lets stores through, and dirt that must not do that is MODIFIED."""

    def __init__(self, table_format: LoongarchFormat) -> None:
        self.format = table_format
        self.pfn = (1 << 48) - table_format.geometry.page_size

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & la.VALID)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & (la.DIRTY | la.MODIFIED))

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & la.WRITE)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & SPECIAL)

    def protnone(self, word: int) -> bool:  # noqa: D102
        return bool(word & la.PROTNONE)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | la.VALID

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~la.VALID

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | la.MODIFIED | (la.DIRTY if self.write(word) else 0)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~(la.DIRTY | la.MODIFIED)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | la.WRITE | (la.DIRTY if word & la.MODIFIED else 0)

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~(la.PRESENT | la.VALID | la.DIRTY | la.PROTNONE) | la.PRESENT_INVALID

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102
        kept = la.MODIFIED | SPECIAL | DEVMAP | self.pfn | la.CACHE | la.PLV | (0 if level == PTE else la.HUGE)
        if word & la.DIRTY:
            word |= la.MODIFIED
        return word & kept | prot & ~kept

    def huge_prot(self, word: int) -> int:
        """Readable areas are young from the start."""
        rights = la.CACHE | la.PLV | la.NO_READ | la.NO_EXEC | la.PRESENT | la.PROTNONE
        return word & rights | (la.VALID if word & la.PRESENT else 0)

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        return self.format.leaf_address(level, word)

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << 64) - 1

    def vm_page_prot(self, prot: int) -> int:
        """``protection_map``."""
        named = self.format.protections
        if prot in (named["PAGE_READONLY"], named["PAGE_SHARED"]):
            return prot | la.VALID | la.NO_EXEC
        return prot | la.NO_EXEC if prot == named["PAGE_NONE"] else prot
