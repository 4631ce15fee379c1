"""32-bit arm: LPAE and classic (facts 1.2; ``arch/arm/include/asm/pgtable-2level.h`` and ``pgalloc.h``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 30

_PAGE_OFFSET = 0xC000_0000
_MODULES = _PAGE_OFFSET - (16 << 20)
_LAYOUT = layout(_MODULES, _MODULES, 0xF080_0000, 0xFF80_0000, 0xFFEF_F000, 0x100_0000, 0x3000_0000, 0)

GEOMETRIES: Final = (
    Geometry("arm-lpae", (12, 21, 30), (512, 512, 4), 8, 32, 40, _LAYOUT),
    Geometry("arm-classic", (12, 21), (512, 2048), 4, 32, 32, _LAYOUT, root_bytes=8, hardware_ptes=True),
)
