"""64-bit Book3S powerpc (facts 1.2; ``arch/powerpc/include/asm/book3s/64/radix*.h`` and ``hash*.h``, 6.12).

The hash kernels' tables are software's own. The facts give hash with 64K pages nine bits at pud level; 6.12 has ten.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 50

_TB = 1 << 40
PAGE_OFFSET: Final = 0xC000_0000_0000_0000


def _book3s(name: str, page_shift: int, bits: tuple[int, ...], vmalloc_start: int, vmalloc_size: int) -> Geometry:
    """``bits``: of the indices, leaf tables first."""
    shifts = tuple(page_shift + sum(bits[:level]) for level in range(len(bits)))
    task_size = 64 * _TB if page_shift == 12 else 4096 * _TB
    places = layout(task_size, PAGE_OFFSET, vmalloc_start, vmalloc_start + vmalloc_size, 0, 0x800_0000, 0, 0)
    return Geometry(name, shifts, tuple(1 << n for n in bits), 8, page_shift + sum(bits), 53, places)


GEOMETRIES: Final = (
    _book3s("powerpc-radix-4k", 12, (9, 9, 9, 13), 0xC008_0000_0000_0000, 512 * _TB),
    _book3s("powerpc-radix-64k", 16, (5, 9, 9, 13), 0xC008_0000_0000_0000, 512 * _TB),
    _book3s("powerpc-hash-4k", 12, (9, 7, 9, 9), 0xC000_3D00_0000_0000, _TB),
    _book3s("powerpc-hash-64k", 16, (8, 10, 10, 8), 0xC008_0000_0000_0000, 512 * _TB),
)
