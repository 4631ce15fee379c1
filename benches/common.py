"""What the benchmark scripts share: building, running, and steady memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "target" / "benches"

# Memory that was freed stays with the process: a pass measures stores, not the page faults of fresh memory.
TUNABLES = "glibc.malloc.trim_threshold=17179869184:glibc.malloc.mmap_threshold=17179869184"


def steady() -> None:
    """Starts this script again with an allocator that keeps what was freed."""
    if os.environ.get("GLIBC_TUNABLES") != TUNABLES:
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.argv])


def build() -> Path:
    """Builds the measuring programs, peers included; where they are."""
    command = ["cargo", "build", "--release", "--quiet", "--manifest-path", str(HERE / "Cargo.toml")]
    subprocess.run([*command, "--target-dir", str(TARGET)], check=True)
    return TARGET / "release"
