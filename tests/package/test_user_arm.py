"""User mappings on 32-bit arm: two words for a page, flags kept by software, invalidations that hardware broadcasts."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

from .test_user_flushes import faults, flushes

VA = 0x4000_0000
PAGE = 0x1000
PMD = 0x20_0000
RAM = 0x8000_0000
ISHST, ISH, NSHST, NSH = 1, 2, 3, 4
BOTH = pytest.mark.parametrize("geometry", ["arm-lpae", "arm-classic"])


def machine(geometry: str, cpus: int = 1, **options: Any) -> lazymmu.Machine:
    tasks = [{"mm": 1, "cpu": 0}]
    return lazymmu.Machine("arm", geometry, "v6.12", {"highpte": False, **options}, cpus=cpus, mms=2, tasks=tasks)


def sequence(run: lazymmu.Run) -> list[tuple[str, int]]:
    """Barriers with their domain, invalidations with their number."""
    kinds, codes = names.kinds(), names.codes("tlbi")
    out: list[tuple[str, int]] = []
    for event in run.events:
        kind = kinds[int(event["kind"])]
        if kind in ("DSB", "ISB"):
            out.append((kind, int(event["aux"])))
        elif kind == "TLBI":
            out.append((codes[int(event["aux"])], int(event["old"])))
    return out


def stored(run: lazymmu.Run) -> list[int]:
    return [int(e["new"]) for e in run.events if names.kinds()[int(e["kind"])] == "STORE" and e["level"] == 1]


def reached(here: lazymmu.Machine, va: int) -> int | None:
    """What an address of the process leads to."""
    found = here.translate(va, mm=1)
    return None if found is None else found.pa


def by_page(pages: int) -> list[tuple[str, int]]:
    return [("DSB", ISH), ("tlbimva", pages), ("DSB", ISH)]


ONE_PAGE = [("DSB", ISHST), ("tlbimva", 1), ("DSB", ISH)]
PROCESS = [("DSB", ISHST), ("tlbiasid", 1), ("DSB", ISH)]
READ_ONLY = {"change_protection": {"mm": 1, "va": VA, "size": PAGE, "prot": "PAGE_READONLY"}}


@BOTH
@pytest.mark.parametrize("pages", [3, 500])
def test_a_gather_goes_page_by_page(geometry: str, pages: int) -> None:
    here = machine(geometry, cpus=3)
    here.run(faults(pages))
    run = here.run([{"zap_page_range": {"mm": 1, "va": VA, "size": pages * PAGE}}])
    assert sequence(run) == by_page(pages)
    assert "ipi" not in [name for name, *_ in flushes(run)]


@BOTH
def test_fork_flushes_the_process(geometry: str) -> None:
    here = machine(geometry)
    here.run(faults(2))
    fork = [{"copy_page_range": {"mm": 1, "to": 2, "va": VA, "size": PMD}}, {"flush_tlb_mm": {"mm": 1}}]
    assert sequence(here.run(fork))[-3:] == PROCESS


@BOTH
def test_the_end_of_a_process_flushes_it_once(geometry: str) -> None:
    here = machine(geometry)
    here.run(faults(2))
    run = here.run([{"exit_mmap": {"mm": 1, "vmas": [{"start": VA, "end": VA + PMD}]}}])
    assert sequence(run) == PROCESS


@BOTH
def test_a_copy_flushes_the_page_between_old_and_new(geometry: str) -> None:
    here = machine(geometry)
    here.run([*faults(1), READ_ONLY])
    assert sequence(here.run([{"do_wp_page": {"mm": 1, "va": VA, "pa": RAM + 16 * PAGE}}])) == ONE_PAGE


@BOTH
def test_a_fault_that_grants_flushes_the_page(geometry: str) -> None:
    here = machine(geometry)
    here.run([*faults(1), {"walk_pte_range": {"mm": 1, "va": VA, "size": PAGE}}])
    read = {"handle_pte_fault": {"mm": 1, "va": VA}}
    assert sequence(here.run([read])) == ONE_PAGE
    # Spurious: a read is left alone, a write flushes.
    assert sequence(here.run([read])) == []
    assert sequence(here.run([{"handle_pte_fault": {"mm": 1, "va": VA, "write": True}}])) == ONE_PAGE


@BOTH
def test_the_access_flag_is_kept_by_software(geometry: str) -> None:
    here = machine(geometry)
    here.run(faults(1))
    aged = here.run([{"ptep_clear_flush_young": {"mm": 1, "va": VA}}])
    assert aged.results[0].ret == 1 and sequence(aged) == ONE_PAGE
    read = {"access": {"va": VA, "kind": "read"}}
    assert reached(here, VA) is None
    here.run([{"handle_pte_fault": {"mm": 1, "va": VA}}, read])
    assert reached(here, VA) == RAM


@BOTH
def test_a_clean_page_is_read_only_for_hardware(geometry: str) -> None:
    """The dirty bit is software's, too: a page that may be written is not writable before it is dirty."""
    here = machine(geometry)
    shared = {"mm": 1, "va": VA, "pa": RAM, "prot": "PAGE_SHARED"}
    write = [{"access": {"va": VA, "kind": "write"}}]
    done = here.run([{"finish_fault": shared}, *write])
    assert done.results[1].outcome == "permission"
    done = here.run([{"handle_pte_fault": {"mm": 1, "va": VA, "write": True}}, *write])
    assert done.results[1].outcome == "ok"


def test_short_descriptors_have_two_words() -> None:
    """``cpu_v7_set_pte_ext``: Linux's word, then the hardware's."""
    here = machine("arm-classic")
    assert stored(here.run(faults(1))) == [RAM | 0x75F, RAM | 0xC7F]
    assert stored(here.run([READ_ONLY])) == [0, 0, RAM | 0x7DF, RAM | 0xE7F]
    old = here.run([{"walk_pte_range": {"mm": 1, "va": VA, "size": PAGE}}])
    assert stored(old) == [RAM | 0x7DD, 0]
    assert stored(here.run([{"zap_page_range": {"mm": 1, "va": VA, "size": PAGE}}])) == [0, 0]


def test_lpae_has_one_word() -> None:
    here = machine("arm-lpae")
    assert stored(here.run(faults(1))) == [RAM | 0x00E0_0000_0000_0F5F]
    none = {"change_protection": {"mm": 1, "va": VA, "size": PAGE, "prot": "PAGE_NONE"}}
    # Present for software by the second bit, for hardware not at all.
    assert stored(here.run([none])) == [0, RAM | 0x06E0_0000_0000_0F1E]


def test_a_freed_leaf_table_of_short_descriptors_is_flushed_in_both_halves() -> None:
    here = machine("arm-classic")
    here.run([*faults(1), {"zap_page_range": {"mm": 1, "va": VA, "size": PAGE}}])
    run = here.run([{"unmap_region": {"mm": 1, "vmas": [{"start": VA, "end": VA + PAGE}]}}])
    # From the address whose table went to a page behind the middle of what the pair maps.
    assert flushes(run) == [("tlbimva", 0x101, VA)]
    kinds = [names.kinds()[int(e["kind"])] for e in run.events]
    assert "CALL_RCU" not in kinds and kinds.index("TLBI") < kinds.index("FREE")


def test_lpae_keeps_the_tables_that_the_kernel_needs() -> None:
    """The first gigabyte's, for the vectors may be there; the last one's, which has the modules, too."""
    here = machine("arm-lpae")
    places = [0x10_0000, 0x5000_0000, 0xA000_0000]
    here.run([{"do_anonymous_page": {"mm": 1, "va": va, "pa": RAM + va}} for va in places])
    run = here.run([{"exit_mmap": {"mm": 1, "vmas": [{"start": va, "end": va + PAGE} for va in places]}}])
    freed = [
        (int(e["level"]), int(e["va"])) for e in run.events if names.kinds()[int(e["kind"])] == "FREE" and e["level"]
    ]
    assert freed == [(1, 0x5000_0000), (2, 0x4000_0000), (1, 0xA000_0000)]


def test_large_leaves_of_lpae() -> None:
    here = machine("arm-lpae")
    large = {"mm": 1, "va": VA, "pa": RAM}
    assert sequence(here.run([{"do_huge_pmd_anonymous_page": large}]))[-1:] == [("DSB", ISHST)]
    protect = {"change_protection": {"mm": 1, "va": VA, "size": PMD, "prot": "PAGE_READONLY"}}
    # Invalidated and flushed at once, page by page; the gather does it again.
    assert sequence(here.run([protect])) == [("DSB", ISHST), *by_page(512), ("DSB", ISHST), *by_page(512)]
    split = here.run([{"split_huge_pmd": {"mm": 1, "va": VA}}])
    assert sequence(split) == [("DSB", ISHST), *by_page(512), ("DSB", ISHST), ("DSB", ISHST)]
    assert reached(here, VA + 5 * PAGE) == RAM + 5 * PAGE


def test_a_large_leaf_without_permissions_is_not_present() -> None:
    """``pmd_present`` of LPAE is the valid bit: munmap takes such a leaf for what it cannot be."""
    here = machine("arm-lpae")
    none = {"change_protection": {"mm": 1, "va": VA, "size": PMD, "prot": "PAGE_NONE"}}
    back = {"change_protection": {"mm": 1, "va": VA, "size": PMD, "prot": "PAGE_READONLY"}}
    here.run([{"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA, "pa": RAM}}, none])
    assert reached(here, VA) is None
    # Moved without a flush.
    far = {"mm": 1, "va": VA, "to": VA + 4 * PMD, "size": PMD}
    assert sequence(here.run([{"move_page_tables": far}])) == [("DSB", ISHST)]
    home = {"mm": 1, "va": VA + 4 * PMD, "to": VA, "size": PMD}
    here.run([{"move_page_tables": home}, back])
    assert reached(here, VA) == RAM
    here.run([none])
    died = here.run([{"zap_page_range": {"mm": 1, "va": VA, "size": PMD}}])
    assert died.results[0].ending == "died" and died.results[0].bug == 9


@BOTH
def test_highmem_tables_are_mapped_by_this_cpu(geometry: str) -> None:
    here = machine(geometry, highpte=True)
    here.run(faults(1))
    run = here.run([{"copy_page_range": {"mm": 1, "to": 2, "va": VA, "size": PAGE}}])
    local = [("DSB", NSHST), ("tlbimva-local", 1), ("DSB", NSH), ("ISB", 0)]
    # The child's table is mapped first, and unmapped last.
    assert sequence(run)[-16:] == 4 * local
    kinds = [names.kinds()[int(e["kind"])] for e in run.events]
    wanted = ("KMAP", "LOCK", "UNLOCK", "KUNMAP")
    assert [k for k in kinds if k in wanted] == ["KMAP", "LOCK"] * 2 + ["UNLOCK", "KUNMAP"] * 2


def test_the_reserve_of_a_split_is_mapped() -> None:
    here = machine("arm-lpae", highpte=True)
    here.run([{"do_huge_pmd_anonymous_page": {"mm": 1, "va": VA, "pa": RAM}}])
    run = here.run([{"split_huge_pmd": {"mm": 1, "va": VA}}])
    kinds = [names.kinds()[int(e["kind"])] for e in run.events]
    assert kinds.count("KMAP") == kinds.count("KUNMAP") == 1
    assert kinds.index("KUNMAP") < kinds.index("WMB") and run.ok
