"""Verdicts of published tests. What differs from a published verdict is listed here and explained in docs/litmus.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lazymmu.litmus import decide
from tests.litmus.published import Published, require

VERDICTS = {
    # TLBI and DSB without ISB: the present architecture lets the old entry be used until context synchronisation.
    ("CoRpteT.EL1+dsb-tlbi-dsb", "base"): "Allowed",
    # A walk takes a value from its own CPU's store only once that store is visible to all.
    ("CoRT.inv+addr-trfi", "ets"): "Forbidden",
    ("PPORA.RT.inv", "ets"): "Forbidden",
}
"""Where we and a published verdict differ: what we say."""


def cases(test: Published) -> list[tuple[str, list[str], str]]:
    """Variants to decide it under, and the verdict published for each."""
    wanted = [("base", list[str](), test.base), ("ets2", ["ets2"], test.ets2)]
    if test.is_isla:
        wanted.append(("ets", ["ets"], test.ets))
    elif test.source.endswith("ETS3"):
        wanted.append(("ets3", ["ets3"], test.ets))
    return [case for case in wanted if case[2]]


def wrong(tests: list[Published]) -> tuple[list[str], list[str], int]:
    """Verdicts that are neither the published ones nor explained; tests outside the subset; how many were compared."""
    bad, outside, compared = [], [], 0
    for test in tests:
        name = test.path.name.removesuffix(".toml").removesuffix(".litmus")
        for variant, variants, published in cases(test):
            result = decide(test.path, variants=variants)
            if result.unsupported is not None:
                outside.append(f"{test.path.name}: {result.unsupported}")
                continue
            compared += 1
            if result.verdict != VERDICTS.get((name, variant), published):
                bad.append(f"{test.path.name} ({variant}): {result.verdict}, published {published}")
    return bad, sorted(set(outside)), compared


def test_herd_core_without_warning() -> None:
    tests = [t for t in require() if t.source == "herdtools7/aarch64-VMSA" and not t.warned]
    bad, outside, compared = wrong(tests)
    assert bad == []
    assert len(outside) <= 0.03 * len(tests), outside
    assert compared > len(tests)


def test_herd_core_with_warning() -> None:
    tests = [t for t in require() if t.source == "herdtools7/aarch64-VMSA" and t.warned]
    bad, _, compared = wrong(tests)
    assert len(bad) <= 0.03 * compared, bad


def test_herd_other_sets() -> None:
    tests = [t for t in require() if t.source.startswith("herdtools7") and t.source != "herdtools7/aarch64-VMSA"]
    bad, outside, compared = wrong(tests)
    assert bad == []
    assert compared >= 30
    reasons = Counter(line.split("outside")[0].split(": ", 1)[1].split(":")[0] for line in outside)
    assert sum(reasons.values()) <= 12, reasons


def test_isla() -> None:
    bad, outside, compared = wrong([t for t in require() if t.is_isla])
    assert bad == []
    assert compared >= 110
    stage2 = [line for line in outside if "stage 2" in line]
    assert len(outside) - len(stage2) <= 5, outside


def test_names_do_not_matter(tmp_path: Path) -> None:
    """A test decides the same under another name, in another file."""
    for i, test in enumerate(require()[::25]):
        if test.is_isla:
            continue
        lines = test.path.read_text(encoding="utf-8").splitlines()
        lines[0] = lines[0].split()[0] + f" renamed{i}"
        copy = tmp_path / f"{i}.litmus"
        copy.write_text("\n".join(lines), encoding="utf-8")
        before, after = decide(test.path), decide(copy)
        assert (before.verdict, before.explored) == (after.verdict, after.explored)
        assert [s.values for s in before.states] == [s.values for s in after.states]


@pytest.mark.parametrize("variant", ["", "ets2"])
def test_same_answer_every_time(variant: str) -> None:
    for test in require()[::40]:
        if test.path.parts[-3] == "x86":
            continue
        variants = [variant] if variant else []
        first, second = decide(test.path, variants=variants), decide(test.path, variants=variants)
        assert first.states == second.states
        assert first.witness == second.witness
        assert first.explored == second.explored
