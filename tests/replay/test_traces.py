"""Replays of recorded traces: masks and return values are the kernel's, and the matrix has every scheme."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazymmu.compare import Configuration, compare, execute
from lazymmu.recording.trace import read_trace
from lazymmu.replay import workloads
from lazymmu.replay.moves import Kind

from ..cli.test_json import lazymmu
from ..recording.places import RECORDINGS, SMALL

TRACES = [
    file
    for path in RECORDINGS
    for file in sorted(path.glob("trace_*.xz"))
    if file.stat().st_size < 20_000 and not (path.name.startswith("i386") and "fork" in file.name)
]


def moves(file: Path) -> str:
    """The walks that a trace begins."""
    return " ".join(event.name for event in read_trace(file) if event.name.endswith(("_range", "_range_noflush")))


@pytest.mark.parametrize("file", TRACES, ids=lambda f: f"{f.parents[2].name}-{f.parent.name}-{f.name}")
def test_masks_and_returns_are_the_kernels(file: Path) -> None:
    if not moves(file):
        pytest.skip("no operations on kernel page tables in it")
    (workload,) = workloads(file)
    kernel = workload.kernel
    if not kernel.modelled:
        pytest.skip("backend not modelled")
    outcome = execute(workload, Configuration(kernel.backend, kernel.geometry, kernel.scheme))
    assert list(outcome.failures) == []
    assert outcome.ok(strict=False)
    if "boot" not in file.name:
        assert sum(move.mask is not None for move in workload.read.moves) > 8


def test_a_wrong_mask_is_found(tmp_path: Path) -> None:
    (workload,) = workloads(SMALL / "arm64-7.3.4-4k48" / "trace_vm_map_ram.txt.xz")
    move = next(m for m in workload.read.moves if m.mask)
    move.mask = 0x1F
    outcome = execute(workload, Configuration("arm64", "arm64-4k-48", "v7.0"))
    assert any(f"line {move.line}" in failure and "0x1f" in failure for failure in outcome.failures)


@pytest.mark.parametrize(
    "file", [f for f in TRACES if f.parent.parent == SMALL], ids=lambda f: f"{f.parent.name}-{f.name}"
)
def test_every_backend_runs_it(file: Path) -> None:
    (workload,) = workloads(file)
    matrix = compare(workload, ["v6.12", "begin-end", "v7.0"], shorten=False)
    assert len(matrix.rows) >= 3
    for cell in matrix.cells:
        assert cell.error in ("", "does not apply")
        assert cell.outcome is None or not cell.outcome.failures
    barriers = {
        cell.configuration.scheme_name: cell.outcome.run.counts["barriers"]
        for cell in matrix.cells
        if cell.configuration.backend == "arm64" and cell.outcome
    }
    assert barriers["v7.0"] < barriers["v6.12"]


def test_what_is_an_operation_of_its_own() -> None:
    (workload,) = workloads(SMALL / "arm64-7.3.4-4k48" / "trace_fix_size_huge.txt.xz")
    kinds = [move.kind for move in workload.read.moves]
    assert kinds.count(Kind.PAGES) == 47
    assert kinds.count(Kind.MAP_NOFLUSH) == 0
    assert kinds.count(Kind.UNMAP) == 47


@pytest.mark.parametrize("file", sorted(SMALL.glob("*/ops.jsonl.xz")), ids=lambda f: f.parent.name)
def test_commands_of_a_driver(file: Path) -> None:
    (workload,) = workloads(file)
    kernel = workload.kernel
    outcome = execute(workload, Configuration(kernel.backend, kernel.geometry, kernel.scheme))
    assert list(outcome.failures) == []
    failing = [move for move in workload.read.moves if move.ret]
    assert failing
    failing[0].ret = 0
    again = execute(workload, Configuration(kernel.backend, kernel.geometry, kernel.scheme))
    assert len(again.failures) == 1


def test_a_directory_without_traces_has_commands() -> None:
    names = [workload.name for workload in workloads(SMALL / "x86_64-7.3.4-xenpv")]
    assert names == ["x86_64-7.3.4-xenpv/ops", "x86_64-7.3.4-xenpv/ops_balanced"]


def test_perf_script_lines(tmp_path: Path) -> None:
    file = tmp_path / "trace_x.txt"
    file.write_text(
        "vmalloc_test/0    43 [001]     5.230500: vmalloc:free_vmap_area_noflush: va_start=0xffff8000 nr_lazy=20\n"
        "CPU:1 [LOST 12 EVENTS]\n"
        " kworker/u8:0-10 [002] d..1. 6.5: vunmap_range_noflush: (x+0x4/0xf0) start=0x1000 end=0x2000\n"
    )
    first, second = read_trace(file)
    assert (first.pid, first.cpu, first.name, first.arguments["nr_lazy"]) == (43, 1, "free_vmap_area_noflush", 20)
    assert (second.comm, second.arguments) == ("kworker/u8:0", {"start": 0x1000, "end": 0x2000})


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("garbage", ["line 2", "garbage"]),
        ("  init-1 [000] ..... 1.0: vunmap_range_noflush: (f+0x0/0x1) start=0x1000", ["line 2", "'end'"]),
        ("  init-1 [000] ..... 1.0: vmap_pages_range_noflush: addr=zzz end=0x2000", ["line 2", "'addr'"]),
    ],
)
def test_damaged_lines(tmp_path: Path, line: str, parts: list[str]) -> None:
    (tmp_path / "info.json").write_bytes((SMALL / "arm64-7.3.4-4k48" / "info.json").read_bytes())
    file = tmp_path / "trace_boot.txt"
    file.write_text(f"# tracer: nop\n{line}\n")
    done = lazymmu("compare", str(file))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in (str(file), *parts):
        assert part in done.stderr
