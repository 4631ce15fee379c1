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
_DOMAINS = {"KERNEL", "VECTORS"}
"""Of arm's entries above the leaf; a leaf does not have them."""


def read(path: Path) -> list[Row]:
    """Lines with attributes; neighbours that only a marker divides are one."""
    rows = []
    for _, line in read_lines(path):
        found = _LINE.match(line)
        words = found[3].split() if found else []
        level = next((w.lower() for w in words if w.lower() in _LEVELS), "")
        words = [w for w in words if w not in _DOMAINS]
        # riscv marks what is not set with dots.
        # The bit of powerpc's leaves, where the level has a name besides.
        words = [w for w in words if w != "pte"]
        attributes = frozenset(w for w in words if w.lower() != level and w.strip("."))
        # s390 has lines for what is not there.
        if found and attributes and attributes != {"I"}:
            # powerpc shows the last address of a range.
            rows.append((int(found[1], 16), -(-int(found[2], 16) // 2) * 2, level, attributes))
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
    """The dump shows what the leaf says, whatever the entries above leave of it."""
    bits = {"PWT": 3, "PCD": 4, "GLB": 8}
    out = {name for name, bit in bits.items() if r.raw >> bit & 1}
    out |= {"USR"} if r.raw >> 2 & 1 else set()
    out |= {"PSE"} if r.level > 1 else set()
    out |= {"PAT"} if r.raw >> (7 if r.level == 1 else 12) & 1 else set()
    return frozenset(out | {"RW" if r.raw >> 1 & 1 else "ro", "NX" if r.raw >> 63 else "x"})


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


def _s390x(r: Range) -> frozenset[str]:
    return frozenset({"RW" if r.prot["write"] else "RO", "X" if r.prot["exec"] else "NX"})


_LPAE_MEMORY = {1: ("MEM/BUFFERABLE/WC", "DEV/WC"), 4: ("DEV/SHARED",), 7: ("MEM/CACHED/WBWA",)}


def _arm(r: Range) -> frozenset[str]:
    out = {"SHD"} if r.raw >> 8 & 3 == 3 else set()
    out |= {"USR"} if r.raw >> 6 & 1 else set()
    out |= set(_LPAE_MEMORY[r.raw >> 2 & 7]) if r.level == 1 else set()
    return frozenset(out | {"ro" if r.raw >> 7 & 1 else "RW", "NX" if r.raw >> 54 & 1 else "x"})


_SHORT_MEMORY = {1: "MEM/BUFFERABLE/WC", 4: "DEV/SHARED", 7: "MEM/CACHED/WBWA"}


def _arm_short(r: Range) -> frozenset[str]:
    """A section has the fields of a page six bits higher, but XN in bit 4."""
    word = r.raw >> 6 if r.level > 1 else r.raw
    out = {"SHD"} if word >> 10 & 1 else set()
    out |= {"USR"} if word >> 5 & 1 else set()
    out |= {_SHORT_MEMORY[(word >> 6 & 1) << 2 | word >> 2 & 3]} if r.level == 1 else set()
    never = r.raw >> (4 if r.level > 1 else 0) & 1
    return frozenset(out | {"ro" if word >> 9 & 1 else "RW", "NX" if never else "x"})


def _powerpc(r: Range) -> frozenset[str]:
    """Up to 6.12 the dump names the bit of leaves, not the level: every row is one of ``pte``."""
    bits = {"X": 0, "w": 1, "r": 2, "busy": 6, "dirty": 7, "accessed": 8, "valid": 63, "present": 63, "hpte": 55}
    out = {name for name, bit in bits.items() if r.raw >> bit & 1}
    memory = {2: {"non-idempotent"}, 3: {"tolerant"}}.get(r.raw >> 4 & 3, set())
    return frozenset(out | memory | (set() if r.raw >> 3 & 1 else {"user"}))


def _powerpc_4k(r: Range) -> frozenset[str]:
    """With 4K pages the entry has all that says where the hash table has the page, and the dump shows it always."""
    bits = {"f_second": 56, "hpte": 60}
    out = {name for name, bit in bits.items() if r.raw >> bit & 1}
    return (_powerpc(r) - {"hpte"}) | out | {f"f_gix:{r.raw >> 53 & 7:x}"}


_ATTRIBUTES = {
    "arm": _arm,
    "arm64": _arm64,
    "i386": _x86,
    "ppc64": _powerpc,
    "riscv32": _riscv,
    "riscv64": _riscv,
    "s390x": _s390x,
    "x86_64": _x86,
}


def listed(ranges: Iterable[Range], arch: str, dump: Iterable[Row]) -> list[Row]:
    """Ranges as the dump of this architecture shows them; which levels it names only the dump tells."""
    found = list(ranges)
    attributes, levels = _ATTRIBUTES[arch], _LEVELS
    if arch == "arm" and not any(r.raw >> 32 for r in found):
        # With short descriptors the root, where sections are, is Linux's pgd.
        attributes, levels = _arm_short, ("pte", "pgd")
    if arch == "ppc64" and all(level == "pte" for _, _, level, _ in dump):
        levels = ("pte",) * 4
        attributes = _powerpc_4k if any(r.page_size == 1 << 12 for r in found) else _powerpc
    if arch == "riscv32":
        # Where levels are folded riscv's dump names the highest.
        levels = ("pte", "pgd")
    return merge((r.va, r.end % (1 << 64), levels[r.level - 1], attributes(r)) for r in found)
