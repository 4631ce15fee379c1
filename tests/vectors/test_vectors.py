"""The published vectors, on the core and on the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import lazymmu
from lazymmu import descriptor
from lazymmu.errors import DescriptorError
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.descriptor.base import Kind
from lazymmu.reference.descriptor.fields import places as reference
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import defaults

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*.json") if path.name != "schema.json")
ALL = [(path.stem, vector) for path in FILES for vector in json.loads(path.read_text())]


NEVER_WRITTEN = {("arm", "large-page")}
"""Kinds that hardware knows and Linux does not write, on 32-bit arm."""


def number(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 16)


def scheme_of(vector: dict[str, Any]) -> str:
    return str(vector.get("scheme", descriptor.SCHEME))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_follow_the_schema(path: Path) -> None:
    jsonschema.validate(json.loads(path.read_text()), json.loads((HERE / "schema.json").read_text()))


def test_ids_are_unique_and_backends_have_vectors() -> None:
    ids = [(backend, vector["id"]) for backend, vector in ALL]
    assert len(ids) == len(set(ids))
    assert {name for name, *_ in lazymmu._native.backends()} <= {path.stem for path in FILES}


@pytest.mark.parametrize(("backend", "vector"), ALL, ids=[f"{backend}-{vector['id']}" for backend, vector in ALL])
def test_core(backend: str, vector: dict[str, Any]) -> None:
    word, geometry, level = number(vector["word"]), vector["geometry"], vector["level"]
    options = {"backend": backend, "pa_bits": vector.get("pa_bits"), "scheme": scheme_of(vector)}
    entry = descriptor.decode(word, geometry, level, strict=False, **options)
    assert entry.verdict == vector["verdict"], [str(problem) for problem in entry.problems]
    assert {name: entry[name] for name in vector["fields"]} == {n: number(v) for n, v in vector["fields"].items()}
    assert entry.kind == vector.get("kind", entry.kind)
    if entry.verdict == "invalid":
        with pytest.raises(DescriptorError) as error:
            descriptor.decode(word, geometry, level, **options)
        assert error.value.field and error.value.limit and geometry in str(error.value)
    else:
        assert descriptor.encode(entry.fields, geometry, level, kind=entry.kind, **options) == word
    record = descriptor.decode_many([word], geometry, level, **options)
    assert ("valid", "acceptable", "invalid")[record["verdict"][0]] == vector["verdict"]


@pytest.mark.parametrize(("backend", "vector"), ALL, ids=[f"{backend}-{vector['id']}" for backend, vector in ALL])
def test_reference(backend: str, vector: dict[str, Any]) -> None:
    place = reference.place(backend, vector["geometry"], vector["level"], vector.get("pa_bits"), scheme_of(vector))
    entry = place.decode(number(vector["word"]))
    assert entry.verdict == vector["verdict"]
    assert {name: entry.fields[name] for name in vector["fields"]} == {
        n: number(v) for n, v in vector["fields"].items()
    }
    assert entry.kind == vector.get("kind", entry.kind)


@pytest.mark.parametrize(("backend", "vector"), ALL, ids=[f"{backend}-{vector['id']}" for backend, vector in ALL])
def test_formats_of_the_reference_see_the_same(backend: str, vector: dict[str, Any]) -> None:
    """What walkers and backends ask of a format: whether hardware goes on, and where to."""
    entry = reference.place(backend, vector["geometry"], vector["level"], scheme=scheme_of(vector)).decode(
        number(vector["word"])
    )
    shape = geometry_named(vector["geometry"])
    format_ = BACKENDS[backend].entry_format(shape, defaults(scheme_of(vector)))
    level, word = descriptor.LEVELS.index(vector["level"]) + 1, number(vector["word"])
    if entry.verdict != "valid" or (backend, entry.kind) in NEVER_WRITTEN:
        return
    kind = format_.kind(level, word)
    assert kind.value == entry.hardware
    if kind is not Kind.INVALID and "address" in vector["fields"]:
        found = format_.table(word) if kind is Kind.TABLE else format_.leaf_address(level, word)
        assert found == number(vector["fields"]["address"])


def test_shapes_of_arrays() -> None:
    words = np.array([[0x163, 0x8000000000000121], [0, 0x60]], np.uint64)
    records = descriptor.decode_many(words, "x86-64-4level", "pte")
    assert records.shape == words.shape and records["XD"].tolist() == [[0, 1], [0, 0]]
    assert (descriptor.encode_many(records, "x86-64-4level", "pte") == words).all()
