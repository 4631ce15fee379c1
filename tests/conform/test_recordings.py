"""The model does what the recorded kernels did, in every operation of every recording."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lazymmu.conform import Report, conform
from lazymmu.recording import open_recording
from lazymmu.recording.files import read_lines

from ..cli.test_json import lazymmu
from ..recording.places import RECORDINGS, SMALL, modelled, name

MODELLED = [path for path in RECORDINGS if modelled(path)]


def differences(report: Report) -> list[str]:
    found = report.differences
    return [f"{report.recording} op {d.op} {d.command}: {d.what}: {d.model} / {d.kernel}" for d in found]


@pytest.mark.parametrize("path", MODELLED, ids=name)
def test_every_operation_agrees(path: Path) -> None:
    for report in conform(open_recording(path)):
        if Path(report.recording).name.startswith("user"):
            continue
        assert differences(report) == []
        assert report.ok
        assert report.agree == report.ops > 300
        assert report.checked["descriptors"] > 3000
        assert report.checked["returns"] > 300


@pytest.mark.parametrize(
    "path", [p for p in MODELLED if p.parent == SMALL and (p / "hwseq.jsonl.xz").exists()], ids=name
)
def test_the_order_of_instructions_is_compared(path: Path) -> None:
    (report,) = conform(open_recording(path / "hwseq.jsonl.xz"))
    assert Path(report.recording).name == "ops_hw.jsonl.xz"
    assert report.ok
    assert report.checked["instructions"] > 30_000


def test_lazy_scripts_and_the_hypervisor_are_compared() -> None:
    (report,) = conform(open_recording(SMALL / "x86_64-7.3.4-xenpv" / "ops_balanced.jsonl.xz"))
    assert report.checked["steps"] > 200
    assert report.checked["hypervisor steps"] > 10_000


@pytest.mark.parametrize("source", ["x86_64-6.12.117-4lvl", "i386-6.12.117-pae-highpte-pti", "riscv64-6.12.117-sv48"])
def test_changes_of_protections_are_operations(source: str) -> None:
    records = [json.loads(line) for _, line in read_lines(SMALL / source / "ops_hw.jsonl.xz")]
    numbers = {r["n"] for r in records if r["cmd"].startswith(("setmem ", "setdirect ", "lin "))}
    assert len(numbers) >= 13
    (report,) = conform(open_recording(SMALL / source / "ops_hw.jsonl.xz"))
    assert not [d for d in report.differences if d.op in numbers]


def test_a_kernel_without_backend_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m68k"
    shutil.copytree(SMALL / "arm64-7.3.4-4k48", folder)
    info = (folder / "info.json").read_text().replace('"aarch64"', '"m68k"')
    (folder / "info.json").write_text(info)
    done = lazymmu("conform", str(folder))
    assert done.returncode == 2
    assert "m68k not modelled" in done.stderr
    assert "info.json" in done.stderr


def test_json_of_one_and_of_several() -> None:
    one, two = str(SMALL / "arm64-7.3.4-4k48" / "ops.jsonl.xz"), str(SMALL / "x86_64-6.12.117-4lvl")
    value = json.loads(lazymmu("conform", one, "--json").stdout)
    assert value["recording"] == one
    assert value["ok"] is True
    assert value["ops"] == 674
    assert value["agree"] == value["ops"]
    values = json.loads(lazymmu("conform", one, two, "--json").stdout)
    assert [v["recording"] for v in values] == [one, two]
    assert values[1]["differences"] == []
