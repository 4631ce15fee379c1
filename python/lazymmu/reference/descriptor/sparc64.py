"""sparc64, sun4v (facts 1.6; ``arch/sparc/include/asm/pgtable_64.h``, ``mm/init_64.c`` ``sun4v_pgprot_init``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format, Kind
from lazymmu.reference.descriptor.fields.layout import EntryKind
from lazymmu.reference.descriptor.fields.sparc64 import kinds

VALID: Final = 1 << 63
MODIFIED: Final = 1 << 61
ACCESSED: Final = 1 << 60
READ: Final = 1 << 59
WRITE: Final = 1 << 58
HUGE: Final = 1 << 56
PADDR: Final = 0x00FF_FFFF_FFFF_E000
SIDE_EFFECT: Final = 0x800
CACHE: Final = 0x600
PRIVILEGED: Final = 0x100
EXEC: Final = 0x80
WRITABLE: Final = 0x40
PRESENT: Final = 0x10

_USER = PRESENT | CACHE | VALID | ACCESSED | READ
_KERNEL = _USER | PRIVILEGED | MODIFIED | WRITE | WRITABLE | EXEC
_DEVICE = _KERNEL & ~CACHE | SIDE_EFFECT


class Sparc64Format(Format):
    """Links are bare addresses; nothing is 0."""

    protections: Final = {  # type: ignore[misc]
        "PAGE_KERNEL": _KERNEL,
        "PAGE_KERNEL_RO": _KERNEL,
        "PAGE_KERNEL_EXEC": _KERNEL,
        "PAGE_KERNEL_ROX": _KERNEL,
        "PAGE_KERNEL_NOCACHE": _DEVICE,
        "PAGE_IOREMAP": _DEVICE,
        "PAGE_SHARED": _USER | WRITE | EXEC,
        "PAGE_SHARED_EXEC": _USER | WRITE | EXEC,
        "PAGE_READONLY": _USER,
        "PAGE_READONLY_EXEC": _USER | EXEC,
        "PAGE_NONE": PRESENT | ACCESSED | CACHE,
    }

    def layouts(self, level: int) -> tuple[EntryKind, ...]:  # noqa: D102
        return kinds(level)

    def none(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return word == 0

    def present(self, level: int, word: int) -> bool:  # noqa: D102
        return bool(word & PRESENT) if level == PTE else word != 0

    def leaf(self, level: int, word: int) -> bool:  # noqa: D102
        return level in (PMD, PUD) and bool(word & HUGE)

    def clear_huge(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Without ``HAVE_ARCH_HUGE_VMAP`` there is nothing to clear."""
        return False

    def bad(self, level: int, word: int) -> bool:  # noqa: D102, ARG002
        return bool(word % self.geometry.page_size)

    def table(self, word: int) -> int:  # noqa: D102
        return word & PADDR

    def link(self, level: int, pa: int, kernel: bool) -> int:  # noqa: D102, ARG002
        return pa

    def page(self, pa: int, prot: int) -> int:  # noqa: D102
        return pa | prot

    def block(self, level: int, pa: int, prot: int) -> int:  # noqa: ARG002
        """``pmd_mkhuge``: the TLB gets entries of 4 MiB."""
        return pa | prot | HUGE | 3

    def pgprot_nx(self, prot: int) -> int:
        """The architecture defines none."""
        return prot

    def wrprotect(self, word: int) -> int:  # noqa: D102
        return word & ~(WRITE | WRITABLE)

    def kind(self, level: int, word: int) -> Kind:
        """What the handler of a TSB miss makes of it."""
        if level == PTE or self.leaf(level, word):
            return Kind.LEAF if word & VALID else Kind.INVALID
        return Kind.TABLE if word else Kind.INVALID

    def valid(self, word: int) -> bool:
        """The sign of the word."""
        return bool(word & VALID)

    def leaf_address(self, level: int, word: int) -> int:  # noqa: D102
        return word & PADDR & -self.geometry.size(level)

    def permits(self, word: int, access: int, kernel: bool) -> bool:  # noqa: D102
        if word & PRIVILEGED and not kernel:
            return False
        return bool(word & {Access.WRITE: WRITABLE, Access.EXEC: EXEC}.get(access, VALID))
