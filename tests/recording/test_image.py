"""Walks of recorded table images agree with the kernel's own dumps, and with the reference."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from lazymmu.errors import ImageError
from lazymmu.recording.files import read_bytes
from lazymmu.recording.image import Image, Range
from lazymmu.reference.image import Image as PlainImage

from . import ptdump
from .places import RECORDINGS, name

IMAGES = [path for path in RECORDINGS if (path / "tables.ptimg.xz").exists()]

DUMPS = {
    "ptdump_kernel_page_tables.txt": "kernel",
    "ptdump_kernel.txt": "kernel",
    "ptdump_current_kernel.txt": "user",
    "ptdump_current_user.txt": "user_pti",
}
"""Dumps, and the root that they are of. Without page-table isolation the last two are of the same root."""


def dumps(path: Path) -> list[tuple[Path, str]]:
    found = [
        (file, DUMPS[file.name.removesuffix(".xz")])
        for file in path.iterdir()
        if file.name.removesuffix(".xz") in DUMPS
    ]
    return sorted(found)


def opened(path: Path) -> Image:
    try:
        return Image(path)
    except ImageError as error:
        if "not modelled" not in str(error):
            raise
        pytest.skip(str(error))


CASES = [(path, file, root) for path in IMAGES for file, root in dumps(path)]


@pytest.mark.parametrize(
    ("path", "file", "root"), CASES, ids=lambda value: value if isinstance(value, str) else value.name
)
def test_list_agrees_with_the_dump(path: Path, file: Path, root: str) -> None:
    image = opened(path)
    if root not in image.roots:
        root = "user"
    wanted = ptdump.read(file)
    found = ptdump.listed(image.ranges(root), image.arch, wanted)
    assert len(wanted) > 8
    assert found == wanted


@pytest.mark.parametrize("path", IMAGES, ids=name)
def test_reference_finds_the_same(path: Path) -> None:
    image = opened(path)
    plain = PlainImage(read_bytes(image.path))
    for root in image.roots:
        found = [one for r in image.ranges(root) for one in pages(r)]
        wanted = [
            (leaf.va, leaf.pa, leaf.level, leaf.raw, leaf.write, leaf.execute, leaf.user) for leaf in plain.leaves(root)
        ]
        assert found == sorted(wanted)
        assert found


def pages(r: Range) -> list[tuple[int, int, int, int, bool, bool, bool]]:
    prot = r.prot["write"], r.prot["exec"], r.prot["user"]
    return [(r.va + at, r.pa + at, r.level, r.raw + at, *prot) for at in range(0, r.end - r.va, r.page_size)]


@pytest.mark.parametrize("path", IMAGES, ids=name)
def test_walk_of_an_address_agrees_with_the_list(path: Path) -> None:
    image = opened(path)
    ranges = list(image.ranges())
    for r in ranges[:: max(len(ranges) // 50, 1)]:
        last = r.end - 1
        walk = image.walk(last, "kernel")
        assert walk.levels[-1][0] == r.level
        if r.prot["valid"]:
            assert walk.pa == r.pa + last - r.va
            assert walk.prot == {key: value for key, value in r.prot.items() if key != "valid"}
        else:
            assert walk.pa is None
    holes = [(a.end, b.va) for a, b in itertools.pairwise(ranges) if a.end < b.va]
    for start, end in holes[:20]:
        assert image.walk(start, "kernel").pa is None
        assert image.walk(end - 1, "kernel").pa is None
