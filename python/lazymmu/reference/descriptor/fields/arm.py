"""32-bit arm (Arm ARM v7 B3.5.1, B3.6.1, B3.6.2; ``pgtable-2level.h``, ``pgtable-3level.h``, 6.12).

Of the two words of a page with short descriptors, the hardware's.
"""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

_LONG = (
    "type:1-0 AttrIndx:4-2 NS:5 AP1:6 AP2:7 SH:9-8 AF:10 nG:11 Contiguous:52 PXN:53 XN:54 DIRTY:55 SPECIAL:56 NONE:57 "
    "RDONLY:58 ignored:63-59"
)


def kinds(level: int, *, lpae: bool) -> tuple[EntryKind, ...]:
    """Of one level."""
    return _long(level) if lpae else _short(level)


def _long(level: int) -> tuple[EntryKind, ...]:
    shift = 12 + 9 * (level - 1)
    rules = [(3 << 8, 1 << 8, "acceptable")]
    if level > PMD:
        rules.append((3, 1, "acceptable"))
    name, code = ("page", 3) if level == PTE else ("block", 1)
    line = f"{_LONG} address:47-{shift}@{shift} ?RES0:*"
    leaf = kind(name, "leaf", 3 | 1 << 10, code | 1 << 10, line, 64, rules)
    old = kind(f"old-{name}", "invalid", 3 | 1 << 10, code, line, 64, rules)
    none = kind("none", "invalid", (1 << 64) - 1, 0, "type:1-0 zero:*", 64)
    swap = kind("swap", "invalid", 1, 0, "type:1-0 EXCLUSIVE:7 swap_type:36-32 offset:63-37 unused:*", 64)
    if level == PTE:
        reserved = kind("reserved", "invalid", 3, 1, "type:1-0 unused:*", 64, [(3, 1, "invalid")])
        prot_none = kind("prot-none", "invalid", 3, 2, f"{_LONG} address:47-12@12 RES0:*", 64)
        return leaf, old, reserved, none, prot_none, swap
    line = (
        "type:1-0 ignored_low:11-2 address:47-12@12 ignored_high:58-52 PXNTable:59 XNTable:60 APTable:62-61 NSTable:63"
    )
    return leaf, old, kind("table", "table", 3, 3, f"{line} ?RES0:*", 64), none, swap


def _short(level: int) -> tuple[EntryKind, ...]:
    bits = 32 if level == PTE else 64
    rest = (
        kind("none", "invalid", (1 << bits) - 1, 0, "zero:*", bits),
        kind("not-present", "invalid", 3, 0, "type:1-0 software:*", bits),
    )
    if level == PTE:
        page = "XN:0 small:1 B:2 C:3 AP0:4 AP1:5 TEX0:6 TEX:8-7 APX:9 S:10 nG:11 address:31-12@12"
        large = "type:1-0 B:2 C:3 AP0:4 AP1:5 APX:9 S:10 nG:11 TEX0:12 TEX:14-13 XN:15 address:31-16@16 ?RES0:*"
        never = [(3, 1, "acceptable")]
        return kind("page", "leaf", 2, 2, page, bits), kind("large-page", "leaf", 3, 1, large, bits, never), *rest
    section = (
        "PXN:0 section:1 B:2 C:3 XN:4 domain:8-5 impl:9 AP0:10 AP1:11 TEX0:12 TEX:14-13 APX:15 S:16 nG:17 super:18 "
        "NS:19 ?odd:20 address:31-21@21 second:63-32"
    )
    table = "type:1-0 PXN:2 NS:3 bit4:4 domain:8-5 impl:9 quarter:11-10 address:31-12@12 second:63-32"
    elsewhere = [(3 << 10, n << 10, "acceptable") for n in (0, 1, 3)]
    return (
        kind("section", "leaf", 2, 2, section, bits, [(1 << 18, 1 << 18, "acceptable")]),
        kind("table", "table", 3, 1, table, bits, elsewhere),
        *rest,
    )
