"""The RISC-V instructions of litmus tests."""

from __future__ import annotations

import re

from lazymmu.reference.litmus import program as p
from lazymmu.reference.litmus.text import number, operands
from lazymmu.reference.visibility import Fence

ABI = ["zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{i}" for i in range(8))]
ABI += [*(f"s{i}" for i in range(2, 12)), "t3", "t4", "t5", "t6"]
SYNCHRONISES = Fence(before_reads=False, before_writes=False, synchronises=True, completes=True)
WIDTHS = {"b": (1, True), "h": (2, True), "w": (4, True), "d": (8, False)}
WIDTHS |= {"bu": (1, False), "hu": (2, False), "wu": (4, False)}
OPS = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor", "sll": "lsl", "srl": "lsr", "sra": "asr"}
OPS |= {"slt": "slt", "sltu": "sltu", "mul": "mul"}
ATOMIC = {"swap": "swap", "add": "add", "and": "and", "or": "or", "xor": "xor", "max": "smax", "min": "smin"}
ATOMIC |= {"maxu": "umax", "minu": "umin"}
TESTS = {"beq": "eq", "bne": "ne", "blt": "lt", "bge": "ge", "bltu": "ltu", "bgeu": "geu"}


def register(name: str) -> str | None:
    """A register by its number; None for x0."""
    name = name.strip().lower()
    at = 8 if name == "fp" else ABI.index(name) if name in ABI else -1
    if at < 0 and re.fullmatch(r"x\d+", name):
        at = int(name[1:])
    if not 0 <= at < 32:
        raise p.Malformed(f"{name} is no register")
    return f"x{at}" if at else None


def full_register(name: str) -> str:
    """What threads call it."""
    try:
        return register(name) or "x0"
    except p.Malformed:
        return name.upper()


def value(text: str) -> p.Operand:
    """A register or a number."""
    found = number(text.strip())
    return found if found is not None else register(text) or 0


def address(text: str) -> p.Address:
    """``8(x5)``."""
    match = re.fullmatch(r"(-?\w*)\((\w+)\)", text.strip())
    if match is None:
        raise p.Malformed(f"{text} is no address")
    return p.Address(value(match[2]), offset=int(match[1], 0) if match[1] else 0)


def sfence(arguments: list[str], immediate: bool, broadcast: bool) -> p.Invalidate:
    """SFENCE.VMA and its kin: with an address only leaf entries, with an address space no global ones."""
    where = register(arguments[0]) if arguments else None
    space = register(arguments[1]) if len(arguments) > 1 else None
    return p.Invalidate(
        address=where,
        asid=space,
        last_level=where is not None,
        global_too=space is None,
        immediate=immediate,
        broadcast=broadcast,
    )


def parse(text: str) -> p.Instruction:
    """Reads one instruction."""
    name, _, rest = text.strip().partition(" ")
    name = name.lower()
    arguments = operands(rest)
    if name in ("nop", "fence.i"):
        return p.Nop()
    if name == "fence.tso":
        return p.Barrier(Fence(reads=True, writes=False, stores=True))
    if name == "fence":
        before, after = arguments or ["rw", "rw"]
        return p.Barrier(Fence("r" in before, "w" in before, "r" in after, "w" in after))
    if name in ("sfence.vma", "sinval.vma", "remote.sfence.vma"):
        return sfence(arguments, name != "sinval.vma", name.startswith("remote"))
    if name in ("sfence.w.inval", "sfence.inval.ir"):
        return p.Barrier(SYNCHRONISES)
    if name == "sret":
        return p.Return(exception=True)
    if name == "ecall":
        return p.Call(hypervisor=False, number=0)
    if name in ("li", "mv"):
        return p.Compute("or", register(arguments[0]), 0, value(arguments[1]))
    if name == "j":
        return p.Branch(("always",), arguments[0])
    if name in ("beqz", "bnez"):
        return p.Branch(("eq" if name == "beqz" else "ne", value(arguments[0]), 0), arguments[1])
    if name in TESTS:
        return p.Branch((TESTS[name], value(arguments[0]), value(arguments[1])), arguments[2])
    if match := re.fullmatch(r"(lr|sc|amo\w+)\.([wd])(?:\.(aq|rl|aqrl))?", name):
        width = 4 if match[2] == "w" else 8
        acquire, release = "aq" in (match[3] or ""), "rl" in (match[3] or "")
        if match[1] == "lr":
            to = register(arguments[0])
            return p.Load(to, address(arguments[1]), width, True, "strong" if acquire else "", exclusive=True)
        if match[1] == "sc":
            strength = "strong" if release else ""
            source = value(arguments[1])
            return p.Store(source, address(arguments[2]), width, strength, True, register(arguments[0]))
        op = ATOMIC[match[1].removeprefix("amo")]
        to = register(arguments[0]) or "(old)"
        return p.Atomic(op, to, value(arguments[1]), address(arguments[2]), width, acquire, release)
    if name[0] == "l" and name[1:] in WIDTHS:
        width, sign = WIDTHS[name[1:]]
        return p.Load(register(arguments[0]), address(arguments[1]), width, sign)
    if name[0] == "s" and name[1:] in WIDTHS:
        return p.Store(value(arguments[0]), address(arguments[1]), WIDTHS[name[1:]][0])
    match = re.fullmatch(r"(add|sub|and|or|xor|sll|srl|sra|sltu|slt|mul)(i?)(w?)(u?)", name)
    if match is None:
        raise p.Unsupported(text)
    op = OPS["sltu" if match[4] else match[1]]
    return p.Compute(op, register(arguments[0]), value(arguments[1]), value(arguments[2]), width=4 if match[3] else 8)
