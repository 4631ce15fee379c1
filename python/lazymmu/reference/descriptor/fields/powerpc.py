"""64-bit Book3S powerpc (Power ISA 3.0B Book III 5.7.10; ``book3s/64/*.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

PRESENT = 1 << 63
LEAF = 1 << 62
INVALID = 1 << 61
_SOFT = "SOFT_DIRTY:9 SPECIAL:10 DEVMAP:11"
_RADIX = f"V:63 L:62 SW0:61 execute:0 write:1 read:2 privileged:3 ATT:5-4 C:7 R:8 {_SOFT}"
_HASH = (
    f"PRESENT:63 PTE:62 INVALID:61 EXEC:0 WRITE:1 READ:2 PRIVILEGED:3 CACHE_CTL:5-4 BUSY:6 DIRTY:7 ACCESSED:8 {_SOFT}"
)
_FOUR = "F_GIX:55-53 F_SECOND:56 PKEY:59-57 HASHPTE:60"
_SIXTYFOUR = "COMBO:12 4K_PFN:13 HASHPTE:55 PKEY:60-56"


def kinds(level: int, *, radix: bool, shifts: tuple[int, ...], below: int, flags: int) -> tuple[EntryKind, ...]:
    """``shifts``: of the levels; ``below``: index bits of the table below; ``flags``: left in empty PTEs."""
    page, shift = shifts[0], shifts[level - 1]
    head = "V:63 L:62" if radix else "PRESENT:63 PTE:62"
    everything = (1 << 64) - 1
    if radix:
        leaf, left = f"{_RADIX} address:56-{shift}@{shift}", "C:7 R:8"
        link = f"{head} NLS:4-0 address:59-8@8 ?RES0:*"
    else:
        places = _FOUR if page == 12 else _SIXTYFOUR
        leaf = f"{_HASH} {places} address:52-{shift}@{shift}"
        left = "BUSY:6 F_GIX:55-53 F_SECOND:56 HASHPTE:60" if page == 12 else "BUSY:6 COMBO:12 HASHPTE:55"
        link = f"{head} address:60-{below + 3}@{below + 3} ?RES0:*"
    leaves = radix or level <= PUD
    out = []
    if leaves:
        odd = [(LEAF, LEAF, "acceptable")] if level > PUD else []
        name = "page" if level == PTE else "huge-page"
        out.append(kind(name, "leaf", PRESENT | LEAF, PRESENT | LEAF, f"{leaf} ?RES0:*", 64, odd))
    if level != PTE:
        single = [(0x1F, 0, "acceptable")] if radix else []
        out.append(kind("table", "table", PRESENT | LEAF, PRESENT, link, 64, single))
        out.append(kind("none", "invalid", everything, 0, f"{head} zero:*", 64))
    else:
        out.append(kind("none", "invalid", everything & ~flags, 0, f"{head} {left} zero:*", 64))
    if level <= PMD:
        name = "invalidated-page" if level == PTE else "invalidated-huge-page"
        mark = LEAF | INVALID
        out.append(kind(name, "invalid", PRESENT | mark, mark, f"{leaf} RES0:*", 64))
        swap = f"{head} type:4-0 EXCLUSIVE:5 SOFT_DIRTY:9 offset:52-{page} unused:*"
        out.append(kind("swap", "invalid", PRESENT | LEAF, LEAF, swap, 64))
    out.append(kind("not-present", "invalid", PRESENT, 0, f"{head} software:*", 64, [(PRESENT, 0, "acceptable")]))
    if level == PTE or not leaves:
        wrong = [(PRESENT, PRESENT, "invalid")]
        out.append(kind("reserved", "invalid", PRESENT, PRESENT, f"{head} unused:*", 64, wrong))
    return tuple(out)
