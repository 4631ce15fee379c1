"""Damaged table images: the message names file and place, and nothing hangs."""

from __future__ import annotations

import json
import lzma
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lazymmu.errors import ImageError
from lazymmu.recording.image import Image

from .places import SMALL

HEADER: dict[str, Any] = {
    "arch": "x86_64",
    "page_bytes": 4096,
    "entry_bytes": 8,
    "entries_per_table": 512,
    "roots": {"kernel": {"pa": "0x1000", "levels": 4, "va_bits": 48, "entries": 512}},
    "pages": ["0x1000", "0x2000", "0x3000", "0x4000"],
}


def image(path: Path, words: Mapping[tuple[int, int], int], **changes: Any) -> Path:
    header = {**HEADER, **changes}
    pages = bytearray(4096 * len(HEADER["pages"]))
    for (pa, index), word in words.items():
        struct.pack_into("<Q", pages, pa - 0x1000 + index * 8, word)
    file = path / "tables.ptimg"
    file.write_bytes(b"PTIMG1\n" + json.dumps(header).encode() + b"\n" + bytes(pages))
    return file


GOOD = {(0x1000, 256): 0x2067, (0x2000, 1): 0x3067, (0x3000, 2): 0x4067, (0x4000, 3): 0x8000000012345163}
VA = 0xFFFF_8000_0000_0000 | 1 << 30 | 2 << 21 | 3 << 12


def test_a_good_one(tmp_path: Path) -> None:
    walk = Image(image(tmp_path, GOOD)).walk(VA + 0x678)
    assert walk.pa == 0x12345678
    assert [(level, index) for level, index, _ in walk.levels] == [(4, 256), (3, 1), (2, 2), (1, 3)]
    (found,) = Image(tmp_path).ranges()
    assert (found.va, found.end, found.pa, found.raw) == (VA, VA + 4096, 0x12345000, 0x8000000012345163)
    assert found.prot["write"]
    assert not found.prot["exec"]


@pytest.mark.parametrize(
    ("words", "changes", "parts"),
    [
        ({**GOOD, (0x3000, 2): 0x9067}, {}, ["pmd entry", hex(VA & ~0x1FFFFF), "0x9067", "0x9000", "not in the image"]),
        ({**GOOD, (0x3000, 2): 0x2067}, {}, ["0x2000", "below itself"]),
        (GOOD, {"arch": "sparc"}, ["sparc", "not modelled", "arm64"]),
        (GOOD, {"pages": ["0x1000", "0x2000"]}, ["expected 2 pages", "16384"]),
        (GOOD, {"pages": ["0x1000", "0x2000", "0x2000", "0x3000"]}, ["ascending"]),
        (GOOD, {"entry_bytes": 3}, ["entry_bytes", "3"]),
        (GOOD, {"page_bytes": 0}, ["page_bytes"]),
        (GOOD, {"entries_per_table": 1 << 40}, ["entries_per_table"]),
        (GOOD, {"roots": {"kernel": {**HEADER["roots"]["kernel"], "pa": "0x8000"}}}, ["root", "kernel", "0x8000"]),
        (GOOD, {"roots": {"kernel": {**HEADER["roots"]["kernel"], "levels": 9}}}, ["9 levels"]),
        (GOOD, {"roots": {"kernel": {**HEADER["roots"]["kernel"], "va_bits": 200}}}, ["va_bits"]),
        (GOOD, {"roots": {"init": HEADER["roots"]["kernel"]}}, ["roots", "kernel", "init"]),
        (GOOD, {"roots": []}, ["line 2"]),
    ],
)
def test_says_what_is_wrong(
    tmp_path: Path, words: Mapping[tuple[int, int], int], changes: Mapping[str, Any], parts: list[str]
) -> None:
    file = image(tmp_path, words, **changes)
    with pytest.raises(ImageError) as caught:
        list(Image(file).ranges())
    for part in (str(file), *parts):
        assert part in str(caught.value)


def test_tables_that_form_no_tree_end(tmp_path: Path) -> None:
    words = {(pa, index): pa + 0x1067 for pa in (0x1000, 0x2000, 0x3000) for index in range(512)}
    with pytest.raises(ImageError, match="form no tree"):
        list(Image(image(tmp_path, words)).ranges())


def test_an_address_with_a_hole_in_it(tmp_path: Path) -> None:
    file = Image(image(tmp_path, GOOD))
    with pytest.raises(ImageError, match="0x900000000000 is not an address"):
        file.walk(0x9000_0000_0000)
    with pytest.raises(ImageError, match="64 bits"):
        file.walk(1 << 64)


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_truncated_compression(tmp_path: Path, keep: int) -> None:
    whole = next(SMALL.glob("i386*/tables.ptimg.xz")).read_bytes()
    file = tmp_path / "tables.ptimg.xz"
    file.write_bytes(whole[:keep])
    with pytest.raises(ImageError, match=r"tables\.ptimg\.xz"):
        Image(file)


def test_cut_behind_decompression(tmp_path: Path) -> None:
    whole = lzma.decompress(next(SMALL.glob("i386*/tables.ptimg.xz")).read_bytes())
    file = tmp_path / "tables.ptimg"
    for keep in (0, 3, 7, 100, len(whole) - 1):
        file.write_bytes(whole[:keep])
        with pytest.raises(ImageError):
            Image(file)


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no tables\.ptimg"):
        Image(tmp_path)
