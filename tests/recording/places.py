"""Where recordings are: those in the repository, and the full ones where they lie beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "data" / "kernel"
FULL = ROOT.parent / "shared" / "data" / "kernel"

RECORDINGS = sorted(path for place in (SMALL, FULL) if place.is_dir() for path in place.iterdir() if path.is_dir())


def name(path: Path) -> str:
    """A short name for test ids."""
    return f"{path.parent.parent.name}-{path.name}"


def modelled(path: Path) -> bool:
    """Whether there is a backend and a geometry for it."""
    from lazymmu.recording import describe, open_recording

    return describe(open_recording(path)).modelled
