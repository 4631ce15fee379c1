"""x86's page-table isolation: user mode's root has a copy of every top-level entry of the user half."""

from __future__ import annotations

import pytest

import lazymmu
from lazymmu.recording.image import Image
from lazymmu.report import names

from ..recording.places import SMALL

VA = 0x4000_0000
NX = 1 << 63
FAULT = {"do_anonymous_page": {"mm": 1, "va": VA, "pa": 0x1000_0000}}
UNMAP = {"unmap_region": {"mm": 1, "vmas": [{"start": VA, "end": VA + 0x1000}]}}


def machine(geometry: str, backend: str = "x86-64") -> lazymmu.Machine:
    return lazymmu.Machine(backend, geometry, "v6.12", {"x86_pti": True}, mms=1)


def stores(done: lazymmu.Run, level: int) -> list[tuple[int, int, str]]:
    """Address, new word and reason of the stores at a level."""
    found = done.events[(done.events["kind"] == names.kind("STORE")) & (done.events["level"] == level)]
    codes = names.codes("store")
    return [(int(e["addr"]), int(e["new"]), codes[int(e["aux"])]) for e in found]


@pytest.mark.parametrize(("geometry", "level"), [("x86-64-4level", 4), ("x86-64-5level", 5)])
def test_a_new_entry_goes_to_both_roots_and_is_not_executable_in_the_kernels(geometry: str, level: int) -> None:
    built = machine(geometry)
    (copy, kernels) = stores(built.run([FAULT]), level)
    root = built.roots()[1]
    assert copy[0] - 0x1000 == kernels[0] == root
    assert (copy[2], kernels[2]) == ("user-copy", "populate")
    assert kernels[1] == copy[1] | NX and not copy[1] & NX
    gone = stores(built.run([UNMAP]), level)
    assert gone == [(root + 0x1000, 0, "user-copy"), (root, 0, "clear")]


def test_the_kernel_half_is_synchronised_to_kernel_roots_only() -> None:
    built = machine("x86-64-4level")
    # Outside of the vmalloc space, so that the root gets an entry.
    done = built.run([{"vmap_page_range": {"va": 0xFFFF_EA00_0000_0000, "size": 0x1000, "pa": 0x1000_0000}}])
    told = stores(done, 4)
    assert [(addr & ~0xFFF, why) for addr, _, why in told] == [
        (built.roots()[0], "populate"),
        (built.roots()[1], "sync"),
    ]


def test_pae_shares_the_pmds_of_the_user_half() -> None:
    built = machine("x86-32-pae", "x86-32")
    tables = {table.pa: table.words for table in built.image(1)}
    root = built.roots()[1]
    kernels, users = tables[root].tolist(), tables[root + 0x1000].tolist()
    assert kernels[:3] == users[:3]
    assert kernels[3] != users[3] and users[3] & 1


def test_a_recorded_kernel_has_the_same_copies() -> None:
    image = Image(SMALL / "i386-6.12.117-pae-highpte-pti")
    assert image.roots["user_pti"] == image.roots["user"] + 0x1000
    mapped = {name: [r for r in image.ranges(name) if r.va < 0xC000_0000] for name in ("user", "user_pti")}
    assert mapped["user"] == mapped["user_pti"] != []
    # Of the kernel's half user mode has little: entry code, the areas of the CPUs.
    assert 0 < sum(r.end - r.va for r in image.ranges("user_pti") if r.va >= 0xC000_0000) < 32 << 20
