"""The search engine against SPIN on the same transition system, and on two cores against one.

The system is break-before-make on three CPUs: `bbm.pml` for SPIN, `lazymmu::explore::protocol` for the engine. Both
must count the same states and transitions. SPIN is compiled with `-O2 -DSAFETY` and, so that it has to look at
everything as the engine does, also once with `-DNOREDUCE`. CPU seconds of whole processes are compared, runs
alternating, the least of each; two cores against one in elapsed time.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def timed(command: list[str], cwd: Path) -> tuple[float, float, str]:
    """CPU seconds of the user, elapsed seconds, and what was printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    return after - before, time.perf_counter() - begun, done.stdout


def spin(folder: Path, flags: list[str]) -> Path | None:
    """The verifier that SPIN makes of the model."""
    if not shutil.which("spin") or not shutil.which("gcc"):
        return None
    subprocess.run(["spin", "-a", str(HERE / "bbm.pml")], cwd=folder, check=True, capture_output=True)
    name = folder / f"pan{len(flags)}"
    command = ["gcc", "-O2", "-w", "-DSAFETY", *flags, "-o", str(name), "pan.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return name


def counted(text: str) -> tuple[int, int]:
    """States and transitions that the verifier reports."""
    states, steps = (re.search(rf"(\d+) {what}", text) for what in ("states, stored", "transitions"))
    assert states is not None, text
    assert steps is not None, text
    return int(states[1]), int(steps[1])


def main() -> None:
    build = ["cargo", "build", "--release", "--quiet", "-p", "lazymmu", "--example", "break_before_make"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = str(target / "release" / "examples" / "break_before_make")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        pans = {name: spin(folder, flags) for name, flags in (("", []), (" -DNOREDUCE", ["-DNOREDUCE"]))}
        seconds: dict[str, list[float]] = {}
        report = {}
        for _ in range(RUNS):
            cpu, _, out = timed([ours, "1"], folder)
            report = json.loads(out)
            seconds.setdefault("engine", []).append(cpu)
            for name, pan in pans.items():
                if pan is not None:
                    cpu, _, out = timed([str(pan), "-m100000", "-w24"], folder)
                    seconds.setdefault(f"SPIN -O2 -DSAFETY{name}", []).append(cpu)
                    states, steps = counted(out)
                    # SPIN counts the initial state as a transition.
                    assert (states, steps - 1) == (report["states"], report["steps"]), (states, steps, report)
        one = min(timed([ours, "1"], folder)[1] for _ in range(RUNS))
        two = min(timed([ours, "2"], folder)[1] for _ in range(RUNS))
    states, steps, size = report["states"], report["steps"], report["bytes_per_state"]
    print(f"{states} states, {steps} steps, {size:.1f} bytes a state (at most 60)")
    mine = min(seconds["engine"])
    for name, values in seconds.items():
        rate = states / min(values)
        against = "" if name == "engine" else f", engine {min(values) / mine:.1f} times as fast (at least 2)"
        print(f"{name}: {min(values):.3f} CPU s, {rate:,.0f} states/s{against}")
    if len(seconds) == 1:
        print("SPIN is not here: no comparison (Debian: apt-get install spin gcc)")
    print(f"two cores: {one / two:.2f} times as fast as one (at least 1.7; load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
