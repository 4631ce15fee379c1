"""From the recorded commands of the test driver to moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lazymmu.conform.commands import CALLBACKS, BadCommand, Command, parse
from lazymmu.errors import RecordingError
from lazymmu.recording import Kernel, read_records
from lazymmu.replay.moves import Kind, Move


def read_operations(kernel: Kernel, path: Path) -> list[Move]:
    """The walks that the commands of a file asked for; what is no walk of kernel tables is left out.

    Raises `RecordingError` for a line that is no command.
    """
    moves: list[Move] = []
    areas: dict[int, tuple[int, int]] = {}
    for line, record in read_records(path):
        text = record.get("cmd")
        if text is None and "what" in record:
            continue
        try:
            if not isinstance(text, str):
                raise BadCommand(f"expected a command in 'cmd', got {text!r}")
            command = parse(text)
            maker = _WALKS.get(command.name)
            if maker is not None:
                made = maker(kernel, command, line)
                made.ret = int(record.get("ret", 0)) if command.name in _RETURNING else None
                moves.append(made)
            elif command.name in _AREAS:
                moves += _area(kernel, command, record, line, areas)
            if command.name == "vunmap":
                moves.append(Move(Kind.FLUSH, line, 0, moves[-1].va, moves[-1].end))
        except (BadCommand, TypeError, ValueError) as error:
            raise RecordingError(path, f"line {line}", str(error)) from None
    return moves


_RETURNING = ("vmpr", "vmaps", "apply")


def _prot(kernel: Kernel, name: str) -> int:
    bits = kernel.prot(name)
    if bits is None:
        raise BadCommand(f"unknown protection {name!r}")
    return bits


def _map(kernel: Kernel, c: Command, line: int) -> Move:
    va, size = c.number(0), c.number(1)
    return Move(Kind.MAP, line, 0, va, va + size, pa=c.number(2), prot=_prot(kernel, c.text(3)))


def _pages(kernel: Kernel, c: Command, line: int) -> Move:
    va, page = c.number(0), kernel.number("page_shift")
    shift = c.number(2) or page
    move = Move(Kind.PAGES, line, 0, va, va + (c.number(1) << page), prot=_prot(kernel, c.text(3)), shift=shift)
    move.hole = c.number(6) if c.text(4) == "h" else None
    return move


def _unmap(_: Kernel, c: Command, line: int) -> Move:
    va = c.number(0)
    return Move(Kind.UNMAP, line, 0, va, va + c.number(1))


def _apply(kernel: Kernel, c: Command, line: int) -> Move:
    va, kind = c.number(0), c.number(3)
    if not 0 <= kind < len(CALLBACKS):
        raise BadCommand(f"unknown callback kind {kind}: expected 0 to {len(CALLBACKS) - 1}")
    move = Move(Kind.APPLY, line, 0, va, va + c.number(1), pa=c.number(4), prot=_prot(kernel, c.text(5)))
    move.create, move.fn = bool(c.number(2)), CALLBACKS[kind]
    move.fail_at = c.number(6) if len(c.arguments) > 6 else 0
    return move


_WALKS = {"vmpr": _map, "vmaps": _pages, "vunmap": _unmap, "vunmapnf": _unmap, "apply": _apply, "unarea": _unmap}
_AREAS = ("ioremap", "vmalloc", "vmallochuge", "vmap", "vmram", "iounmap", "vfree", "vunmapp", "vmunram")


def _area(
    kernel: Kernel, c: Command, record: dict[str, Any], line: int, areas: dict[int, tuple[int, int]]
) -> list[Move]:
    slot, shift = c.number(0), kernel.number("page_shift")
    if c.name in ("iounmap", "vfree", "vunmapp", "vmunram"):
        known = areas.pop(slot, None)
        return [Move(Kind.UNMAP, line, 0, *known)] if known else []
    va = int(record["va"], 0) >> shift << shift if "va" in record else 0
    if not va:
        return []
    if c.name == "ioremap":
        size = c.number(2)
        areas[slot] = va, va + size + (1 << shift)
        io = kernel.number("prot_io" if kernel.info.get("machine") == "aarch64" else "prot_nc")
        return [Move(Kind.MAP, line, 0, va, va + size, pa=c.number(1), prot=io)]
    size = -(-c.number(1) >> shift) << shift if c.name.startswith("vmalloc") else c.number(1) << shift
    guard = 0 if c.name == "vmram" else 1 << shift
    areas[slot] = va, va + size + guard
    return [Move(Kind.PAGES, line, 0, va, va + size, prot=kernel.number("PAGE_KERNEL"), shift=shift)]
