"""sparc64, sun4v and sun4u (facts 1.6; ``arch/sparc/include/asm/pgtable_64.h``, ``mm/init_64.c``, 6.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.sparc64 import kinds
from lazymmu.reference.geometry import Geometry

VALID: Final = 1 << 63
SPECIAL: Final = 1 << 57
HUGE: Final = 1 << 56


@dataclass(frozen=True)
class Bits:
    """What the two formats have in different places."""

    modified: int
    accessed: int
    read: int
    write: int
    exec: int
    writable: int
    privileged: int
    present: int
    cache: int
    side_effect: int
    paddr: int
    size: int
    size_4m: int


SUN4V: Final = Bits(
    modified=1 << 61,
    accessed=1 << 60,
    read=1 << 59,
    write=1 << 58,
    exec=0x80,
    writable=0x40,
    privileged=0x100,
    present=0x10,
    cache=0x600,
    side_effect=0x800,
    paddr=0x00FF_FFFF_FFFF_E000,
    size=7,
    size_4m=3,
)
SUN4U: Final = Bits(
    modified=0x800,
    accessed=0x400,
    read=0x200,
    write=0x100,
    exec=0x1000,
    writable=0x2,
    privileged=0x4,
    present=0x80,
    cache=0x30,
    side_effect=0x8,
    paddr=0x0000_07FF_FFFF_E000,
    size=0x6001 << 48,
    size_4m=0x6000 << 48,
)


class Sparc64Format(Format):
    """Links are bare addresses; nothing is 0."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.sun4u = geometry.name.endswith("sun4u")
        self.bits = b = SUN4U if self.sun4u else SUN4V
        user = b.present | b.cache | VALID | b.accessed | b.read
        kernel = user | b.privileged | b.modified | b.write | b.writable | b.exec
        device = kernel & ~b.cache | b.side_effect
        self.protections = {
            "PAGE_KERNEL": kernel,
            "PAGE_KERNEL_RO": kernel,
            "PAGE_KERNEL_EXEC": kernel,
            "PAGE_KERNEL_ROX": kernel,
            "PAGE_KERNEL_NOCACHE": device,
            "PAGE_IOREMAP": device,
            # Of areas (``protection_map``); the constant of this name has the bit to execute.
            "PAGE_SHARED": user | b.write,
            "PAGE_SHARED_EXEC": user | b.write | b.exec,
            "PAGE_READONLY": user,
            "PAGE_READONLY_EXEC": user | b.exec,
            "PAGE_NONE": b.present | b.accessed | b.cache,
        }

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, sun4u=self.sun4u)

    def none(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return word == 0

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        return bool(word & self.bits.present) if level == PTE else word != 0

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and bool(word & HUGE)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Without ``HAVE_ARCH_HUGE_VMAP`` there is nothing to clear."""
        return False

    def bad(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return bool(word % self.geometry.page_size)

    def table(self, word: int) -> int:  # noqa: D102
        return word & self.bits.paddr

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: D102, ARG002
        return pa

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """``pmd_mkhuge``: the TLB gets entries of 4 MiB."""
        return pa | prot | HUGE | self.bits.size_4m

    def pgprot_nx(self, prot: int) -> int:
        """The architecture defines none."""
        return prot

    def wrprotect(self, word: int) -> int:  # noqa: D102
        return word & ~(self.bits.write | self.bits.writable)

    def kind(self, level: int, word: int) -> Kind:
        """What the handler of a TSB miss makes of it."""
        if level == PTE or self.leaf(level, word):
            return Kind.LEAF if word & VALID else Kind.INVALID
        return Kind.TABLE if word else Kind.INVALID

    def valid(self, word: int) -> bool:
        """The sign of the word."""
        return bool(word & VALID)

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return word & self.bits.paddr & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if word & self.bits.privileged and not kernel:
            return False
        return bool(word & {Access.WRITE: self.bits.writable, Access.EXEC: self.bits.exec}.get(access, VALID))
