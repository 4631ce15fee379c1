"""The built-in explorations, and the seed story, completely and under all schemes: exactly so many states."""

from __future__ import annotations

import functools

import pytest

from lazymmu.compare import Configuration
from lazymmu.compare.matrix import rows
from lazymmu.explore import Exploration, Settings, explore_workload
from lazymmu.inputs import load
from lazymmu.scenario.builtin import known

SCHEMES = ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"]

# States, outcomes and what breaks, in the order of SCHEMES.
COUNTS = {
    ("explore/error-path", "arm64"): [
        (132, 1, ""),
        (145, 1, ""),
        (145, 1, ""),
        (156, 1, "H1 H7"),
        (189, 1, ""),
        (215, 1, ""),
    ],
    ("explore/error-path", "x86-64"): [
        (93, 1, ""),
        (103, 1, ""),
        (103, 1, ""),
        (93, 1, ""),
        (93, 1, ""),
        (93, 1, ""),
    ],
    ("explore/error-path", "x86-32"): [
        (132, 1, ""),
        (145, 1, ""),
        (145, 1, ""),
        (132, 1, ""),
        (132, 1, ""),
        (132, 1, ""),
    ],
    ("explore/error-path", "xen-pv"): [
        (132, 1, ""),
        (145, 1, ""),
        (230, 1, ""),
        (196, 1, "H1 H7"),
        (248, 1, ""),
        (282, 1, ""),
    ],
    ("explore/interrupt", "arm64"): [
        (23, 3, ""),
        (23, 4, "H1 H15"),
        (23, 4, "H1 H15"),
        (24, 4, "H1 H15"),
        (23, 3, ""),
        (25, 3, ""),
    ],
    ("explore/interrupt", "x86-64"): [(19, 3, ""), (21, 3, ""), (21, 3, ""), (19, 3, ""), (19, 3, ""), (19, 3, "")],
    ("explore/interrupt", "x86-32"): [(23, 3, ""), (25, 3, ""), (25, 3, ""), (23, 3, ""), (23, 3, ""), (23, 3, "")],
    ("explore/interrupt", "xen-pv"): [(23, 3, ""), (25, 3, ""), (29, 3, ""), (27, 3, ""), (27, 3, ""), (29, 3, "")],
    ("explore/neighbours", "arm64"): [
        (951, 5, ""),
        (1398, 11, ""),
        (1398, 11, ""),
        (1408, 5, ""),
        (1408, 5, ""),
        (1620, 5, ""),
    ],
    ("explore/neighbours", "x86-64"): [
        (607, 5, ""),
        (681, 5, ""),
        (681, 5, ""),
        (607, 5, ""),
        (607, 5, ""),
        (607, 5, ""),
    ],
    ("explore/neighbours", "x86-32"): [
        (356, 4, ""),
        (404, 4, ""),
        (404, 4, ""),
        (356, 4, ""),
        (356, 4, ""),
        (356, 4, ""),
    ],
    ("explore/neighbours", "xen-pv"): [
        (1207, 5, ""),
        (1347, 5, ""),
        (204, 4, "BUG H3"),
        (2106, 5, ""),
        (2106, 5, ""),
        (2407, 5, ""),
    ],
    ("explore/pagealloc", "arm64"): [(15, 3, ""), (17, 4, ""), (17, 4, ""), (24, 3, ""), (23, 3, ""), (27, 3, "")],
    ("explore/pagealloc", "x86-64"): [(13, 3, ""), (15, 3, ""), (15, 3, ""), (13, 3, ""), (13, 3, ""), (13, 3, "")],
    ("explore/pagealloc", "x86-32"): [(15, 3, ""), (17, 3, ""), (17, 3, ""), (15, 3, ""), (15, 3, ""), (15, 3, "")],
    ("explore/pagealloc", "xen-pv"): [(26, 3, ""), (28, 3, ""), (31, 3, ""), (7, 3, "H13"), (7, 3, "H13"), (30, 3, "")],
    ("explore/sync-window", "arm64"): [
        (3617, 1, ""),
        (3568, 4, "H1"),
        (3568, 4, "H1"),
        (5425, 1, ""),
        (5425, 1, ""),
        (6181, 1, ""),
    ],
    ("explore/sync-window", "x86-64"): [
        (635, 1, ""),
        (697, 1, ""),
        (697, 1, ""),
        (635, 1, ""),
        (635, 1, ""),
        (635, 1, ""),
    ],
    ("explore/sync-window", "x86-32"): [
        (1285, 3, ""),
        (1363, 3, ""),
        (1363, 3, ""),
        (1285, 3, ""),
        (1285, 3, ""),
        (1285, 3, ""),
    ],
    ("explore/sync-window", "xen-pv"): [
        (1133, 1, ""),
        (1243, 1, ""),
        (49, 1, "BUG H3"),
        (2249, 1, ""),
        (2249, 1, ""),
        (2553, 1, ""),
    ],
    ("seed/error-path", "arm64"): [(1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, "H1 H7"), (1, 1, ""), (1, 1, "")],
    ("seed/error-path", "x86-64"): [(1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, "")],
    ("seed/error-path", "x86-32"): [(1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, "")],
    ("seed/error-path", "xen-pv"): [(1, 1, ""), (1, 1, ""), (1, 1, ""), (1, 1, "H1 H7"), (1, 1, ""), (1, 1, "")],
    ("seed/interrupt", "arm64"): [
        (19, 2, ""),
        (19, 3, "H1 H15"),
        (19, 3, "H1 H15"),
        (20, 3, "H1 H15"),
        (19, 2, ""),
        (21, 2, ""),
    ],
    ("seed/interrupt", "x86-64"): [(15, 2, ""), (17, 2, ""), (17, 2, ""), (15, 2, ""), (15, 2, ""), (15, 2, "")],
    ("seed/interrupt", "x86-32"): [(19, 2, ""), (21, 2, ""), (21, 2, ""), (19, 2, ""), (19, 2, ""), (19, 2, "")],
    ("seed/interrupt", "xen-pv"): [(19, 2, ""), (21, 2, ""), (25, 2, ""), (23, 2, ""), (23, 2, ""), (25, 2, "")],
    ("seed/queued-sync-pmd", "x86-32"): [
        (262, 4, ""),
        (264, 4, ""),
        (264, 4, ""),
        (262, 4, ""),
        (262, 4, ""),
        (262, 4, ""),
    ],
    ("seed/queued-sync-pmd", "xen-pv"): [
        (277, 7, "H2"),
        (279, 7, "H2"),
        (24, 3, "H12 H2 H3"),
        (281, 7, "H2"),
        (281, 7, "H2"),
        (284, 7, "H2"),
    ],
    ("seed/queued-sync", "x86-64"): [(28, 3, ""), (30, 3, ""), (30, 3, ""), (28, 3, ""), (28, 3, ""), (28, 3, "")],
    ("seed/queued-sync", "xen-pv"): [
        (55, 5, "H2"),
        (57, 5, "H2"),
        (50, 4, "H10 H2"),
        (59, 5, "H2"),
        (59, 5, "H2"),
        (64, 5, "H2"),
    ],
    ("seed/resched", "arm64"): [(19, 2, ""), (18, 2, ""), (18, 2, ""), (19, 2, ""), (19, 2, ""), (21, 2, "")],
    ("seed/resched", "x86-64"): [(15, 2, ""), (17, 2, ""), (17, 2, ""), (15, 2, ""), (15, 2, ""), (15, 2, "")],
    ("seed/resched", "x86-32"): [(19, 2, ""), (21, 2, ""), (21, 2, ""), (19, 2, ""), (19, 2, ""), (19, 2, "")],
    ("seed/resched", "xen-pv"): [(19, 2, ""), (21, 2, ""), (25, 2, ""), (23, 2, ""), (23, 2, ""), (25, 2, "")],
}


@functools.cache
def searched(name: str, backend: str) -> list[Exploration]:
    (workload,) = load(name)
    ((_, geometry),) = rows(workload, [backend], [], SCHEMES)
    return [explore_workload(workload, Configuration(backend, geometry, s), Settings()) for s in SCHEMES]


@pytest.mark.parametrize(("name", "backend"), COUNTS)
def test_counts(name: str, backend: str) -> None:
    results = searched(name, backend)
    assert all(result.complete for result in results)
    codes = [" ".join(sorted({c for o in r.outcomes for c in o.codes()})) for r in results]
    found = [(r.states, len(r.outcomes), c) for r, c in zip(results, codes, strict=True)]
    assert found == COUNTS[name, backend]


def test_every_built_in_exploration_is_here() -> None:
    named = {k.name for k in known() if k.name.startswith("explore/")}
    assert named == {name for name, _ in COUNTS if name.startswith("explore/")}


def test_every_scenario_of_the_seed_story_can_be_explored() -> None:
    for workload in load("seed"):
        for backend, geometry in rows(workload, [], [], SCHEMES):
            for scheme in SCHEMES:
                assert explore_workload(workload, Configuration(backend, geometry, scheme), Settings()).complete


def test_the_rc1_error_path_breaks_and_its_fix_does_not() -> None:
    for backend in ("arm64", "xen-pv"):
        by_scheme = dict(zip(SCHEMES, searched("explore/error-path", backend), strict=True))
        assert [o.codes() for o in by_scheme["v6.16-rc1"].outcomes] == [["H1", "H7"]]
        assert by_scheme["v6.16"].ok
        assert by_scheme["v7.0"].ok


def test_the_window_between_store_and_sync_is_repaired_on_x86_32_only() -> None:
    def accesses(backend: str) -> set[str]:
        outcomes = [o for result in searched("explore/sync-window", backend) for o in result.outcomes]
        return {str(o.returns[n]).split()[0] for o in outcomes for n in (1, 3)}

    assert accesses("x86-32") == {"ok", "repaired"}
    assert accesses("x86-64") == {"ok"}
    # Kernel addresses have one root on arm64.
    assert "repaired" not in accesses("arm64")


def test_a_race_for_a_table_loses_nothing() -> None:
    for backend in ("arm64", "x86-64", "x86-32"):
        for result in searched("explore/neighbours", backend):
            for outcome in result.outcomes:
                worked = [n for n, value in enumerate(outcome.returns) if value == 0]
                assert sum(m.size for m in outcome.final if m.mm == 0) == 4096 * len(worked)
                assert not outcome.deadlock


def test_a_section_inside_a_section_is_fatal_to_xen_before_the_counted_api() -> None:
    by_scheme = dict(zip(SCHEMES, searched("explore/pagealloc", "xen-pv"), strict=True))
    assert {c for o in by_scheme["v6.16"].outcomes for c in o.codes()} == {"H13"}
    assert by_scheme["v7.0"].ok
