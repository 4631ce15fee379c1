"""The walk-through of docs/guide/new-architecture.md, carried out: its files are added to a copy, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "new-architecture.md"

# What a user of the crate would do with the new architecture.
USE = """
use lazymmu::run::{Mode, Spec, run_program};
use lazymmu::scenario::Program;

#[test]
fn toy_runs_under_every_scheme() {
    let text = r#"{"ops": [
        {"op": {"vmalloc": {"slot": 0, "size": 12288}}},
        {"op": {"access": {"va": {"slot": 0, "offset": 8192}}}},
        {"op": {"free": {"va": {"slot": 0}}}},
        {"op": {"purge": {}}},
        {"op": {"access": {"va": {"slot": 0}}}}
    ]}"#;
    let program: Program = serde_json::from_str(text).expect("a program");
    for scheme in ["v6.12", "begin-end", "v7.0"] {
        let spec = Spec { backend: "toy", scheme, ..Spec::default() };
        let output = run_program(&spec, &program, Mode::Logged).expect("toy is there");
        assert_eq!((output.counts.stores, output.counts.tlbi), (1 + 3 + 4, 4), "{scheme}");
        assert!(output.findings.iter().all(|f| f.severity != lazymmu::check::Severity::Breaks));
    }
    assert!(lazymmu::backend::ALL.iter().any(|b| b.name == "toy"));
    assert!(lazymmu::cost::CostTable::built_in().weight("toy", "tlbi") > 0.0);
}

#[test]
fn the_vectors_are_what_the_format_makes() {
    use lazymmu::descriptor::Format;
    use lazymmu::geometry::Level;
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("VECTORS")).expect("vectors");
    for v in &vectors {
        let word = u64::from_str_radix(&v["word"].as_str().expect("text")[2..], 16).expect("hex");
        let level = if v["level"] == "pte" { Level::Pte } else { Level::Pmd };
        let format = lazymmu::backend::toy::ToyFormat;
        assert_eq!(Some(format.address(level, word)), v["fields"]["address"].as_u64());
        assert_eq!(format.leaf(level, word), v["level"] == "pte");
    }
}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_walk_through(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    crate = copy / "rust" / "lazymmu"
    shutil.copytree(ROOT / "rust" / "lazymmu", crate, ignore=shutil.ignore_patterns("target"))
    shutil.copytree(ROOT / "rust" / "lazymmu-bits", crate.parent / "lazymmu-bits")
    shutil.copy(ROOT / "Cargo.lock", copy)
    workspace = (ROOT / "Cargo.toml").read_text()
    (copy / "Cargo.toml").write_text(workspace.replace(', "rust/lazymmu-python", "rust/lazymmu-witness"', ""))
    for text in blocks("rust"):
        path, _, body = text.removeprefix("//! ").partition("\n")
        assert not (copy / path).exists(), "the page adds files, it changes none"
        (copy / path).write_text(body)
    (vectors,) = blocks("json")
    assert len(json.loads(vectors)) == 3
    path = tmp_path / "toy.json"
    path.write_text(vectors)
    # Neither part of the walk-through: how this test looks at the result.
    (crate / "tests" / "toy.rs").write_text(USE.replace("VECTORS", str(path)))
    command = ["cargo", "test", "--quiet", "--offline", "-p", "lazymmu", "--test", "toy"]
    # What the crate depends on is built once.
    env = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target" / "walk-through")}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 passed" in done.stdout
