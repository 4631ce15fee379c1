"""The batch of powerpc's hash MMU against what a kernel did with it in a process: `hpte_need_flush`, and each flush."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lazymmu
from lazymmu.recording import describe, open_recording, read_records
from lazymmu.report import names

from ..recording.places import RECORDINGS, name

HASH = [path for path in RECORDINGS if describe(open_recording(path)).backend == "powerpc-hash"]
Step = tuple[str, int]


def batches(path: Path) -> Iterator[list[list[Any]]]:
    """What probes saw of the batch in each step that used it."""
    file = open_recording(path).find("user.jsonl")
    assert file is not None
    for _, record in read_records(file):
        events = [e for e in record.get("ev", []) if e[0] in ("hpte_need_flush", "__flush_tlb_pending")]
        if events:
            yield events


def recorded(events: list[list[Any]]) -> Iterator[Step]:
    """The same in words of the model."""
    for event in events:
        lazy, queued = event[-1]["lazy"], event[-1]["queued"]
        if event[0] == "__flush_tlb_pending":
            yield "flush", queued
            yield ("hpte" if queued == 1 else "hpte-range"), queued
        elif lazy:
            yield "defer", queued + 1
        else:
            yield "hpte", 1


def program(events: list[list[Any]], mms: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Pages that the hash table has are unmapped as the kernel did, in the sections that it was in."""
    inside = False
    for number, event in enumerate(events):
        lazy = bool(event[-1]["lazy"])
        if event[0] == "__flush_tlb_pending":
            # A full batch is flushed on its own; otherwise the section ends.
            if event[-1]["queued"] < 192:
                yield {"lazy_disable": {}}
                inside = False
            continue
        if lazy and not inside:
            yield {"lazy_enable": {}}
            inside = True
        assert lazy == inside
        mm, va = mms[event[1]], int(event[2], 0)
        yield {"populate_user": {"mm": mm, "va": va}}
        yield {"pte": {"mm": mm, "va": va, "step": "set", "pa": 0x1000_0000 + number * 0x10000, "prot": "PAGE_SHARED"}}
        yield {"access": {"va": va, "kind": "read"}}
        yield {"pte": {"mm": mm, "va": va, "step": "get-and-clear"}}


def modelled(run: lazymmu.Run) -> Iterator[Step]:
    """What the model did with its batch."""
    kinds, codes = names.kinds(), names.codes("tlbi")
    for event in run.events:
        match kinds[int(event["kind"])]:
            case "DEFER_TLBI":
                yield "defer", int(event["old"])
            case "FLUSH":
                yield "flush", int(event["old"])
            case "TLBI":
                yield codes[int(event["aux"])], int(event["old"])


@pytest.mark.parametrize("path", HASH, ids=name)
def test_batches_are_the_kernels(path: Path) -> None:
    kernel = describe(open_recording(path))
    steps = flushes = 0
    for events in batches(path):
        mms = {event[1]: 1 for event in events if event[0] == "hpte_need_flush"}
        if len(mms) != 1:
            continue  # one process at a time can be in its address space
        machine = lazymmu.Machine(
            kernel.backend, kernel.geometry, kernel.scheme, cpus=1, mms=1, tasks=[{"mm": 1, "cpu": 0}]
        )
        wanted = list(recorded(events))
        assert list(modelled(machine.run(list(program(events, mms))))) == wanted
        steps += len(wanted)
        flushes += sum(step[0] == "flush" for step in wanted)
    assert steps > 200
    assert flushes > 15
