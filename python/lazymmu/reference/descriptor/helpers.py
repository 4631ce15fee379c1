"""The kernel's helpers for leaves: ``pte_young``, ``pte_mkdirty``, ``pmd_mkhuge`` and their kin, for every format.

Each says how an architecture's headers of 6.12 do it. The laws that the kernel checks for its own at boot
(``mm/debug_vm_pgtable.c``) are checked for these in ``tests/laws``.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazymmu.reference.codes import PTE
from lazymmu.reference.descriptor import Arm64Format, X86Format, arm64, powerpc, s390, sparc64, x86
from lazymmu.reference.descriptor.arm import ArmFormat
from lazymmu.reference.descriptor.base import Format
from lazymmu.reference.descriptor.loongarch import LoongarchFormat
from lazymmu.reference.descriptor.powerpc import PowerPcFormat
from lazymmu.reference.descriptor.riscv import RiscvFormat
from lazymmu.reference.descriptor.s390 import S390Format
from lazymmu.reference.descriptor.sparc64 import Sparc64Format
from lazymmu.reference.errors import ConfigError


@dataclass(frozen=True)
class Helpers:
    """Plain bits: one for each state. Architectures where a state is more than a bit override it."""

    young_bit: int
    dirty_bits: int
    write_bit: int
    special_bit: int
    huge_bits: int = 0
    """What ``pmd_mkhuge`` sets; 0 where a leaf needs no mark."""

    def young(self, word: int) -> bool:
        """``pte_young``."""
        return bool(word & self.young_bit)

    def mkyoung(self, word: int) -> int:
        """``pte_mkyoung``."""
        return word | self.young_bit

    def mkold(self, word: int) -> int:
        """``pte_mkold``."""
        return word & ~self.young_bit

    def dirty(self, word: int) -> bool:
        """``pte_dirty``."""
        return bool(word & self.dirty_bits)

    def mkdirty(self, word: int) -> int:
        """``pte_mkdirty``."""
        return word | self.dirty_bits

    def mkclean(self, word: int) -> int:
        """``pte_mkclean``."""
        return word & ~self.dirty_bits

    def write(self, word: int) -> bool:
        """``pte_write``."""
        return bool(word & self.write_bit)

    def mkwrite(self, word: int) -> int:
        """``pte_mkwrite``."""
        return word | self.write_bit

    def special(self, word: int) -> bool:
        """``pte_special``."""
        return bool(word & self.special_bit)

    def mkspecial(self, word: int) -> int:
        """``pte_mkspecial``."""
        return word | self.special_bit

    def mkhuge(self, word: int) -> int:
        """``pmd_mkhuge``, ``pud_mkhuge``."""
        return word | self.huge_bits

    def wrprotect(self, format_: Format, word: int) -> int:
        """``pte_wrprotect``, ``pmd_wrprotect``: mostly the same."""
        return format_.wrprotect(word)

    def protnone(self, word: int) -> bool:  # noqa: ARG002
        """``pte_protnone``; always false where the architecture has no ``CONFIG_ARCH_HAS_PTE_PROTNONE``."""
        return False


@dataclass(frozen=True)
class X86Helpers(Helpers):
    """``asm/pgtable.h``: a dirty read-only entry would be a shadow stack, so dirt moves between two bits."""

    def mkdirty(self, word: int) -> int:  # noqa: D102
        saved = self.dirty_bits & ~x86.DIRTY
        return word | 1 << 11 | (x86.DIRTY if word & x86.RW else saved)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        saved = self.dirty_bits & ~x86.DIRTY
        if word & saved:
            word = word & ~saved | x86.DIRTY
        return word | x86.RW

    def protnone(self, word: int) -> bool:  # noqa: D102
        return word & (x86.PROTNONE | x86.P) == x86.PROTNONE


@dataclass(frozen=True)
class Arm64Helpers(Helpers):
    """``asm/pgtable.h``: writable and not read-only is dirty, for hardware clears the read-only bit (DBM)."""

    def dirty(self, word: int) -> bool:  # noqa: D102
        return bool(word & arm64.DIRTY) or word & (arm64.WRITE | arm64.RDONLY) == arm64.WRITE

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return (word & ~arm64.RDONLY if word & arm64.WRITE else word) | arm64.DIRTY

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~arm64.DIRTY | arm64.RDONLY

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return (word & ~arm64.RDONLY if word & arm64.DIRTY else word) | arm64.WRITE

    def mkhuge(self, word: int) -> int:  # noqa: D102
        return word & ~2

    def protnone(self, word: int) -> bool:  # noqa: D102
        return (
            word & (arm64.VALID | arm64.PRESENT_INVALID | arm64.USER | arm64.UXN) == arm64.PRESENT_INVALID | arm64.UXN
        )


@dataclass(frozen=True)
class RiscvHelpers(Helpers):
    """``asm/pgtable.h``: a leaf is known by its permissions."""

    def protnone(self, word: int) -> bool:  # noqa: D102
        return word & 0x21 == 0x20


@dataclass(frozen=True)
class ArmHelpers(Helpers):
    """``asm/pgtable.h``: the write bit says read-only; leaves of the pmd have theirs elsewhere only in hardware."""

    lpae: bool = True

    def write(self, word: int) -> bool:  # noqa: D102
        return not word & self.write_bit

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word & ~self.write_bit

    def mkhuge(self, word: int) -> int:
        """``pmd_mkhuge`` of LPAE; short descriptors have no transparent huge pages."""
        return word & ~2 if self.lpae else word


@dataclass(frozen=True)
class LoongarchHelpers(Helpers):
    """``asm/pgtable.h``: D lets stores through, so it is set only where W is; dirt without it is MODIFIED."""

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | 1 << 9 | (1 << 1 if word & self.write_bit else 0)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | self.write_bit | (1 << 1 if word & 1 << 9 else 0)

    def mkhuge(self, word: int) -> int:
        """G moves to its place in a huge entry."""
        if word & 1 << 6:
            word = word & ~(1 << 6) | 1 << 12
        return word | 1 << 6

    def protnone(self, word: int) -> bool:  # noqa: D102
        return bool(word & 1 << 10)


@dataclass(frozen=True)
class PowerPcHelpers(Helpers):
    """``book3s/64/pgtable.h``: writing implies reading; a page without permissions stays valid for hardware."""

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | powerpc.READ | powerpc.WRITE

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | powerpc.DIRTY | 1 << 9

    def protnone(self, word: int) -> bool:  # noqa: D102
        valid = powerpc.PRESENT | powerpc.LEAF
        return word & (valid | powerpc.READ | powerpc.WRITE | powerpc.EXEC) == valid


@dataclass(frozen=True)
class Sparc64Helpers(Helpers):
    """``asm/pgtable_64.h``: hardware may write what is both writable and dirty; an old page is not valid."""

    writable_bit: int = 0

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return word | self.young_bit | sparc64.VALID

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~(self.young_bit | sparc64.VALID)

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return word | self.dirty_bits | (self.writable_bit if word & self.write_bit else 0)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~(self.dirty_bits | self.writable_bit)

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return word | self.write_bit | (self.writable_bit if word & self.dirty_bits else 0)


@dataclass(frozen=True)
class S390Helpers(Helpers):
    """``asm/pgtable.h``: what is not young is invalid, what is not both dirty and writable is protected."""

    read_bit: int = s390.READ
    invalid_bit: int = s390.INVALID

    def mkyoung(self, word: int) -> int:  # noqa: D102
        return (word | self.young_bit) & ~(self.invalid_bit if word & self.read_bit else 0)

    def mkold(self, word: int) -> int:  # noqa: D102
        return word & ~self.young_bit | self.invalid_bit

    def mkdirty(self, word: int) -> int:  # noqa: D102
        return (word | self.dirty_bits) & ~(s390.PROTECT if word & self.write_bit else 0)

    def mkclean(self, word: int) -> int:  # noqa: D102
        return word & ~self.dirty_bits | s390.PROTECT

    def mkwrite(self, word: int) -> int:  # noqa: D102
        return (word | self.write_bit) & ~(s390.PROTECT if word & self.dirty_bits else 0)

    def wrprotect(self, format_: Format, word: int) -> int:  # noqa: ARG002, D102
        return word & ~self.write_bit | s390.PROTECT

    def protnone(self, word: int) -> bool:
        """Not readable."""
        return not word & self.read_bit


def helpers_of(format_: Format, level: int = PTE) -> Helpers:
    """The helpers of a format for leaves of a level."""
    if isinstance(format_, X86Format):
        return X86Helpers(x86.ACCESSED, x86.DIRTY | format_.saved_dirty, x86.RW, 1 << 9, x86.PSE if level > PTE else 0)
    if isinstance(format_, Arm64Format):
        return Arm64Helpers(arm64.AF, arm64.DIRTY, arm64.WRITE, 1 << 56)
    if isinstance(format_, RiscvFormat):
        return RiscvHelpers(1 << 6, 1 << 7, 1 << 2, 1 << 8)
    if isinstance(format_, ArmFormat):
        bits = format_.bits
        return ArmHelpers(
            bits["YOUNG"], bits["DIRTY"], bits["RDONLY"], 1 << 56 if format_.lpae else 0, lpae=format_.lpae
        )
    if isinstance(format_, LoongarchFormat):
        return LoongarchHelpers(1 << 0, 1 << 1 | 1 << 9, 1 << 8, 1 << 11)
    if isinstance(format_, PowerPcFormat):
        huge = powerpc.LEAF if level > PTE else 0
        return PowerPcHelpers(powerpc.ACCESSED, powerpc.DIRTY, powerpc.WRITE, 1 << 10, huge)
    if isinstance(format_, S390Format):
        if level == PTE:
            return S390Helpers(s390.YOUNG, s390.DIRTY, s390.WRITE, s390.SPECIAL)
        large = s390.LARGE_YOUNG, s390.LARGE_DIRTY, format_.large_write, 0, s390.LARGE
        return S390Helpers(*large, read_bit=format_.large_read, invalid_bit=s390.TABLE_INVALID)
    if isinstance(format_, Sparc64Format):
        huge = sparc64.HUGE if level > PTE else 0
        b = format_.bits
        return Sparc64Helpers(b.accessed, b.modified, b.write, sparc64.SPECIAL, huge, writable_bit=b.writable)
    raise ConfigError(f"no helpers for {type(format_).__name__}")
