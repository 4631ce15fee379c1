"""riscv entries (facts 1.5; the privileged architecture, Svpbmt, Svnapot; ``asm/pgtable*.h`` of 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.riscv import kinds
from lazymmu.reference.geometry import Geometry

V: Final = 1 << 0
R: Final = 1 << 1
W: Final = 1 << 2
X: Final = 1 << 3
U: Final = 1 << 4
G: Final = 1 << 5
A: Final = 1 << 6
D: Final = 1 << 7
PROT_NONE: Final = G
RWX: Final = R | W | X
NC: Final = 1 << 61
IO: Final = 1 << 62
N: Final = 1 << 63

KERNEL: Final = V | R | W | G | A | D
_USER = V | A | U


class RiscvFormat(Format):
    """The frame number stands at bit 10. An entry with a permission is a leaf, one without is a table."""

    def __init__(self, geometry: Geometry, *, svpbmt: bool = True) -> None:
        super().__init__(geometry)
        self.wide = geometry.entry_bytes == 8
        self.svpbmt = svpbmt
        self.pfn_bits = 44 if self.wide else 22
        io, nc = (IO, NC) if self.wide and svpbmt else (0, 0)
        self.protections = {
            "PAGE_KERNEL": KERNEL,
            "PAGE_KERNEL_RO": KERNEL,  # not defined by riscv: the generic default
            "PAGE_KERNEL_EXEC": KERNEL | X,
            "PAGE_KERNEL_ROX": KERNEL,
            "PAGE_KERNEL_READ": KERNEL & ~W,
            "PAGE_KERNEL_READ_EXEC": KERNEL & ~W | X,
            "PAGE_KERNEL_NOCACHE": KERNEL | io,
            "PAGE_KERNEL_IO": KERNEL | io,
            "PAGE_IOREMAP": KERNEL | io,
            "PAGE_IOREMAP_WC": KERNEL | nc,
            "PAGE_SHARED": _USER | R | W,
            "PAGE_READONLY": _USER | R,
            "PAGE_SHARED_EXEC": _USER | RWX,
            "PAGE_READONLY_EXEC": _USER | R | X,
            "PAGE_EXECONLY": _USER | X,
            "PAGE_NONE": PROT_NONE | R,
        }

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level, wide=self.wide, svpbmt=self.svpbmt)

    def none(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return word == 0

    def present(self, level: int, word: int) -> bool:
        """At pmd level also while a huge page is being split: V is clear, the permissions stay."""
        if level == PTE:
            return bool(word & (V | PROT_NONE))
        return bool(word & (V | PROT_NONE | RWX if level == PMD else V))

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and self.present(level, word) and bool(word & RWX)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: D102
        return self.leaf(level, word)

    def bad(self, level: int, word: int) -> bool:
        """A leaf pmd is bad, a leaf pud is not."""
        if level == PMD:
            return not self.present(level, word) or bool(word & RWX)
        return not word & V

    def _address(self, word: int) -> int:
        return (word >> 10 & ((1 << self.pfn_bits) - 1)) << 12

    def table(self, word: int) -> int:  # noqa: D102
        return self._address(word)

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: D102, ARG002
        return pa >> 12 << 10 | V

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa >> 12 << 10 | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: D102, ARG002
        return self.page(pa, prot)

    def napot(self, word: int) -> int:
        """``pte_mknapot`` of a group of 64K: the same word in all of its entries."""
        return word & ~(0xF << 10) | 0x8 << 10 | N

    def pgprot_nx(self, prot: int) -> int:  # noqa: D102
        return prot & ~X

    def wrprotect(self, word: int) -> int:  # noqa: D102
        return word & ~W

    def kind(self, level: int, word: int) -> Kind:
        """Writable and not readable is reserved; a last-level entry without permissions leads nowhere."""
        if not word & V or word & (R | W) == W:
            return Kind.INVALID
        if level == PTE:
            return Kind.LEAF if word & RWX else Kind.INVALID
        if not word & RWX:
            return Kind.TABLE
        return Kind.LEAF if level in (PMD, PUD) else Kind.INVALID

    def leaf_address(self, level: int, word: int) -> int:
        """The lowest one of the frame number of a group says how large it is."""
        pa = self._address(word)
        if level == PTE and self.wide and word & N:
            frame = pa >> 12
            pa = (frame & (frame - 1)) << 12 if frame else 0
        return pa & ~(self.geometry.size(level) - 1)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if not kernel and not word & U:
            return False
        return bool(word & {Access.READ: R, Access.WRITE: W, Access.EXEC: X}[access])
