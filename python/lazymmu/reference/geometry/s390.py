"""s390 (facts 1.2; ``arch/s390/include/asm/pgtable.h``, 6.12): tables of 2048 entries above page tables of 256."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 90

_SHIFTS = (12, 20, 31, 42, 53)
_VMALLOC = 512 << 30
"""``VMALLOC_DEFAULT_SIZE`` and the 2 GiB of modules behind it."""
_MODULES = 2 << 30


def _geometry(levels: int) -> Geometry:
    bits = 20 + 11 * (levels - 1)
    # Users overlap the kernel in reality; addresses tell them apart here.
    start = (1 << bits) - _VMALLOC
    places = layout(start, start, start, (1 << bits) - _MODULES, 0, 0x400_0000, 0, 0)
    entries = (256, *(2048,) * (levels - 1))
    # PGDIR_SHIFT whatever the root is: loops over it take all that three or four levels map as one slot.
    return Geometry(f"s390-{levels}level", _SHIFTS[:levels], entries, 8, bits, 46, places, slot_shift=_SHIFTS[-1])


GEOMETRIES: Final = (_geometry(3), _geometry(4), _geometry(5))
