"""Levels, shifts, entries and addresses. Knows nothing of descriptors' bits.

Levels count upward from the leaf table: 1 pte, 2 pmd, 3 pud, 4 p4d, 5 pgd. Levels that do not exist in hardware are
folded (facts 1.1): a geometry of L levels has the levels 1 to L, and its root's entries carry the lowest name of their
folded group, which is where the kernel really tests them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from lazymmu.reference.errors import ConfigError

LAYOUT: Final = (
    "task_size",
    "kernel_start",
    "vmalloc_start",
    "vmalloc_end",
    "fixaddr_top",
    "table_frames",
    "highmem_frames",
    "ram_end",
)
"""Keys of a layout. ``task_size``: end of user addresses. ``table_frames``, ``highmem_frames``: where table pages come
from; the latter is also where highmem begins (0: there is none). ``ram_end``: first physical address that is no RAM
(only Xen PV looks; 0: all is RAM)."""


@dataclass(frozen=True)
class Geometry:
    """The shape of the tables of one configuration (facts 1.2)."""

    name: str
    shifts: tuple[int, ...]
    entries: tuple[int, ...]
    entry_bytes: int
    va_bits: int
    pa_bits: int
    layout: Mapping[str, int] = field(compare=False)
    signed: bool = False
    """One root for both halves, the upper one sign-extended (x86-64, riscv)."""
    root_bytes: int = 0
    """Bytes of an entry of the root, where they are not ``entry_bytes``."""
    hardware_ptes: bool = False
    """Behind the entries of a leaf table lie as many again, for the hardware (classic 32-bit Arm)."""
    slot_shift: int = 0
    """``PGDIR_SHIFT`` where loops over the root take other steps than its entries; 0: they do not."""

    @property
    def levels(self) -> int:
        """Number of table levels in hardware; also the level of the root's entries."""
        return len(self.shifts)

    @property
    def page_size(self) -> int:
        """Bytes of a base page."""
        return 1 << self.shifts[0]

    @property
    def address_mask(self) -> int:
        """All bits of an ``unsigned long``."""
        return (1 << (32 if self.va_bits == 32 else 64)) - 1

    def shift(self, level: int) -> int:
        """``PTE_SHIFT`` ... ``PGDIR_SHIFT``."""
        return self.shifts[level - 1]

    def size(self, level: int) -> int:
        """Bytes that one entry of the level covers."""
        return 1 << self.shifts[level - 1]

    def entries_of(self, level: int) -> int:
        """``PTRS_PER_PTE`` ... ``PTRS_PER_PGD``."""
        return self.entries[level - 1]

    def bytes_of(self, level: int) -> int:
        """Bytes of an entry of the level."""
        return self.root_bytes or self.entry_bytes if level == self.levels else self.entry_bytes

    def words_of(self, level: int) -> int:
        """Words of a table of the level."""
        return self.entries_of(level) * (2 if self.hardware_ptes and level == 1 else 1)

    def table_bytes(self, level: int) -> int:
        """Whole pages that a table of the level takes."""
        return -(-self.words_of(level) * self.bytes_of(level) // self.page_size) * self.page_size

    def index(self, level: int, va: int) -> int:
        """Index of the entry that covers an address: ``pte_index`` ... ``pgd_index``."""
        return (va >> self.shifts[level - 1]) & (self.entries[level - 1] - 1)

    def hardware_index(self, level: int, va: int) -> int:
        """Index of the word that the hardware reads for an address."""
        return self.index(level, va) + self.words_of(level) - self.entries_of(level)

    def addr_end(self, level: int, addr: int, end: int) -> int:
        """``pmd_addr_end`` and its like: the next boundary of the level, or ``end`` if that comes first (facts 1.1).

        The comparison subtracts one on both sides, so a boundary or an end that wrapped to 0 is the highest.
        """
        return self._step_end(self.size(level), addr, end)

    def slot_end(self, addr: int, end: int) -> int:
        """``pgd_addr_end`` as the loops over a root use it."""
        return self._step_end(1 << (self.slot_shift or self.shifts[-1]), addr, end)

    def _step_end(self, size: int, addr: int, end: int) -> int:
        boundary = (addr + size) & ~(size - 1) & self.address_mask
        return boundary if (boundary - 1) & self.address_mask < (end - 1) & self.address_mask else end

    def extend(self, va: int) -> int:
        """The canonical address of a sum of indices."""
        if self.signed and va >> (self.va_bits - 1) & 1:
            return va | (self.address_mask & ~((1 << self.va_bits) - 1))
        return va & self.address_mask

    def canonical(self, va: int) -> bool:
        """Whether a CPU would accept the address."""
        if not 0 <= va <= self.address_mask:
            return False
        if self.va_bits == 32:
            return True
        if va >= self.layout["kernel_start"] and not self.signed:
            # Split roots: the kernel's takes what its index bits leave; where its half begins below, it ends there.
            return bool(self.layout["kernel_start"] >> self.va_bits) or not va >> self.va_bits
        top = va >> (self.va_bits - 1 if self.signed else self.va_bits)
        return top in (0, self.address_mask >> (self.va_bits - 1 if self.signed else self.va_bits))

    def is_kernel(self, va: int) -> bool:
        """Whether an address lies in the kernel half."""
        return va >= self.layout["kernel_start"]

    def with_layout(self, changes: Mapping[str, int] | None) -> Geometry:
        """The same geometry with other places for things."""
        if not changes:
            return self
        unknown = sorted(set(changes) - set(LAYOUT))
        if unknown:
            raise ConfigError(f"unknown layout keys {', '.join(unknown)}; known: {', '.join(LAYOUT)}")
        return replace(self, layout=MappingProxyType({**self.layout, **changes}))


def layout(*values: int) -> Mapping[str, int]:
    """A layout with these values, in the order of `LAYOUT`."""
    return MappingProxyType(dict(zip(LAYOUT, values, strict=True)))
