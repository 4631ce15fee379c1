"""powerpc leaves of user mappings (facts 1.6; ``arch/powerpc/include/asm/book3s/64/pgtable.h`` of 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import powerpc as ppc
from lazymmu.reference.descriptor.powerpc import PowerPcFormat
from lazymmu.reference.user.leaf import Leaf

SOFT_DIRTY: Final = 1 << 9
SPECIAL: Final = 1 << 10
DEVMAP: Final = 1 << 11
RWX: Final = ppc.READ | ppc.WRITE | ppc.EXEC
CACHE: Final = 0x30


class PowerPcLeaf(Leaf):
    """The soft-dirty bit comes with the dirty bit and stays; a page without permissions is valid for hardware."""

    def __init__(self, table_format: PowerPcFormat) -> None:
        self.format = table_format
        self.rpn = (1 << 53) - table_format.geometry.page_size

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & ppc.ACCESSED)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & ppc.DIRTY)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & ppc.WRITE)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & SPECIAL)

    def protnone(self, word: int) -> bool:  # noqa: D102
        return bool(word & ppc.PRESENT and word & ppc.LEAF) and not word & RWX

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | ppc.ACCESSED

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~ppc.ACCESSED

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | ppc.DIRTY | SOFT_DIRTY

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~ppc.DIRTY

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | ppc.READ | ppc.WRITE

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~ppc.PRESENT | ppc.INVALID

    def modify(self, level: int, word: int, prot: int) -> int:
        """``_PAGE_CHG_MASK``, of large leaves ``_HPAGE_CHG_MASK``: that one loses the special bit."""
        kept = self.rpn | self.format.hash_flags | ppc.DIRTY | ppc.ACCESSED | ppc.LEAF | SOFT_DIRTY | DEVMAP
        return word & (kept | SPECIAL if level == PTE else kept) | prot

    def huge_prot(self, word: int) -> int:  # noqa: D102
        return ppc.PRESENT | ppc.ACCESSED | word & (ppc.READ | ppc.EXEC | ppc.PRIVILEGED | CACHE)

    def frame(self, level: int, word: int) -> int:  # noqa: D102, ARG002
        return word & self.rpn

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << 64) - 1

    def needs_flush(self, old: int, new: int) -> bool:
        """``__pte_flags_need_flush``: a loss of rights or dirt, or any change of something else."""
        lost = old & ~new & (RWX | ppc.DIRTY)
        return bool(lost or (old ^ new) & ~(RWX | ppc.DIRTY | ppc.ACCESSED))
