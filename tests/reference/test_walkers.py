"""The walkers, machines and their boot, on the Python reference."""

from __future__ import annotations

import pytest

from lazymmu.reference import ConfigError, Machine, ProgramError, RunError, run
from lazymmu.reference import events as ev
from lazymmu.reference.codes import ENOMEM, ENOSPC, PMD, PTE, PUD

from .programs import ARM, MIB, PAGE, SCHEMES, X86, X86_32, D, apply, kinds, ops, pages, vmap, vunmap, with_tables


def test_w1_empty_ranges_are_refused() -> None:
    machine = Machine()
    with pytest.raises(RunError):
        machine.run(ops(vmap(X86, 0)))
    with pytest.raises(RunError):
        machine.run(ops(vunmap(X86, 0)))
    assert machine.run(ops(vmap(X86, PAGE))).results[0].ret == 0


def test_w2_every_page_is_mapped() -> None:
    machine = Machine("arm64")
    count = 700
    assert machine.run(ops(pages(ARM, count))).results[0].mask == 0x1C
    kernel = machine._kernel.format.protections["PAGE_KERNEL"]
    for n in range(count):
        pa = 0x2_0000_0000 + n * PAGE
        assert machine.translate(ARM + n * PAGE) == (pa, PTE, pa | kernel)
    assert machine.translate(ARM + count * PAGE) is None


@pytest.mark.parametrize("backend", ["x86-64", "arm64"])
def test_w3_leaves_and_a_page(backend: str) -> None:
    va = {"x86-64": X86, "arm64": ARM}[backend]
    huge = Machine(backend)
    done = huge.run(ops(vmap(va, 4 * MIB + PAGE)))
    assert [event[1] for event in done.events if event[0] == ev.STORE and event[7] in (0, 4)] == [PMD, PMD, PTE]
    assert done.results[0].mask & 0x18 == 0x18
    flat = run(
        ops({"vmap_range_noflush": {"va": va, "size": 4 * MIB + PAGE, "pa": 0x2_0000_0000, "max_shift": 12}}), backend
    )
    assert sum(event[1] == PTE for event in flat.events if event[0] == ev.STORE) == 1025


def test_w4_offset_prevents_leaves() -> None:
    done = run(ops(vmap(X86 + PAGE, 4 * MIB)))
    assert not [event for event in done.events if event[0] == ev.STORE and event[7] == 4]
    aligned = run(ops(vmap(X86 + PAGE, 4 * MIB, pa=0x2_0000_1000)))
    assert [event[1] for event in aligned.events if event[0] == ev.STORE and event[7] == 4] == [PMD]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("backend", ["x86-64", "arm64"])
def test_w5_leaf_over_an_empty_table(backend: str, scheme: str) -> None:
    va = {"x86-64": X86, "arm64": ARM}[backend]
    machine = with_tables(scheme, va, 1, backend=backend)
    done = machine.run(ops(vmap(va, 2 * MIB)))
    order = kinds(done, ev.STORE, ev.TLBI, ev.FREE)
    assert order == [ev.STORE, ev.TLBI, ev.FREE, ev.STORE]
    translated = machine.translate(va)
    assert translated is not None
    assert translated[1] == PMD


def test_w5_refused_on_x86_32() -> None:
    done = with_tables(D, X86_32, 1, backend="x86-32").run(ops(vmap(X86_32, 2 * MIB, pa=0x800_0000)))
    assert done.counts["frees"] == 0
    assert done.counts["stores"] == 2 * 512


def test_w5_dump_prevents_it() -> None:
    machine = with_tables(D, X86, 1, backend="x86-64")
    done = machine.run(ops({"ptdump": {"running": True}}, vmap(X86, 2 * MIB)))
    assert done.counts["frees"] == 0
    assert done.results[1].mask == 0x10


@pytest.mark.parametrize("scratch", ["true", "false"])
def test_w5_pud_leaf_over_tables(scratch: str) -> None:
    gib = 1 << 30
    machine = with_tables(D, X86, 513, backend="x86-64", options={"x86_pud_free_scratch": scratch})
    done = machine.run(ops(vmap(X86, gib, pa=4 * gib)))
    assert done.counts["frees"] == (4 if scratch == "true" else 3)
    assert machine.translate(X86 + 5) == (4 * gib + 5, PUD, machine.translate(X86)[2])  # type: ignore[index]


def test_w6_allocation_failure_in_the_second_slot() -> None:
    slot = 1 << 39
    start = X86 + 65 * slot - 512 * PAGE
    program = {
        "ops": [
            {
                "op": {"apply_to_page_range": {"va": start, "size": 1024 * PAGE, "callback": {"kind": "set"}}},
                "fail_alloc": 5,
            }
        ],
        "mms": 1,
    }
    done = run(program, "x86-64")
    assert done.results[0].ret == -ENOMEM
    failed = [event for event in done.events if event[0] == ev.ALLOC_FAIL]
    assert [(event[1], event[7]) for event in failed] == [(1, 1)]
    assert done.results[0].calls == 512
    sync = [event for event in done.events if event[0] == ev.SYNC]
    assert [(event[8], event[11]) for event in sync] == [(start, start + 1024 * PAGE)]
    assert done.counts["copied"] == 2


def test_w7_holes() -> None:
    machine = Machine()
    machine.run(ops(apply(X86, 3, "set"), {"pte": {"va": X86 + PAGE, "step": "clear"}}))
    done = machine.run(ops(apply(X86, 3, "count", create=False), apply(X86, 3, "count")))
    assert [result.calls for result in done.results] == [2, 3]


def test_w8_error_of_the_callback() -> None:
    done = run(ops(apply(X86, 9, "set", fail_at=3, error=7), apply(X86, 9, "count", fail_at=1)), "xen-pv")
    first, second = done.results
    assert (first.ret, first.calls, first.mask & 0x10) == (7, 3, 0x10)
    assert (second.ret, second.calls) == (-ENOSPC, 1)
    assert done.counts["enters"] == len(kinds(done, ev.LEAVE)) == 2


def test_w9_part_of_a_group() -> None:
    machine = Machine("arm64", scheme=D)
    done = machine.run(ops(vmap(ARM, 64 << 10), vunmap(ARM, 8 * PAGE), vunmap(ARM + 8 * PAGE, 8 * PAGE)))
    cleared = [event for event in done.events if event[0] == ev.STORE and event[7] == 2 and event[6] == 1]
    assert len(cleared) == 16
    assert [event[7] for event in done.events if event[0] == ev.WARN] == [6]
    assert all(machine.translate(ARM + n * PAGE) is None for n in range(16))


def test_w9_group_from_its_middle() -> None:
    done = run(ops(vmap(ARM, 64 << 10), vunmap(ARM + 8 * PAGE, 8 * PAGE)), "arm64", scheme=D)
    assert [event[8] for event in done.events if event[0] == ev.WARN] == [ARM + 8 * PAGE]


def test_w10_unmap_twice() -> None:
    done = run(ops(pages(X86, 4), vunmap(X86, 4 * PAGE), vunmap(X86, 4 * PAGE), vunmap(X86 + 2 * MIB, PAGE)))
    assert [result.mask for result in done.results[1:]] == [0x10, 0x10, 0x8]
    assert not kinds(done, ev.WARN)


def test_boot_x86_64() -> None:
    machine = Machine("x86-64", mms=1)
    image = machine.image()
    assert machine.roots() == [0x100_0000, 0x100_0000 + 65 * PAGE]
    assert len(image) == 66
    assert image[machine.roots()[1]][1][256:] == image[machine.roots()[0]][1][256:]
    assert machine.sync_mask == 2
    assert Machine("x86-64", "x86-64-5level").sync_mask == 1


def test_boot_pae() -> None:
    machine = Machine("x86-32", mms=1)
    root = machine.roots()[1]
    words = machine.image()[root][1]
    assert [word & 0xFFF for word in words] == [1, 1, 1, 1]
    assert len(machine.image()) == 3 + 5
    assert machine.layout["fixaddr_top"] == 0xFFFF_F000


def test_boot_arm64() -> None:
    machine = Machine("arm64", mms=2)
    assert len(machine.image()) == 1 + 1 + 3 + 2
    assert machine.peek(machine.roots()[0], 256) == 0x4100_1000 | 1 << 60 | 0x403
    assert machine.roots()[1:] == [0x4100_5000, 0x4100_6000]


def test_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="known: arm64, x86-64, x86-32, xen-pv"):
        Machine("vax")
    with pytest.raises(ConfigError, match="known: x86-64-4level"):
        Machine("x86-64", "arm64-4k-48")
    with pytest.raises(ConfigError, match=r"known: v6\.12"):
        Machine(scheme="v5")
    with pytest.raises(ConfigError, match="unknown option"):
        Machine(options={"nonsense": "true"})
    with pytest.raises(ProgramError, match="unknown key"):
        run({"ops": [], "what": 1})
    with pytest.raises(ProgramError, match="unknown operation"):
        run(ops({"what": {}}))
    with pytest.raises(RunError, match="not canonical"):
        run(ops({"access": {"va": 1 << 60}}))
