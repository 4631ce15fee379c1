"""Numbers as people write them: ``vmalloc + 2 * PMD_SIZE``.

An expression has integers (also ``0x...`` and with ``_``), the operators ``+ - * // % << >> & | ~``, parentheses, the
functions ``align_up(x, to)`` and ``align_down(x, to)``, and names. Names are those of a geometry (`symbols`) and,
where an address is wanted, one slot: what an earlier step returned.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

MAX = (1 << 64) - 1

_LEVELS = ("PAGE", "PMD", "PUD", "P4D", "PGDIR")
_TABLES = ("PTE", "PMD", "PUD", "P4D", "PGD")

ABOUT = {
    **{f"{name}_SIZE": "bytes that one entry of the level covers; folded levels have the root's" for name in _LEVELS},
    **{f"PTRS_PER_{name}": "entries of a table of the level; 1 where it is folded" for name in _TABLES},
    "CONT_PTE_SIZE": "bytes of a contiguous-PTE group; the page size where there are none",
    "VMALLOC_START": "first vmalloc address",
    "VMALLOC_END": "first address behind the vmalloc space",
    "vmalloc": "the same as VMALLOC_START",
    "user": "an address in the user half, aligned to 1 GiB",
    "TASK_SIZE": "first address behind the user half",
    "RAM": "first frame of the model's data pages",
    "MMIO": "a device's physical address, aligned to 1 GiB",
}
"""What each name stands for."""


class ExpressionError(ValueError):
    """An expression that cannot be read, or has no value."""


class Value(NamedTuple):
    """A number, or a place in the area of a slot."""

    slot: str | None
    number: int


def symbols(geometry: Mapping[str, Any]) -> dict[str, int]:
    """The names that have a value in a geometry, as `lazymmu.Machine.geometry` describes it."""
    levels = {number: (shift, entries) for number, _, shift, entries in geometry["levels"]}
    root = max(levels)
    page = 1 << geometry["page_shift"]
    known = {}
    for number, (size, table) in enumerate(zip(_LEVELS, _TABLES, strict=True), start=1):
        shift, entries = levels.get(number, (levels[root][0], 1))
        known[f"{size}_SIZE"] = 1 << shift
        known[f"PTRS_PER_{table}"] = entries
    return {
        **known,
        "CONT_PTE_SIZE": max(geometry["cont_ptes"], 1) * page,
        "VMALLOC_START": geometry["vmalloc_start"],
        "VMALLOC_END": geometry["vmalloc_end"],
        "vmalloc": geometry["vmalloc_start"],
        "user": 0x4000_0000,
        "TASK_SIZE": geometry["task_size"],
        "RAM": 0x1_0000_0000 if geometry["long_bits"] == 64 else 0x1800_0000,
        "MMIO": 0x4000_0000 if geometry["pa_bits"] == 32 else 0x80_0000_0000 >> (2 if geometry["pa_bits"] < 40 else 0),
    }


_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: dict[type[ast.unaryop], Callable[[int], int]] = {ast.USub: operator.neg, ast.Invert: operator.invert}
_FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "align_up": lambda x, to: -(-x // to) * to,
    "align_down": lambda x, to: x // to * to,
}


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> ast.expr:
    """The syntax tree of an expression.

    Raises `ExpressionError` where it is none.
    """
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"{text!r} is no expression: {reason}") from None


def names(text: str) -> set[str]:
    """The names in an expression, functions excepted."""
    found = {node.id for node in ast.walk(parse(text)) if isinstance(node, ast.Name)}
    return found - set(_FUNCTIONS)


def evaluate(text: int | str, known: Mapping[str, int], slots: Collection[str] = ()) -> Value:
    """The value of an expression, where ``known`` names numbers and ``slots`` areas."""
    if isinstance(text, int):
        return Value(None, text)
    try:
        value = _value(parse(text), known, slots)
    except ExpressionError as error:
        raise ExpressionError(f"{text!r}: {error}") from None
    except (ArithmeticError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"{text!r} has no value: {error}") from None
    if not -MAX <= value.number <= MAX:
        raise ExpressionError(f"{text!r} does not fit in 64 bits")
    return value


def _value(node: ast.expr, known: Mapping[str, int], slots: Collection[str]) -> Value:
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return Value(None, number)
        case ast.Name(id=name) if name in slots:
            return Value(name, 0)
        case ast.Name(id=name) if name in known:
            return Value(None, known[name])
        case ast.Name(id=name):
            raise ExpressionError(f"unknown name {name!r}: expected one of {', '.join([*slots, *known])}")
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(type(op), _value(left, known, slots), _value(right, known, slots))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return Value(None, _UNARY[type(op)](_number(_value(operand, known, slots))))
        case ast.Call(func=ast.Name(id=name), args=[x, to], keywords=[]) if name in _FUNCTIONS:
            number = _number(_value(to, known, slots))
            return Value(None, _FUNCTIONS[name](_number(_value(x, known, slots)), number))
    raise ExpressionError(f"{ast.unparse(node)!r} is not allowed in an expression")


def _binary(op: type[ast.operator], left: Value, right: Value) -> Value:
    if op not in _BINARY:
        raise ExpressionError(f"operator {op.__name__} is not allowed in an expression")
    if op is ast.LShift and right.number > 64:
        raise ExpressionError(f"a shift by {right.number} does not fit in 64 bits")
    if op is ast.Add and right.slot is not None and left.slot is None:
        left, right = right, left
    if left.slot is not None and op in (ast.Add, ast.Sub):
        return Value(left.slot, _BINARY[op](left.number, _number(right)))
    return Value(None, _BINARY[op](_number(left), _number(right)))


def _number(value: Value) -> int:
    if value.slot is not None:
        raise ExpressionError(f"slot {value.slot!r} can only have a number added or subtracted")
    return value.number
