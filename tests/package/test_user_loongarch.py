"""User mappings on loongarch64: pairs of pages by ASID, a new ASID for many, and who is interrupted."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

from .test_user_flushes import VA, Flush, flushes

PAGE = 0x4000
NEW: Flush = ("new-asid", 1, 0)
ALL: Flush = ("invtlb-current-all", 1, 0)
BOTH = [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}]


def faults(count: int) -> list[dict[str, Any]]:
    return [{"do_anonymous_page": {"mm": 1, "va": VA + n * PAGE, "pa": 0x8000_0000 + n * PAGE}} for n in range(count)]


def machine(cpus: int = 1, tasks: list[dict[str, int]] | None = None) -> lazymmu.Machine:
    return lazymmu.Machine(
        "loongarch64", "loongarch64-16k-3level", "v6.12", cpus=cpus, mms=2, tasks=tasks or [{"mm": 1, "cpu": 0}]
    )


def test_a_fault_that_fills_an_entry_flushes_nothing() -> None:
    assert flushes(machine().run(faults(2))) == []


@pytest.mark.parametrize(("pages", "expected"), [(528, ("invtlb-asid", 264, VA)), (530, ("new-asid", 1, VA))])
def test_up_to_264_pairs_one_by_one(pages: int, expected: Flush) -> None:
    made = machine()
    made.run(faults(pages))
    assert flushes(made.run([{"zap_page_range": {"mm": 1, "va": VA, "size": pages * PAGE}}])) == [expected]


def test_a_pair_that_the_range_only_touches_counts() -> None:
    made = machine()
    made.run(faults(4))
    assert flushes(made.run([{"zap_page_range": {"mm": 1, "va": VA + PAGE, "size": 2 * PAGE}}])) == [
        ("invtlb-asid", 2, VA + PAGE)
    ]


def test_where_two_threads_run_the_other_is_interrupted() -> None:
    made = machine(2, BOTH)
    made.run(faults(1))
    page = {"zap_page_range": {"mm": 1, "va": VA, "size": PAGE}}
    assert flushes(made.run([page])) == [("ipi", 1, 0), ("invtlb-asid", 1, VA)]
    assert flushes(made.run([{"flush_tlb_mm": {"mm": 1}}])) == [("ipi", 1, 0), NEW]


def test_one_thread_interrupts_nobody_and_is_renumbered_where_it_comes_back() -> None:
    made = machine(2)
    made.run([*faults(1), {"migrate": {"to": 1}}])
    flush = [{"flush_tlb_mm": {"mm": 1}}]
    assert flushes(made.run(flush)) == [NEW]
    made.run([{"migrate": {"to": 0}}])
    assert flushes(made.run(flush)) == [NEW]


def test_a_cpu_that_left_is_told_once() -> None:
    made = machine(2, [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}, {"mm": 2, "cpu": 1}])
    flush = [{"flush_tlb_mm": {"mm": 1}}]
    made.run([{"task": 1, "op": {"switch": {"to": 2}}}])
    assert flushes(made.run(flush)) == [("ipi", 1, 0), NEW]
    # The CPU has dropped the ASID, and left mm_cpumask.
    assert flushes(made.run(flush)) == [NEW]


def test_what_has_no_user_is_not_flushed() -> None:
    made = lazymmu.Machine("loongarch64", "loongarch64-16k-3level", "v6.12", mms=1, tasks=[{"mm": 0, "cpu": 0}])
    assert flushes(made.run([*faults(1), {"flush_tlb_mm": {"mm": 1}}])) == []


def test_a_large_leaf_empties_every_tlb_when_it_is_set() -> None:
    made = machine(2, BOTH)
    huge = {"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA, "pa": 0x8000_0000}}
    assert flushes(made.run([huge])) == [("ipi", 1, 0), ALL]
    size = 2048 * PAGE
    protect = {"change_protection": {"mm": 1, "va": VA, "size": size, "prot": "PAGE_READONLY"}}
    # Invalid: all, and its range; then set: all again; then the gather's range.
    assert flushes(made.run([protect])) == [
        ("ipi", 1, 0),
        ALL,
        ("ipi", 1, 0),
        ("new-asid", 1, VA),
        ("ipi", 1, 0),
        ALL,
        ("ipi", 1, 0),
        ("new-asid", 1, VA),
    ]


def test_only_leaf_tables_wait_for_the_flush() -> None:
    made = machine()
    made.run(faults(1))
    run = made.run([{"unmap_region": {"mm": 1, "vmas": [{"start": VA, "end": VA + PAGE}]}}])
    kinds = names.kinds()
    order = [(kinds[int(e["kind"])], int(e["level"])) for e in run.events if kinds[int(e["kind"])] in ("FREE", "TLBI")]
    # The pmd table, the flush, the page, the leaf table behind it.
    assert order == [("FREE", 2), ("TLBI", 0), ("FREE", 0), ("FREE", 1)]
    assert not any(kinds[int(e["kind"])] == "CALL_RCU" for e in run.events)


def test_the_walker_makes_a_childs_page_valid() -> None:
    made = machine(1, [{"mm": 1, "cpu": 0}, {"mm": 2, "cpu": 0}])
    made.run([*faults(1), {"copy_page_range": {"mm": 1, "to": 2, "va": VA, "size": PAGE}}])
    read = made.run([{"task": 1, "op": {"access": {"va": VA}}}])
    kinds, codes = names.kinds(), names.codes("store")
    stores = [e for e in read.events if kinds[int(e["kind"])] == "STORE"]
    assert [(codes[int(e["aux"])], int(e["old"]) ^ int(e["new"])) for e in stores] == [("access-flags", 1)]
    assert read.results[-1].outcome == "ok"
