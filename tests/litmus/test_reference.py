"""The core and the plain-Python model agree: verdict, states, and the number of logs."""

from __future__ import annotations

import pytest

from lazymmu.litmus import decide_text
from lazymmu.reference import litmus as reference
from tests.litmus.generate import ARCHITECTURES, program
from tests.litmus.published import require
from tests.litmus.test_manuals import FILES


def compare(text: str, variants: list[str], *, isla: bool = False) -> bool:
    """Whether a test is inside the subset; both sides have to say the same of it."""
    core = decide_text(text, isla=isla, variants=variants, reduce=False)
    reduced = decide_text(text, isla=isla, variants=variants)
    assert (reduced.verdict, reduced.states, reduced.unsupported) == (core.verdict, core.states, core.unsupported)
    assert reduced.explored <= core.explored
    try:
        test = reference.read(text, variants, in_isla_format=isla)
        answer = reference.decide(test)
    except reference.Unsupported:
        assert core.unsupported is not None
        return False
    assert core.unsupported is None
    assert answer.verdict == core.verdict
    assert answer.explored == core.explored
    assert reference.rows(test, answer) == {(tuple(s.values.items()), s.faults) for s in core.states}
    return True


def test_own_tests() -> None:
    for path in FILES:
        assert compare(path.read_text(encoding="utf-8"), [])


def test_published_tests() -> None:
    inside = 0
    for test in require():
        text = test.path.read_text(encoding="utf-8")
        variants: list[list[str]] = [[]]
        if "x86" not in test.path.parts:
            variants.append(["ets"] if test.is_isla else ["ets2"])
        for chosen in variants:
            inside += compare(text, chosen, isla=test.is_isla)
    assert inside > 1100


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("seed", range(40))
def test_random_programs(architecture: str, seed: int) -> None:
    assert compare(program(architecture, seed), [])
