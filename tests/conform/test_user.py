"""Steps of user programs: faults, fork, protection, moves and unmapping leave the entries that the kernel left."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path

import pytest

from lazymmu.conform import Report, conform, user_hardware
from lazymmu.recording import open_recording

from ..recording.places import RECORDINGS, SMALL, modelled, name
from .test_recordings import differences

FILES = [file for path in RECORDINGS if modelled(path) for file in sorted(path.glob("user*.jsonl.xz"))]


def report_of(file: Path) -> Report:
    (report,) = conform(open_recording(file))
    return report


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{name(file.parent)}-{file.name}")
def test_every_step_agrees(file: Path) -> None:
    report = report_of(file)
    assert differences(report) == []
    assert report.ok
    assert report.agree == report.ops >= 20
    assert report.checked["descriptors"] > 400
    if file.name.startswith("user_hw"):
        assert report.checked["instructions"] > 500


def test_a_loop_that_was_left_early_is_left_early_in_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SMALL / "i386-6.12.117-pae-highpte-pti" / "user_hw.jsonl.xz"
    assert report_of(file).ok
    monkeypatch.setattr(user_hardware, "left_early", lambda *_: [])
    assert [d.command for d in report_of(file).differences] == ["munmap shared mapping"]


def changed(tmp_path: Path, step: str) -> Path:
    """A recording whose step left one entry as no kernel does."""
    source = SMALL / "x86_64-6.12.117-4lvl"
    folder = tmp_path / source.name
    folder.mkdir()
    for file in ("info.json", "cmdline", "kernel.config.xz"):
        shutil.copy(source / file, folder)
    lines = lzma.decompress((source / "user.jsonl.xz").read_bytes()).decode().splitlines()
    for n, line in enumerate(lines):
        record = json.loads(line)
        if record.get("what", "").startswith(step):
            run = record["chg"][0]
            run[5] = hex(int(run[5], 16) ^ 1 << 5)
            lines[n] = json.dumps(record)
            break
    else:
        raise AssertionError(step)
    (folder / "user.jsonl").write_text("\n".join(lines))
    return folder / "user.jsonl"


def test_another_invalidation_of_a_hash_entry_is_a_difference(tmp_path: Path) -> None:
    source = SMALL / "ppc64-6.12.117-hash4k"
    for file in ("info.json", "cmdline", "kernel.config.xz"):
        shutil.copy(source / file, tmp_path)
    lines = lzma.decompress((source / "user.jsonl.xz").read_bytes()).decode().splitlines()
    number = next(n for n, line in enumerate(lines) if '"mprotect READ pages' in line)
    record = json.loads(lines[number])
    call = next(call for call in record["ev"] if call[0] == "hpte_need_flush")
    call[2] = hex(int(call[2], 16) + 0x1000)
    lines[number] = json.dumps(record)
    (tmp_path / "user.jsonl").write_text("\n".join(lines))
    report = report_of(tmp_path / "user.jsonl")
    assert [d.what for d in report.differences if "hash entries" in str(d)]
    assert report.agree == report.ops - 1


@pytest.mark.parametrize("step", ["write faults", "mprotect READ", "munmap window"])
def test_a_changed_record_is_a_difference(tmp_path: Path, step: str) -> None:
    report = report_of(changed(tmp_path, step))
    assert not report.ok
    assert differences(report)
