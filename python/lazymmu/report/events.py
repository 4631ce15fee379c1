"""One line for each event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lazymmu.arrays import Records
from lazymmu.report import names

_SITES = {"WALK", "SLOT", "WALK_END", "BEGIN", "END", "SYNC"}
_COUNTERS = {"ENABLE", "DISABLE", "PAUSE", "RESUME"}
_AUX = {
    "STORE": "store",
    "QUEUE": "store",
    "FLUSH": "flush reason",
    "HYPERCALL": "hypercall",
    "TLBI": "tlbi",
    "IRQ_IN": "irq",
    "IRQ_OUT": "irq",
    "RESCHED": "resched",
    "WARN": "warning",
    "BUG": "bug",
}


def _site(aux: int) -> str:
    return names.codes("site").get(aux & 0xFF, str(aux & 0xFF))


def _about(kind: str, event: Any) -> str:
    va, addr, old, new, aux = (int(event[key]) for key in ("va", "addr", "old", "new", "aux"))
    where = f"{names.LEVELS[event['level']]} {va:#x}"
    match kind:
        case "STORE" | "QUEUE" | "STALE_READ":
            return f"{where} @{addr:#x}  {old:#x} -> {new:#x}"
        case "OP":
            name = names.operations().get(aux, str(aux))
            return f"{name} {va:#x}-{new:#x}" if va else name
        case "OP_END":
            return f"returned {old - (1 << 64) if old >> 63 else old}, mask {names.mask(aux)}"
        case "WALK" | "BEGIN":
            return f"{_site(aux)} {va:#x}-{new:#x}"
        case "SLOT":
            return f"{va:#x}-{new:#x} mask {names.mask(aux)}"
        case "WALK_END" | "END" | "SYNC":
            return f"{_site(aux)} {va:#x}-{new:#x} mask {names.mask(aux >> 8)}"
        case "SYNC_ONE":
            return f"mm{event['mm']} {where} {'copied' if aux else 'as it is'}"
        case "SYNC_END":
            return f"{old} copied"
        case "ALLOC" | "FREE" | "ALLOC_FAIL":
            return f"{where} @{addr:#x}{' highmem' if aux and kind == 'ALLOC' else ''}"
        case "ACCESS":
            outcome = names.codes("outcome").get(aux >> 8, "?")
            return f"{names.codes('access').get(aux & 0xFF, '?')} {va:#x}: {outcome} {addr:#x}"
        case "FAULT":
            return f"{where}: {names.codes('handler').get(aux >> 8, '?')}"
        case "ENABLE" | "DISABLE" | "PAUSE" | "RESUME":
            text = f"enable {old & 0xFF}, pause {old >> 8} -> enable {new & 0xFF}, pause {new >> 8}"
            return text + {1: " (ignored)", 2: " (context switch)"}.get(aux, "")
        case "ENTER" | "LEAVE" | "LAZY_FLUSH" | "DEFER":
            return f"flags {old} -> {new}"
        case "FLUSH" | "HYPERCALL":
            return f"{names.codes(_AUX[kind]).get(aux, '?')}: {old} updates, {new} calls"
        case "TLBI":
            return f"{names.codes('tlbi').get(aux, '?')} {va:#x}-{new:#x} x{old}"
        case "KMAP" | "KUNMAP":
            return f"page {addr:#x} at {f'{va:#x}' if va else 'the direct map'}"
        case "SWITCH" | "MIGRATE" | "FORK":
            return f"{old} -> {new}"
        case _ if kind in _AUX:
            return names.codes(_AUX[kind]).get(aux, str(aux)) + (f" {va:#x}" if va else "")
        case _:
            return f"{addr:#x}" if addr else f"{va:#x}" if va else ""


def line(event: Any, index: int) -> str:
    """An event with its index, CPU, context and meaning."""
    kind = names.kinds().get(int(event["kind"]), str(event["kind"]))
    context = "" if event["context"] == 0 else f" {names.codes('context')[int(event['context'])]}"
    return f"{index:6}  cpu{event['cpu']} task{event['task']}{context}  {kind:11} {_about(kind, event)}"


def lines(events: Records, first: int, last: int) -> Iterator[str]:
    """Events ``first`` to ``last`` (inclusive), runs of similar stores drawn together."""
    index = first
    while index <= last:
        event = events[index]
        yield line(event, index)
        end = index
        while end < last - 1 and _similar(events[end], events[end + 1]):
            end += 1
        if end - index > 2:
            yield f"{'':6}  ... {end - index - 1} more like it"
            index = end
        else:
            index += 1


def _similar(a: Any, b: Any) -> bool:
    same = ("kind", "level", "cpu", "context", "task", "op", "aux")
    return all(a[key] == b[key] for key in same) and names.kinds().get(int(a["kind"])) in ("STORE", "QUEUE")
