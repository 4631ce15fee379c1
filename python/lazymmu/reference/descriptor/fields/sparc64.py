"""sparc64: sun4v (UltraSPARC Architecture 2007, 14.2) and sun4u (UltraSPARC I and II User's Manual, 6.2).

What Linux makes of them: ``pgtable_64.h``, ``tsb.h`` of 6.12.
"""

from __future__ import annotations

from lazymmu.reference.codes import PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

VALID = 1 << 63
HUGE = 1 << 56
_SUN4V = (
    "SZ:2-0 {}RESV:3 PRESENT:4 SOFT:5 W:6 EXEC:7 P:8 CV:9 CP:10 E:11 IE:12 address:55-{}@{} "
    "HUGE:56 SPECIAL:57 WRITE:58 READ:59 ACCESSED:60 MODIFIED:61 NFO:62 V:63 {}low:*"
)
_SUN4U = (
    "{0}G:0 W:1 P:2 E:3 CV:4 CP:5 L:6 PRESENT:7 WRITE:8 READ:9 ACCESSED:10 MODIFIED:11 EXEC:12 address:42-{1}@{2} "
    "{0}RES2:46-43 SN:47 SZ:48@2 {0}RES1:49 SOFT2:55-50 HUGE:56 SPECIAL:57 SOFT2_HIGH:58 IE:59 NFO:60 SZ:62-61 V:63 "
    "{3}low:*"
)


def kinds(level: int, *, sun4u: bool) -> tuple[EntryKind, ...]:
    """What the handler of a TSB miss, and the TLB behind it, read."""
    shift = 13 + 10 * (level - 1)
    page = _SUN4U if sun4u else _SUN4V
    valid, absent = page.format("?", shift, shift, "?"), page.format("", shift, shift, "")
    everything = (1 << 64) - 1
    at, top = (7, 42) if sun4u else (4, 55)
    software, accessed = 1 << at, 1 << (10 if sun4u else 60)
    present = VALID | software | accessed
    if level == PTE:
        return (
            kind("page", "leaf", VALID, VALID, valid, 64),
            kind("none", "invalid", everything, 0, f"PRESENT:{at} V:63 zero:*", 64),
            kind("old-page", "invalid", present, software, absent, 64),
            kind("prot-none", "invalid", present, software | accessed, absent, 64),
            kind("swap", "invalid", VALID, 0, f"PRESENT:{at} type:19-13 EXCLUSIVE:20 offset:62-21 V:63 unused:*", 64),
        )
    none = kind("none", "invalid", everything, 0, "zero:*", 64)
    if level > PUD:
        return none, kind("table", "table", 0, 0, f"?low:12-0 address:{top}-13@13 !high:63-{top + 1}", 64)
    middle = f"!middle:55-{top + 1} " if sun4u else ""
    nobody = [(software, 0, "acceptable")]
    return (
        kind("huge-page", "leaf", VALID | HUGE, VALID | HUGE, valid, 64),
        none,
        kind("old-huge-page", "invalid", present | HUGE, software | HUGE, absent, 64),
        kind("huge-prot-none", "invalid", present | HUGE, software | accessed | HUGE, absent, 64),
        kind("table", "table", HUGE, 0, f"?low:12-0 address:{top}-13@13 {middle}HUGE:56 !high:63-57", 64),
        kind("not-present", "invalid", HUGE, HUGE, f"PRESENT:{at} HUGE:56 software:*", 64, nobody),
    )
