"""loongarch64 (reference manual vol. 1, 5.4.5; ``pgtable*.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

_BITS = (
    "V:0 D:1 PLV:3-2 MAT:5-4 PRESENT:7 WRITE:8 MODIFIED:9 PROTNONE:10 SPECIAL:11 PRESENT_INVALID:60 NR:61 NX:62 RPLV:63"
)
HUGE = 1 << 6
PRESENT = 1 << 7
PROTNONE = 1 << 10
WINDOW = 0x9000 << 48


def kinds(level: int, page: int, empty: int) -> tuple[EntryKind, ...]:
    """``page``: shift of a page; ``empty``: what an entry of this level holds when nothing is there."""
    shift = page + (level - 1) * (page - 3)
    swap = kind("swap", "invalid", 1, 0, "V:0 type:22-16 EXCLUSIVE:23 offset:63-24 unused:*", 64)
    rules = [(3 << 4, 3 << 4, "acceptable")]
    if level == PTE:
        line = f"{_BITS} G:6 address:47-{shift}@{shift}"
        return (
            kind("page", "leaf", 1, 1, f"{line} ?RES0:*", 64, rules),
            kind("none", "invalid", (1 << 64) - 1 & ~(1 << 6), 0, "V:0 G:6 zero:*", 64),
            kind("old-page", "invalid", 1 | PRESENT, PRESENT, f"{line} RES0:*", 64),
            kind("prot-none", "invalid", 1 | PROTNONE, PROTNONE, f"{line} RES0:*", 64),
            swap,
        )
    line = f"{_BITS} H:6 HG:12 address:47-{shift}@{shift}"
    if level > PUD:
        rules.append((HUGE, HUGE, "acceptable"))
    link = f"window:63-48 address:47-{page}@{page} H:6 ?low:*"
    return (
        kind("huge-page", "leaf", 1 | HUGE, 1 | HUGE, f"{line} ?RES0:*", 64, rules),
        kind("none", "invalid", (1 << 64) - 1, empty, link, 64),
        kind("table", "table", HUGE | 0xFFFF << 48, WINDOW, link, 64),
        kind("old-huge-page", "invalid", 1 | PRESENT | HUGE, PRESENT | HUGE, f"{line} RES0:*", 64),
        kind("huge-prot-none", "invalid", 1 | PROTNONE | HUGE, PROTNONE | HUGE, f"{line} RES0:*", 64),
        swap,
        kind("astray", "invalid", 0, 0, "window:63-48 H:6 unused:*", 64, [(0, 0, "invalid")]),
    )
