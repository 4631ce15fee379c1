"""The published litmus tests beside the checkout, read in place: they are other people's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "litmus"
OWN = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Published:
    """One test with its verdicts; an empty verdict is none."""

    path: Path
    source: str
    base: str
    ets2: str
    ets: str
    warned: bool

    @property
    def is_isla(self) -> bool:
        """In isla's format."""
        return self.path.suffix == ".toml"


def published() -> list[Published]:
    """All of them; none where the data is absent."""
    index = ROOT / "index.csv"
    if not index.exists():
        return []
    with index.open(encoding="utf-8") as file:
        return [
            Published(
                ROOT / row["path"],
                row["source"],
                verdict(row["expected_base"], row["quant"]),
                verdict(row["expected_ets2"], row["quant"]),
                verdict(row["expected_strong"], row["quant"]),
                "BBM" in row["herd7_flags"],
            )
            for row in csv.DictReader(file)
        ]


def verdict(text: str, quantifier: str) -> str:
    """A published verdict in the words of the command: an allowed ``forall`` is one that some state breaks."""
    text = text.removesuffix("(forall)")
    return "Not required" if text == "Allowed" and quantifier == "forall" else text


def require() -> list[Published]:
    """All of them, or a skip that says why."""
    found = published()
    if not found:
        pytest.skip(f"no published litmus tests at {ROOT}")
    return found
