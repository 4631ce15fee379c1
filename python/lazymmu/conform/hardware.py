"""The order of stores, barriers and TLB invalidations: what a CPU executed, and what the model did.

A store is the physical address of its entry, everything else a small number. The recording follows stores only to
tables that some record has shown, and leaves out what initialises a fresh table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lazymmu.arrays import Records
from lazymmu.report import names

Tokens = npt.NDArray[np.uint64]

DMB, DSB_ISHST, DSB_ISH, ISB, TLBI, INVLPG, CR4, MARK = range(8)
NAMES = ("dmb ishst", "dsb ishst", "dsb ish", "isb", "tlbi", "invlpg", "write of cr4", "mark")
_INSTRUCTIONS = (
    ("dmb ishst", DMB),
    ("dsb ishst", DSB_ISHST),
    ("dsb ish", DSB_ISH),
    ("isb", ISB),
    ("tlbi", TLBI),
    ("invlpg", INVLPG),
    ("fence w,w", DMB),
    ("sfence.vma", TLBI),
)
OTHERS = ("msr", "hint", "csrrw", "fence rw,w")
"""Not of the hooks: step markers, roots, and the fence with which riscv releases a lock."""

ELSEWHERE = ("__switch_to", "cpu_do_idle", "kernel_init_pages", "switch_mm_irqs_off", "flush_tlb_func")
"""Functions whose instructions have nothing to do with the command."""


class BadSequence(ValueError):
    """A sequence that cannot be read."""


def _token(item: Sequence[Any], entry_bytes: int) -> int | None:
    if item[0] == "W":
        return None if item[4] in ELSEWHERE else int(item[2], 0) + int(item[3]) * entry_bytes
    if item[1] in ELSEWHERE or "%cr3" in item[0] or item[0].startswith(OTHERS):
        return None
    if "%cr4" in item[0]:
        return CR4
    found = next((token for name, token in _INSTRUCTIONS if item[0].startswith(name)), None)
    if found is None:
        raise BadSequence(f"unknown instruction {item[0]!r}")
    return found


def recorded(items: Iterable[Any], entry_bytes: int) -> Tokens:
    """A recorded sequence, its repetitions expanded."""
    parts: list[Tokens] = []
    try:
        for item in items:
            if isinstance(item, Mapping):
                group = [t for t in (_token(i, entry_bytes) for i in item["seq"]) if t is not None]
                one = np.array(group, np.uint64)
                steps = np.where(one > MARK, entry_bytes, 0).astype(np.uint64)
                times = np.arange(int(item["rep"]), dtype=np.uint64)[:, None]
                parts.append((one + times * steps).ravel())
            elif (token := _token(item, entry_bytes)) is not None:
                parts.append(np.array([token], np.uint64))
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BadSequence):
            raise
        raise BadSequence(f"damaged: {error}") from None
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _modelled(events: Records, backend: str) -> Iterator[tuple[npt.NDArray[np.bool_], list[Any], Any]]:
    """Which events become tokens: their rows, the tokens (None: the entry's address), and how often the first comes."""
    codes = {name: code for code, name in names.kinds().items()}
    kind = events["kind"]
    once = np.ones(len(events), np.int64)
    yield kind == codes["STORE"], [None], once
    if backend == "riscv":
        # Of fences, only those of the table allocators were recorded.
        behind = np.concatenate([[False], (kind == codes["ALLOC"])[:-1]]) if len(events) else once > 1
        yield (kind == codes["WMB"]) & behind, [DMB], once
        yield kind == codes["TLBI"], [TLBI], events["old"].astype(np.int64)
    elif backend == "arm64":
        yield kind == codes["WMB"], [DMB], once
        yield kind == codes["BAR"], [DSB_ISHST, ISB], once
        yield (kind == codes["DSB"]) & (events["aux"] == 1), [DSB_ISHST], once
        # A context switch has one too; the recording leaves the switch out.
        behind = np.concatenate([[False], (kind == codes["TLBI"])[:-1]]) if len(events) else once > 1
        yield (kind == codes["DSB"]) & (events["aux"] == 2) & behind, [DSB_ISH], once
        yield kind == codes["ISB"], [ISB], once
        yield kind == codes["TLBI"], [TLBI], events["old"].astype(np.int64)
    else:
        texts = dict(names.codes("tlbi"))
        single = [code for code, text in texts.items() if text == "invlpg"]
        tlbi = kind == codes["TLBI"]
        yield tlbi & np.isin(events["aux"], single), [INVLPG], events["old"].astype(np.int64)
        yield tlbi & ~np.isin(events["aux"], single), [CR4, CR4], once


def modelled(events: Records, backend: str) -> Tokens:
    """The same of the model."""
    counts = np.zeros(len(events), np.int64)
    rules = list(_modelled(events, backend))
    for rows, tokens, times in rules:
        counts[rows] = (times * len(tokens))[rows]
    ends = np.cumsum(counts)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint64)
    starts = ends - counts
    for rows, tokens, times in rules:
        if tokens == [None]:
            out[starts[rows]] = events["addr"][rows]
        elif len(tokens) == 1:
            # One event stands for many instructions.
            repeats = times[rows]
            offsets = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            out[np.repeat(starts[rows], repeats) + offsets] = tokens[0]
        else:
            for n, token in enumerate(tokens):
                out[starts[rows] + n] = token
    return out


def invalidations(tokens: Tokens) -> int:
    """How many of them invalidate TLB entries."""
    return int(np.isin(tokens, [TLBI, INVLPG, CR4]).sum())


def only_known(tokens: Tokens, tables: Iterable[int], page: int) -> Tokens:
    """Without stores to tables that the recording does not follow."""
    # A page counts, and small tables share one.
    known = np.array(sorted({table & ~(page - 1) for table in tables}), np.uint64)
    store = tokens > np.uint64(MARK)
    return tokens[~store | np.isin(tokens & ~np.uint64(page - 1), known)]


def show(tokens: Tokens) -> str:
    """Tokens as text."""
    return ", ".join(NAMES[t] if t <= MARK else f"store {t:#x}" for t in tokens.tolist())
