"""Speed as ratios: us, the peers, the same program in Rust and from Python, and the Python reference.

Everything runs in turns in one go, and of many rounds the fastest counts, so that a busy machine disturbs all alike.
``--json`` prints the measurements, ``--quick`` runs few rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import build, steady

PAGE = 4096
PHASES = ("map", "protect", "unmap")
CONFIGS = ("x86-64 v7.0", "x86-64 v6.12", "arm64 v7.0", "arm64 v6.12")


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def walks(backend: str, pages: int) -> dict[str, Any]:
    """A program that maps, protects and unmaps a range."""
    va = 0xFFFF_8000_8000_0000 if backend == "arm64" else 0xFFFF_C900_0000_0000
    size = pages * PAGE
    callback = {"kind": "wrprotect"}
    ops: list[dict[str, Any]] = [
        {"vmap_range_noflush": {"va": va, "size": size, "pa": 1 << 32, "max_shift": 12}},
        {"apply_to_page_range": {"va": va, "size": size, "create": False, "callback": callback}},
        {"vunmap_range": {"va": va, "size": size}},
    ]
    return {"ops": [{"op": op} for op in ops]}


def many(backend: str, count: int) -> dict[str, Any]:
    """A program of many small operations."""
    first = walks(backend, 3)["ops"]
    return {"ops": first * (count // len(first))}


class Rust:
    """The same program in a Rust process, one pass at a time."""

    def __init__(self, binary: Path, program: dict[str, Any], backend: str, scheme: str, mode: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "program.json"
        file.write_text(json.dumps(program))
        command = [binary, file, backend, scheme, mode]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self) -> float:
        """One pass."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()
        self.folder.cleanup()


def from_python(binary: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Whole programs through Python, one call, and in Rust: seconds."""
    from lazymmu.machine import load_program, run

    found = {}
    for backend, scheme in (config.split() for config in ("x86-64 v7.0", "arm64 v7.0")):
        for mode in ("quiet", "logged"):
            programs = {"1 Mi pages": walks(backend, 1 << 20), "30000 small operations": many(backend, 30_000)}
            for name, program in programs.items():
                rust = Rust(binary, program, backend, scheme, mode)
                parsed, watch = load_program(program), mode == "logged"
                best = {"rust": float("inf"), "python": float("inf")}
                for _ in range(rounds):
                    best["rust"] = min(best["rust"], rust.seconds())
                    once = seconds(lambda: run(parsed, backend, None, scheme, check=watch, log=watch))  # noqa: B023
                    best["python"] = min(best["python"], once)
                rust.close()
                found[f"{name}, {backend} {scheme}, {mode}"] = best
    return found


def against_reference(rounds: int) -> dict[str, dict[str, float]]:
    """Built-in scenarios and a large walk, with log and checker: seconds of core and reference."""
    from lazymmu import reference
    from lazymmu.compare import Configuration
    from lazymmu.compare.matrix import rows
    from lazymmu.inputs import load
    from lazymmu.machine import load_program, run
    from lazymmu.scenario import builtin

    found = {}
    for backend in ("x86-64", "arm64"):
        cases = {f"walks of {pages} pages": walks(backend, pages) for pages in (16, 512, 8192)}
        for known in builtin.known():
            for workload in load(known.name) or ():
                applies = rows(workload, [backend], [], ["v7.0"])
                if applies:
                    cases[workload.name] = workload.prepare(Configuration(*applies[0], "v7.0")).program
        for name, program in cases.items():
            parsed = load_program(program)
            events = run(parsed, backend).total
            # The long workloads of the kernel take the reference minutes.
            if events > 70_000:
                continue
            best = {"core": float("inf"), "reference": float("inf"), "events": events}
            for _ in range(3 if events < 5000 else 1):
                core = min(seconds(lambda: run(parsed, backend)) for _ in range(rounds))  # noqa: B023
                best["core"] = min(best["core"], core)
                best["reference"] = min(best["reference"], seconds(lambda: reference.run(program, backend)))  # noqa: B023
            found[f"{name}, {backend}"] = best
    return found


def slope(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Least squares: slope, constant, and the share of the variance that a line explains."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    return xy / xx, mean_y - xy / xx * mean_x, xy * xy / (xx * yy)


def line(work: str, ours: str, peer: str, ratio: str, reach: str, met: bool) -> None:
    """One row of the table."""
    print(f"{work:44} {ours:>10} {peer:>10} {ratio:>8}  {reach:12} {'met' if met else 'MISSED'}")


def table(found: dict[str, Any]) -> None:
    """Prints what was measured with what is to be reached."""
    times = found["times"]
    print(f"{'ns a page':44} {'ours':>10} {'peer':>10} {'ratio':>8}  reach")
    peers = {"x86-64": ("x86_64 OffsetPageTable", 4), "arm64": ("aarch64-paging LinearMap", 2)}
    for config in CONFIGS:
        backend = config.split()[0]
        peer, reach = peers[backend]
        quiet = times[f"lazymmu {config}, no observer"]
        for phase in PHASES:
            ours, theirs = quiet[phase], times[peer][phase]
            ratio = theirs / ours
            line(
                f"{phase}, {config} / {peer}",
                f"{ours:.2f}",
                f"{theirs:.2f}",
                f"{ratio:.1f}",
                f">= {reach}",
                ratio >= reach,
            )
    for config in CONFIGS:
        quiet, full = times[f"lazymmu {config}, no observer"], times[f"lazymmu {config}, log and checker"]
        for phase in PHASES:
            ratio = full[phase] / quiet[phase]
            work = f"{phase}, {config}, log and checker / none"
            line(work, f"{full[phase]:.2f}", f"{quiet[phase]:.2f}", f"{ratio:.1f}", "<= 8", ratio <= 8)
    for order in ("sequential", "random"):
        ours = times["lazymmu x86-64 v7.0, no observer"][f"translate {order}"]
        theirs = times["x86_64 OffsetPageTable"][f"translate {order}"]
        line(
            f"translate {order} / x86_64",
            f"{ours:.2f}",
            f"{theirs:.2f}",
            f"{theirs / ours:.2f}",
            ">= 1",
            theirs >= ours,
        )
    print(f"\n{'milliseconds':44} {'Python':>10} {'Rust':>10} {'ratio':>8}  reach")
    for name, best in found["from python"].items():
        ratio = best["python"] / best["rust"]
        line(name, f"{best['python'] * 1e3:.3f}", f"{best['rust'] * 1e3:.3f}", f"{ratio:.3f}", "<= 1.05", ratio <= 1.05)
    print(f"\n{'milliseconds, with log and checker':44} {'core':>10} {'reference':>10} {'ratio':>8}  reach")
    for name, best in found["against reference"].items():
        ratio = best["reference"] / best["core"]
        core, reference = f"{best['core'] * 1e3:.3f}", f"{best['reference'] * 1e3:.2f}"
        line(f"{name} ({best['events']} events)", core, reference, f"{ratio:.0f}", ">= 200", ratio >= 200)
    print("\nbytes a mapped page                              tables   process       log  log as array")
    for config, sizes in found["memory"].items():
        print(f"{config:44} " + " ".join(f"{sizes[k]:9.2f}" for k in ("tables", "process", "log", "log as array")))
    print("\ntime by range (map, protect and unmap), 4096 to 1 Mi pages")
    for config, points in found["by range"].items():
        by_page, constant, linear = slope(points)
        print(f"{config:44} {by_page:.2f} ns a page + {constant / 1e3:.1f} us, r2 {linear:.5f}")
    by_mm, constant, linear = slope(found["by mms"])
    print("time by address spaces (x86-32, a pmd entry that has to reach each of 0 to 1024)")
    print(f"{'x86-32 v6.12':44} {by_mm:.1f} ns an mm + {constant / 1e3:.1f} us, r2 {linear:.5f}")


def others(quick: bool) -> dict[str, list[str]]:
    """What the benchmarks of litmus tests and of the search say, each with a peer of its own: lines."""
    here = Path(__file__).parent
    repeat = "2" if quick else "5"
    commands = {"litmus": [here / "litmus.py", "--repeat", repeat], "search": [here / "explore" / "run.py", repeat]}
    said = {}
    for name, command in commands.items():
        done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
        said[name] = done.stdout.splitlines()
    return said


def main() -> None:
    """Measures and prints."""
    quick = "--quick" in sys.argv[1:]
    binaries = build()
    rounds = 4 if quick else 16
    ratios = subprocess.run([binaries / "ratios", str(rounds)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(ratios.stdout)
    found["from python"] = from_python(binaries / "program", 5 if quick else 30)
    found["against reference"] = against_reference(5 if quick else 20)
    found["others"] = others(quick)
    if "--json" in sys.argv[1:]:
        print(json.dumps(found, indent=1))
    else:
        table(found)
        for name, lines in found["others"].items():
            print("", f"{name}:", *lines, sep="\n")


if __name__ == "__main__":
    steady()
    main()
