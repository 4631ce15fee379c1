"""s390 (z/Architecture Principles of Operation, chapter 3; ``arch/s390/include/asm/pgtable.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

PRESENT = 0x1
READ = 0x10
PROTECT = 0x200
INVALID = 0x400
TABLE_INVALID = 0x20
LARGE = 0x400
_PAGE = (
    "PRESENT:0 SOFT_DIRTY:1 YOUNG:2 DIRTY:3 READ:4 WRITE:5 SPECIAL:6 UNUSED:7 IEP:8 P:9 I:10 {}zero:11 address:63-12@12"
)
_LARGE = "{} TT:3-2 CS:4 I:5 IEP:8 P:9 FC:10 ACC:15-12 AV:16"
_ALL = (1 << 64) - 1


def kinds(level: int, *, present_bits: bool = False) -> tuple[EntryKind, ...]:
    """Entries of page tables, segment tables and region tables."""
    if level == PTE:
        return _pages()
    own = level - PMD << 2
    mask = 0xC | TABLE_INVALID
    out = [kind("none", "invalid", _ALL, own | TABLE_INVALID, "TT:3-2 I:5 zero:*", 64)]
    if level in (PMD, PUD):
        low = 20 if level == PMD else 31
        lowest = "PRESENT:0 SOFT_DIRTY:1" if present_bits else "READ:0 WRITE:1"
        line = f"{_LARGE.format(lowest)} address:63-{low}@{low}"
        out.append(kind("large-page", "leaf", mask | LARGE, own | LARGE, f"{line} ?RES0:*", 64))
        old = own | LARGE | TABLE_INVALID
        out.append(kind("old-large-page", "invalid", mask | LARGE, old, f"{line} RES0:*", 64))
    if level == PMD:
        present = "PRESENT:0 " if present_bits else ""
        out.append(kind("table", "table", mask, own, f"{present}TT:3-2 CS:4 I:5 P:9 address:63-11@11 ?RES0:*", 64))
    else:
        out.append(kind("table", "table", mask, own, "TL:1-0 TT:3-2 I:5 TF:7-6 P:9 address:63-12@12 ?RES0:*", 64))
    unused = [(TABLE_INVALID, TABLE_INVALID, "acceptable")]
    out.append(kind("not-present", "invalid", TABLE_INVALID, TABLE_INVALID, "TT:3-2 I:5 software:*", 64, unused))
    out.append(kind("reserved", "invalid", 0, 0, "TT:3-2 I:5 unused:*", 64, [(0, 0, "invalid")]))
    return tuple(out)


def _pages() -> tuple[EntryKind, ...]:
    gone = INVALID | PRESENT
    swap = "PRESENT:0 SOFT_DIRTY:1 type:6-2 P:9 I:10 EXCLUSIVE:11 offset:63-12 unused:*"
    return (
        kind("page", "leaf", INVALID, 0, _PAGE.format("!"), 64),
        kind("none", "invalid", _ALL, INVALID, "PRESENT:0 I:10 zero:*", 64),
        kind("prot-none", "invalid", gone | READ, gone, _PAGE.format(""), 64),
        kind("old-page", "invalid", gone, gone, _PAGE.format(""), 64),
        kind("swap", "invalid", PROTECT | PRESENT, PROTECT, swap, 64),
        kind("not-present", "invalid", 0, 0, "PRESENT:0 I:10 software:*", 64, [(0, 0, "acceptable")]),
    )
