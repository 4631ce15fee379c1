"""loongarch64 (facts 1.2; ``arch/loongarch/include/asm/pgtable.h``, 6.12), on a CPU with 47-bit halves."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 80

_TOP = 1 << 64
VM_MAP_BASE: Final = _TOP - (1 << 47)


def _loongarch(name: str, page_shift: int, levels: int) -> Geometry:
    """Every level has ``PAGE_SHIFT - 3`` bits. Above vmalloc: a pmd's size, then 64 bytes for each possible page."""
    page, bits = 1 << page_shift, page_shift - 3
    va_bits = page_shift + levels * bits
    half = 1 << min(va_bits, 47)
    vmemmap = 64 * ((1 << 48) // page)
    return Geometry(
        name,
        tuple(page_shift + bits * level for level in range(levels)),
        (page // 8,) * levels,
        8,
        va_bits,
        48,
        layout(
            half,
            VM_MAP_BASE,
            VM_MAP_BASE + (32 << 20) + 2 * page + (2 << 30),
            VM_MAP_BASE + half - (1 << (page_shift + bits)) - vmemmap,
            0,
            0x400_0000,
            0,
            0,
        ),
        signed=va_bits > 47,
    )


GEOMETRIES: Final = (
    _loongarch("loongarch64-4k-4level", 12, 4),
    _loongarch("loongarch64-16k-3level", 14, 3),
    _loongarch("loongarch64-64k-2level", 16, 2),
)
