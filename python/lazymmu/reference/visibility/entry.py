"""Entries as the hardware walker reads them. Levels go from 0 to 3, the last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """``kind`` is "invalid", "table" or "leaf"; ``clean`` says that the hardware may make it writable."""

    kind: str
    address: int
    accessed: bool
    writable: bool
    clean: bool
    user: bool
    global_: bool


class Arm64:
    """Arm ARM D8.3."""

    VALID, USER, READ_ONLY, AF, NG, DBM, XN = 1, 1 << 6, 1 << 7, 1 << 10, 1 << 11, 1 << 51, 1 << 54
    ADDRESS = 0x0000_FFFF_FFFF_F000


class X86:
    """Intel SDM volume 3, 4.5."""

    P, RW, US, A, D, PS, G = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8
    ADDRESS = 0x000F_FFFF_FFFF_F000


class RiscV:
    """RISC-V privileged specification, Sv39."""

    V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
    PPN = 10


def decode(architecture: str, level: int, word: int) -> Entry:
    """What a walker makes of a word."""
    size = (1 << (12 + 9 * (3 - level))) - 1
    if architecture == "armv8":
        kind = {3: "table" if level < 3 else "leaf", 1: "leaf" if level in (1, 2) else "invalid"}.get(
            word & 3, "invalid"
        )
        address = word & Arm64.ADDRESS & (~size if kind == "leaf" else ~0xFFF)
        writable = not word & Arm64.READ_ONLY
        clean = not writable and bool(word & Arm64.DBM)
        return Entry(
            kind, address, bool(word & Arm64.AF), writable, clean, bool(word & Arm64.USER), not word & Arm64.NG
        )
    if architecture == "x86-tso":
        leaf = level == 3 or (level > 0 and bool(word & X86.PS))
        kind = "invalid" if not word & X86.P else "leaf" if leaf else "table"
        address = word & X86.ADDRESS & (~size if kind == "leaf" else ~0xFFF)
        rw, dirty = bool(word & X86.RW), bool(word & X86.D)
        writable = rw and (dirty or kind != "leaf")
        return Entry(
            kind, address, bool(word & X86.A), writable, rw and not dirty, bool(word & X86.US), bool(word & X86.G)
        )
    if not word & RiscV.V or word & (RiscV.R | RiscV.W) == RiscV.W:
        kind = "invalid"
    elif word & (RiscV.R | RiscV.W | RiscV.X):
        kind = "leaf"
    else:
        kind = "table" if level < 3 else "invalid"
    w, dirty = bool(word & RiscV.W), bool(word & RiscV.D)
    address = word >> RiscV.PPN << 12 & 0x00FF_FFFF_FFFF_F000
    accessed, user = bool(word & RiscV.A), bool(word & RiscV.U)
    return Entry(kind, address, accessed, w and dirty, w and not dirty, user, bool(word & RiscV.G))


def set_accessed(architecture: str, word: int) -> int:
    """The word after the walker has set the access flag."""
    return word | {"armv8": Arm64.AF, "x86-tso": X86.A, "rvwmo": RiscV.A}[architecture]


def set_dirty(architecture: str, word: int) -> int:
    """The word after the walker has set access flag and dirty state."""
    if architecture == "armv8":
        return (word | Arm64.AF) & ~Arm64.READ_ONLY
    return word | (X86.A | X86.D if architecture == "x86-tso" else RiscV.A | RiscV.D)
