"""Which TLBs a change of user mappings reaches, and how: what an architecture's ``tlbflush.c`` says."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

VA = 0x4000_0000
Flush = tuple[str, int, int]


def flushes(run: lazymmu.Run) -> list[Flush]:
    """Invalidations and interrupts: name, number or CPUs, address."""
    kinds, codes = names.kinds(), names.codes("tlbi")
    out: list[Flush] = []
    for event in run.events:
        kind = kinds[int(event["kind"])]
        if kind == "TLBI":
            out.append((codes[int(event["aux"])], int(event["old"]), int(event["va"])))
        elif kind == "IPI":
            out.append(("ipi", int(event["aux"]), 0))
    return out


def faults(count: int, page: int = 0x1000) -> list[dict[str, Any]]:
    return [{"do_anonymous_page": {"mm": 1, "va": VA + n * page, "pa": 0x8000_0000 + n * page}} for n in range(count)]


def riscv(*, svvptc: bool = False, cpus: int = 1, tasks: list[dict[str, int]] | None = None) -> lazymmu.Machine:
    options = {"riscv_svvptc": svvptc}
    return lazymmu.Machine(
        "riscv", "riscv-sv48", "v6.12", options, cpus=cpus, mms=2, tasks=tasks or [{"mm": 1, "cpu": 0}]
    )


def test_riscv_fences_what_a_fault_filled_unless_the_cpu_forgets() -> None:
    assert flushes(riscv().run(faults(2))) == [("sfence.vma", 1, VA), ("sfence.vma", 1, VA + 0x1000)]
    assert flushes(riscv(svvptc=True).run(faults(2))) == []


@pytest.mark.parametrize(("pages", "expected"), [(64, ("sfence.vma", 64, VA)), (65, ("sfence.vma-all", 1, VA))])
def test_riscv_fences_up_to_64_pages_one_by_one(pages: int, expected: Flush) -> None:
    machine = riscv(svvptc=True)
    machine.run(faults(pages))
    done = machine.run([{"zap_page_range": {"mm": 1, "va": VA, "size": pages * 0x1000}}])
    assert flushes(done) == [expected]


def test_riscv_fences_everything_where_tables_were_freed() -> None:
    machine = riscv(svvptc=True)
    machine.run(faults(1))
    areas = [{"start": VA, "end": VA + 0x1000}]
    assert flushes(machine.run([{"unmap_region": {"mm": 1, "vmas": areas}}])) == [
        ("sfence.vma", 1, VA),
        ("sfence.vma-all", 1, 0),
    ]


HASHED = [{"access": {"va": VA + n * 0x1000, "kind": "write"}} for n in range(3)]


def hashed() -> lazymmu.Machine:
    """A process with three pages that the hash table has."""
    machine = lazymmu.Machine("powerpc-hash", "powerpc-hash-4k", "v6.12", mms=1, tasks=[{"mm": 1, "cpu": 0}])
    machine.run([*faults(3), *HASHED])
    return machine


def test_powerpc_hash_entries_go_by_batch_once() -> None:
    machine = hashed()
    protect = {"mm": 1, "va": VA, "size": 0x3000, "prot": "PAGE_READONLY"}
    assert flushes(machine.run([{"change_protection": protect}])) == [("hpte-range", 3, VA)]
    # They are in the hash table no more.
    assert flushes(machine.run([{"zap_page_range": {"mm": 1, "va": VA, "size": 0x3000}}])) == []


def test_powerpc_hash_entries_go_at_once_outside_a_section() -> None:
    copy = {"mm": 1, "va": VA, "pa": 0x9000_0000}
    machine = hashed()
    machine.run([{"change_protection": {"mm": 1, "va": VA, "size": 0x1000, "prot": "PAGE_READONLY"}}, HASHED[1]])
    machine.run([{"access": {"va": VA, "kind": "read"}}])
    assert flushes(machine.run([{"do_wp_page": copy}])) == [("hpte", 1, VA)]


def radix(cpus: int = 1, tasks: list[dict[str, int]] | None = None) -> lazymmu.Machine:
    tasks = tasks or [{"mm": 1, "cpu": 0}]
    return lazymmu.Machine("powerpc-radix", "powerpc-radix-4k", "v6.12", cpus=cpus, mms=2, tasks=tasks)


@pytest.mark.parametrize(("pages", "expected"), [(256, ("tlbiel-va", 256, VA)), (257, ("tlbiel-pid", 1, VA))])
def test_powerpc_radix_flushes_a_process_of_one_cpu_there(pages: int, expected: Flush) -> None:
    machine = radix()
    machine.run(faults(pages))
    assert flushes(machine.run([{"zap_page_range": {"mm": 1, "va": VA, "size": pages * 0x1000}}])) == [expected]


@pytest.mark.parametrize(("pages", "expected"), [(33, ("tlbie-va", 33, VA)), (34, ("tlbie-pid", 1, VA))])
def test_powerpc_radix_flushes_a_process_of_two_threads_everywhere(pages: int, expected: Flush) -> None:
    machine = radix(2, [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}])
    machine.run(faults(pages))
    assert flushes(machine.run([{"zap_page_range": {"mm": 1, "va": VA, "size": pages * 0x1000}}])) == [expected]


def test_powerpc_radix_trims_what_other_cpus_have_left() -> None:
    machine = radix(2)
    machine.run([{"migrate": {"to": 1}}])
    flush = [{"flush_tlb_mm": {"mm": 1}}]
    assert flushes(machine.run(flush)) == [("ipi", 1, 0), ("tlbiel-pid", 1, 0)]
    assert flushes(machine.run(flush)) == [("tlbiel-pid", 1, 0)]


def test_powerpc_radix_does_not_flush_for_more_rights() -> None:
    machine = radix()
    machine.run(faults(1))
    area = {"mm": 1, "va": VA, "size": 0x1000}
    assert flushes(machine.run([{"change_protection": {**area, "prot": "PAGE_READONLY"}}])) == [("tlbiel-va", 1, VA)]
    assert flushes(machine.run([{"change_protection": {**area, "prot": "PAGE_SHARED"}}])) == []


def test_riscv_interrupts_every_cpu_that_ever_ran_the_address_space() -> None:
    tasks = [{"mm": 1, "cpu": 0}, {"mm": 1, "cpu": 1}, {"mm": 2, "cpu": 1}]
    machine = riscv(svvptc=True, cpus=3, tasks=tasks)
    machine.run(faults(1))
    flush = [{"flush_tlb_mm": {"mm": 1}}]
    both = [("ipi", 1, 0), ("sfence.vma-all", 1, 0)]
    assert flushes(machine.run(flush)) == both
    machine.run([{"task": 1, "op": {"switch": {"to": 2}}}])
    assert flushes(machine.run(flush)) == both


@pytest.mark.parametrize(("bbml3", "groups"), [(False, 1), (True, 0)])
def test_arm64_flushes_a_group_that_is_folded_unless_the_cpu_takes_both_sizes(bbml3: bool, groups: int) -> None:
    machine = lazymmu.Machine("arm64", "arm64-4k-48", "v7.0", {"arm64_bbml3": bbml3}, mms=1)
    folio = {"do_anonymous_page": {"mm": 1, "va": VA, "pa": 0x8000_0000, "pages": 16}}
    machine.run([folio])
    # One page of the group goes its own way, and the group is broken.
    done = machine.run([{"change_protection": {"mm": 1, "va": VA, "size": 0x1000, "prot": "PAGE_READONLY"}}])
    whole = [flush for flush in flushes(done) if flush[0] != "ipi" and flush[1] == 16]
    assert len(whole) == groups
