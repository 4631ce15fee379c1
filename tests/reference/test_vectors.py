"""The conformance vectors of the facts (section 10), on the Python reference."""

from __future__ import annotations

import math

import pytest

from lazymmu.reference import Machine, run
from lazymmu.reference import events as ev
from lazymmu.reference.codes import EINVAL, ENOMEM, PMD, PTE, PUD
from lazymmu.reference.descriptor import Arm64Format, X86Format
from lazymmu.reference.geometry import geometry_named

from .programs import (
    ARM,
    MIB,
    PAGE,
    SCHEMES,
    X86,
    X86_32,
    A,
    B,
    C,
    D,
    apply,
    found,
    kinds,
    ops,
    pages,
    populated,
    small,
    vmap,
    vunmap,
    with_tables,
)


@pytest.mark.parametrize("count", [1, 2, 16, 300])
@pytest.mark.parametrize(("scheme", "barriers"), [(A, None), (B, 1), (C, 1), (D, 1)])
def test_v1_barriers_in_an_existing_table(scheme: str, barriers: int | None, count: int) -> None:
    done = with_tables(scheme, ARM, count).run(ops(pages(ARM, count)))
    assert done.counts["barriers"] == (count if barriers is None else barriers)


@pytest.mark.parametrize(("scheme", "barriers"), [(A, 1200), (B, 1), (C, 3), (D, 3)])
def test_v1_barriers_over_several_tables(scheme: str, barriers: int) -> None:
    done = with_tables(scheme, ARM, 1200).run(ops(pages(ARM, 1200)))
    assert done.counts["barriers"] == barriers


@pytest.mark.parametrize("count", [1, 64, 512])
@pytest.mark.parametrize("scheme", [A, B, C, D])
def test_v2_barriers_with_a_new_table(scheme: str, count: int) -> None:
    machine = with_tables(scheme, ARM, 1)
    done = machine.run(ops(pages(ARM + 2 * MIB, count)))
    assert done.counts["allocs"] == 1
    assert done.counts["barriers"] == {A: 1 + count, B: 1, C: 2, D: 2}[scheme]


@pytest.mark.parametrize(("scheme", "barriers"), [(A, 0), (B, 1), (C, 0), (D, 0)])
def test_v3_barriers_of_an_unmap(scheme: str, barriers: int) -> None:
    done = populated("arm64", scheme, pages(ARM, 20)).run(ops(vunmap(ARM, 20 * PAGE)))
    assert done.counts["barriers"] == barriers
    assert (done.counts["dsb"], done.counts["tlbi"], done.counts["isb"]) == (2, 20, 1)


def test_v4_nested_counted_calls() -> None:
    names = ("enable", "enable", "pause", "resume", "disable", "disable")
    done = run(ops(*({f"lazy_{name}": {}} for name in names)), "arm64", scheme=D)
    assert kinds(done, ev.ENTER, ev.LEAVE, ev.LAZY_FLUSH) == [ev.ENTER, ev.LEAVE, ev.ENTER, ev.LAZY_FLUSH, ev.LEAVE]
    counted = [event[11] for event in done.events if event[0] in (ev.ENABLE, ev.DISABLE, ev.PAUSE, ev.RESUME)]
    assert counted == [1, 2, 2 | 1 << 8, 2, 1, 0]


@pytest.mark.parametrize("count", [1, 31, 32, 62, 63, 512])
def test_v5_xen_hypercalls(count: int) -> None:
    lazy = with_tables(D, X86, count, backend="xen-pv").run(ops(pages(X86, count)))
    assert lazy.counts["hypercalls"] == math.ceil(count / 31)
    assert lazy.counts["queued"] == count
    flushes = [event for event in lazy.events if event[0] == ev.FLUSH]
    assert len(flushes) == 1 + (count - 1) // 31  # as recorded on 7.3.4
    direct = with_tables(A, X86, count, backend="xen-pv").run(ops(pages(X86, count)))
    assert direct.counts["hypercalls"] == count


def test_v7_mask_of_a_vmalloc_page() -> None:
    done = run(ops(pages(X86, 1), pages(X86 + PAGE, 1)))
    assert [result.mask for result in done.results] == [0x1C, 0x10]
    assert done.counts["syncs"] == 0


@pytest.mark.parametrize("geometry", ["x86-32-2level", "x86-32-pae"])
def test_v8_sync_of_a_fresh_slot(geometry: str) -> None:
    done = run(ops(small(X86_32, 1), mms=1), "x86-32", geometry)
    assert done.results[0].mask == 0x18
    assert done.counts["syncs"] == 1
    assert done.counts["copied"] == 1


def test_v8_no_sync_with_a_shared_pmd() -> None:
    done = run(ops(small(X86_32, 1), mms=1), "x86-32", options={"x86_shared_kernel_pmd": "true"})
    assert done.results[0].mask == 0x18
    assert done.counts["syncs"] == 0


def test_v9_contiguous_groups() -> None:
    machine = Machine("arm64", scheme=D)
    backend = machine._kernel.backend
    group = 64 << 10
    assert backend.map_size(ARM, ARM + group, 0x10_0000, 16) == group
    assert backend.map_size(ARM, ARM + group, 0x10_0000, 12) == PAGE
    assert backend.map_size(ARM, ARM + group, 0x10_1000, 16) == PAGE
    assert backend.map_size(ARM, ARM + group - PAGE, 0x10_0000, 16) == PAGE
    done = machine.run(ops(vmap(ARM, 2 * group + PAGE)))
    stores = [event[7] for event in done.events if event[0] == ev.STORE and event[1] == PTE]
    assert stores == [4] * 32 + [0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_v10_failing_pages(scheme: str) -> None:
    machine = with_tables(scheme, ARM, 5)
    done = machine.run(ops(pages(ARM, 5, null_at=3)))
    result = done.results[0]
    assert (result.ret, result.mask) == (-ENOMEM, 0 if scheme == "v6.16-rc1" else 0x10)
    assert sum(machine.translate(ARM + n * PAGE) is not None for n in range(5)) == 3
    again = machine.run(ops(pages(ARM, 1)))
    assert again.results[0].ret == -ENOMEM
    assert ("H26", "contract") in found(again)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_v11_apply_to_nothing(scheme: str) -> None:
    done = run(ops(apply(X86, 700, "count", create=False)), scheme=scheme)
    result = done.results[0]
    assert (result.ret, result.calls, result.mask) == (0, 0, 0)


def test_v12_apply_without_callback() -> None:
    machine = Machine()
    done = machine.run(ops(apply(X86, 513, None)))
    assert (done.results[0].ret, done.results[0].mask) == (0, 0x1C)
    assert done.counts["allocs"] == 3
    stored = done.counts["stores"]
    assert stored == 3
    done = machine.run(ops(vmap(X86 + 4 * MIB, 2 * MIB), apply(X86 + 2 * MIB, 1024, "set")))
    assert done.results[1].ret == -EINVAL
    assert done.results[1].calls == 512
    assert machine.translate(X86 + 2 * MIB) is not None
    assert ("WARN", "contract") in found(done)


def test_v13_unmap_with_a_leaf_in_the_middle() -> None:
    done = run(
        ops(
            apply(X86, 512, "set"),
            vmap(X86 + 2 * MIB, 2 * MIB),
            apply(X86 + 4 * MIB, 512, "set", pa=0x40_0000),
            vunmap(X86, 6 * MIB),
        )
    )
    last = [event for event in done.events if event[6] == 3]
    assert [event[7] for event in last if event[0] == ev.RESCHED] == [1, 1]
    assert done.results[3].mask == 0x18


def test_v14_addr_end_at_the_top() -> None:
    geometry = geometry_named("x86-64-4level")
    assert geometry.addr_end(PMD, 0xFFFF_FFFF_FFE0_0000, 0) == 0
    assert geometry.addr_end(PMD, 0x1000, 0x5000) == 0x5000
    assert geometry.addr_end(PMD, 0x1F_F000, 0x50_0000) == 0x20_0000


@pytest.mark.parametrize(("scheme", "limit"), [(A, 512), (D, 511)])
def test_v15_limit_of_a_page_by_page_flush(scheme: str, limit: int) -> None:
    machine = Machine("arm64", scheme=scheme)
    for count in (limit, limit + 1):
        done = machine.run(ops({"flush_tlb_kernel_range": {"va": ARM, "size": count * PAGE}}))
        assert done.counts["tlbi"] == (count if count == limit else 1)
        assert done.counts["tlbi_all"] == (count != limit)
        assert (done.counts["dsb"], done.counts["isb"]) == (2, 1)


def test_v16_disable_at_zero() -> None:
    done = run(ops({"lazy_disable": {}}), "arm64", scheme=D)
    assert kinds(done, ev.WARN, ev.DISABLE, ev.LAZY_FLUSH, ev.LEAVE) == [ev.WARN, ev.DISABLE, ev.LAZY_FLUSH]
    assert next(event[11] for event in done.events if event[0] == ev.DISABLE) == 255
    assert found(done) == {("H14", "breaks")}


@pytest.mark.parametrize(
    ("geometry", "va", "indices"),
    [
        ("x86-64-4level", 0xFFFF_C900_0012_3000, (402, 0, 0, 291)),
        ("x86-64-5level", 0xFFA0_0000_0020_0000, (416, 0, 0, 1, 0)),
        ("arm64-4k-48", 0xFFFF_8000_8001_0000, (256, 2, 0, 16)),
        ("arm64-4k-39", 0xFFFF_FFC0_8001_0000, (258, 0, 16)),
        ("x86-32-pae", 0xF812_3000, (3, 448, 291)),
        ("x86-32-2level", 0xF812_3000, (992, 291)),
    ],
)
def test_10_1_indices(geometry: str, va: int, indices: tuple[int, ...]) -> None:
    shape = geometry_named(geometry)
    assert tuple(shape.index(level, va) for level in range(shape.levels, 0, -1)) == indices


def test_10_2_descriptors() -> None:
    arm = Arm64Format(geometry_named("arm64-4k-48"))
    known = arm.protections
    assert arm.page(0x8123_4567_8000, known["PAGE_KERNEL"]) == 0x00E8_8123_4567_8703
    assert arm.contiguous(known["PAGE_KERNEL"]) == 0x00F8_0000_0000_0703
    wanted = {
        "PAGE_KERNEL_EXEC": 0x00C8_0000_0000_0703,
        "PAGE_KERNEL_RO": 0x00E0_0000_0000_0783,
        "PAGE_KERNEL_ROX": 0x00C0_0000_0000_0783,
        "PAGE_IOREMAP": 0x0068_0000_0000_0713,
        "PAGE_SHARED": 0x0068_0000_0000_0FC3,
        "PAGE_READONLY": 0x0060_0000_0000_0FC3,
        "PAGE_EXECONLY": 0x0020_0000_0000_0F83,
        "PAGE_NONE": 0x0060_0000_0000_0F82,
    }
    assert {name: known[name] for name in wanted} == wanted
    lpa2 = Arm64Format(geometry_named("arm64-4k-52"))
    assert lpa2.page(0x000C_8123_4567_8000, 0) == 0x0000_8123_4567_8300
    assert lpa2.decode(0x0000_8123_4567_8300) == 0x000C_8123_4567_8000
    assert lpa2.protections["PAGE_KERNEL"] == 0x00E8_0000_0000_0403
    x86 = X86Format(geometry_named("x86-64-4level"))
    assert x86.page(0x1_2345_6000, x86.protections["PAGE_KERNEL"]) == 0x8000_0001_2345_6163
    assert x86.block(PMD, 0x1_2340_0000, x86.protections["PAGE_KERNEL"]) == 0x8000_0001_2340_01E3
    assert x86.protections["PAGE_IOREMAP"] == 0x8000_0000_0000_0173
    assert x86.protections["PAGE_KERNEL_NOCACHE"] == 0x8000_0000_0000_017B
    assert x86.wrprotect(0x8010_0040_0000_107F) == 0x8410_0040_0000_103D  # recorded on 7.3.4 Xen PV


def test_10_2_valid_not_user() -> None:
    arm = Arm64Format(geometry_named("arm64-4k-48"))
    known = arm.protections
    yes = {name for name in known if arm.valid_not_user(known[name])}
    assert {"PAGE_KERNEL", "PAGE_KERNEL_EXEC", "PAGE_IOREMAP"} <= yes
    assert not yes & {"PAGE_SHARED", "PAGE_EXECONLY", "PAGE_NONE"}
    assert not arm.valid_not_user(0)


def test_10_3_changes_that_are_safe() -> None:
    arm = Arm64Format(geometry_named("arm64-4k-48"))
    kernel = arm.protections["PAGE_KERNEL"]
    safe = arm.pgattr_change_is_safe
    assert safe(0, kernel)
    assert safe(kernel, 0)
    assert safe(kernel, arm.protections["PAGE_KERNEL_RO"])
    assert safe(kernel, arm.protections["PAGE_KERNEL_EXEC"])
    assert safe(kernel, kernel | 1 << 11)
    assert safe(kernel, arm.protections["PAGE_KERNEL_TAGGED"])
    assert not safe(kernel, kernel + PAGE)
    assert not safe(kernel | 1 << 11, kernel)
    assert not safe(kernel, arm.contiguous(kernel))
    assert not safe(kernel, kernel | 3 << 2)
    assert not safe(kernel, kernel & ~2)
    assert not safe(kernel, kernel & ~(1 << 10))
    assert not safe(kernel, kernel & ~(1 << 54))
    assert not safe(kernel, kernel | 1 << 50)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("x86-64-4level", {PMD: True, PUD: False, 4: False}),
        ("x86-64-5level", {PMD: True, PUD: False, 4: False, 5: True}),
        ("arm64-4k-52", {PMD: True, PUD: True, 4: True, 5: True}),
    ],
)
def test_bad_of_an_empty_entry(name: str, bad: dict[int, bool]) -> None:
    shape = geometry_named(name)
    table_format = Arm64Format(shape) if name.startswith("arm64") else X86Format(shape)
    assert {level: table_format.bad(level, 0) for level in bad} == bad
