"""Barriers and invalidations of page tables, as bytes and as text: which ones a CPU's trace is to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Instructions:
    """Those of one architecture.

    ``classes``: a mask and a value each, of the first bytes as a little-endian number. ``text``: what such a number
    says; None where it is another instruction after all.
    """

    classes: tuple[tuple[int, int], ...]
    text: Callable[[int], str | None]


_DOMAINS = {
    0b0001: "oshld", 0b0010: "oshst", 0b0011: "osh", 0b0101: "nshld", 0b0110: "nshst", 0b0111: "nsh", 0b1001: "ishld",
    0b1010: "ishst", 0b1011: "ish", 0b1101: "ld", 0b1110: "st", 0b1111: "sy",
}  # fmt: skip
_TLBI = {1: "va", 2: "asid", 3: "vaa", 5: "val", 7: "vaal"}
"""What an invalidation of EL1 is for, by ``op2``; 0 is everything."""


def _arm64(word: int) -> str | None:
    if word & 0xFFFFF01F == 0xD503301F:
        option, kind = word >> 8 & 15, word >> 5 & 7
        names = {4: "dsb", 5: "dmb", 6: "isb"}
        if kind not in names:
            return None
        return "isb" if kind == 6 else f"{names[kind]} {_DOMAINS.get(option, f'#{option}')}"
    if word & 0xFFFFFFC0 == 0xD5182000:
        return f"msr ttbr{word >> 5 & 1}_el1, x{word & 31}"
    return _tlbi(word)


def _tlbi(word: int) -> str:
    kind, scope, purpose, register = word >> 16 & 7, word >> 8 & 15, word >> 5 & 7, word & 31
    shared = {2: "is", 3: "is", 6: "", 7: ""}
    if kind or scope not in shared or purpose not in {0, *_TLBI}:
        return f"tlbi #{kind}, c8, c{scope}, #{purpose}"
    if purpose == 0:
        return f"tlbi vmalle1{shared[scope]}"
    ranged = "r" if scope in (2, 6) else ""
    return f"tlbi {ranged}{_TLBI[purpose]}e1{shared[scope]}, x{register}"


_RISCV = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{n}" for n in range(8)),
    *(f"s{n}" for n in range(2, 12)), "t3", "t4", "t5", "t6",
)  # fmt: skip


def _set(bits: int) -> str:
    return "".join(name for name, bit in zip("iorw", (8, 4, 2, 1), strict=True) if bits & bit)


def _riscv(word: int) -> str | None:
    first, second = _RISCV[word >> 15 & 31], _RISCV[word >> 20 & 31]
    if word & 0x7F == 0x0F:
        return f"fence {_set(word >> 24 & 15)},{_set(word >> 20 & 15)}"
    if word & 0xFFF0_7FFF == 0x1800_1073:
        return f"csrrw zero,satp,{first}"
    names = {0x09: "sfence.vma", 0x0B: "sinval.vma"}
    return f"{names[word >> 25 & 127]} {first},{second}" if word >> 25 & 127 in names else None


_X86 = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")


def _x86(word: int, *, wide: bool) -> str | None:
    rex = 0
    if wide and word & 0xF0 == 0x40:
        rex, word = word & 15, word >> 8

    def register(number: int) -> str:
        if number > 7:
            return f"%r{number}"
        return f"%{'r' if wide else 'e'}{_X86[number]}"

    if word & 0xFFFFFFFF == 0x82380F66:
        return "invpcid"
    mode, middle, last = word >> 22 & 3, word >> 19 & 7 | (rex & 4) << 1, word >> 16 & 7 | (rex & 1) << 3
    if word & 0xFFFF == 0x010F:
        return f"invlpg ({register(last)})" if middle & 7 == 7 and mode != 3 else None
    return f"mov{'q' if wide else 'l'} {register(last)}, %cr{middle}" if middle in (3, 4) else None


_X86_CLASSES = ((0x38FFFF, 0x38010F), (0xFFFF, 0x220F), (0xFFFFFFFF, 0x82380F66))
_X86_64_CLASSES = (*_X86_CLASSES, (0x38FFFFF0, 0x38010F40), (0xFFFFF0, 0x220F40))

ALL = {
    "arm64": Instructions(((0xFFFFF01F, 0xD503301F), (0xFFF8F000, 0xD5088000), (0xFFFFFFC0, 0xD5182000)), _arm64),
    "riscv64": Instructions(((0xFA007FFF, 0x12000073), (0xF000707F, 0x0F), (0xFFF07FFF, 0x18001073)), _riscv),
    "x86_64": Instructions(_X86_64_CLASSES, lambda word: _x86(word, wide=True)),
    "i386": Instructions(_X86_CLASSES, lambda word: _x86(word, wide=False)),
}
ALL["riscv32"] = ALL["riscv64"]
"""By the architecture's name in recordings."""
