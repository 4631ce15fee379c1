"""sparc64: sun4v from T4 on, and sun4u (facts 1.2; ``asm/pgtable_64.h``, ``mm/init_64.c``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 60

_VMALLOC_START = 0x1_0000_0000
_HOLE = 1 << 51
_SUN4U_HOLE = 1 << 43

GEOMETRIES: Final = (
    Geometry(
        "sparc64-8k",
        (13, 23, 33, 43),
        (1024,) * 4,
        8,
        53,
        53,
        # Users overlap the kernel in reality; addresses tell them apart here.
        layout(_VMALLOC_START, _VMALLOC_START, _VMALLOC_START, _HOLE * 3 // 4, 0, 0x800_0000, 0, 0),
    ),
    # Other entries: the address is pa[42:13].
    Geometry(
        "sparc64-8k-sun4u",
        (13, 23, 33, 43),
        (1024,) * 4,
        8,
        53,
        43,
        layout(_VMALLOC_START, _VMALLOC_START, _VMALLOC_START, _SUN4U_HOLE * 3 // 4, 0, 0x800_0000, 0, 0),
    ),
)
