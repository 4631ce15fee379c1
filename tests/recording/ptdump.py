"""The kernel's own dump of its page tables, and a listing of the model in the same words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lazymmu.recording.files import read_lines
from lazymmu.recording.image import Range

Row = tuple[int, int, str, frozenset[str]]
"""First address, end, level, attributes."""

_LINE = re.compile(r"(0x[0-9a-f]+)-(0x[0-9a-f]+)\s+(?:0x[0-9a-f]+\s+)?\d+[KMGTPE]\s*(.*)$")
_LEVELS = ("pte", "pmd", "pud", "p4d", "pgd")


def read(path: Path) -> list[Row]:
    """Lines with attributes; neighbours that only a marker divides are one."""
    rows = []
    for _, line in read_lines(path):
        found = _LINE.match(line)
        words = found[3].split() if found else []
        level = next((w.lower() for w in words if w.lower() in _LEVELS), "")
        # riscv marks what is not set with dots.
        attributes = frozenset(w for w in words if w.lower() != level and w.strip("."))
        if found and attributes:
            rows.append((int(found[1], 16), int(found[2], 16), level, attributes))
    return merge(rows)


def merge(rows: Iterable[Row]) -> list[Row]:
    """Neighbours with the same level and attributes as one."""
    out: list[Row] = []
    for start, end, level, attributes in rows:
        if out and out[-1][1:] == (start, level, attributes):
            out[-1] = out[-1][0], end, level, attributes
        else:
            out.append((start, end, level, attributes))
    return out


def _x86(r: Range) -> frozenset[str]:
    bits = {"PWT": 3, "PCD": 4, "GLB": 8}
    out = {name for name, bit in bits.items() if r.raw >> bit & 1}
    out |= {"USR"} if r.prot["user"] else set()
    out |= {"PSE"} if r.level > 1 else set()
    out |= {"PAT"} if r.raw >> (7 if r.level == 1 else 12) & 1 else set()
    return frozenset(out | {"RW" if r.prot["write"] else "ro", "x" if r.prot["exec"] else "NX"})


def _arm64(r: Range) -> frozenset[str]:
    memory = ("NORMAL", "NORMAL-TAGGED", "NORMAL-NC", "nGnRnE", "nGnRE")[r.raw >> 2 & 7]
    bits = {"USR": 6, "AF": 10, "NG": 11, "GP": 50, "CON": 52, "UXN": 54}
    out = {name for name, bit in bits.items() if r.raw >> bit & 1}
    out |= {"SHD"} if r.raw >> 8 & 3 == 3 else set()
    out |= {"F"} if not r.prot["valid"] else set()
    out |= {"BLK"} if r.level > 1 else set()
    out |= {"ro" if r.raw >> 7 & 1 else "RW", "NX" if r.raw >> 53 & 1 else "x"}
    return frozenset(out | {("DEVICE/" if memory.startswith("nG") else "MEM/") + memory})


def _riscv(r: Range) -> frozenset[str]:
    out = {name for bit, name in enumerate("VRWXUGAD") if r.raw >> bit & 1}
    out |= {"N"} if r.raw >> 63 & 1 else set()
    out |= {f"RSW({r.raw >> 8 & 3})"} if r.raw >> 8 & 3 else set()
    memory = ("", "NC", "IO", "??")[r.raw >> 61 & 3]
    return frozenset(out | ({f"MT({memory})"} if memory else set()))


_ATTRIBUTES = {"arm64": _arm64, "riscv32": _riscv, "riscv64": _riscv, "i386": _x86, "x86_64": _x86}


def listed(ranges: Iterable[Range], arch: str) -> list[Row]:
    """Ranges as the dump of this architecture shows them."""
    # Where levels are folded riscv's dump names the highest.
    levels = ("pte", "pgd") if arch == "riscv32" else _LEVELS
    return merge((r.va, r.end % (1 << 64), levels[r.level - 1], _ATTRIBUTES[arch](r)) for r in ranges)
