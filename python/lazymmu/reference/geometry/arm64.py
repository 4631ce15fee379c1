"""arm64 with 4K, 16K and 64K pages (facts 1.2)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 20

GEOMETRIES: Final = (
    Geometry(
        "arm64-4k-39",
        (12, 21, 30),
        (512,) * 3,
        8,
        39,
        48,
        layout(
            0x80_0000_0000,
            0xFFFF_FF80_0000_0000,
            0xFFFF_FFC0_8000_0000,
            0xFFFF_FFFE_BF80_0000,
            0xFFFF_FFFF_FF80_0000,
            0x4100_0000,
            0,
            0,
        ),
    ),
    Geometry(
        "arm64-4k-48",
        (12, 21, 30, 39),
        (512,) * 4,
        8,
        48,
        48,
        layout(
            0x1_0000_0000_0000,
            0xFFFF_0000_0000_0000,
            0xFFFF_8000_8000_0000,
            0xFFFF_FDFF_BF80_0000,
            0xFFFF_FFFF_FF80_0000,
            0x4100_0000,
            0,
            0,
        ),
    ),
    Geometry(
        "arm64-4k-52",
        (12, 21, 30, 39, 48),
        (512, 512, 512, 512, 16),
        8,
        52,
        52,
        layout(
            0x10_0000_0000_0000,
            0xFFF0_0000_0000_0000,
            0xFFFF_8000_8000_0000,
            0xFFFF_C1FF_BF80_0000,
            0xFFFF_FFFF_FF80_0000,
            0x4100_0000,
            0,
            0,
        ),
    ),
)
