"""The argument of the mail comes out of the model."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import lazymmu
from lazymmu import _native
from lazymmu.compare import Configuration, Matrix, compare, execute
from lazymmu.compare.summary import summary
from lazymmu.inputs import load

SCHEMES = ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"]


@functools.cache
def story(strict: bool = False) -> list[Matrix]:
    return [compare(workload, SCHEMES, strict=strict) for workload in load("seed")]


def cell(scenario: str, backend: str, scheme: str):
    matrix = next(m for m in story() if m.workload.name == f"seed/{scenario}")
    where = (backend, scheme)
    return next(c for c in matrix.cells if (c.configuration.backend, c.configuration.scheme_name) == where)


def codes(scenario: str, backend: str, scheme: str, severity: str) -> set[str]:
    return {h.code for h in cell(scenario, backend, scheme).outcome.run.hazards if h.severity == severity}


def test_begin_end_breaks_nothing_on_arm64_while_nothing_interrupts() -> None:
    for scenario in ("map", "unmap", "user-apply", "resched"):
        assert codes(scenario, "arm64", "begin-end", "breaks") == set()
    contract = codes("map", "arm64", "begin-end", "contract") | codes("resched", "arm64", "begin-end", "contract")
    assert {"H5", "H6"} <= contract


def test_begin_end_needs_the_fewest_barriers_for_mapping_and_one_too_many_for_unmapping() -> None:
    def barriers(scenario: str) -> dict[str, int]:
        return {s: cell(scenario, "arm64", s).outcome.run.counts["barriers"] for s in SCHEMES}

    mapping, unmapping = barriers("map"), barriers("unmap")
    assert mapping["begin-end"] < mapping["v7.0"] < mapping["v6.12"]
    assert unmapping["begin-end"] == unmapping["v7.0"] + 1
    assert "H38" in codes("unmap", "arm64", "begin-end", "cost")


def test_an_interrupt_inside_the_scope_breaks_it() -> None:
    assert {"H1", "H15"} <= codes("interrupt", "arm64", "begin-end", "breaks")
    assert codes("interrupt", "arm64", "v6.16", "breaks") == codes("interrupt", "arm64", "v7.0", "breaks") == set()


def changes(run: lazymmu.Run) -> np.ndarray:
    """The events without the frames of functions: the proposal also moves the sync from an inner to an outer one."""
    frames = [lazymmu.events_of(run.events, kind)["kind"] for kind in ("BEGIN", "END", "WALK", "WALK_END")]
    kept = run.events[~np.isin(run.events["kind"], np.concatenate(frames))].copy()
    kept["aux"][kept["kind"] == next(code for code, name, _ in _native.event_kinds() if name == "SYNC")] &= 0xFF00
    return kept


@pytest.mark.parametrize("backend", ["x86-64", "x86-32", "xen-pv"])
def test_begin_end_is_v6_12_without_override(backend: str) -> None:
    for workload in load("seed"):
        for geometry in {g for m in story() for b, g in m.rows if b == backend}:
            if workload.suits(backend, geometry, "v6.12"):
                old, new = (
                    execute(workload, Configuration(backend, geometry, scheme), log=True).run
                    for scheme in ("v6.12", "begin-end")
                )
                assert np.array_equal(changes(old), changes(new))
                assert [h.code for h in old.hazards] == [h.code for h in new.hazards]


@pytest.mark.parametrize(
    ("scenario", "breaks"),
    [("link-table", "H3"), ("highmem-table", "H4"), ("queued-sync", "H10"), ("queued-sync", "H2")],
)
def test_begin_end_lazy_breaks_where_stores_are_queued(scenario: str, breaks: str) -> None:
    assert breaks in codes(scenario, "xen-pv", "begin-end-lazy", "breaks")
    found = cell(scenario, "xen-pv", "begin-end-lazy").shortest
    shortest = next(s for s in found if s.hazard.code == breaks)
    assert len(shortest.program["ops"]) <= 2
    for scheme in ("v6.12", "begin-end", "v6.16", "v7.0"):
        assert codes(scenario, "xen-pv", scheme, "breaks") == set()


def test_a_kmap_hook_that_flushes_is_enough() -> None:
    assert codes("highmem-table-flush", "xen-pv", "begin-end-lazy", "breaks") == set()


def test_rc1_breaks_on_its_error_path() -> None:
    assert "H7" in codes("error-path", "arm64", "v6.16-rc1", "breaks")
    assert "H7" in codes("error-path", "xen-pv", "v6.16-rc1", "breaks")
    assert codes("error-path", "arm64", "v6.16", "breaks") == codes("error-path", "xen-pv", "v6.16", "breaks") == set()


def test_the_lazy_schemes_are_clean_and_pay_a_little_for_the_smaller_scope() -> None:
    totals = {(t.backend, t.scheme): t for t in summary(story())}
    for backend in ("arm64", "x86-64", "x86-32", "xen-pv"):
        for scheme in ("v6.16", "v7.0"):
            assert "breaks" not in totals[backend, scheme].codes
    arm64 = {scheme: totals["arm64", scheme].counts["barriers"] for scheme in SCHEMES}
    assert arm64["begin-end"] < arm64["v7.0"] < arm64["v6.12"] / 2


def test_fork_switch_is_found_by_the_rule_for_the_counts() -> None:
    (workload,) = load("fork-switch")
    matrix = compare(workload, ["v7.0"], ["xen-pv", "arm64", "x86-64"], strict=True)
    found = {c.configuration.backend: {h.code for h in c.outcome.run.hazards} for c in matrix.cells if c.outcome}
    assert "H14" in found["xen-pv"]
    assert "H14" not in found.get("arm64", set()) | found.get("x86-64", set())


def test_every_shortest_run_is_minimal_and_fails_again() -> None:
    for matrix in story():
        for at in matrix.cells:
            for short in at.shortest:
                where = at.configuration
                machine_of = matrix.workload.prepare(where)
                again = lazymmu.run(
                    short.program,
                    where.backend,
                    where.geometry,
                    where.scheme,
                    machine_of.options,
                    layout=machine_of.layout,
                )
                assert short.hazard.code in {h.code for h in again.hazards if h.severity == "breaks"}
