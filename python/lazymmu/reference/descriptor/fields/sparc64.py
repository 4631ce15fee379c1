"""sparc64, sun4v (UltraSPARC Architecture 2007, 14.2; ``pgtable_64.h``, ``tsb.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

VALID = 1 << 63
ACCESSED = 1 << 60
HUGE = 1 << 56
PRESENT = 1 << 4
_LOW = "PRESENT:4 SOFT:5 W:6 EXEC:7 P:8 CV:9 CP:10 E:11 IE:12"
_HIGH = "HUGE:56 SPECIAL:57 WRITE:58 READ:59 ACCESSED:60 MODIFIED:61 NFO:62 V:63"


def kinds(level: int) -> tuple[EntryKind, ...]:
    """What the handler of a TSB miss, and the TLB behind it, read."""
    shift = 13 + 10 * (level - 1)
    page = f"SZ:2-0 {{}}RESV:3 {_LOW} address:55-{shift}@{shift} {_HIGH} {{}}low:*"
    valid, absent = page.format("?", "?"), page.format("", "")
    everything = (1 << 64) - 1
    present = VALID | PRESENT | ACCESSED
    if level == PTE:
        return (
            kind("page", "leaf", VALID, VALID, valid, 64),
            kind("none", "invalid", everything, 0, "PRESENT:4 V:63 zero:*", 64),
            kind("old-page", "invalid", present, PRESENT, absent, 64),
            kind("prot-none", "invalid", present, PRESENT | ACCESSED, absent, 64),
            kind("swap", "invalid", VALID, 0, "PRESENT:4 type:19-13 EXCLUSIVE:20 offset:62-21 V:63 unused:*", 64),
        )
    none = kind("none", "invalid", everything, 0, "zero:*", 64)
    if level > PUD:
        return none, kind("table", "table", 0, 0, "?low:12-0 address:55-13@13 !high:63-56", 64)
    nobody = [(PRESENT, 0, "acceptable")]
    return (
        kind("huge-page", "leaf", VALID | HUGE, VALID | HUGE, valid, 64),
        none,
        kind("old-huge-page", "invalid", present | HUGE, PRESENT | HUGE, absent, 64),
        kind("huge-prot-none", "invalid", present | HUGE, PRESENT | ACCESSED | HUGE, absent, 64),
        kind("table", "table", HUGE, 0, "?low:12-0 address:55-13@13 HUGE:56 !high:63-57", 64),
        kind("not-present", "invalid", HUGE, HUGE, "PRESENT:4 HUGE:56 software:*", 64, nobody),
    )
