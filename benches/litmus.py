"""Litmus tests: CPU time against herd7's.

Peer: herd7 7.58+1, whose CPU seconds a test stand in ``index.csv`` beside the published tests (10 CPU seconds at most,
a busy two-core machine of the kind this project is measured on). They are scaled by a calibration run: a fixed loop of
plain Python took ``CALIBRATION`` CPU seconds on that kind of machine when idle, and takes what is measured at the start
here, so a slower machine today makes herd7's times longer in proportion. Where herd7 is on the PATH it runs instead, in
the same minute.

Run: ``python benches/litmus.py [--repeat N]``.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from lazymmu.litmus import decide_text

ROOT = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "litmus"
CALIBRATION = 0.0449
"""CPU seconds of :func:`calibration_loop` (median of 7) on a machine of the kind of ``index.csv``."""


def calibration_loop() -> float:
    """CPU seconds of a fixed loop."""
    start = time.process_time()
    table: dict[int, int] = {}
    for i in range(400_000):
        table[i % 1000] = table.get(i * 7 % 1000, 0) + i
    return time.process_time() - start


def herd_now(path: Path) -> float | None:
    """CPU seconds of herd7 on this machine, None where it does not finish in 10."""
    before = sum(os.times()[2:4])
    command = ["herd7", "-variant", "vmsa,fatal", "-through", "all", str(path)]
    try:
        subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return sum(os.times()[2:4]) - before


def ours(text: str, repeat: int) -> float:
    """CPU seconds of one test, reading it included: the median of several runs."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        decide_text(text)
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    index = ROOT / "index.csv"
    if not index.exists():
        print(f"no published litmus tests at {ROOT}: nothing to compare")
        return 0
    factor = statistics.median(calibration_loop() for _ in range(7)) / CALIBRATION
    live = shutil.which("herd7") is not None
    print("herd7: " + ("run beside us" if live else f"published CPU times, scaled by {factor:.2f} (calibration loop)"))
    both: list[tuple[float, float]] = []
    alone: list[tuple[float, str]] = []
    every: list[float] = []
    with index.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "herdtools7/aarch64-VMSA"]
    for row in rows:
        path = ROOT / row["path"]
        text = path.read_text(encoding="utf-8")
        if decide_text(text).unsupported is not None:
            continue
        seconds = ours(text, repeat)
        every.append(seconds)
        herd = herd_now(path) if live else float(row["herd7_cpu_s"]) * factor if row["herd7_cpu_s"] else None
        if herd is None:
            alone.append((seconds, path.name))
        else:
            both.append((seconds, herd))
    ours_total, herd_total = sum(o for o, _ in both), sum(h for _, h in both)
    every.sort()
    print(f"{len(both)} tests that both finish: herd7 {herd_total:.2f} s, ours {ours_total * 1000:.1f} ms")
    print(f"ratio {herd_total / ours_total:.0f} (reach: 100)")
    print(
        f"a test: median {statistics.median(every) * 1e6:.0f} us, p99 {every[int(0.99 * len(every))] * 1e3:.2f} ms",
        end="",
    )
    print(f", longest {every[-1] * 1e3:.2f} ms")
    if alone:
        slowest = max(alone)
        print(f"{len(alone)} tests that herd7 does not finish: longest {slowest[0] * 1e3:.2f} ms ({slowest[1]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
