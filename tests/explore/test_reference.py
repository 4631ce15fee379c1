"""The reference runs every order of events by itself, the core searches: they find the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import lazymmu
from lazymmu.reference import explore as reference
from lazymmu.results import Hazard, Result

from .generate import PA, SCHEMES, program
from .test_every_path import BACKENDS

MOST = 250
"""Orders of events that a random program may have; for others it takes too long."""


def told(results: Iterable[object], hazards: Sequence[Hazard], mapped: object) -> str:
    found = sorted({(h.code, h.severity, h.op) for h in hazards if h.severity != "cost"})
    return repr((list(results), found, mapped))


def summary(result: Result) -> object:
    return result.summary()


def compare(
    small: dict[str, Any], backend: str, scheme: str, addresses: list[tuple[int, int]], most: int = 5000
) -> None:
    expected = set()
    for end in reference.explore(small, backend, scheme=scheme, most=most):
        mapped = reference.mapped(end, addresses)
        expected.add(told(map(summary, end.results), end.hazards, mapped))
    found = set()
    explored = lazymmu.explore(small, backend, scheme=scheme)
    assert explored.complete
    for outcome in explored.outcomes:
        leaves = [(m.mm, m.va, m.va + m.size, m.pa) for m in outcome.final]

        def at(mm: int, va: int, leaves: list[Any] = leaves) -> int | None:
            hits = [pa + va - start for of, start, end, pa in leaves if of == mm and start <= va < end]
            return hits[0] if hits else None

        mapped = {(mm, va): at(mm, va) for mm, va in addresses}
        found.add(told(outcome.returns, outcome.hazards, mapped))
    assert found == expected


def pages(backend: str) -> tuple[int, list[tuple[int, int]]]:
    geometry = lazymmu.Machine(backend).geometry
    page = 1 << geometry["page_shift"]
    kernel = [(0, geometry["vmalloc_start"] + (16 + n) * page) for n in range(3)]
    return page, [*kernel, *((1, (64 + n) * page) for n in range(3))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_cpus_at_one_entry(backend: str) -> None:
    page, addresses = pages(backend)
    va = 64 * page
    shared = {"mm": 1, "va": va, "prot": "PAGE_SHARED"}
    ops = [
        {"pte": {"mm": 1, "va": va, "step": "get-and-clear"}},
        {"pte": {"mm": 1, "va": va, "step": "wrprotect"}},
        {"pte": {**shared, "step": "set", "pa": PA + page}},
        {"pte": {**shared, "va": va + page, "step": "try-set", "pa": PA}},
        {"access": {"va": va, "kind": "write"}},
    ]
    before = [{"populate_user": {"mm": 1, "va": va}}, {"pte": {**shared, "step": "set", "pa": PA}}]
    for both in itertools.combinations_with_replacement(ops, 2):
        together = {"threads": [{"ops": [{"task": n, "op": op}]} for n, op in enumerate(both)]}
        tasks = [{"mm": 1, "cpu": n} for n in range(2)]
        small = {"cpus": 2, "mms": 1, "tasks": tasks, "ops": [{"op": op} for op in before], "concurrent": together}
        compare(small, backend, "v7.0", addresses)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), scheme=st.sampled_from(SCHEMES))
def test_random_programs(backend: str, rng: Any, scheme: str) -> None:
    small = program(rng, backend)
    small["concurrent"].pop("interrupts", None)
    try:
        compare(small, backend, scheme, pages(backend)[1], MOST)
    except lazymmu.RunError as error:
        assume("orders of events" not in str(error))
        raise


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interrupts": [{"ops": []}]}, "threads only, not interrupts"),
        ({"threads": [{"ops": [{"task": 0, "op": {"nop": {}}}]}] * 2}, "a CPU for each"),
        ({"threads": [{"ops": [{"task": 7, "op": {"nop": {}}}]}]}, "thread 0"),
    ],
)
def test_what_the_reference_does_not_know(change: dict[str, Any], words: str) -> None:
    small = {"cpus": 1, "tasks": [{}], "ops": [], "concurrent": {"threads": [], **change}}
    with pytest.raises(lazymmu.ProgramError, match=words):
        list(reference.explore(small, "arm64"))
