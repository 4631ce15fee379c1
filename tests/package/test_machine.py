"""Machines: state, snapshots, words in memory, translations, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lazymmu
from lazymmu import _native

BACKENDS = [(name, geometry) for name, _, names in _native.backends() for geometry in names]


def mapped(backend: str, geometry: str, scheme: str = "v7.0", count: int = 40) -> tuple[lazymmu.Machine, int]:
    machine = lazymmu.Machine(backend, geometry, scheme, mms=1)
    va = machine.geometry["vmalloc_start"]
    pages = {"count": count, "start": 0x1000_0000}
    run = machine.run([{"vmap_pages_range": {"va": va, "pages": pages}}])
    assert run.ok
    assert run.results[0].ret == 0
    return machine, va


@pytest.mark.parametrize(("backend", "geometry"), BACKENDS)
def test_what_was_mapped_is_translated(backend: str, geometry: str) -> None:
    machine, va = mapped(backend, geometry)
    page = 1 << machine.geometry["page_shift"]
    vas = va + np.arange(40, dtype=np.uint64) * page + 5
    pas, levels, words = machine.translate_many(vas)
    if backend != "xen-pv":  # Xen's tables hold machine frames
        assert pas.tolist() == [0x1000_0000 + n * page + 5 for n in range(40)]
    assert set(levels.tolist()) == {1}
    assert machine.translate(int(vas[7])) == (pas[7], 1, words[7])
    assert machine.translate(va + 40 * page) is None


@pytest.mark.parametrize(("backend", "geometry"), BACKENDS)
def test_snapshots_are_independent(backend: str, geometry: str) -> None:
    machine, va = mapped(backend, geometry)
    page = 1 << machine.geometry["page_shift"]
    before = machine.snapshot()
    machine.run([{"vunmap_range": {"va": va, "size": 40 * page}}])
    assert machine.translate(va) is None
    assert before.translate(va) is not None
    again = before.snapshot()
    before.run([{"vunmap_range": {"va": va, "size": page}}])
    assert before.translate(va) is None
    assert again.translate(va) is not None
    images = [{t.pa: t.words.tolist() for t in m.image()} for m in (machine, before, again)]
    assert images[0] != images[1] != images[2]


@pytest.mark.parametrize(("backend", "geometry"), BACKENDS)
def test_same_program_same_bytes(backend: str, geometry: str) -> None:
    def run() -> bytes:
        machine, va = mapped(backend, geometry)
        return machine.run(
            [{"vunmap_range": {"va": va, "size": 40 << machine.geometry["page_shift"]}}]
        ).events.tobytes()

    assert run() == run()


def test_peek_and_poke() -> None:
    machine, va = mapped("x86-64", "x86-64-4level")
    table = next(t for t in machine.image(0) if t.level == 1)
    index = int(np.flatnonzero(table.words)[0])
    pa = table.pa + 8 * index
    word = machine.peek(pa)
    assert word == table.words[index]
    machine.poke(pa, word & ~1)
    assert machine.translate(va) is None
    for nonsense in (pa + 1, 0, 1 << 62):
        with pytest.raises(lazymmu.LazymmuError):
            machine.peek(nonsense)
        with pytest.raises(lazymmu.LazymmuError):
            machine.poke(nonsense, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "alpha"}, ["alpha", "arm64"]),
        ({"backend": "arm64", "geometry": "x86-64-4level"}, ["x86-64-4level", "arm64-4k-48"]),
        ({"backend": "arm64", "scheme": "v5"}, ["v5", "v6.12"]),
        ({"backend": "arm64", "options": {"nothing": True}}, ["nothing"]),
        ({"backend": "arm64", "options": {"pages_error_exit": "jump"}}, ["jump", "break"]),
        ({"backend": "arm64", "options": {"pages_error_exit": 3}}, ["pages_error_exit", "3"]),
        ({"backend": "arm64", "cpus": 0}, ["cpus", "0"]),
        ({"backend": "arm64", "cpus": 17}, ["cpus", "17", "16"]),
        ({"backend": "arm64", "cpus": -1}, ["-1"]),
        ({"backend": "arm64", "mms": 1 << 40}, [str(1 << 40)]),
        ({"backend": "arm64", "tasks": [{"mm": 1}]}, ["mm", "1"]),
        ({"backend": "arm64", "tasks": [{"cpu": 1}]}, ["CPU", "1"]),
        ({"backend": "arm64", "tasks": [{"pid": 1}]}, ["pid"]),
        ({"backend": "arm64", "hooks": 3}, ["hooks", "3"]),
        ({"backend": "arm64", "scheme": 3}, ["scheme", "3"]),
        ({"backend": "arm64", "layout": {"nowhere": 3}}, ["nowhere"]),
    ],
)
def test_machines_that_cannot_be_built(arguments: dict, words: list[str]) -> None:
    with pytest.raises(lazymmu.ConfigError) as caught:
        lazymmu.Machine(**arguments)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("{", ["line 1"]),
        ("[]", []),
        ({"opps": []}, ["opps"]),
        ({"ops": [{"op": {"vmaloc": {}}}]}, ["vmaloc"]),
        ({"ops": [{"op": {"vmalloc": {"slot": 0}}}]}, ["size"]),
        ({"ops": [{"op": {"vmalloc": {"slot": 0, "size": "x"}}}]}, ["x"]),
        ({"ops": [{"op": {"vmalloc": {"slot": 0, "size": 1, "sise": 1}}}]}, ["sise"]),
        ([{"vmalloc": {"slot": 0, "size": object()}}], ["object"]),
    ],
)
def test_programs_that_are_none(program: object, words: list[str]) -> None:
    with pytest.raises(lazymmu.ProgramError) as caught:
        lazymmu.run(program, backend="arm64")
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_machine_survives_a_refused_operation() -> None:
    machine = lazymmu.Machine("x86-32")
    with pytest.raises(lazymmu.RunError) as caught:
        machine.run([{"vmalloc": {"slot": 0, "size": 4096}}, {"free": {"va": {"slot": 9}}}])
    assert caught.value.op == 1
    assert machine.run([{"free": {"va": {"slot": 0}}}]).ok


def test_costs_can_be_replaced() -> None:
    counts = {"stores": 10, "barriers": 2}
    assert _native.CostTable('unit = "points"\n[weights.arm64]\nbarriers = 5\n').cost("arm64", counts) == 10
    for text, word in (
        ("[weights.arm65]\n", "arm65"),
        ('unit = "x"\n[weights.arm64]\nbariers = 1\n', "bariers"),
        ('unit = "x"\n[weights.arm64]\nbarriers = "much"\n', "much"),
    ):
        with pytest.raises(lazymmu.ConfigError, match=word):
            _native.CostTable(text)


def test_a_debug_build_says_so() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import importlib

        importlib.reload(lazymmu)
    assert bool([w for w in caught if "debug build" in str(w.message)]) == (_native.build_profile() == "debug")
