"""Damaged recordings: status 2, and a message with file, line and what was expected."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..cli.test_json import lazymmu
from ..recording.places import SMALL

SOURCE = SMALL / "arm64-7.3.4-4k48"


def refused(*args: str | Path) -> str:
    done = lazymmu(*map(str, args))
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "recording"
    folder.mkdir()
    for name in ("info.json", "cmdline", "kernel.config.xz"):
        shutil.copy(SOURCE / name, folder)
    return folder


def lines() -> list[str]:
    return lzma.decompress((SOURCE / "ops.jsonl.xz").read_bytes()).decode().splitlines()


def put(folder: Path, text: str, name: str = "ops.jsonl") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("command", ["conform", "walk"])
def test_nothing_there(command: str, tmp_path: Path) -> None:
    assert "nowhere" in refused(command, tmp_path / "nowhere")
    assert str(tmp_path) in refused(command, tmp_path)


def test_truncated_xz(recording: Path) -> None:
    whole = (SOURCE / "ops.jsonl.xz").read_bytes()
    (recording / "ops.jsonl.xz").write_bytes(whole[: len(whole) // 2])
    assert "ops.jsonl.xz: truncated or corrupt xz data" in refused("conform", recording)


def test_cut_in_a_line(recording: Path) -> None:
    text = "\n".join(lines()[:6])
    file = put(recording, text[: len(text) - 20])
    message = refused("conform", file)
    assert f"{file}: line 6" in message
    assert "not JSON" in message


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"cmd": 7}, ["expected a command"]),
        ({"cmd": "vmpr 0xffffb00000000000"}, ["vmpr", "argument"]),
        ({"cmd": "vmpr x 0x1000 0x1000 rw"}, ["vmpr", "argument 1"]),
        ({"cmd": "vmpr 0xffffb00000000000 0x1000 0x4000001000 pink"}, ["pink"]),
        ({"cmd": "levitate 1"}, ["levitate"]),
        ({"cmd": "nop @ 0x1000"}, ["window"]),
        ({"n": "4"}, ["'n'"]),
        ({"chg": [[1, "0x1000", 3]]}, ["no run of changes"]),
        ({"chg": [[9, "0x1000", 3, "0x0", "0x0", "0x1"]]}, ["no run of changes"]),
        ({"chg": [[1, "0x1000", 3, "0x0", "0x0", "0x1", 1 << 60, "0x0", "0x0"]]}, ["out of range"]),
        ({"chg": [[1, "0x1000", 5000, "0xffffb00000000000", "0x0", "0x1"]]}, []),
        ({"chg": 5}, ["chg"]),
        ({"ev": [["__vunmap_range_noflush"]]}, ["no probe event"]),
        ({"alloc": [1]}, ["alloc"]),
        ({"ev": 3}, ["'ev'", "a list of calls", "got 3"]),
        ({"ev": [4]}, ["'ev'", "a list of calls"]),
        ({"ret": "0"}, ["'ret'", "a return value", "got '0'"]),
        ({"fn_calls": [1]}, ["'fn_calls'", "a number"]),
        ({"win": ["0x1000"]}, ["'win'", "two addresses"]),
        ({"win": ["0x2000", "0x1000"]}, ["window", "0x2000"]),
        ({"win": ["0x0", "0x10000000000000001"]}, ["window", "64-bit"]),
        ({"cmd": "setmem 2 purple 4 8"}, ["setmem"]),
        ({"cmd": "setdirect 8 1 sideways"}, ["setdirect", "'sideways'", "invalid, default"]),
        ({"cmd": ""}, ["empty command"]),
        ({"cmd": "lin 8 99999999999999999999 ro"}, ["lin", "argument 2", "pages"]),
        ({"cmd": "vmaps 0xffffb00000000000 0xffffffffffff 0 rw c 0 0"}, ["vmaps", "argument 2", "pages"]),
    ],
)
def test_a_damaged_record(recording: Path, change: dict[str, Any], parts: list[str]) -> None:
    text = lines()[:5]
    record = json.loads(text[4])
    text[4] = json.dumps({**record, **change})
    file = put(recording, "\n".join(text))
    done = lazymmu("conform", str(file))
    assert done.returncode in ((2,) if parts else (1, 2))
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr
    if parts:
        assert f"{file}: line" in done.stderr


@pytest.mark.parametrize("key", ["release", "machine", "page_shift", "ptrs_per_pgd", "init_mm_pgd_pa", "PAGE_KERNEL"])
def test_info_without_a_key(recording: Path, key: str) -> None:
    info = json.loads((recording / "info.json").read_text())
    del info[key]
    (recording / "info.json").write_text(json.dumps(info))
    text = [line for line in lines()[:40] if json.loads(line)["cmd"] != "info"]
    put(recording, "\n".join(text))
    message = refused("conform", recording)
    assert "info.json" in message
    assert key in message


def test_records_of_two_kernels(recording: Path) -> None:
    """Operations of one kernel with the metadata of another: refused, or different, and never a crash."""
    for other in ("x86_64-6.12.117-4lvl", "arm64-7.3.4-64k48", "riscv64-6.12.117-sv48"):
        text = lzma.decompress((SMALL / other / "ops.jsonl.xz").read_bytes()).decode().splitlines()
        text = [line for line in text if json.loads(line)["cmd"] != "info"][:40]
        done = lazymmu("conform", str(put(recording, "\n".join(text))))
        assert done.returncode in (1, 2), other
        assert "Traceback" not in done.stderr
        if done.returncode == 2:
            assert str(recording) in done.stderr


def test_no_operations(recording: Path) -> None:
    assert "no ops" in refused("conform", recording)


@pytest.mark.parametrize("empty", [["nothing"], ["0x1", "-0x1"], ["0x10000000000000000"], [17], 3])
def test_what_empty_entries_hold_must_be_words(empty: Any, recording: Path) -> None:
    info = json.loads((recording / "info.json").read_text())
    (recording / "info.json").write_text(json.dumps({**info, "empty": empty}))
    message = refused("conform", put(recording, "\n".join(lines()[:6]) + "\n"))
    assert "empty: expected a list of 64-bit words" in message
