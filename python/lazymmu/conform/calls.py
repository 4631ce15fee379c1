"""Calls that probes saw, and the events of the model that stand for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

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
SYNC_ONE = "vmalloc_sync_one"
_ALLOCATORS = {1: "__pte_alloc_kernel", 2: "__pmd_alloc", 3: "__pud_alloc", 4: "__p4d_alloc"}


_KINDS = ("WALK", "WALK_END", "SLOT", "ALLOC", "ALLOC_FAIL", "SYNC", "SYNC_ONE")


def probed(on: Iterable[str]) -> frozenset[str]:
    """The calls that can be compared, of those that were probed."""
    known = {*_WALKS, *_ALLOCATORS.values(), *(f"ret:{name}" for name in _RETURNS.values())}
    known |= {"arch_sync_kernel_mappings", SYNC_ONE}
    seen = {name.removesuffix("+mask") for name in on} | {
        f"ret:{name.removesuffix('+mask')}" for name in on if "+" in name
    }
    return frozenset(known & seen)


class BadEvent(ValueError):
    """A probe event that cannot be read."""


def paused(state: Mapping[str, Any]) -> int:
    """The pause count that a call tells of its task."""
    count = state.get("pause", 0)
    if not isinstance(count, int) or not 0 <= count <= 255:
        raise BadEvent(f"'pause' is {count!r}, expected 0 to 255")
    return count


def recorded(events: Iterable[Sequence[Any]], compared: Collection[str]) -> list[Call]:
    """The calls of a record."""
    out: list[Call] = []
    processes: list[str] = []
    for event in events:
        try:
            _add(out, event, compared, processes)
        except (IndexError, TypeError, ValueError):
            raise BadEvent(f"{event!r} is no probe event") from None
    return out


def synchronised(events: Iterable[Any]) -> int:
    """How many processes a sync visited: their roots are the first arguments of the calls for its first address."""
    try:
        visits = [(event[1], event[2]) for event in events if event[0] == SYNC_ONE]
    except (IndexError, TypeError):
        return 0
    return len({root for root, va in visits if va == visits[0][1]})


def _add(out: list[Call], event: Sequence[Any], compared: Collection[str], processes: list[str]) -> None:
    name, *arguments = event
    if name not in compared:
        return
    if isinstance(name, str) and name.startswith("ret:"):
        void = name == "ret:vunmap_p4d_range"
        value = 0 if void else int(arguments[0])
        out.append((name, value, int(arguments[1], 0)))
    elif name in _ALLOCATORS.values():
        out.append((name,))
    elif name == "__apply_to_page_range":
        out.append((name, int(arguments[1], 0), int(arguments[2], 0)))
    elif name == SYNC_ONE:
        # Processes by their place in the list of roots.
        if arguments[0] not in processes:
            processes.append(arguments[0])
        out.append((name, int(arguments[1], 0), processes.index(arguments[0])))
    else:
        out.append((name, int(arguments[0], 0), int(arguments[1], 0)))


def modelled(events: Records, compared: Collection[str], processes: int) -> list[Call]:
    """The same calls as the model's events tell them, of so many processes: others of the model came or went."""
    out: list[Call] = []
    roots: list[int] = []
    kinds = names.kinds()
    sites = names.codes("site")
    stack: list[str] = []
    wanted = [code for code, name in kinds.items() if name in _KINDS]
    for event in events[np.isin(events["kind"], wanted)]:
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
            case "ALLOC" | "ALLOC_FAIL" if event["mm"] == 0 and not (kind == "ALLOC" and aux & SPLIT):
                call = (_ALLOCATORS.get(int(event["level"]), ""),)
            case "SYNC":
                call = ("arch_sync_kernel_mappings", va, end)
            case "SYNC_ONE":
                mm = int(event["mm"])
                if mm not in roots:
                    roots.append(mm)
                place = roots.index(mm)
                call = (SYNC_ONE, va, place) if place < max(processes, 1) else None
        if call and call[0] in compared:
            out.append(call)
    return out


SPLIT = 2
"""``aux`` of `ALLOC`: for a leaf that is split a page is allocated, without a function that is probed."""

LEAF_TABLES = {
    "vmap_pte_range": 1,
    "vmap_pages_pte_range": 1,
    "vunmap_pte_range": 1,
    "apply_to_pte_range": 2,
}
"""Loops over a leaf table, and which argument is the first address."""


def leaf_tables(events: Iterable[Sequence[Any]]) -> list[int]:
    """Addresses whose leaf tables a command found. Where it allocates one at once, there was none."""
    found: list[int] = []
    last = ""
    try:
        for event in events:
            if event[0] in LEAF_TABLES:
                found.append(int(event[1 + LEAF_TABLES[event[0]]], 0))
            elif event[0] == _ALLOCATORS[1] and last in LEAF_TABLES:
                found.pop()
            last = event[0]
    except (IndexError, TypeError, ValueError):
        return []
    return found


_XEN = {"xen_extend_mmu_update": "update", "xen_mc_flush": "flush", "xen_flush_lazy_mmu": "lazy flush"}
_XEN_KINDS = ("QUEUE", "FLUSH", "LAZY_FLUSH", "LEAVE", "HYPERCALL")


def xen_recorded(events: Iterable[Sequence[Any]]) -> list[str]:
    """What went to the hypervisor, in order: queued updates, flushes, and stores that were not queued."""
    out: list[str] = []
    store: int | None = None
    for event in events:
        name = event[0] if event else ""
        if name == "xen_set_pte":
            store = len(out)
            out.append("direct store")
        elif name == "xen_extend_mmu_update" and store is not None:
            # Where the buffer is full it is flushed inside this function: the update comes behind that.
            out[store] = "update"
        elif name == "xen_mc_flush" and store is not None and out[store] == "update" and store == len(out) - 1:
            out.insert(store, "flush")
            store = None
        elif name in _XEN:
            out.append(_XEN[name])
            store = None
        elif name != "xen_batched_set_pte":
            store = None
    return out


def switched(events: Sequence[Sequence[Any]]) -> list[tuple[str, int]]:
    """Where another task had the CPU for a while: kind and number of the model's event behind which it was.

    A task that loses the CPU inside a section is paused, which flushes; what the CPU has queued is flushed on the way
    out and on the way in, and the pause ends.
    """
    state = [event[-1] if event and isinstance(event[-1], Mapping) else {} for event in events]
    names_ = [event[0] if event else "" for event in events]
    out = []
    for at in range(len(events) - 3):
        pauses = [s.get("pause") for s in state[at : at + 4]]
        if names_[at : at + 4] != _SWITCH or pauses != [1, 1, 1, 0]:
            continue
        loops = [n for n in range(at) if names_[n] in LEAF_TABLES]
        queued = [n for n in range(at) if names_[n] == "xen_extend_mmu_update"]
        if loops and (not queued or queued[-1] < loops[-1]):
            out.append(("ENABLE", len(loops) - 1))
        elif queued:
            out.append(("QUEUE", len(queued) - 1))
    return out


_SWITCH = ["xen_flush_lazy_mmu", "xen_mc_flush", "xen_mc_flush", "xen_mc_flush"]


def xen_modelled(events: Records) -> list[str]:
    """The same of the model."""
    kinds, hypercalls = names.kinds(), names.codes("hypercall")
    out: list[str] = []
    drained = False
    wanted = [code for code, name in kinds.items() if name in _XEN_KINDS]
    for event in events[np.isin(events["kind"], wanted)]:
        kind = kinds[int(event["kind"])]
        match kind:
            case "QUEUE":
                out.append("update")
            case "FLUSH":
                out.append("flush")
            case "LAZY_FLUSH" | "LEAVE":
                out.append("lazy flush")
            case "HYPERCALL" if not drained and hypercalls[int(event["aux"])] == "mmu_update":
                out.append("direct store")
        drained = kind == "FLUSH" and int(event["new"]) > 0
    return out


def show(calls: Sequence[Call]) -> str:
    """Calls as text."""
    return " ".join(f"{c[0]}({', '.join(hex(a) if a >= 0 else str(a) for a in c[1:])})" for c in calls)
