"""Scripts of the recorder: the same for the same kernel, readable by ``conform``, and inside their area."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lazymmu.conform.commands import COMMANDS, parse

from ..recording.places import ROOT, SMALL

OURS = sorted(path.parent for path in SMALL.glob("*/README.md"))


@pytest.fixture(name="recorder", scope="module")
def _recorder() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools" / "recorder"))
    try:
        return importlib.import_module("commands")
    finally:
        sys.path.pop(0)


def script(recorder: ModuleType, folder: Path) -> list[str]:
    known = {f"{c.image_arch}-{c.name}": c for c in sys.modules["configurations"].ALL}
    assert len(known) == len(sys.modules["configurations"].ALL)
    arch, _, name = folder.name.split("-", 2)
    info = json.loads((folder / "info.json").read_text())
    lines: list[str] = recorder.Script(known[f"{arch}-{name}"], info, 220, 7).everything()
    return lines


@pytest.mark.parametrize("folder", OURS, ids=lambda path: path.name)
def test_scripts_repeat_and_are_understood(recorder: ModuleType, folder: Path) -> None:
    lines = script(recorder, folder)
    assert lines == script(recorder, folder)
    assert len(lines) > 300
    for line in lines:
        command = parse(line)
        assert command.name in COMMANDS or command.name in ("probes", "walk")
        if command.window and command.name in ("vmpr", "vunmap", "vunmapnf", "apply"):
            start, end = command.window
            assert start <= command.number(0) < command.number(0) + command.number(1) <= end


@pytest.mark.parametrize("folder", OURS, ids=lambda path: path.name)
def test_a_recording_says_where_it_comes_from(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "tools/recorder" in text
    assert "QEMU emulator version" in text
    assert str(ROOT) not in text
