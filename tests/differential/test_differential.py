"""The core and the reference agree on random programs: a sweep of at least 100,000 operations, and Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .compare import Disagreement, compare
from .generate import MACHINES, SCHEMES, Seeded, case
from .shrink import from_toml, shrink, to_toml

T = TypeVar("T")

OPERATIONS = 100_000
"""Operations that the sweep compares, at least."""
EACH = -(-OPERATIONS // len(MACHINES))
"""Operations of each backend with each geometry under each scheme."""
PROGRAMS, LENGTH = 6, 12


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_sweep(machine: tuple[str, str, str]) -> None:
    ran = number = 0
    while ran < EACH:
        tried = case(Seeded("/".join((*machine, str(number)))), PROGRAMS, LENGTH, machine)
        try:
            ran += compare(tried)
        except Disagreement as error:
            smallest = shrink(tried)
            pytest.fail(f"{error}\n{to_toml(smallest)}")
        number += 1
        assert number < EACH, "cases of less than one operation"
    assert ran >= EACH


@pytest.mark.parametrize("scheme", SCHEMES)
def test_cached_sections(scheme: str) -> None:
    """s390's cache of lazy sections is an option of no scheme, and random cases seldom choose it."""
    ran = number = 0
    while ran < 400:
        tried = case(Seeded(f"s390-cache/{scheme}/{number}"), PROGRAMS, LENGTH, ("s390", "s390-3level", scheme))
        tried = replace(tried, options={**tried.options, "s390_pte_batch": "true"})
        try:
            ran += compare(tried)
        except Disagreement as error:
            pytest.fail(f"{error}\n{to_toml(shrink(tried))}")
        number += 1


class Drawn:
    """Choices of Hypothesis, which makes them smaller when a case fails."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def choice(self, items: Sequence[T]) -> T:
        return items[self._draw(st.integers(0, len(items) - 1))]

    def chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.data())
def test_hypothesis(data: st.DataObject) -> None:
    tried = case(Drawn(data), 3, 6)
    note(to_toml(tried))
    compare(tried)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "cases").glob("*.toml")), ids=lambda path: path.stem)
def test_what_once_differed(path: Path) -> None:
    assert compare(from_toml(path.read_text())) > 0


def test_cases_survive_toml() -> None:
    for seed in range(50):
        made = case(Seeded(seed), 3, 8)
        assert from_toml(to_toml(made)) == made


def test_shrinking_keeps_what_fails() -> None:
    def has_free(made: object) -> bool:
        return "'free'" in repr(made)

    made = next(made for made in (case(Seeded(seed), 4, 10) for seed in range(100)) if has_free(made))
    smallest = shrink(made, has_free)
    assert sum(len(program["ops"]) for program in smallest.programs) == 1
    assert (smallest.cpus, smallest.mms, smallest.tasks, smallest.options) == (1, 0, [], {})
