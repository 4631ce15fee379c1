"""sparc64 leaves of user mappings, sun4v (facts 1.6; ``arch/sparc/include/asm/pgtable_64.h`` of 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor import sparc64 as sun4v
from lazymmu.reference.descriptor.sparc64 import Sparc64Format
from lazymmu.reference.user.leaf import Leaf

SPECIAL: Final = 1 << 57
SIZES: Final = 7
KEPT: Final = (
    sun4v.PADDR | sun4v.MODIFIED | sun4v.ACCESSED | sun4v.CACHE | sun4v.SIDE_EFFECT | SPECIAL | sun4v.HUGE | SIZES
)
"""What ``pte_modify`` leaves alone."""


class Sparc64Leaf(Leaf):
    """A page that is not young is not valid; one that is writable and dirty may be written by hardware."""

    def __init__(self, table_format: Sparc64Format) -> None:
        self.format = table_format

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & sun4v.ACCESSED)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & sun4v.MODIFIED)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & sun4v.WRITE)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & SPECIAL)

    def protnone(self, word: int) -> bool:
        """The architecture has no ``pte_protnone``; an old page is still readable for software."""
        return bool(word & sun4v.PRESENT) and not word & (sun4v.VALID | sun4v.READ)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | sun4v.ACCESSED | sun4v.VALID

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~(sun4v.ACCESSED | sun4v.VALID)

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return self._hardware(word | sun4v.MODIFIED)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~(sun4v.MODIFIED | sun4v.WRITABLE)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return self._hardware(word | sun4v.WRITE)

    @staticmethod
    def _hardware(word: int) -> int:
        """``__pte_mkhwwrite`` where both bits are there."""
        both = sun4v.MODIFIED | sun4v.WRITE
        return word | sun4v.WRITABLE if word & both == both else word

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~sun4v.VALID

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102, ARG002
        return word & KEPT | prot & ~KEPT

    def huge_prot(self, word: int) -> int:  # noqa: D102
        area = sun4v.CACHE | sun4v.SIDE_EFFECT | sun4v.EXEC | sun4v.PRIVILEGED | sun4v.READ
        prot = word & area | sun4v.PRESENT | sun4v.ACCESSED
        return prot | sun4v.VALID if prot & sun4v.READ else prot

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        return self.format.leaf_address(PTE if level == PTE else PMD, word)

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << 64) - 1
