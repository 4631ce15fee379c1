"""Instruction counts under callgrind, against those of instructions.toml.

Unlike times they are the same on a busy machine. A count above the recorded one by more than the tolerance fails; one
below by as much asks for a new record. ``--record`` writes what was counted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from common import HERE, build

RECORD = HERE / "instructions.toml"
HEAD = """\
# Instructions for each page, counted by callgrind (x86-64 build, release profile). `make instructions` compares;
# `python benches/instructions.py --record` writes this file.
"""


def count(program: Path, name: str) -> int:
    """Instructions of one workload."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        options = ["--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=*measured*"]
        done = subprocess.run(["valgrind", *options, program, name], check=True, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None or found[1] == "0":
        raise SystemExit(f"{name}: callgrind counted nothing:\n{done.stderr}")
    return int(found[1])


def main() -> int:
    """Counts every workload. Exit status 1: one is slower than recorded."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is needed to count instructions (apt-get install valgrind)")
    program = build() / "count"
    listed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    recorded = tomllib.loads(RECORD.read_text()) if RECORD.exists() else {"tolerance": 0.05, "counts": {}}
    tolerance = recorded["tolerance"]
    counts: dict[str, float] = {}
    slower = []
    for pages, name in (line.split("\t") for line in listed):
        counts[name] = round(count(program, name) / int(pages), 2)
        known = recorded["counts"].get(name)
        change = "new" if known is None else f"{counts[name] / known - 1:+.1%}"
        print(f"{name:32} {counts[name]:8.2f}  {change}", flush=True)
        if known is not None and counts[name] > known * (1 + tolerance):
            slower.append(f"{name}: {known} recorded, {counts[name]} now")
    if "--record" in sys.argv[1:]:
        lines = [f'"{name}" = {value}\n' for name, value in counts.items()]
        RECORD.write_text(f"{HEAD}tolerance = {tolerance}\n\n[counts]\n{''.join(lines)}")
        return 0
    for line in slower:
        print(f"slower by more than {tolerance:.0%}: {line}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
