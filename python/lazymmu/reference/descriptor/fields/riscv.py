"""riscv (privileged architecture 12.3 to 12.6, Svpbmt, Svnapot; ``pgtable*.h``, 6.12)."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, PUD
from lazymmu.reference.descriptor.fields.layout import EntryKind, kind

_BITS = "V:0 R:1 W:2 X:3 U:4 A:6 D:7 SPECIAL:8 DEVMAP:9"
N = 1 << 63
NAPOT = 0xF << 10


def kinds(level: int, *, wide: bool, svpbmt: bool = True) -> tuple[EntryKind, ...]:
    """``wide``: 64-bit entries."""
    bits = 64 if wide else 32
    top, below = (53, 9 * (level - 1)) if wide else (31, 10 * (level - 1))
    frame = f"address:{top}-{10 + below}@{12 + below}"
    memory = ("PBMT:62-61" if svpbmt else "!PBMT:62-61") if wide else ""
    line = f"{_BITS} G:5 {frame} {memory}"
    rules = []
    if below:
        line += f" !misaligned:{9 + below}-10"
    if wide:
        line += " N:63" if level == PTE else " !N:63"
        rules.append((3 << 61, 3 << 61, "invalid"))
    if level > PUD:
        rules.append((1, 1, "acceptable"))
    line += " !reserved:*"
    name, code = ("page", "execute-only-page") if level == PTE else ("superpage", "execute-only-superpage")
    grouped = wide and level == PTE
    out = [kind(name, "leaf", 3 | (N if grouped else 0), 3, line, bits, rules)]
    if grouped:
        group = f"{_BITS} G:5 size:13-10 address:53-14@16 N:63 {memory} !reserved:*"
        broken = [(3 << 61, 3 << 61, "invalid"), (6, 4, "invalid"), (0xE, 0, "invalid")]
        out.append(kind("napot-page", "leaf", 1 | N | NAPOT, 1 | N | 8 << 10, group, bits, broken))
        out.append(kind("reserved-group", "invalid", 1 | N, 1 | N, "V:0 RWX:3-1 unused:*", bits, [(1, 1, "invalid")]))
    out.append(kind(code, "leaf", 0xF, 9, line, bits, rules))
    out.append(kind("reserved", "invalid", 7, 5, "V:0 RWX:3-1 unused:*", bits, [(1, 1, "invalid")]))
    if level == PTE:
        out.append(kind("reserved-table", "invalid", 0xF, 1, "V:0 RWX:3-1 unused:*", bits, [(1, 1, "invalid")]))
    else:
        line = f"V:0 RWX:3-1 ?U:4 G:5 ?A:6 ?D:7 RSW:9-8 address:{top}-10@12"
        line += " !PBMT:62-61 !N:63" if wide else ""
        out.append(kind("table", "table", 0xF, 1, f"{line} !reserved:*", bits))
    none = kind("none", "invalid", (1 << bits) - 1, 0, "V:0 zero:*", bits)
    if level > PMD:
        return (*out, none, kind("not-present", "invalid", 1, 0, "V:0 software:*", bits, [(1, 0, "acceptable")]))
    swap = f"V:0 leaf_bits:3-1 EXCLUSIVE:6 type:11-7 offset:{bits - 1}-12 unused:*"
    return (
        *out,
        none,
        kind("prot-none", "invalid", 0x21, 0x20, f"{_BITS} PROT_NONE:5 {frame} ignored:*", bits),
        kind("swap", "invalid", 0x21, 0, swap, bits),
    )
