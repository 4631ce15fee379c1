"""riscv leaves of user mappings (facts 1.5; ``arch/riscv/include/asm/pgtable.h`` of 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import riscv
from lazymmu.reference.descriptor.riscv import RiscvFormat
from lazymmu.reference.user.leaf import Leaf

SPECIAL: Final = 1 << 8


class RiscvLeaf(Leaf):
    """One bit for each state; permissions stay where only V goes."""

    def __init__(self, table_format: RiscvFormat) -> None:
        self.format = table_format
        memory_type = riscv.NC | riscv.IO if table_format.wide and table_format.svpbmt else 0
        self.protection = riscv.V | riscv.RWX | riscv.U | riscv.G | memory_type

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & riscv.A)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & riscv.D)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & riscv.W)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & SPECIAL)

    def protnone(self, word: int) -> bool:  # noqa: D102
        return not word & riscv.V and bool(word & riscv.PROT_NONE)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | riscv.A

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~riscv.A

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | riscv.D

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~riscv.D

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | riscv.W

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return word & ~(riscv.V | riscv.PROT_NONE)

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102, ARG002
        return word & ~self.protection | prot

    def huge_prot(self, word: int) -> int:
        """What cannot be accessed has no accessed bit in its protection."""
        return word & self.protection & ~riscv.W | (riscv.A if word & riscv.V else 0)

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        return self.format.leaf_address(level if level == PTE else 2, word)

    def advance(self, word: int, size: int) -> int:
        """The frame number begins at bit 10, the page at bit 12."""
        return word + size // 4 & (1 << 64 if self.format.wide else 1 << 32) - 1
