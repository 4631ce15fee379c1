"""The x86-64 instructions of litmus tests.

Loads acquire, stores release, and no load waits for a release: that is TSO.
"""

from __future__ import annotations

import re

from lazymmu.reference.litmus import program as p
from lazymmu.reference.litmus.text import number, operands
from lazymmu.reference.visibility import Fence

FULL = Fence(synchronises=True, completes=True)
LETTERS = {"a": "RAX", "b": "RBX", "c": "RCX", "d": "RDX"}
NAMED = {"si": "RSI", "di": "RDI", "bp": "RBP", "sp": "RSP"}
CONDITIONS = {"e": 0, "z": 0, "ne": 1, "nz": 1, "ae": 2, "b": 3, "s": 4, "ns": 5, "a": 8, "be": 9, "ge": 10, "l": 11}
CONDITIONS |= {"g": 12, "le": 13}
SUFFIX = {"b": 1, "w": 2, "l": 4, "q": 8}
BINARY = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor"}
SIZED = [*BINARY, "mov", "xchg", "inc", "dec", "cmp", "xadd", "cmpxchg", "test"]


def register(name: str) -> tuple[str, int] | None:
    """The 64-bit register a name is part of, and the width of the part."""
    name = name.removeprefix("%").lower()
    if match := re.fullmatch(r"([re]?)([abcd])x|([abcd])l", name):
        letter = match[2] or match[3]
        return LETTERS[letter], 1 if match[3] else {"r": 8, "e": 4, "": 2}[match[1]]
    if match := re.fullmatch(r"([re]?)(si|di|bp|sp)(l?)", name):
        return NAMED[match[2]], 1 if match[3] else {"r": 8, "e": 4, "": 2}[match[1]]
    if (match := re.fullmatch(r"r(\d+)([dwb]?)", name)) and 8 <= int(match[1]) < 16:
        return f"R{int(match[1])}", {"": 8, "d": 4, "w": 2, "b": 1}[match[2]]
    return None


def full_register(name: str) -> str:
    """What threads call it."""
    found = register(name)
    return found[0] if found else name.upper()


def argument(text: str) -> tuple[str, p.Operand | p.Address, int]:
    """An operand: its kind, itself, its width where it has one."""
    found = register(text)
    if found:
        return "reg", found[0], found[1]
    if text.removeprefix("%").lower() == "cr3":
        return "control", 0, 0
    value = number(text.removeprefix("$"))
    if value is not None:
        return "imm", value, 0
    match = re.fullmatch(r"(-?\w*)[\[(]([^\])]+)[\])]", text)
    if match is None:
        raise p.Malformed(f"{text} is no operand")
    offset = int(match[1], 0) if match[1] else 0
    base, index = None, None
    for part in re.split(r"[,+]", match[2]):
        part = part.strip()
        reg = register(part)
        if reg and base is None:
            base = reg[0]
        elif reg:
            index = reg[0]
        else:
            offset += int(part, 0)
    if base is None:
        raise p.Malformed(f"{text} has no base register")
    return "mem", p.Address(base, index, ("lsl", 0), offset), 0


def invalidate(address: p.Operand | None) -> p.Invalidate:
    """INVLPG, or a write of CR3, which leaves global entries."""
    return p.Invalidate(address=address, global_too=address is not None, immediate=True, all_tables=True)


def parse(text: str) -> p.Instruction:
    """Reads one instruction."""
    lower = text.strip().lower()
    locked = re.match(r"lock[\s;]+", lower)
    if locked:
        lower = lower[locked.end() :]
    name, _, rest = lower.partition(" ")
    plain: dict[str, p.Instruction] = dict.fromkeys(("nop", "pause", "lfence", "sfence"), p.Nop())
    plain |= dict.fromkeys(("mfence", "serialize", "cpuid"), p.Barrier(FULL))
    plain |= dict.fromkeys(("iret", "iretq"), p.Return(exception=True))
    if name in plain:
        return plain[name]
    if name == "jmp":
        return p.Branch(("always",), text.split()[-1])
    if name[0] == "j" and name[1:] in CONDITIONS:
        return p.Branch(("flags", CONDITIONS[name[1:]]), text.split()[-1])
    parts = operands(rest)
    if name == "ipi":
        made = re.fullmatch(r"invlpg\s*\[(\w+)\]", parts[1])
        base = invalidate(full_register(made[1]) if made else None)
        return p.Invalidate(**{**vars(base), "remote": int(parts[0][1:]), "global_too": True})
    att = "%" in rest or "$" in rest
    arguments = [argument(part) for part in (reversed(parts) if att else parts)]
    found = operation(name, bool(locked), arguments)
    if found is None:
        raise p.Unsupported(text)
    return found


def operation(name: str, locked: bool, args: list[tuple[str, p.Operand | p.Address, int]]) -> p.Instruction | None:
    """An instruction with operands."""
    width = next((w for kind, _, w in args if kind == "reg"), 4)
    if name[:-1] in SIZED and name[-1] in SUFFIX and name not in SIZED:
        name, width = name[:-1], SUFFIX[name[-1]]
    kinds = tuple(kind for kind, _, _ in args)
    values = [value for _, value, _ in args]

    def memory(i: int) -> p.Address:
        found = values[i]
        assert isinstance(found, p.Address)
        return found

    def operand(i: int) -> p.Operand:
        found = values[i]
        assert not isinstance(found, p.Address)
        return found

    def atomic(op: str, to: str, with_: p.Operand, at: int = 0) -> p.Atomic:
        return p.Atomic(op, to, with_, memory(at), width, acquire=True, release=True)

    match name, kinds:
        case "mov", ("control", _):
            return p.Invalidate(**vars(invalidate(None)))
        case "mov", ("reg", "control"):
            return p.Compute("or", str(values[0]), 0, 0, width=width)
        case "mov", ("reg", "mem"):
            return p.Load(str(values[0]), memory(1), width, strength="processor")
        case "mov", ("mem", _):
            return p.Store(operand(1), memory(0), width, "strong")
        case "mov", ("reg", _):
            return p.Compute("or", str(values[0]), 0, operand(1), width=width)
        case "xchg", ("mem", "reg"):
            return atomic("swap", str(values[1]), operand(1))
        case "xchg", ("reg", "mem"):
            return atomic("swap", str(values[0]), operand(0), 1)
        case "xadd", ("mem", "reg") if locked:
            return atomic("add", str(values[1]), operand(1))
        case "cmpxchg", ("mem", "reg") if locked:
            return p.CompareSwap("RAX", operand(1), memory(0), width, acquire=True, release=True)
        case "inc" | "dec", ("mem",) if locked:
            return atomic("add", "(old)", 1 if name == "inc" else -1)
        case "inc" | "dec", ("reg",):
            return p.Compute("add", str(values[0]), operand(0), 1 if name == "inc" else -1, width=width, flags=True)
        case "cmp" | "test", ("reg", "reg" | "imm"):
            op = "sub" if name == "cmp" else "and"
            return p.Compute(op, None, operand(0), operand(1), width=width, flags=True)
        case "invlpg", ("mem",):
            return invalidate(memory(0).base)
        case _, ("mem", "reg" | "imm") if locked and name in BINARY:
            other = operand(1)
            if name == "sub":
                return atomic("add", "(old)", -other) if isinstance(other, int) else None
            return atomic(BINARY[name], "(old)", other)
        case _, ("reg", "reg" | "imm") if name in BINARY:
            return p.Compute(BINARY[name], str(values[0]), operand(0), operand(1), width=width, flags=True)
    return None
