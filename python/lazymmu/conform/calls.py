"""Calls that probes saw, and the events of the model that stand for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from lazymmu.arrays import Records
from lazymmu.report import names

Call = tuple[Any, ...]

_WALKS = {
    "vmap_page_range": "vmap_page_range",
    "vmap_range_noflush": "vmap_range_noflush",
    "__vmap_pages_range_noflush": "__vmap_pages_range_noflush",
    "vmap_small_pages_range_noflush": "vmap_small_pages_range_noflush",
    "__vunmap_range_noflush": "__vunmap_range_noflush",
    "__apply_to_page_range": "__apply_to_page_range",
}
_RETURNS = {
    "vmap_range_noflush": "vmap_p4d_range",
    "vmap_small_pages_range_noflush": "vmap_pages_p4d_range",
    "__vunmap_range_noflush": "vunmap_p4d_range",
    "__apply_to_page_range": "apply_to_p4d_range",
}
_ALLOCATORS = {1: "__pte_alloc_kernel", 2: "__pmd_alloc", 3: "__pud_alloc", 4: "__p4d_alloc"}


def probed(on: Iterable[str]) -> frozenset[str]:
    """The calls that can be compared, of those that were probed."""
    known = {*_WALKS, *_ALLOCATORS.values(), *(f"ret:{name}" for name in _RETURNS.values())}
    known |= {"arch_sync_kernel_mappings"}
    seen = {name.removesuffix("+mask") for name in on} | {
        f"ret:{name.removesuffix('+mask')}" for name in on if "+" in name
    }
    return frozenset(known & seen)


def recorded(events: Iterable[Sequence[Any]], compared: Collection[str], wide: bool) -> list[Call]:
    """The calls of a record. ``wide``: an argument of 64 bits takes one machine word."""
    out: list[Call] = []
    for event in events:
        name, *arguments = event
        if name not in compared:
            continue
        if isinstance(name, str) and name.startswith("ret:"):
            void = name == "ret:vunmap_p4d_range"
            value = 0 if void else int(arguments[0])
            out.append((name, value, int(arguments[1], 0)))
        elif name in _ALLOCATORS.values():
            out.append((name,))
        elif name == "__apply_to_page_range":
            out.append((name, int(arguments[1], 0), int(arguments[2], 0)))
        else:
            out.append((name, int(arguments[0], 0), int(arguments[1], 0)))
    return out


def modelled(events: Records, compared: Collection[str]) -> list[Call]:
    """The same calls as the model's events tell them."""
    out: list[Call] = []
    kinds = names.kinds()
    sites = names.codes("site")
    stack: list[str] = []
    for event in events:
        kind = kinds[int(event["kind"])]
        va, end, aux = int(event["va"]), int(event["new"]), int(event["aux"])
        call: Call | None = None
        match kind:
            case "WALK":
                stack.append(sites[aux])
                name = _WALKS.get(sites[aux])
                if name == "__apply_to_page_range":
                    call = (name, va, end - va)
                elif name:
                    call = (name, va, end)
            case "WALK_END":
                stack.pop()
            case "SLOT" if stack and stack[-1] in _RETURNS:
                signed = int(event["old"].astype("i8"))
                call = (f"ret:{_RETURNS[stack[-1]]}", signed, aux)
            case "ALLOC" | "ALLOC_FAIL" if event["mm"] == 0:
                call = (_ALLOCATORS.get(int(event["level"]), ""),)
            case "SYNC":
                call = ("arch_sync_kernel_mappings", va, end)
        if call and call[0] in compared:
            out.append(call)
    return out


def show(calls: Sequence[Call]) -> str:
    """Calls as text."""
    return " ".join(f"{c[0]}({', '.join(hex(a) if a >= 0 else str(a) for a in c[1:])})" for c in calls)
