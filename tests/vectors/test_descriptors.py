"""The published descriptor vectors: their form, the reference's formats, and `lazymmu.descriptor` against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lazymmu import _native
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.descriptor.base import Kind
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import Options

HERE = Path(__file__).parent
FILES = sorted(p for p in HERE.glob("*.json") if p.name != "schema.json")
LEVELS = {"pte": 1, "pmd": 2, "pud": 3, "p4d": 4, "pgd": 5}
VECTORS = [(path.stem, vector) for path in FILES for vector in json.loads(path.read_text())]


def name(value: Any) -> str:
    return value["id"] if isinstance(value, dict) else str(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_form(path: Path) -> None:
    vectors = json.loads(path.read_text())
    jsonschema.validate(vectors, json.loads((HERE / "schema.json").read_text()))
    assert len({vector["id"] for vector in vectors}) == len(vectors)
    geometries = {backend: names for backend, _, names in _native.backends()}[path.stem]
    assert {vector["geometry"] for vector in vectors} == set(geometries)


@pytest.mark.parametrize(("backend", "vector"), VECTORS, ids=name)
def test_reference(backend: str, vector: dict[str, Any]) -> None:
    """Hardware's view of the word, and the address in it."""
    geometry = geometry_named(vector["geometry"])
    entries = BACKENDS[backend].entry_format(geometry, Options())
    level, word = LEVELS[vector["level"]], int(vector["word"], 16)
    kind = entries.kind(level, word)
    if "type" in vector["fields"] and backend in ("arm64", "arm"):
        valid = vector["fields"]["type"] & 1 and vector["verdict"] == "valid"
        assert (kind is not Kind.INVALID) >= bool(valid)
    if kind is Kind.INVALID or "address" not in vector["fields"]:
        return
    found = entries.table(word) if kind is Kind.TABLE else entries.leaf_address(level, word)
    assert found == vector["fields"]["address"]


@pytest.mark.parametrize(("backend", "vector"), VECTORS, ids=name)
def test_decode(backend: str, vector: dict[str, Any]) -> None:
    descriptor = pytest.importorskip("lazymmu.descriptor", reason="lazymmu.descriptor is not here yet")
    word = int(vector["word"], 16)
    if vector["verdict"] == "invalid":
        with pytest.raises(ValueError, match="limit"):
            descriptor.decode(word, vector["geometry"], vector["level"])
        return
    entry = descriptor.decode(word, vector["geometry"], vector["level"])
    assert entry.verdict == vector["verdict"], [str(problem) for problem in entry.problems]
    assert {field: entry[field] for field in vector["fields"]} == vector["fields"]
    assert descriptor.encode(entry.fields, vector["geometry"], vector["level"]) == word
