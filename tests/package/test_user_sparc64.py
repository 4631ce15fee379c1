"""User mappings on sparc64: what ``arch/sparc/mm/tlb.c`` batches, and when the batch goes."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

from .test_user_flushes import flushes

VA = 0x4000_0000
PAGE = 0x2000
LARGE = 0x80_0000
HALF = 0x40_0000
READ_ONLY = {"mm": 1, "va": VA, "size": LARGE, "prot": "PAGE_READONLY"}


def machine(
    scheme: str = "v6.12", cpus: int = 1, tasks: list[dict[str, int]] | None = None, **options: Any
) -> lazymmu.Machine:
    tasks = tasks or [{"mm": 1, "cpu": 0}]
    return lazymmu.Machine("sparc64", "sparc64-8k", scheme, options, cpus=cpus, mms=2, tasks=tasks)


def faults(count: int, prot: str = "PAGE_READONLY") -> list[dict[str, Any]]:
    pages = [{"mm": 1, "va": VA + n * PAGE, "pa": 0x1_0000_0000 + n * PAGE, "prot": prot} for n in range(count)]
    return [{"do_anonymous_page": page} for page in pages]


def of_kind(run: lazymmu.Run, kind: str) -> list[tuple[int, int]]:
    """``old`` and ``aux`` of each event of a kind."""
    kinds = names.kinds()
    return [(int(e["old"]), int(e["aux"])) for e in run.events if kinds[int(e["kind"])] == kind]


def inside(outer: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """An operation that does another one when two entries wait in the batch."""
    return {"ops": [{"op": outer}], "injections": [{"at": {"op": 0, "kind": "DEFER_TLBI", "nth": 1}, "ops": [inner]}]}


LOOPS: dict[str, Any] = {
    "zap": {"zap_page_range": {"mm": 1, "va": VA, "size": LARGE}},
    "fork": {"copy_page_range": {"mm": 1, "to": 2, "va": VA, "size": LARGE}},
    "mprotect": {"change_protection": READ_ONLY},
    "exit": {"exit_mmap": {"mm": 1, "vmas": [{"start": VA, "end": VA + LARGE}]}},
    "age": {"walk_pte_range": {"mm": 1, "va": VA, "size": LARGE}},
    "move": {"move_page_tables": {"mm": 1, "va": VA, "to": VA + 4 * LARGE, "size": LARGE}},
}


@pytest.mark.parametrize("scheme", ["v6.12", "v6.16", "v7.0"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("pages", [1, 191, 192, 193, 384, 400])
def test_pages_of_one_section_go_in_batches_of_192(pages: int, loop: str, scheme: str) -> None:
    here = machine(scheme)
    here.run(faults(pages))
    run = here.run([LOOPS[loop]])
    assert run.ok
    batches = [192] * (pages // 192) + ([pages % 192] if pages % 192 else [])
    assert [number for number, _ in of_kind(run, "FLUSH")] == batches
    assert len(of_kind(run, "DEFER_TLBI")) == pages
    assert flushes(run) == [("tsb-and-tlb", number, VA + n * 192 * PAGE) for n, number in enumerate(batches)]


def test_what_is_not_valid_is_in_no_tlb() -> None:
    here = machine()
    here.run([*faults(2), {"walk_pte_range": {"mm": 1, "va": VA, "size": 2 * PAGE}}])
    assert flushes(here.run([LOOPS["zap"]])) == []


def test_an_executable_page_is_marked_in_the_batch() -> None:
    here = machine()
    here.run([*faults(1, "PAGE_READONLY_EXEC"), faults(2)[1]])
    assert of_kind(here.run([LOOPS["zap"]]), "DEFER_TLBI") == [(1, 1), (2, 0)]


def test_outside_a_section_an_entry_goes_at_once() -> None:
    here = machine()
    here.run([*faults(1), {"change_protection": {**READ_ONLY, "size": PAGE}}])
    assert flushes(here.run([{"do_wp_page": {"mm": 1, "va": VA}}])) == [("tsb-and-tlb", 1, VA)]
    # Changed again, it is reached by the same store.
    assert flushes(here.run([{"ptep_clear_flush_young": {"mm": 1, "va": VA}}])) == [("tsb-and-tlb", 1, VA)]
    # It is not valid any more.
    assert flushes(here.run([{"handle_pte_fault": {"mm": 1, "va": VA}}])) == []


def test_flushes_of_ranges_are_empty() -> None:
    here = machine()
    here.run(faults(1))
    assert flushes(here.run([{"flush_tlb_mm": {"mm": 1}}])) == []


def test_a_large_leaf_is_two_entries_of_the_tlb() -> None:
    here = machine()
    here.run([{"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA, "pa": 0x1_0000_0000}}])
    halves = [("tsb-and-tlb", 1, VA), ("tsb-and-tlb", 1, VA + HALF)]
    # Invalidated, then set: what was there both times is a leaf.
    assert flushes(here.run([{"change_protection": READ_ONLY}])) == 2 * halves
    # Moved: only what was cleared.
    far = {"mm": 1, "va": VA, "to": VA + 2 * LARGE, "size": LARGE}
    assert flushes(here.run([{"move_page_tables": far}])) == halves
    split = here.run([{"split_huge_pmd": {"mm": 1, "va": VA + 2 * LARGE}}])
    assert flushes(split) == [("tsb-and-tlb", 1, VA + 2 * LARGE), ("tsb-and-tlb", 1, VA + 2 * LARGE + HALF)]
    found = here.translate(VA + 2 * LARGE + HALF, mm=1)
    assert found is not None and found.pa == 0x1_0000_0000 + HALF


def test_a_table_that_a_large_leaf_replaces_is_scanned() -> None:
    """``tlb_batch_pmd_scan``: a fork into an address space that is in use, which the kernel never does."""
    here = machine(tasks=[{"mm": 2, "cpu": 0}])
    child = [{"do_anonymous_page": {"mm": 2, "va": VA + n * PAGE, "pa": 0x2_0000_0000 + n * PAGE}} for n in (0, 3)]
    here.run([*child, {"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA, "pa": 0x1_0000_0000}}])
    parents = [("tsb-and-tlb", 1, VA), ("tsb-and-tlb", 1, VA + HALF)]
    pages = [("tsb-and-tlb", 1, VA), ("tsb-and-tlb", 1, VA + 3 * PAGE)]
    run = here.run([{"copy_page_range": {"mm": 1, "to": 2, "va": VA, "size": LARGE}}])
    assert [flush for flush in flushes(run) if flush[0] != "ipi"] == parents + pages


def test_another_size_flushes_the_batch() -> None:
    """A large leaf is split while another task's section, which nothing of the kernel does, is open on this CPU."""
    here = machine()
    large = {"mm": 1, "va": VA + 2 * LARGE, "pa": 0x2_0000_0000}
    here.run([*faults(3), {"do_huge_pmd_anonymous_page": large}])
    split = {"split_huge_pmd": {"mm": 1, "va": VA + 2 * LARGE}}
    run = here.run(inside(LOOPS["zap"], split))
    assert of_kind(run, "FLUSH") == [(2, 6), (2, 6), (1, 2)]
    assert of_kind(run, "DEFER_TLBI") == [(1, 0), (2, 0), (1, 0), (2, 0), (1, 0)]


def test_another_address_space_flushes_the_batch() -> None:
    here = machine()
    other = {"do_anonymous_page": {"mm": 2, "va": VA, "pa": 0x2_0000_0000}}
    here.run([*faults(3), other])
    zap = {"zap_page_range": {"mm": 2, "va": VA, "size": PAGE}}
    run = here.run(inside(LOOPS["zap"], zap))
    # The inner section ends with the outer's mode.
    assert of_kind(run, "FLUSH") == [(2, 6), (1, 2)]
    # Nobody has run it: there is no context, and only its TSB is looked at.
    assert flushes(run)[:2] == [("tsb-and-tlb", 2, VA), ("tsb", 1, VA)]


def test_cpus_that_ran_the_address_space_are_interrupted() -> None:
    tasks = [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}, {"mm": 2, "cpu": 1}]
    here = machine(cpus=3, tasks=tasks)
    here.run(faults(4))
    zap = [{"zap_page_range": {"mm": 1, "va": VA, "size": PAGE}}]
    assert flushes(here.run(zap)) == [("ipi", 1, 0), ("tsb-and-tlb", 1, VA)]
    here.run([*faults(1), {"task": 1, "op": {"switch": {"to": 2}}}])
    assert flushes(here.run(zap)) == [("ipi", 1, 0), ("tsb-and-tlb", 1, VA)]


def test_faults_fill_the_tsb() -> None:
    here = machine()
    assert of_kind(here.run(faults(2)), "TSB_INSERT") == [(1, 0), (1, 0)]
    many = {"mm": 1, "va": VA + 16 * PAGE, "pa": 0x2_0000_0000, "pages": 16}
    assert of_kind(here.run([{"do_anonymous_page": many}]), "TSB_INSERT") == [(16, 0)]
    # It is there already, and somebody else has put it into the TSB; what is not valid never gets there.
    assert of_kind(here.run(faults(1)), "TSB_INSERT") == []
    none = {"mm": 1, "va": VA + 64 * PAGE, "pa": 0x3_0000_0000, "prot": "PAGE_NONE"}
    assert of_kind(here.run([{"finish_fault": none}]), "TSB_INSERT") == []


def test_tables_of_a_process_are_freed_without_a_flush_of_their_own() -> None:
    here = machine()
    here.run([*faults(1), {"zap_page_range": {"mm": 1, "va": VA, "size": PAGE}}])
    run = here.run([{"unmap_region": {"mm": 1, "vmas": [{"start": VA, "end": VA + LARGE}]}}])
    assert flushes(run) == [] and of_kind(run, "CALL_RCU") == [(3, 0)]
