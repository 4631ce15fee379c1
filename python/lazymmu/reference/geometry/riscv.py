"""riscv Sv32, Sv39, Sv48 and Sv57 (facts 1.2; ``arch/riscv/include/asm/pgtable.h`` and ``page.h``, 6.12).

One 64-bit kernel folds the levels that the CPU lacks at run time; what is left is the geometry.
"""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 40

_TOP = 1 << 64


def _rv64(bits: int, page_offset: int) -> Geometry:
    """``VMALLOC_SIZE`` is half of half of the kernel's half; it ends where the linear map begins."""
    levels = {39: 3, 48: 4, 57: 5}[bits]
    half = 1 << (bits - 1)
    return Geometry(
        f"riscv-sv{bits}",
        tuple(12 + 9 * level for level in range(levels)),
        (512,) * levels,
        8,
        bits,
        56,
        layout(half, _TOP - half, page_offset - half // 4, page_offset, 0, 0x8100_0000, 0, 0),
        signed=True,
    )


GEOMETRIES: Final = (
    Geometry(
        "riscv-sv32",
        (12, 22),
        (1024, 1024),
        4,
        32,
        34,
        layout(0x9C80_0000, 0x9C80_0000, 0xA000_0000, 0xC000_0000, 0, 0x8100_0000, 0, 0),
    ),
    _rv64(39, 0xFFFF_FFD6_0000_0000),
    _rv64(48, 0xFFFF_AF80_0000_0000),
    _rv64(57, 0xFF60_0000_0000_0000),
)
