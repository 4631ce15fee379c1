"""The helpers that loops over user mappings apply to a leaf: ``pte_mkold``, ``pte_modify``, ... (facts 1.3, 1.4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import Arm64Format, X86Format, x86
from lazymmu.reference.descriptor import arm64 as arm


class Leaf(ABC):
    """Leaves at pte and pmd level of one format."""

    @abstractmethod
    def young(self, word: int) -> bool:
        """``pte_young``."""

    @abstractmethod
    def dirty(self, word: int) -> bool:
        """``pte_dirty``."""

    @abstractmethod
    def write(self, word: int) -> bool:
        """``pte_write``."""

    @abstractmethod
    def special(self, word: int) -> bool:
        """``pte_special``."""

    @abstractmethod
    def protnone(self, word: int) -> bool:
        """``pte_protnone``."""

    @abstractmethod
    def mkyoung(self, word: int) -> int:
        """``pte_mkyoung``."""

    @abstractmethod
    def mkold(self, word: int) -> int:
        """``pte_mkold``."""

    @abstractmethod
    def mkdirty(self, word: int) -> int:
        """``pte_mkdirty``."""

    @abstractmethod
    def mkclean(self, word: int) -> int:
        """``pte_mkclean``."""

    @abstractmethod
    def mkwrite(self, word: int) -> int:
        """``pte_mkwrite``."""

    @abstractmethod
    def mkspecial(self, word: int) -> int:
        """``pte_mkspecial``."""

    @abstractmethod
    def mkinvalid(self, word: int) -> int:
        """``pmd_mkinvalid``."""

    @abstractmethod
    def modify(self, level: int, word: int, prot: int) -> int:
        """``pte_modify``, ``pmd_modify``."""

    @abstractmethod
    def huge_prot(self, word: int) -> int:
        """``vm_page_prot`` of the private area around a large leaf."""

    @abstractmethod
    def frame(self, level: int, word: int) -> int:
        """The frame that a leaf maps, if software sees it as present."""

    @abstractmethod
    def advance(self, word: int, size: int) -> int:
        """``pte_advance_pfn``: the page that lies ``size`` bytes further."""

    def vm_page_prot(self, prot: int) -> int:
        """What an area has where the program says this."""
        return prot

    def noncont(self, word: int) -> int:
        """``pte_mknoncont``."""
        return word

    def same(self, one: int, other: int) -> bool:
        """``pte_same``."""
        return one == other

    def marks_special(self) -> bool:
        """``CONFIG_ARCH_HAS_PTE_SPECIAL``: else the area says that there is no folio."""
        return True

    def collect(self, word: int, other: int) -> int:
        """The word with what another entry of its run has seen."""
        if self.dirty(other):
            word = self.mkdirty(word)
        return self.mkyoung(word) if self.young(other) else word


_SPECIAL: Final = 1 << 9
_PKEYS: Final = 0xF << 59


class X86Leaf(Leaf):
    """x86: a dirty entry that must not be written keeps its dirt in another bit: else it is a shadow stack."""

    def __init__(self, table_format: X86Format) -> None:
        self.format = table_format
        self.saved = table_format.saved_dirty
        self.mask = table_format.pfn_mask

    def _inverted(self, word: int) -> bool:
        """The frame is stored inverted where hardware must not use it (L1TF)."""
        return self.format.wide and word != 0 and not word & x86.P

    def _save(self, word: int) -> int:
        return word & ~x86.DIRTY | self.saved if word & x86.DIRTY and not word & x86.RW else word

    def _restore(self, word: int) -> int:
        return word & ~self.saved | x86.DIRTY if word & self.saved and word & x86.RW else word

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & x86.ACCESSED)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & (x86.DIRTY | self.saved))

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & x86.RW)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & _SPECIAL)

    def protnone(self, word: int) -> bool:  # noqa: D102
        return word & (x86.P | x86.PROTNONE) == x86.PROTNONE

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | x86.ACCESSED

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~x86.ACCESSED

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return self._save(word | x86.DIRTY)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~(x86.DIRTY | self.saved)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return self._restore(word | x86.RW)

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | _SPECIAL

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        flags = word & ~self.mask & ~(x86.P | x86.PROTNONE)
        frame = self.frame(2, word)
        return (~frame if self._inverted(flags) else frame) & self.mask | flags

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102
        frame = self.mask if level == PTE else self.mask & ~x86.PAT_LARGE
        kept = frame | x86.PCD | x86.PWT | _SPECIAL | x86.ACCESSED | x86.DIRTY | self.saved
        kept |= x86.PAT if level == PTE else x86.PSE | x86.PAT_LARGE
        new = word & kept | prot & ~kept
        if self._inverted(word) != self._inverted(new):
            new ^= frame
        return self._save(new) if word & x86.RW else self._restore(new)

    def huge_prot(self, word: int) -> int:  # noqa: D102
        return word & ~self.mask & ~(x86.PSE | x86.RW | x86.DIRTY | self.saved) | x86.ACCESSED

    def frame(self, level: int, word: int) -> int:  # noqa: D102
        frame = (word ^ self.mask if self._inverted(word) else word) & self.mask
        return frame if level == PTE else frame & ~x86.PAT_LARGE

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return (word - size if self._inverted(word) else word + size) & (1 << 64) - 1

    def needs_flush(self, old: int, new: int) -> bool:
        """``pte_needs_flush``: not for what was absent, nor for what only became old or more permissive in software."""
        if not old & x86.P:
            return False
        if (old ^ new) & self.mask:
            return True
        changing = x86.RW | x86.USER | x86.PWT | x86.PCD | x86.PSE | x86.GLOBAL | x86.PAT_LARGE | _PKEYS | x86.NX
        return bool(old & ~new & (x86.DIRTY | x86.P) or (old ^ new) & changing)


class Arm64Leaf(Leaf):
    """arm64: RDONLY clear with WRITE set is what hardware makes of a dirty page."""

    def __init__(self, table_format: Arm64Format) -> None:
        self.format = table_format
        self.address = table_format.encode((1 << table_format.geometry.pa_bits) - table_format.geometry.page_size)

    @staticmethod
    def _hardware_dirty(word: int) -> bool:
        return word & (arm.WRITE | arm.RDONLY) == arm.WRITE

    def young(self, word: int) -> bool:  # noqa: D102
        return bool(word & arm.AF)

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & arm.DIRTY) or self._hardware_dirty(word)

    def write(self, word: int) -> bool:  # noqa: D102
        return bool(word & arm.WRITE)

    def special(self, word: int) -> bool:  # noqa: D102
        return bool(word & 1 << 56)

    def protnone(self, word: int) -> bool:  # noqa: D102
        present = word & (arm.VALID | arm.PRESENT_INVALID) == arm.PRESENT_INVALID
        return present and not word & arm.USER and bool(word & arm.UXN)

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | arm.AF

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~arm.AF

    def mkdirty(self, word: int) -> int:  # noqa: D102
        word |= arm.DIRTY
        return word & ~arm.RDONLY if word & arm.WRITE else word

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~arm.DIRTY | arm.RDONLY

    def mkwrite(self, word: int) -> int:  # noqa: D102
        word |= arm.WRITE
        return word & ~arm.RDONLY if word & arm.DIRTY else word

    def mkspecial(self, word: int) -> int:  # noqa: D102
        return word | 1 << 56

    def mkinvalid(self, word: int) -> int:  # noqa: D102
        return (word | arm.PRESENT_INVALID) & ~arm.VALID

    def modify(self, level: int, word: int, prot: int) -> int:  # noqa: D102, ARG002
        replaced = arm.USER | arm.PXN | arm.UXN | arm.RDONLY | arm.PRESENT_INVALID | arm.VALID | arm.WRITE
        replaced |= arm.GP | arm.ATTRINDX | 7 << 60
        if self._hardware_dirty(word):
            word |= arm.DIRTY
        new = word & ~replaced | prot & replaced
        return self.mkdirty(new) if new & arm.DIRTY else new

    def huge_prot(self, word: int) -> int:  # noqa: D102
        return word & ~self.address & ~(arm.WRITE | arm.DIRTY | arm.CONT) | arm.RDONLY | arm.AF | 2

    def frame(self, level: int, word: int) -> int:  # noqa: D102, ARG002
        return self.format.decode(word)

    def advance(self, word: int, size: int) -> int:  # noqa: D102
        return word & ~self.address | self.format.encode(self.format.decode(word) + size) & self.address

    def vm_page_prot(self, prot: int) -> int:
        """What an area has where the program says this."""
        return prot

    def noncont(self, word: int) -> int:  # noqa: D102
        return word & ~arm.CONT
