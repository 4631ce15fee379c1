"""Traces of QEMU's plugin become sequences of stores, barriers and invalidations."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lazymmu.conform import conform
from lazymmu.recording import open_recording
from lazymmu.recording.files import read_lines

from ..recording.places import ROOT, SMALL

RECORDER = ROOT / "tools" / "recorder"
ARM64, RISCV = "arm64-16k47", "riscv64-sv39"
INFO = {"page_shift": 14, "pte_bytes": 8}
SYMBOLS = """\
ffff800080000000 T _text
ffff800080001000 T __sched_text_start
ffff800080001000 t __switch_to
ffff800080002000 T probes_begin
ffff800080003000 T probes_end
ffff800080004000 t vmap_pte_range
ffff800080005000 T __pte_alloc_kernel
ffff800080006000 T clear_page
ffff800080007000 T gic_handle_irq
ffff800080008000 d some_data
"""
SWITCH, MAP, ALLOCATE, CLEAR, INTERRUPT = (0xFFFF_8000_8000_0010 + n * 0x1000 for n in (1, 4, 5, 6, 7))
DSB_ISHST, ISB, DMB_ISHST = 0xD5033A9F, 0xD5033FDF, 0xD5033ABF


@pytest.fixture(name="sequence", scope="module")
def _sequence() -> ModuleType:
    sys.path.insert(0, str(RECORDER))
    try:
        return importlib.import_module("sequence")
    finally:
        sys.path.pop(0)


def configuration(key: str) -> Any:
    return next(c for c in sys.modules["configurations"].ALL if c.key == key)


@pytest.mark.parametrize(
    ("arch", "word", "text"),
    [
        ("arm64", DSB_ISHST, "dsb ishst"),
        ("arm64", 0xD5033B9F, "dsb ish"),
        ("arm64", 0xD503369F, "dsb nshst"),
        ("arm64", DMB_ISHST, "dmb ishst"),
        ("arm64", ISB, "isb"),
        ("arm64", 0xD50883E0, "tlbi vaale1is, x0"),
        ("arm64", 0xD50887A3, "tlbi vale1, x3"),
        ("arm64", 0xD508831F, "tlbi vmalle1is"),
        ("arm64", 0xD50882E1, "tlbi rvaale1is, x1"),
        ("arm64", 0xD5182002, "msr ttbr0_el1, x2"),
        ("arm64", 0xD503305F, None),
        ("riscv64", 0x12000073, "sfence.vma zero,zero"),
        ("riscv64", 0x12078073, "sfence.vma a5,zero"),
        ("riscv64", 0x0110000F, "fence w,w"),
        ("riscv64", 0x0310000F, "fence rw,w"),
        ("riscv64", 0x18079073, "csrrw zero,satp,a5"),
        ("x86_64", 0x3F010F, "invlpg (%rdi)"),
        ("x86_64", 0x38010F41, "invlpg (%r8)"),
        ("x86_64", 0xF8010F, None),
        ("x86_64", 0xE7220F, "movq %rdi, %cr4"),
        ("x86_64", 0xD9220F41, "movq %r9, %cr3"),
        ("x86_64", 0xC0220F44, None),
        ("i386", 0x38010F, "invlpg (%eax)"),
        ("i386", 0xD8220F, "movl %eax, %cr3"),
    ],
)
def test_instructions_are_named(sequence: ModuleType, arch: str, word: int, text: str | None) -> None:
    known = sequence.instructions.ALL[arch]
    assert any(word & mask == value for mask, value in known.classes)
    assert known.text(word) == text


def expand(groups: list[tuple[int, int, int]], codes: list[int], steps: list[int]) -> Iterator[int]:
    for at, length, times in groups:
        for time in range(times):
            yield from (codes[at + n] + time * steps[at + n] for n in range(length))


def test_what_is_folded_unfolds(sequence: ModuleType) -> None:
    draw = random.Random(3)
    for _ in range(60):
        codes: list[int] = []
        steps: list[int] = []
        for _ in range(draw.randrange(12)):
            kinds = [draw.randrange(4) for _ in range(draw.randrange(4))]
            group = [(kind * 1000 + draw.randrange(9), kind % 2) for kind in kinds]
            for time in range(draw.choice((1, 1, 2, 3, 5, 40))):
                codes += [code + time * step for code, step in group]
                steps += [step for _, step in group]
        groups = sequence.fold(np.array(codes, np.int64), np.array(steps, np.int64))
        assert list(expand(groups, codes, steps)) == codes
        assert sum(length * times for _, length, times in groups) == len(codes)


def window(sequence: ModuleType, *rows: tuple[int, int, int]) -> Any:
    return np.array(rows, np.uint64).reshape(-1, 3)


def store(pa: int, pc: int = MAP) -> tuple[int, int, int]:
    return 4, pc, pa


def test_a_window_becomes_a_sequence(sequence: ModuleType) -> None:
    state = sequence.Sequences(configuration(ARM64), INFO, sequence.Symbols(SYMBOLS))
    events = window(
        sequence,
        (3, ALLOCATE, DMB_ISHST),
        store(0x40020000 + 8, CLEAR),
        store(0x40010000 + 5 * 8, ALLOCATE),
        (3, MAP, DMB_ISHST),
        (3, INTERRUPT, 0xD5033F9F),
        *(event for n in range(4) for event in (store(0x40020000 + 8 * n), (3, MAP, DSB_ISHST), (3, MAP, ISB))),
        store(0x50000000),
        (3, SWITCH, DSB_ISHST),
    )
    record = {
        "n": 3,
        "cmd": "vmpr",
        "chg": [
            [2, "0x40010000", 5, "0xffffc00080000000", "0x0", "0x10000000040020003"],
            [1, "0x40020000", 0, "0xffffc00080000000", "0x0", "0x703", 4, "0x0", "0x4000"],
        ],
    }
    assert state.record(record, events) == {
        "n": 3,
        "cmd": "vmpr",
        "counts": {"dmb": 1, "W2": 1, "W1": 4, "dsb": 5, "isb": 4},
        "seq": [
            ["dmb ishst", "__pte_alloc_kernel"],
            ["W", 2, "0x40010000", 5, "__pte_alloc_kernel"],
            {
                "rep": 4,
                "seq": [
                    ["W", 1, "0x40020000", 0, "vmap_pte_range"],
                    ["dsb ishst", "vmap_pte_range"],
                    ["isb", "vmap_pte_range"],
                ],
            },
            ["dsb ishst", "__switch_to"],
        ],
        "descriptors_changed": 5,
    }


@pytest.mark.parametrize(("key", "word"), [(ARM64, "0x10000000040020003"), (RISCV, "0x10008001")])
def test_a_table_is_followed_until_it_is_unlinked(sequence: ModuleType, key: str, word: str) -> None:
    state = sequence.Sequences(configuration(key), INFO, sequence.Symbols(SYMBOLS))
    events = window(sequence, store(0x40020000))
    leaf = [1, "0x40020000", 0, "0x0", "0x0", "0x703"]
    made = state.record({"n": 1, "cmd": "user", "what": "read", "chg": [leaf]}, events)
    assert made["cmd"] == "user: read"
    assert made["counts"] == {"W1": 1}
    moved = [[2, "0x40010000", 5, "0x0", word, "0x0"], [2, "0x40010000", 7, "0x0", "0x0", word]]
    assert state.record({"n": 2, "cmd": "move", "chg": moved}, events)["counts"] == {"W1": 1}
    again = state.record({"n": 3, "cmd": "x", "chg": []}, events)
    assert again["counts"] == {"W1": 1}
    freed = [[2, "0x40010000", 6, "0x0", "0x0", "0x0", 2, word, "0x0"]]
    assert state.record({"n": 3, "cmd": "free", "chg": freed}, events)["counts"] == {"W1": 1}
    assert state.record({"n": 4, "cmd": "later", "chg": []}, events)["counts"] == {}


def trace(path: Path, *rows: tuple[int, int, int]) -> Path:
    np.array(rows, np.uint64).tofile(path)
    return path


def test_windows_and_records_are_paired(sequence: ModuleType, tmp_path: Path) -> None:
    info = {"n": 0, "cmd": "info", **INFO}
    records = [info, {"n": 1, "cmd": "nop", "chg": []}, {"n": 2, "cmd": "walk 0 1", "chg": []}]
    records += [{"n": 3, "cmd": "vmpr", "chg": [[1, "0x40020000", 0, "0x0", "0x0", "0x1"]]}]
    marks = (1, 0, 0), (2, 0, 0)
    path = trace(tmp_path / "trace", *marks, store(0x40020008), marks[0], store(0x40020010), marks[1])
    symbols = sequence.Symbols(SYMBOLS)
    lines = list(sequence.sequences(configuration(ARM64), records, path, symbols))
    assert [line["seq"] for line in lines] == [[], [["W", 1, "0x40020000", 2, "vmap_pte_range"]]]
    short = trace(tmp_path / "short", *marks)
    with pytest.raises(sequence.SequenceError, match="2 records, but 1 windows"):
        list(sequence.sequences(configuration(ARM64), records, short, symbols))


def test_names_are_of_functions(sequence: ModuleType) -> None:
    symbols = sequence.Symbols(SYMBOLS)
    assert symbols.function(SWITCH) == "__switch_to"
    assert symbols.address("__sched_text_start") == symbols.address("__switch_to")
    assert symbols.function(0xFFFF_8000_8000_9000) == "gic_handle_irq"


PROGRAM = (
    0x00000013,  # nop: begin
    0x00000297,  # auipc t0, 0
    0x0E02BE23,  # sd zero, 252(t0)
    0x0FC2B303,  # ld t1, 252(t0)
    0x0002A403,  # lw s0, 0(t0)
    0x12000073,  # sfence.vma
    0x0002A2AF,  # amoadd.w t0, zero, (t0)
    0x00000013,  # nop: end
    0x12000073,  # sfence.vma, which nobody asked for
    0x00100337,  # lui t1, 0x100: a device that ends the machine
    0x000053B7,  # lui t2, 5
    0x55538393,  # addi t2, t2, 0x555
    0x00732023,  # sw t2, 0(t1)
    0x0000006F,  # j .
)
"""Of riscv, at the address where the machine starts."""


@pytest.mark.skipif(not shutil.which("qemu-system-riscv64") or not shutil.which("cc"), reason="no QEMU or no compiler")
def test_the_plugin_tells_what_runs_between_two_places(sequence: ModuleType, tmp_path: Path) -> None:
    start = 0x8000_0000
    image, out = tmp_path / "image", tmp_path / "trace"
    image.write_bytes(np.array(PROGRAM, np.uint32).tobytes())
    symbols = sequence.Symbols(f"{start:x} T _text\n{start:x} T probes_begin\n{start + 28:x} T probes_end\n")
    plugin = sequence.plugin_option(configuration(RISCV), sequence.build_plugin(tmp_path), symbols, out)
    command = ["qemu-system-riscv64", "-M", "virt", "-accel", "tcg", "-display", "none", "-bios", str(image)]
    subprocess.run([*command, "-plugin", plugin], check=True, timeout=60)
    (events,) = sequence.windows(out)
    told = [tuple(map(int, row)) for row in events]
    assert told == [
        (4, start + 8, start + 4 + 252),
        (3, start + 20, 0x12000073),
        (4, start + 24, start + 4),
    ]


def test_a_worker_that_purges_after_the_release(tmp_path: Path) -> None:
    """As another boot had it: nothing else ran during the release, and its worker before the next command."""
    folder = tmp_path / "recording"
    shutil.copytree(SMALL / "arm64-7.3.4-16k47", folder)
    lines = [json.loads(line) for _, line in read_lines(folder / "hwseq.jsonl.xz")]
    (folder / "hwseq.jsonl.xz").unlink()
    release = next(n for n, line in enumerate(lines) if line["cmd"] == "vfree 5")
    assert lines[release + 2]["cmd"] == "purge"
    lines[release]["seq"] = [i for i in lines[release]["seq"] if isinstance(i, dict) or i[0] == "W"]
    flush = next(item for item in lines[release + 2]["seq"] if isinstance(item, dict))
    pages = lines[release + 1]["counts"]["W1"]
    assert flush["rep"] > pages
    flush["rep"] = pages
    (folder / "hwseq.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (report,) = conform(open_recording(folder / "hwseq.jsonl"))
    assert report.differences == []
    flush["rep"] += 1
    (folder / "hwseq.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (report,) = conform(open_recording(folder / "hwseq.jsonl"))
    assert [d.command for d in report.differences] == ["purge"]


def test_another_task_in_the_middle_of_a_loop() -> None:
    """``zap_pte_range`` leaves its loop for it; the barrier of the switch itself is not the step's."""
    folder = SMALL / "arm64-6.12.117-4k39"
    lines = [json.loads(line) for _, line in read_lines(folder / "hwseq.jsonl.xz")]
    step = next(line for line in lines if line["cmd"] == "user: munmap shared mapping")
    flushes = [n for n, item in enumerate(step["seq"]) if item == ["dsb ish", "tlb_flush"]]
    assert step["seq"][flushes[0] + 1] == ["dsb ish", "__switch_to"]
    assert len(flushes) == 3
    (report,) = conform(open_recording(folder / "user_hw.jsonl.xz"))
    assert report.differences == []
