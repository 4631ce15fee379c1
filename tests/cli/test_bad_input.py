"""Nonsense on the command line: a message that names what, where and why; status 2; nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_json import lazymmu

GOOD = 'lazymmu = 1\nname = "x"\n[[ops]]\nvmalloc = { slot = "a", size = 4096 }\n'
RUN = ["--backend", "arm64", "--scheme", "v7.0"]


def refused(*args: str) -> str:
    done = lazymmu(*args)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "seed/map", "--backend", "arm63", "--scheme", "v7.0"], ["arm63", "arm64", "xen-pv"]),
        (["run", "seed/map", "--backend", "arm64", "--scheme", "v6.13"], ["v6.13", "v6.12", "begin-end-lazy"]),
        (["run", "seed/map", *RUN, "--geometry", "arm64-4k-40"], ["arm64-4k-40", "arm64-4k-39"]),
        (["run", "seed/map", *RUN, "--geometry", "x86-64-4level"], ["x86-64-4level", "arm64"]),
        (["run", "seed", *RUN], ["seed/map", "11"]),
        (["run", "sead", *RUN], ["sead", "seed"]),
        (["compare", "seed", "--backend", "arm64,alpha"], ["alpha"]),
        (["compare", "no/such/file.toml"], ["no/such/file.toml"]),
        (["list", "hazard"], ["hazard", "hazards"]),
        (["schema", "tablet"], ["tablet", "scenario"]),
        (["run", "seed/map", *RUN, "--costs", "nowhere.toml"], ["nowhere.toml"]),
        (["convert", "seed/map", "out.json"], ["out.json", ".toml"]),
    ],
)
def test_names(args: list[str], words: list[str]) -> None:
    message = refused(*args)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("name", "nme"), ["nme"]),
        (GOOD.replace("slot", "slott"), ["slott", "vmalloc"]),
        (GOOD.replace("vmalloc", "vmaloc"), ["vmaloc"]),
        (GOOD.replace("4096", "'4 * PAGE_SIZ'"), ["PAGE_SIZ"]),
        (GOOD.replace("4096", "'4 *'"), ["4 *"]),
        (GOOD.replace("4096", "'1 << 100000000'"), ["100000000"]),
        (GOOD.replace("4096", "true"), ["size", "integer"]),
        (GOOD.replace("lazymmu = 1", "lazymmu = 2"), ["2", "1"]),
        (GOOD + "[[expect]]\nhazard = []\n", ["hazard"]),
        (GOOD + "[[expect]]\ncounts = { barriers = '=< 3' }\n", ["=<"]),
        (GOOD + "[[expect]]\nreturns = { nothing = 0 }\n", ["nothing"]),
        (GOOD + "[[injections]]\nafter = { op = 'b' }\nops = []\n", ["b"]),
        (GOOD + "[[injections]]\nafter = { op = 0, kind = 'STOER' }\nops = []\n", ["STOER"]),
        (GOOD + "cpus = [\n", ["TOML"]),
        (GOOD + "cpus = = 1\n", ["line 5"]),
        (GOOD.replace("slot", "task = 9, slot"), ["task"]),
        ("lazymmu = 1\ncpus = 17\n" + GOOD.removeprefix("lazymmu = 1\n"), ["17", "16"]),
        ("lazymmu = 1\ncpus = -1\n" + GOOD.removeprefix("lazymmu = 1\n"), ["-1"]),
    ],
)
def test_scenarios(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "bad.lmmu.toml"
    path.write_text(text)
    message = refused("run", str(path), *RUN)
    assert all(word in message for word in ["bad.lmmu.toml", *words]), message


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ('vmap_page_range = { va = "vmalloc + 1", size = 4096, pa = 0 }', ["op 0", "multiple"]),
        ('vmap_page_range = { va = "vmalloc", size = 0, pa = 0 }', ["empty"]),
        ('vmap_page_range = { va = "vmalloc", size = "1 << 63", pa = 0 }', ["0x8000000000000000"]),
        ('vmap_page_range = { va = "user", size = 4096, pa = 0 }', ["kernel"]),
        ('vmap_page_range = { va = "1 << 60", size = 4096, pa = 0 }', ["0x1000000000000000"]),
        ('vmap_page_range = { va = "vmalloc", size = 4096, pa = "1 << 60" }', ["0x1000000000000000"]),
        ('vmap_page_range = { va = "vmalloc", size = 4096, pa = 0, prot = "PAGE_KERNAL" }', ["PAGE_KERNAL"]),
        ("switch = { task = 3 }", ["3"]),
    ],
)
def test_operations(tmp_path: Path, op: str, words: list[str]) -> None:
    path = tmp_path / "bad.lmmu.toml"
    path.write_text(f"lazymmu = 1\n[[ops]]\n{op}\n")
    message = refused("run", str(path), *RUN)
    assert all(word in message for word in words), message


def test_a_script_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import nothing_of_this_name\n")
    assert "nothing_of_this_name" in refused("run", str(path), *RUN)
    path.write_text("x = 1\n")
    assert "bad.py" in refused("run", str(path), *RUN)
    path.write_text("def broken(:\n")
    assert "bad.py" in refused("run", str(path), *RUN)


def test_a_scheme_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Mine: pass\n")
    run = ["run", "seed/map", "--backend", "arm64", "--scheme"]
    assert "Mine" in refused(*run, f"{path}:Mine")
    assert "Other" in refused(*run, f"{path}:Other")
    assert "nowhere.py" in refused(*run, "nowhere.py:Mine")


def test_nothing_half_written(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "events.npy"
    assert "events.npy" in refused("run", "seed/map", *RUN, "--events", str(target))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"", b"lazymmu = 1\x00"])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.lmmu.toml"
    path.write_bytes(content)
    assert "bad.lmmu.toml" in refused("run", str(path), *RUN)
