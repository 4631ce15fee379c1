"""What a search takes for the same is the same: it finds no less than one that runs every path by itself."""

from __future__ import annotations

import random

import pytest

import lazymmu

from .generate import SCHEMES, program
from .test_search import ends

BACKENDS = [
    "riscv",
    "powerpc-hash",
    "sparc64",
    "arm",
    "arm64",
    "xen-pv",
    "x86-32",
    "x86-64",
    "loongarch64",
    "powerpc-radix",
    "s390",
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_programs(backend: str) -> None:
    rng = random.Random(f"every path on {backend}")
    compared = 0
    for _ in range(60):
        small, scheme = program(rng, backend), rng.choice(SCHEMES)
        every = lazymmu.explore(
            small, backend, scheme=scheme, every_path=True, partial_order=False, symmetry=False, max_states=2500
        )
        if not every.complete:
            continue
        for reduced in (False, True):
            found = lazymmu.explore(small, backend, scheme=scheme, partial_order=reduced, symmetry=reduced)
            assert found.complete
            assert ends(found) == ends(every), (reduced, scheme, small)
            assert found.states <= every.states
        compared += 1
        if compared == 5:
            break
    assert compared == 5


def test_an_exchange_under_xen_is_one_step() -> None:
    """Two CPUs take the same entry: the hypervisor emulates each exchange at once, so one of them gets it."""
    page = 4096
    ops = [
        {"populate_user": {"mm": 1, "va": 64 * page}},
        {"pte": {"mm": 1, "va": 64 * page, "step": "set", "pa": 1 << 28}},
    ]
    take = {"pte": {"mm": 1, "va": 64 * page, "step": "get-and-clear"}}
    together = {"threads": [{"ops": [{"task": n, "op": take}]} for n in range(2)]}
    tasks = [{"mm": 1, "cpu": n} for n in range(2)]
    small = {"cpus": 2, "mms": 1, "tasks": tasks, "ops": [{"op": op} for op in ops], "concurrent": together}
    for every_path in (False, True):
        found = lazymmu.explore(small, "xen-pv", every_path=every_path)
        assert sorted(o.returns[-2:].count("0x0") for o in found.outcomes) == [1, 1]


def test_a_hash_fault_sees_what_was_cleared_meanwhile() -> None:
    """`__hash_page_64K` compares and exchanges: an entry that another CPU clears does not come back."""
    page = 1 << 16
    ops = [
        {"populate_user": {"mm": 1, "va": 64 * page}},
        {"pte": {"mm": 1, "va": 64 * page, "step": "set", "pa": 1 << 28, "prot": "PAGE_SHARED"}},
    ]
    take = {"pte": {"mm": 1, "va": 64 * page, "step": "get-and-clear"}}
    together = {
        "threads": [{"ops": [{"task": 0, "op": take}]}, {"ops": [{"task": 1, "op": {"access": {"va": 64 * page}}}]}]
    }
    tasks = [{"mm": 1, "cpu": n} for n in range(2)]
    small = {"cpus": 2, "mms": 1, "tasks": tasks, "ops": [{"op": op} for op in ops], "concurrent": together}
    found = lazymmu.explore(small, "powerpc-hash")
    assert found.complete
    assert {str(o.returns[-1]).split()[0] for o in found.outcomes} == {"ok", "not-present"}
    assert all(not o.final for o in found.outcomes)
