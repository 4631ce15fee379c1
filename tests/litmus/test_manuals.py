"""Tests of our own, written from the manuals; each names the section that decides it, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazymmu.litmus import decide
from tests.litmus.published import OWN

FILES = sorted([*OWN.glob("x86/*.litmus"), *OWN.glob("riscv/*.litmus")])


def information(path: Path) -> dict[str, str]:
    """The ``Key=value`` lines of a file."""
    lines = path.read_text(encoding="utf-8").split("{")[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith('"'))


def test_there_are_enough() -> None:
    assert len([path for path in FILES if path.parent.name == "x86"]) >= 40
    assert len([path for path in FILES if path.parent.name == "riscv"]) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_verdict(path: Path) -> None:
    about = information(path)
    assert about["Section"]
    result = decide(path)
    assert result.unsupported is None
    assert result.bound is None
    assert result.verdict == about["Expect"]
    if result.verdict == "Allowed":
        assert result.witness
