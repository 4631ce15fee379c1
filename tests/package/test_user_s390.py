"""User mappings on s390: what leaves the TLBs at once, and what is left for one IDTE later."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

from .test_user_flushes import VA, Flush, faults, flushes

IDTE: Flush = ("idte", 1, 0)
AREA = {"mm": 1, "va": VA, "size": 0x3000}
ONE = {"mm": 1, "va": VA}
READ_ONLY = {"change_protection": {**AREA, "prot": "PAGE_READONLY"}}


def machine(cpus: int = 1, tasks: list[dict[str, int]] | None = None, **options: bool) -> lazymmu.Machine:
    """A process with three pages."""
    made = lazymmu.Machine(
        "s390", "s390-3level", "v7.0", options, cpus=cpus, mms=2, tasks=tasks or [{"mm": 1, "cpu": 0}]
    )
    made.run(faults(3))
    return made


def two_cpus(**options: bool) -> lazymmu.Machine:
    return machine(2, [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}], **options)


def stores(run: lazymmu.Run) -> list[tuple[str, int]]:
    codes = names.codes("store")
    return [
        (codes[int(e["aux"])], int(e["new"]) & 0xFFF) for e in run.events if names.kinds()[int(e["kind"])] == "STORE"
    ]


def test_one_cpu_makes_entries_invalid_and_flushes_once() -> None:
    run = machine().run([READ_ONLY])
    assert flushes(run) == [IDTE]
    assert stores(run) == [("invalidate", 0x53D), ("set", 0x31D)] * 3


def test_two_cpus_need_an_ipte_each() -> None:
    assert flushes(two_cpus().run([READ_ONLY])) == [("ipte", 1, VA + n * 0x1000) for n in range(3)]


def test_fork_leaves_the_flush_to_flush_tlb_mm() -> None:
    made = machine()
    assert flushes(made.run([{"copy_page_range": {**AREA, "to": 2}}])) == []
    assert flushes(made.run([{"flush_tlb_mm": {"mm": 1}}])) == [IDTE]
    assert flushes(made.run([{"flush_tlb_mm": {"mm": 1}}])) == []


def test_who_switches_to_the_process_flushes_what_was_left() -> None:
    made = machine(2, [{"mm": 1, "cpu": 0}, {"mm": 0, "cpu": 1}, {"mm": 1, "cpu": 1}])
    assert flushes(made.run([{"copy_page_range": {**AREA, "to": 2}}])) == []
    assert flushes(made.run([{"task": 1, "op": {"switch": {"to": 2}}}])) == [IDTE]


def test_direct_exchanges_are_local_until_another_cpu_has_run_the_process() -> None:
    made = machine(2)
    assert flushes(made.run([{"ptep_clear_flush_young": ONE}])) == [("ipte-local", 1, VA)]
    made.run([{"handle_pte_fault": ONE}, {"migrate": {"to": 1}}])
    assert flushes(made.run([{"ptep_clear_flush_young": ONE}])) == [("ipte", 1, VA)]
    # One IDTE, and only the CPU that has the process loaded now may know it: there is just the idle task's other one.
    made.run([{"change_protection": {**AREA, "prot": "PAGE_NONE"}}])
    assert flushes(made.run([{"flush_tlb_mm": {"mm": 1}}])) == []


def test_an_old_entry_is_in_no_tlb() -> None:
    made = machine()
    made.run([{"ptep_clear_flush_young": ONE}])
    again = made.run([{"ptep_clear_flush_young": ONE}])
    assert flushes(again) == [] and stores(again) == [("clear-young", 0x539)]
    assert flushes(made.run([{"handle_pte_fault": ONE}])) == []


def test_pages_do_not_wait_and_tables_do() -> None:
    run = machine().run([{"unmap_region": {"mm": 1, "vmas": [{"start": VA, "end": VA + 0x3000}]}}])
    kinds = names.kinds()
    order = [(kinds[int(e["kind"])], int(e["level"])) for e in run.events if kinds[int(e["kind"])] in ("FREE", "TLBI")]
    # Three pages, the IDTE, the tables, and the page that listed them.
    assert order == [*[("FREE", 0)] * 3, ("TLBI", 0), ("FREE", 1), ("FREE", 2), ("FREE", 0)]


def test_nobody_runs_what_ends() -> None:
    run = machine().run([{"exit_mmap": {"mm": 1, "vmas": [{"start": VA, "end": VA + 0x3000}]}}])
    assert flushes(run) == [IDTE]
    assert stores(run)[:3] == [("get-and-clear", 0x400)] * 3


@pytest.mark.parametrize(
    ("rdp", "expected"), [(False, ("ipte-local", 1, VA)), (True, ("rdp-local", 1, VA))], ids=["ipte", "rdp"]
)
def test_rdp_takes_the_protection_of_a_valid_entry_away(rdp: bool, expected: Flush) -> None:
    made = machine(s390_rdp=rdp)
    made.run([{"copy_page_range": {**AREA, "to": 2}}, {"flush_tlb_mm": {"mm": 1}}])
    run = made.run([{"do_wp_page": ONE}])
    assert flushes(run) == [expected]
    assert ("invalidate", 0x71D) in stores(run) or rdp


def test_a_spurious_write_fault_is_fixed_by_a_local_rdp() -> None:
    write = {"handle_pte_fault": {**ONE, "write": True}}
    assert flushes(two_cpus(s390_rdp=True).run([write])) == [("rdp-local", 1, VA)]
    assert flushes(two_cpus().run([write])) == []


def large(**options: bool) -> lazymmu.Machine:
    made = two_cpus(**options)
    made.run([{"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA + 0x100_000, "pa": 0x8010_0000}}])
    return made


def test_a_segment_leaves_the_tlbs_by_idte() -> None:
    whole = {"mm": 1, "va": VA + 0x100_000, "size": 0x100_000}
    segment = ("idte-segment", 1, VA + 0x100_000)
    run = large().run([{"change_protection": {**whole, "prot": "PAGE_READONLY"}}])
    assert flushes(run) == [segment]
    assert stores(run) == [("invalidate", 0x521), ("invalidate", 0x521), ("huge", 0x701)]
    assert flushes(large().run([{"madvise": {**whole, "advice": "cold"}}])) == [segment]
    assert flushes(large().run([{"zap_page_range": whole}])) == [segment]


def test_one_ipte_for_a_loop_that_names_its_entries() -> None:
    for run in (
        two_cpus(s390_pte_batch=True).run([READ_ONLY]),
        two_cpus(s390_pte_batch=True).run([{"move_page_tables": {**AREA, "to": VA + 0x10_0000}}]),
        two_cpus(s390_pte_batch=True).run([{"copy_page_range": {**AREA, "to": 2}}]),
        two_cpus(s390_pte_batch=True).run([{"zap_page_range": AREA}]),
    ):
        assert flushes(run) == [("ipte-range", 1, VA)]
    # Aging names nothing.
    aged = two_cpus(s390_pte_batch=True).run([{"walk_pte_range": AREA}])
    assert flushes(aged) == [("ipte", 1, VA + n * 0x1000) for n in range(3)]


def test_the_batch_gives_pages_back_before_they_have_left_the_tlbs() -> None:
    run = two_cpus(s390_pte_batch=True).run([{"zap_page_range": AREA}])
    kinds = names.kinds()
    order = [name for name in (kinds[int(e["kind"])] for e in run.events) if name in ("FREE", "TLBI")]
    assert order == ["FREE", "FREE", "FREE", "TLBI"]


def test_an_interrupt_goes_past_the_cache() -> None:
    irq: dict[str, Any] = {"at": {"op": 0, "kind": "QUEUE", "nth": 2}, "irq": "hard"}
    irq["ops"] = [{"pte": {"mm": 1, "va": VA, "step": "clear"}}]
    run = two_cpus(s390_pte_batch=True).run({"ops": [{"op": READ_ONLY}], "injections": [irq]})
    assert ("clear", 0x400) in stores(run)
