"""``lazymmu litmus``: what it prints, and what it says of bad input."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lazymmu.cli import app
from lazymmu.errors import LitmusError
from lazymmu.litmus import decide_text
from tests.litmus.published import OWN

SB = OWN / "x86" / "SB.litmus"
GOOD = """AArch64 MP
{
0:X1=x; 0:X3=y; 1:X1=x; 1:X3=y;
}
 P0          | P1          ;
 MOV W0,#1   | LDR W0,[X3] ;
 STR W0,[X1] | LDR W2,[X1] ;
 STR W0,[X3] |             ;
exists (1:X0=1 /\\ 1:X2=0)
"""


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["litmus", *args])
    return result.exit_code, result.stdout, result.stderr


def test_json() -> None:
    status, out, _ = run("--json", str(SB), str(OWN / "riscv" / "MP.litmus"))
    assert status == 0
    first, second = json.loads(out)
    wanted = {"file", "name", "variant", "verdict", "states", "witness", "explored", "seconds", "unsupported"}
    assert wanted <= first.keys()
    assert (first["name"], first["verdict"], first["unsupported"]) == ("SB", "Allowed", None)
    assert len(first["states"]) == 4
    assert first["witness"]
    assert second["file"].endswith("MP.litmus")


def test_text() -> None:
    status, out, _ = run(str(SB))
    assert status == 0
    assert "SB: Allowed (Sometimes)" in out
    assert "writes" in out


def test_witness_is_one_execution() -> None:
    result = decide_text(GOOD)
    assert result.verdict == "Allowed"
    reads = {e.event for e in result.witness if e.event.startswith("reads")}
    assert reads == {"reads y = 1 (#1)", "reads x = 0 (initial)"} or reads == {
        "reads y = 1 (#2)",
        "reads x = 0 (initial)",
    }


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (("MOV W0,#1", "MOV W99,#1"), "line 6", "W99"),
        (("exists", "sometimes"), "line", "final condition"),
        (("1:X2=0", "1:X9=0"), "line 9", "register X9"),
        (("1:X2=0", "2:X2=0"), "line 9", "thread 2"),
        (("0:X1=x;", "0:X1=(nonsense:1);"), "line 3", "nonsense"),
        (("LDR W2,[X1]", "CBZ W2,nowhere"), "line 7", "nowhere"),
        (("P1 ", "Q1 "), "line 5", "Q1"),
        (("AArch64 MP\n", "AArch64 MP\nVariant=warp\n"), "line 2", "warp"),
    ],
)
def test_bad_input(tmp_path: Path, change: tuple[str, str], place: str, problem: str) -> None:
    path = tmp_path / "bad.litmus"
    path.write_text(GOOD.replace(*change, 1), encoding="utf-8")
    status, _, err = run(str(path))
    assert status == 2
    assert str(path) in err
    assert place in err
    assert problem in err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("MOV W0,#1", "LDP W0,W5,[X1]"), "pairs of registers"),
        (("MOV W0,#1", "DC CVAU,X1"), "cache maintenance"),
        (("MOV W0,#1", "TLBI IPAS2E1IS,X1"), "stage 2"),
        (("AArch64 MP\n", "AArch64 MP\nVariant=memtag\n"), "memory tagging"),
        (("AArch64", "PPC"), "architecture"),
        (("LDR W2,[X1]", "LDRH W2,[X1,#2]"), "different sizes"),
    ],
)
def test_outside_the_subset(tmp_path: Path, change: tuple[str, str], why: str) -> None:
    path = tmp_path / "outside.litmus"
    path.write_text(GOOD.replace(*change, 1), encoding="utf-8")
    status, out, err = run("--json", str(path))
    assert status == 2
    assert why in json.loads(out)[0]["unsupported"]
    assert why in err


def test_unknown_variant() -> None:
    status, _, err = run("--variant", "ets9", str(SB))
    assert status == 2
    assert "ets9" in err


def test_missing_file(tmp_path: Path) -> None:
    status, _, err = run(str(tmp_path / "none.litmus"))
    assert status == 2
    assert "none.litmus" in err


def test_bound_is_said() -> None:
    result = decide_text(GOOD, max_logs=1)
    assert result.bound is not None


@pytest.mark.parametrize("cut", range(0, len(GOOD), 7))
def test_truncated_files_are_refused_or_read(cut: int) -> None:
    with contextlib.suppress(LitmusError):
        assert decide_text(GOOD[:cut]).states is not None


def test_isla_file_that_is_no_toml() -> None:
    with pytest.raises(LitmusError, match="line 1"):
        decide_text("arch = ", isla=True)
