"""Loops over user mappings on two CPUs at once: what a search takes for the same is the same."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu

from .test_search import ends

BACKENDS = {"sparc64": 3, "arm": 1, "s390": 1, "loongarch64": 1}
"""And of how many pairs at least every path is run: tables in highmem make paths long."""
PAIRS = (("protect", "touch"), ("age", "touch"), ("fault", "fault"), ("copy", "fault"), ("flags", "age"))


def program(backend: str, pair: tuple[str, str]) -> dict[str, Any]:
    """Two threads of one process, a page that both use."""
    page = 1 << lazymmu.Machine(backend).geometry["page_shift"]
    here = {"mm": 1, "va": 64 * page}
    span = {**here, "size": page}
    fault = {"do_anonymous_page": {**here, "pa": 1 << 28}}
    known: dict[str, dict[str, Any]] = {
        "protect": {"change_protection": {**span, "prot": "PAGE_READONLY"}},
        "age": {"walk_pte_range": span},
        "touch": {"access": {"va": 64 * page, "kind": "write"}},
        "fault": fault,
        "copy": {"do_wp_page": {**here, "pa": 1 << 29}},
        "flags": {"handle_pte_fault": {**here, "write": True}},
    }
    threads = [{"ops": [{"task": n, "op": known[name]}]} for n, name in enumerate(pair)]
    tasks = [{"mm": 1, "cpu": n} for n in range(2)]
    return {"cpus": 2, "mms": 1, "tasks": tasks, "ops": [{"op": fault}], "concurrent": {"threads": threads}}


@pytest.mark.parametrize("backend", BACKENDS)
def test_searches_agree(backend: str) -> None:
    compared = 0
    for pair in PAIRS:
        small = program(backend, pair)
        every = lazymmu.explore(
            small, backend, scheme="v6.12", every_path=True, partial_order=False, symmetry=False, max_states=20_000
        )
        found = [
            lazymmu.explore(small, backend, scheme="v6.12", partial_order=reduced, symmetry=reduced)
            for reduced in (False, True)
        ]
        assert all(one.complete for one in found) and ends(found[0]) == ends(found[1]), pair
        if every.complete:
            assert ends(found[0]) == ends(every), pair
            compared += 1
    assert compared >= BACKENDS[backend]
