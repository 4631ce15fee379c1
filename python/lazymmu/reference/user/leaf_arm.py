"""32-bit arm leaves of user mappings (facts 1.6; ``asm/pgtable.h``, ``pgtable-2level.h``, ``pgtable-3level.h``, 6.12).

What software asks is asked of Linux's word. The hardware's bits come with the store.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor.arm import ArmFormat
from lazymmu.reference.user.leaf import Leaf

VALID: Final = 1
AP2: Final = 1 << 7
NG: Final = 1 << 11
SPECIAL: Final = 1 << 56
"""LPAE's; short descriptors have no such bit."""


class ArmLeaf(Leaf):
    """Software's bits by name, wherever the format has them."""

    def __init__(self, table_format: ArmFormat) -> None:
        self.format = table_format
        self.lpae = table_format.lpae
        b = table_format.bits
        self.young_bit, self.dirty_bit, self.none_bit = b["YOUNG"], b["DIRTY"], b["NONE"]
        self.read_only = b["RDONLY"]
        self.protection = b["XN"] | b["RDONLY"] | b["USER"] | b["NONE"] | VALID
        self.of_area = b["MT"] | b["USER"] | b["SHARED"] | b["PXN"] | b["XN"] | b["NONE"]

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.young_bit)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.dirty_bit)

    def write(self, word: int) -> bool:  # noqa: D102
        return not word & self.read_only

    def special(self, word: int) -> bool:  # noqa: D102
        return self.lpae and bool(word & SPECIAL)

    def marks_special(self) -> bool:  # noqa: D102
        return self.lpae

    def protnone(self, word: int) -> bool:  # noqa: D102
        return bool(word & self.none_bit)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | self.young_bit

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~self.young_bit

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | self.dirty_bit

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~self.dirty_bit

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word & ~self.read_only

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL if self.lpae else word

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~VALID

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102, ARG002
        return word & ~self.protection | prot & self.protection

    def huge_prot(self, word: int) -> int:
        """Nothing of a private area is writable at first."""
        return word & self.of_area | self.format.bits["PRESENT"] | self.young_bit | self.read_only

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        return self.format.leaf_address(PTE if level == PTE else PMD, word)

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word + size & (1 << (64 if self.lpae else 32)) - 1

    def same(self, one: int, other: int) -> bool:
        """``pte_same``: LPAE's nG is not looked at, for ``set_pte_ext`` adds it."""
        return self._bare(one) == self._bare(other)

    def _bare(self, word: int) -> int:
        return word & ~NG if self.lpae and self.format.present(PTE, word) else word

    def stored_pmd(self, word: int) -> int:
        """What ``set_pmd_at`` makes of a large leaf: no access without permission, no stores unless dirty, nG."""
        if self.protnone(word):
            word &= ~VALID
        word = word & ~AP2 if self.write(word) and self.dirty(word) else word | AP2
        return word | NG
