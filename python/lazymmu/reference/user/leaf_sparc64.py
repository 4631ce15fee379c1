"""sparc64 leaves of user mappings (facts 1.6; ``arch/sparc/include/asm/pgtable_64.h`` of 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor.sparc64 import HUGE, SPECIAL, VALID, Sparc64Format
from lazymmu.reference.user.leaf import Leaf


class Sparc64Leaf(Leaf):
    """A page that is not young is not valid; one that is writable and dirty may be written by hardware."""

    def __init__(self, table_format: Sparc64Format) -> None:
        self.format = table_format
        self.bits = table_format.bits

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.accessed)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.modified)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.write)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & SPECIAL)

    def protnone(self, word: int) -> bool:
        """The architecture has no ``pte_protnone``; an old page is still readable for software."""
        return bool(word & self.bits.present) and not word & (VALID | self.bits.read)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | self.bits.accessed | VALID

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~(self.bits.accessed | VALID)

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return self._hardware(word | self.bits.modified)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~(self.bits.modified | self.bits.writable)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return self._hardware(word | self.bits.write)

    def _hardware(self, word: int) -> int:
        """``__pte_mkhwwrite`` where both bits are there."""
        both = self.bits.modified | self.bits.write
        return word | self.bits.writable if word & both == both else word

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~VALID

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102, ARG002
        b = self.bits
        kept = b.paddr | b.modified | b.accessed | b.cache | b.side_effect | SPECIAL | HUGE | b.size
        return word & kept | prot & ~kept

    def huge_prot(self, word: int) -> int:  # noqa: D102
        b = self.bits
        prot = word & (b.cache | b.side_effect | b.exec | b.privileged | b.read) | b.present | b.accessed
        return prot | VALID if prot & b.read else prot

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        return self.format.leaf_address(PTE if level == PTE else PMD, word)

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << 64) - 1
