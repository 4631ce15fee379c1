"""Values: operations, flags, conditions."""

from __future__ import annotations

from collections.abc import Callable

from lazymmu.reference.litmus.program import Operand
from lazymmu.reference.litmus.state import State
from lazymmu.reference.visibility import START, View, join


def signed(value: int, width: int) -> int:
    """A value of so many bytes as a signed number."""
    top = 1 << (8 * width - 1)
    value &= 2 * top - 1
    return value - 2 * top if value & top else value


def extended(extend: tuple[str, int], value: int) -> int:
    """An operand, extended and shifted."""
    kind, by = extend
    if kind == "sxtw":
        value = signed(value, 4)
    elif kind == "uxtw":
        value &= 0xFFFF_FFFF
    return value << by & 0xFFFF_FFFF_FFFF_FFFF


OPERATIONS: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, _w: a + b,
    "sub": lambda a, b, _w: a - b,
    "and": lambda a, b, _w: a & b,
    "or": lambda a, b, _w: a | b,
    "xor": lambda a, b, _w: a ^ b,
    "clear": lambda a, b, _w: a & ~b,
    "lsl": lambda a, b, w: a << b % (8 * w),
    "lsr": lambda a, b, w: a >> b % (8 * w),
    "asr": lambda a, b, w: signed(a, w) >> b % (8 * w),
    "swap": lambda _a, b, _w: b,
    "smax": lambda a, b, w: max(signed(a, w), signed(b, w)),
    "smin": lambda a, b, w: min(signed(a, w), signed(b, w)),
    "umax": lambda a, b, _w: max(a, b),
    "umin": lambda a, b, _w: min(a, b),
    "mul": lambda a, b, _w: a * b,
    "slt": lambda a, b, w: int(signed(a, w) < signed(b, w)),
    "sltu": lambda a, b, _w: int(a < b),
    "extract": lambda a, b, _w: a >> (b >> 8) & (1 << (b & 0xFF)) - 1,
}


def apply(op: str, a: int, b: int, width: int) -> int:
    """An operation on two values of ``width`` bytes."""
    return OPERATIONS[op](a, b, width) & 0xFFFF_FFFF_FFFF_FFFF


def condition_flags(op: str, a: int, b: int, value: int, width: int) -> int:
    """Arm's N, Z, C, V in bits 3 to 0."""
    top = 8 * width - 1
    n, z = value >> top & 1, int(value == 0)
    c = v = 0
    if op == "sub":
        c, v = int(a >= b), ((a ^ b) & (a ^ value)) >> top & 1
    elif op == "add":
        c, v = int(value < a), (~(a ^ b) & (a ^ value)) >> top & 1
    return n << 3 | z << 2 | c << 1 | v


def holds(condition: int, flags: int) -> bool:
    """Whether an Arm condition, by its number, holds."""
    n, z, c, v = (bool(flags >> bit & 1) for bit in (3, 2, 1, 0))
    table = [z, c, n, v, c and not z, n == v, n == v and not z]
    if condition >> 1 == 7:
        return True
    return table[condition >> 1] != bool(condition & 1)


def decide(test: tuple[str, *tuple[Operand, ...]], state: State) -> tuple[bool, View]:
    """Whether a branch is taken, and when that is known."""
    name, *operands = test
    if name == "always":
        return True, START
    if name == "flags":
        flags, view = state.get("NZCV")
        return holds(int(operands[0]), flags), view
    known = [state.get(operand) for operand in operands]
    (a, va), (b, vb) = known[0], known[1] if len(known) > 1 else (0, START)
    result = {
        "eq": a == b,
        "ne": a != b,
        "lt": signed(a, 8) < signed(b, 8),
        "ge": signed(a, 8) >= signed(b, 8),
        "ltu": a < b,
        "geu": a >= b,
        "bit clear": not a >> (b & 63) & 1,
        "bit set": bool(a >> (b & 63) & 1),
    }[name]
    return result, join(va, vb)
