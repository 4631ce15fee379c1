"""x86: four and five levels on 64 bits, PAE and two levels on 32 bits (facts 1.2)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 10


GEOMETRIES: Final = (
    Geometry(
        "x86-64-4level",
        (12, 21, 30, 39),
        (512,) * 4,
        8,
        48,
        52,
        layout(
            0x7FFF_FFFF_F000,
            0xFFFF_8000_0000_0000,
            0xFFFF_C900_0000_0000,
            0xFFFF_E900_0000_0000,
            0,
            0x100_0000,
            0,
            0,
        ),
        signed=True,
    ),
    Geometry(
        "x86-64-5level",
        (12, 21, 30, 39, 48),
        (512,) * 5,
        8,
        57,
        52,
        layout(
            0xFF_FFFF_FFFF_F000,
            0xFF00_0000_0000_0000,
            0xFFA0_0000_0000_0000,
            0xFFD2_0000_0000_0000,
            0,
            0x100_0000,
            0,
            0,
        ),
        signed=True,
    ),
    Geometry(
        "x86-32-pae",
        (12, 21, 30),
        (512, 512, 4),
        8,
        32,
        52,
        layout(0xC000_0000, 0xC000_0000, 0xF000_0000, 0xFF00_0000, 0xFFFF_F000, 0x100_0000, 0x4000_0000, 0),
    ),
    Geometry(
        "x86-32-2level",
        (12, 22),
        (1024, 1024),
        4,
        32,
        32,
        layout(0xC000_0000, 0xC000_0000, 0xF000_0000, 0xFF00_0000, 0xFFFF_F000, 0x100_0000, 0x4000_0000, 0),
    ),
)
