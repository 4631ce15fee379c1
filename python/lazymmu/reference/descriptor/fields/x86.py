"""x86 (SDM vol. 3A 5.3 to 5.5; ``pgtable_types.h``, ``pgtable_64.h``, ``pgtable-{2,3}level.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

_LOW = "P:0 RW:1 US:2 PWT:3 PCD:4 A:5"
_LEAF = f"{_LOW} D:6 G:8 SPECIAL:9 SOFT_DIRTY:11"


def kinds(level: int, width: str) -> tuple[EntryKind, ...]:
    """``width``: ``long`` (4 and 5 levels), ``pae`` or ``two``."""
    bits = 32 if width == "two" else 64
    top = 31 if width == "two" else 51
    high = {"long": "DEVMAP:57 SAVED_DIRTY:58 PKEY:62-59 XD:63", "pae": "!reserved_high:62-52 XD:63", "two": ""}[width]
    middle = "UFFD_WP:10" if width == "long" else "SAVED_DIRTY:10"
    leaf = f"{_LEAF} {middle} {high}"
    table = f"{_LOW} address:{top}-12@12 {'XD:63' if width == 'long' else high}"
    out = []
    if width == "pae" and level == PUD:
        line = "P:0 PWT:3 PCD:4 ignored:11-9 address:51-12@12 !reserved:*"
        out.append(kind("table", "table", 1, 1, line, bits))
    elif level == PTE:
        out.append(kind("page", "leaf", 1, 1, f"{leaf} PAT:7 address:{top}-12@12 ignored:*", bits))
    else:
        if level <= PUD:
            shift = {PMD: 22 if width == "two" else 21, PUD: 30}[level]
            below = "address:20-13@32 !reserved:21" if width == "two" else f"!reserved:{shift - 1}-13"
            line = f"{leaf} PS:7 PAT:12 address:{top}-{shift}@{shift} {below} ignored:*"
            out.append(kind("large-page", "leaf", 0x81, 0x81, line, bits))
        mask, ps = (0x81, "PS:7") if level <= PUD else (1, "!PS:7")
        out.append(kind("table", "table", mask, 1, f"{table} {ps} ignored:*", bits))
    return (*out, *_absent(level, width, bits, top))


def _absent(level: int, width: str, bits: int, top: int) -> tuple[EntryKind, ...]:
    everything = (1 << bits) - 1
    if bits == 64:
        noise = [(1 << 5, 1 << 5, "acceptable"), (1 << 6, 1 << 6, "acceptable")]
        none = kind("none", "invalid", everything & ~0x60, 0, "P:0 A:5 D:6 zero:*", bits, noise)
    else:
        none = kind("none", "invalid", everything, 0, "P:0 zero:*", bits)
    if level > PMD:
        return none, kind("not-present", "invalid", 1, 0, "P:0 software:*", bits, [(1, 0, "acceptable")])
    low = 12 if level == PTE else 22 if width == "two" else 21
    address = f"{'' if width == 'two' else '~'}address:{top}-{low}@{low}"
    middle = "UFFD_WP:10" if width == "long" else "SAVED_DIRTY:10"
    high = {"long": "DEVMAP:57 SAVED_DIRTY:58 PKEY:62-59 XD:63", "pae": "XD:63", "two": ""}[width]
    bit7 = "PAT:7" if level == PTE else "PS:7"
    line = f"{_LOW} D:6 {bit7} PROTNONE:8 SPECIAL:9 {middle} SOFT_DIRTY:11 {address} {high} ignored:*"
    swap = {
        "long": "P:0 SOFT_DIRTY:1 UFFD_WP:2 EXCLUSIVE:3 PSE:7 PROTNONE:8 ~offset:58-9 type:63-59 unused:*",
        "pae": "P:0 EXCLUSIVE:7 PROTNONE:8 ~offset:58-9 type:63-59 unused:*",
        "two": "P:0 type:5-1 EXCLUSIVE:7 PROTNONE:8 offset:31-9 unused:*",
    }[width]
    stray = [(0x80, 0x80, "acceptable")] if level == PTE and width == "long" else []
    return (
        none,
        kind("prot-none", "invalid", 0x101, 0x100, line, bits),
        kind("swap", "invalid", 0x101, 0, swap, bits, stray),
    )
