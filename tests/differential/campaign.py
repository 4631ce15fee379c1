"""Long campaigns: `python -m tests.differential.campaign --operations 10_000_000 --jobs 2 --seed S`.

Exit status 1 if the implementations disagree; each disagreement is written as TOML that `--replay` runs again.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from .compare import Disagreement, compare
from .generate import Seeded, case
from .shrink import disagreement, from_toml, shrink, to_toml

PROGRAMS, LENGTH = 8, 16
CASES = 200
"""Cases of one piece of work."""


def piece(seed: str, first: int) -> tuple[int, list[tuple[str, str]]]:
    """Runs some cases: how many operations were compared, and disagreements: what, and the smallest case as TOML."""
    ran, found = 0, []
    for number in range(first, first + CASES):
        tried = case(Seeded(f"{seed}/{number}"), PROGRAMS, LENGTH)
        try:
            ran += compare(tried)
        except Disagreement as error:
            found.append((f"case {seed}/{number}: {error}", to_toml(shrink(tried))))
    return ran, found


def campaign(operations: int, jobs: int, seed: str, out: Path, stop_after: int) -> int:
    """Compares so many operations; returns the number of disagreements."""
    ran = first = found = 0
    begun = said = time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        working: set[Future[tuple[int, list[tuple[str, str]]]]] = set()
        while True:
            while ran < operations and found < stop_after and len(working) < 2 * jobs:
                working.add(pool.submit(piece, seed, first))
                first += CASES
            if not working:
                break
            done, working = wait(working, return_when=FIRST_COMPLETED)
            for future in done:
                more, disagreements = future.result()
                ran += more
                for what, toml in disagreements:
                    found += 1
                    path = out / f"disagreement-{seed}-{found}.toml"
                    path.write_text(toml)
                    print(f"{what}\n  smallest case: {path}", flush=True)
            if time.monotonic() - said > 10:
                said = time.monotonic()
                print(f"{ran:,} operations, {first:,} cases, {ran / (said - begun):,.0f} operations/s", flush=True)
    print(f"{ran:,} operations compared, {found} disagreements (seed {seed})")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential.campaign", description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000, help="operations to compare (default: 1_000_000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", default="0", help="names the campaign: the same seed runs the same cases")
    parser.add_argument("--out", type=Path, default=Path(), help="where disagreements are written")
    parser.add_argument("--stop-after", type=int, default=10, help="disagreements after which to stop")
    parser.add_argument("--replay", type=Path, help="runs one written case instead")
    given = parser.parse_args(arguments)
    if given.replay is not None:
        what = disagreement(from_toml(given.replay.read_text()))
        print(what or "the implementations agree")
        return int(what is not None)
    return int(campaign(given.operations, max(given.jobs, 1), given.seed, given.out, given.stop_after) > 0)


if __name__ == "__main__":
    sys.exit(main())
