"""Core and reference take words apart in the same way, at every level of every geometry of every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymmu import _native, descriptor
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.descriptor.fields.places import place
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import Options

PLACES = [
    (backend, geometry, name)
    for backend, _, geometries in _native.backends()
    for geometry in geometries
    for _, name, _, _ in _native.geometries()[geometry]["levels"]
]
IDS = ["-".join(item) for item in PLACES]


@st.composite
def words(draw: st.DrawFn, backend: str, geometry: str, level: str) -> int:
    """Any word; of a kind chosen first, or every kind but the last would be rare. Some have few bits set."""
    here = place(backend, geometry, level)
    kind = draw(st.sampled_from(here.kinds))
    any_word = st.integers(0, (1 << here.bits) - 1)
    few = st.lists(st.integers(0, here.bits - 1), max_size=4).map(lambda bits: sum({1 << bit for bit in bits}))
    return draw(st.one_of(any_word, few)) & ~kind.mask | kind.value


@pytest.mark.parametrize(("backend", "geometry", "level"), PLACES, ids=IDS)
def test_same_fields(backend: str, geometry: str, level: str) -> None:
    here = place(backend, geometry, level)
    known = {kind.name: kind for kind in descriptor.kinds(geometry, level, backend=backend)}
    assert list(known) == [kind.name for kind in here.kinds]
    for kind in here.kinds:
        core = known[kind.name]
        assert core.hardware == kind.hardware
        assert (core.mask, core.value) == (kind.mask, kind.value), kind.name
        assert [(f.name, list(f.parts)) for f in core.fields] == [(f.name, f.parts) for f in kind.fields], kind.name


@pytest.mark.parametrize(("backend", "geometry", "level"), PLACES, ids=IDS)
def test_same_words(backend: str, geometry: str, level: str) -> None:
    here = place(backend, geometry, level)

    @settings(max_examples=60, deadline=None, database=None)
    @given(word=words(backend, geometry, level))
    def check(word: int) -> None:
        ours = descriptor.decode(word, geometry, level, backend=backend, strict=False)
        theirs = here.decode(word)
        assert (ours.kind, ours.hardware, ours.verdict) == (theirs.kind, theirs.hardware, theirs.verdict)
        assert ours.fields == theirs.fields
        assert here.encode(theirs.kind, theirs.fields) == word
        if ours.verdict != "invalid" and (ours.address or 0) >> here.pa_bits == 0:
            assert descriptor.encode(ours.fields, geometry, level, kind=ours.kind, backend=backend) == word
        records = descriptor.decode_many(np.array([word], np.uint64), geometry, level, backend=backend)
        codes = [kind.name for kind in here.kinds]
        assert (codes[records["kind"][0]], int(records["verdict"][0])) == (
            theirs.kind,
            ("valid", "acceptable", "invalid").index(theirs.verdict),
        )
        if theirs.hardware != "invalid":
            columns = {name: int(records[name][0]) for name in theirs.fields}
            assert columns == theirs.fields

    check()


@pytest.mark.parametrize(("backend", "geometry"), sorted({item[:2] for item in PLACES}), ids="-".join)
def test_same_protections(backend: str, geometry: str) -> None:
    core = dict(_native.protections(backend, geometry))
    theirs = BACKENDS[backend].entry_format(geometry_named(geometry), Options()).protections
    shared = set(core) & set(theirs)
    assert len(shared) >= 8
    assert {name: hex(core[name]) for name in shared} == {name: hex(theirs[name]) for name in shared}
