"""arm64 with 4K, 16K and 64K pages (facts 1.2; ``arch/arm64/include/asm/memory.h`` and ``pgtable.h``, 6.12)."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.geometry.shape import Geometry, layout

ORDER: Final = 20

_TOP = 1 << 64
_STRUCT_PAGE = 64


def _arm64(
    name: str,
    shifts: tuple[int, ...],
    root_entries: int,
    va_bits: int,
    pa_bits: int,
    va_bits_min: int,
    slot_shift: int = 0,
) -> Geometry:
    """The kernel's half: the linear map, from its middle modules and vmalloc, then the struct pages, 1 GiB, the end.

    ``va_bits_min``: 52-bit kernels keep everything but the linear map where 48-bit hardware (47-bit with 16K pages)
    reaches it. ``slot_shift``: they run there, too, fold a level, and step over the root as if it were there.
    """
    page_size = 1 << shifts[0]
    kernel_start, middle = _TOP - (1 << va_bits), _TOP - (1 << (va_bits_min - 1))
    struct_pages = (middle - _TOP + (1 << va_bits)) // page_size * _STRUCT_PAGE
    return Geometry(
        name,
        shifts,
        (page_size // 8,) * (len(shifts) - 1) + (root_entries,),
        8,
        va_bits,
        pa_bits,
        layout(
            1 << va_bits,
            kernel_start,
            middle + (2 << 30),
            _TOP - (1 << 30) - struct_pages - (8 << 20),
            _TOP - (8 << 20),
            0x4100_0000,
            0,
            0,
        ),
        slot_shift=slot_shift,
    )


GEOMETRIES: Final = (
    _arm64("arm64-4k-39", (12, 21, 30), 512, 39, 48, 39),
    _arm64("arm64-4k-48", (12, 21, 30, 39), 512, 48, 48, 48),
    _arm64("arm64-4k-52", (12, 21, 30, 39, 48), 16, 52, 52, 48),
    _arm64("arm64-4k-52-on-48", (12, 21, 30, 39), 512, 48, 48, 48, slot_shift=48),
    _arm64("arm64-16k-36", (14, 25), 2048, 36, 48, 36),
    _arm64("arm64-16k-47", (14, 25, 36), 2048, 47, 48, 47),
    _arm64("arm64-16k-48", (14, 25, 36, 47), 2, 48, 48, 48),
    _arm64("arm64-16k-52", (14, 25, 36, 47), 32, 52, 52, 47),
    _arm64("arm64-16k-52-on-47", (14, 25, 36), 2048, 47, 48, 47, slot_shift=47),
    _arm64("arm64-64k-42", (16, 29), 8192, 42, 48, 42),
    _arm64("arm64-64k-48", (16, 29, 42), 64, 48, 48, 48),
    _arm64("arm64-64k-52", (16, 29, 42), 1024, 52, 52, 48),
)
