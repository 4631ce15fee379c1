"""Recordings of configurations that nobody has recorded: made by the model itself, they must be read as what they are.

This says nothing about kernels. It says that addresses, tables and words of every geometry find their way through.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lazymmu import _native
from lazymmu.conform import conform
from lazymmu.conform.commands import COMMANDS, Allocations, Scene, parse
from lazymmu.conform.session import Session
from lazymmu.recording import Kernel, open_recording
from lazymmu.recording.kernel import PROTS

from ..recording.test_geometries import CONFIGURATIONS, SOURCES, kernel_of, of_shape

PLACES = [place for place in CONFIGURATIONS if place[0] != "xen-pv"]
FRAMES = 0x1000_0000
"""Where the tables of the recording lie: the reader has its own elsewhere."""


def commands(kernel: Kernel) -> list[str]:
    """A script: small and large leaves over the ends of tables, holes, callbacks, failures."""
    page = 1 << kernel.number("page_shift")
    sizes = [1 << shift for shift in kernel.shifts.values()]
    base = -(-kernel.number("vmalloc_start") // sizes[1]) * sizes[1] + sizes[1]
    if sizes[2:] and base + 2 * sizes[2] < kernel.number("vmalloc_end"):
        base = -(-base // sizes[2]) * sizes[2] - sizes[1]
    edge, window = base + sizes[1], f"@ {base:#x} {4 * sizes[1]:#x}"
    return [
        f"vmpr {base:#x} {page:#x} 0x40000000 rw {window}",
        f"vmaps {edge - 2 * page:#x} 5 0 rw c 0 0 {window}",
        f"vmaps {edge - page:#x} 2 0 rw c 0 0 {window}",
        f"vmpr {edge + sizes[1]:#x} {sizes[1]:#x} 0x0 io {window}",
        f"apply {edge + 8 * page:#x} {4 * page:#x} 1 1 0x40000000 rw {window}",
        f"apply {edge + 8 * page:#x} {4 * page:#x} 0 3 0 rw {window}",
        f"apply {edge + 8 * page:#x} {4 * page:#x} 0 0 0 rw 2 {window}",
        f"vunmap {edge + 8 * page:#x} {2 * page:#x} {window}",
        f"vunmapnf {base:#x} {3 * sizes[1]:#x} {window}",
        f"vmpr {base:#x} {3 * page:#x} 0x40000000 ro {window}",
    ]


def record(kernel: Kernel, folder: Path) -> int:
    """Carries the script out in the model, and writes what a driver would have seen."""
    kernel.__dict__["layout"] = {**kernel.layout, "table_frames": FRAMES}
    session = Session(kernel, cpus=1, mms=0)
    lines = []

    def in_memory(word: int) -> str:
        return hex(int.from_bytes(word.to_bytes(8, "big"), "little") if kernel.swapped else word)

    for number, text in enumerate(commands(kernel), start=1):
        command = parse(text)
        before = {entry[:4]: entry[4] for entry in session.entries()}
        ran = session.run(COMMANDS[command.name](command, Scene(kernel, {}, Allocations())))
        after = {entry[:4]: entry[4] for entry in session.entries()}
        changed = [key for key in before.keys() | after.keys() if before.get(key, 0) != after.get(key, 0)]
        runs = [
            [level, hex(table), index, hex(va), in_memory(before.get(key, 0)), in_memory(after.get(key, 0))]
            for key in sorted(changed, key=lambda key: (-key[0], key[3]))
            for level, table, index, va in [key]
        ]
        result = ran.results[-1]
        allocs = [int(e["level"]) for e in ran.events if e["kind"] == ALLOC]
        frees = [int(e["level"]) for e in ran.events if e["kind"] == FREE]
        line: dict[str, Any] = {"n": number, "cmd": text, "ret": result.ret or 0, "chg": runs}
        line["alloc"] = {str(level): allocs.count(level) for level in allocs}
        line["freed"] = {str(level): frees.count(level) for level in frees}
        if command.name == "apply":
            line["fn_calls"] = result.calls
        lines.append(json.dumps(line))
    (folder / "ops.jsonl").write_text("\n".join(lines))
    return len(lines)


KINDS = {name: code for code, name, _ in _native.event_kinds()}
ALLOC, FREE = KINDS["ALLOC"], KINDS["FREE"]


def made(folder: Path, place: tuple[str, str]) -> tuple[Kernel, int]:
    machine, shape = CONFIGURATIONS[place]
    layout = _native.geometries()[place[1]]
    info = {
        **of_shape(machine, shape),
        "vmalloc_start": hex(layout["vmalloc_start"]),
        "vmalloc_end": hex(layout["vmalloc_end"]),
    }
    if info["pte_bytes"] == 4:
        info.update({key: hex(0x63) for key in PROTS.values()})
    kernel = kernel_of(folder, SOURCES[machine], info)
    assert (kernel.backend, kernel.geometry) == place
    return kernel, record(kernel, folder)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_recording_of_every_geometry_is_followed(tmp_path: Path, place: tuple[str, str]) -> None:
    _, count = made(tmp_path / "recording", place)
    (report,) = conform(open_recording(tmp_path / "recording"))
    assert [(d.op, d.command, d.what, d.model, d.kernel) for d in report.differences] == []
    assert report.agree == report.ops == count
    assert report.checked["descriptors"] > 20
    assert report.checked["tables"] > 0


@pytest.mark.parametrize("place", PLACES[::4], ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_wrong_word_is_found_in_it(tmp_path: Path, place: tuple[str, str]) -> None:
    made(tmp_path / "recording", place)
    file = tmp_path / "recording" / "ops.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    run = records[1]["chg"][-1]
    run[5] = hex(int(run[5], 16) ^ 1 << 13)
    file.write_text("\n".join(json.dumps(r) for r in records))
    (report,) = conform(open_recording(tmp_path / "recording"))
    assert any(d.op == 2 and d.what.startswith("descriptor") for d in report.differences)
