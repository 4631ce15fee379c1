"""arm64 stage 1 (Arm ARM D8.3; ``pgtable-prot.h``, ``pgtable.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import P4D, PMD, PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind
from lazymmu.reference.geometry import Geometry

_ATTRIBUTES = (
    "AttrIndx:4-2 NS:5 AP1:6 AP2:7 AF:10 GP:50 DBM:51 Contiguous:52 PXN:53 UXN:54 DIRTY:55 SPECIAL:56 DEVMAP:57 "
    "UFFD_WP:58 PBHA:62-59 ignored:63"
)


def kinds(level: int, geometry: Geometry) -> tuple[EntryKind, ...]:
    """Of one level; 52-bit addresses are LPA2, or with 64K pages FEAT_LPA."""
    page = geometry.shifts[0]
    wide = geometry.pa_bits == 52
    lpa2 = wide and page < 16
    shift = page + (level - 1) * (page - 3)
    sh = "" if lpa2 else "SH:9-8"

    def address(low: int) -> str:
        if lpa2:
            return f"address:49-{low}@{low} address:9-8@50"
        return f"address:47-{low}@{low}" + (" address:15-12@48" if wide else "")

    blocks = level == PMD or (level == PUD and (page == 12 or wide)) or (level == P4D and page == 12 and lpa2)
    out = []
    if level == PTE or blocks:
        rules = [(7 << 2, n << 2, "acceptable") for n in (5, 6, 7)]
        rules += [] if lpa2 else [(3 << 8, 1 << 8, "acceptable")]
        line = f"type:1-0 {_ATTRIBUTES} {sh} nG:11 {address(shift)}"
        if level != PTE:
            line += f" nT:16 ?RES0_above_nT:{shift - 1}-17"
            line += "" if wide and not lpa2 else " ?RES0_below_nT:15-12"
        if level >= PUD and not (level == PUD and page < 16 and geometry.levels >= 3):
            rules.append((3, 1, "acceptable"))
        name, code = ("page", 3) if level == PTE else ("block", 1)
        out.append(kind(name, "leaf", 3, code, f"{line} ?RES0:*", 64, rules))
    if level != PTE:
        low = 7 if lpa2 else 9
        line = f"type:1-0 {address(page)} ignored_low:{low}-2 AF:10 ignored_11:11 ignored_high:58-51"
        line += " PXNTable:59 UXNTable:60 APTable:62-61 NSTable:63 ?RES0:*"
        out.append(kind("table", "table", 3, 3, line, 64))
    if not blocks:
        out.append(kind("reserved", "invalid", 3, 1, "type:1-0 unused:*", 64, [(3, 1, "invalid")]))
    none = kind("none", "invalid", (1 << 64) - 1, 0, "type:1-0 zero:*", 64)
    line = f"type:1-0 PRESENT_INVALID:11 {_ATTRIBUTES} {sh} {address(shift if level == PTE else min(shift, 47))} RES0:*"
    present_invalid = kind("present-invalid", "invalid", 0x801, 0x800, line, 64)
    swap = "type:1-0 EXCLUSIVE:2 UFFD_WP:3 swap_type:10-6 PRESENT_INVALID:11 offset:61-12 unused:*"
    unused = kind("not-present", "invalid", 1, 0, "type:1-0 software:*", 64, [(1, 0, "acceptable")])
    if level <= PMD:
        cleared = line.replace("PRESENT_INVALID:11", "nG:11")
        return (
            *out,
            none,
            present_invalid,
            kind("cleared", "invalid", 3, 2, cleared, 64),
            kind("swap", "invalid", 0x801, 0, swap, 64),
        )
    return (*out, none, present_invalid, unused) if level == PUD else (*out, none, unused)
