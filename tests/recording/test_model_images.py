"""Images of tables that the model built, of every geometry: both readers find what the machine's own walk does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import lazymmu
from lazymmu.recording.image import Image
from lazymmu.reference.image import Image as PlainImage

from .test_image import pages

ARCH = {
    "arm64": "arm64",
    "x86-64": "x86_64",
    "x86-32": "i386",
    "arm": "arm",
    "riscv": "riscv64",
    "powerpc-radix": "ppc64",
    "powerpc-hash": "ppc64",
    "sparc64": "sparc64",
    "s390": "s390x",
    "loongarch64": "loongarch64",
}
"""Names in images. Guests of Xen have machine frames, and tables of their own format."""

NAMED = {"riscv-sv32": "riscv32", "sparc64-8k-sun4u": "sun4u"}
PLACES = [
    (backend, geometry)
    for backend, _, geometries in lazymmu._native.backends()
    for geometry in geometries
    # The machine walks Linux's words of short descriptors, an image has the hardware's.
    if backend in ARCH and geometry != "arm-classic"
]
BIG = ("ppc64", "s390x", "sparc64", "sun4u")


def built(backend: str, geometry: str) -> tuple[lazymmu.Machine, list[int]]:
    """A machine with mappings at both ends of a leaf table, and addresses in and around them."""
    rng = random.Random(geometry)
    machine = lazymmu.Machine(backend, geometry)
    shape = machine.geometry
    page, start = 1 << shape["page_shift"], shape["vmalloc_start"]
    table = page * shape["levels"][0][3]
    memory = 1 << 28
    program, vas = [], []
    for number, prot in enumerate(("PAGE_KERNEL", "PAGE_KERNEL_RO", "PAGE_KERNEL_EXEC", "PAGE_KERNEL_ROX")):
        va = start + (number + 1) * table - 3 * page
        program.append({"vmap_page_range": {"va": va, "size": 6 * page, "pa": memory + number * table, "prot": prot}})
        vas += [va + n * page + rng.randrange(page) for n in range(-1, 7)]
    # Where the backend has large leaves, this is one.
    block = -(-(start + 8 * table) // table) * table
    program.append({"vmap_page_range": {"va": block, "size": table, "pa": memory}})
    vas += [block + rng.randrange(table) for _ in range(8)]
    machine.run(program)
    return machine, vas


def image_of(machine: lazymmu.Machine, arch: str, path: Path) -> Path:
    """What a recorder would have written of the kernel's tables."""
    shape = machine.geometry
    page, width = 1 << shape["page_shift"], shape["entry_bytes"]
    order = "big" if arch in BIG else "little"
    memory: dict[int, bytearray] = {}
    for table in machine.image(0):
        data = b"".join(int(word).to_bytes(width, order) for word in table.words)
        for at in range(0, len(data), page):
            part = data[at : at + page]
            place = table.pa + at
            room = memory.setdefault(place & -page, bytearray(page))
            room[place % page : place % page + len(part)] = part
    levels = [(shift, entries) for _, _, shift, entries in shape["levels"]]
    root_shift, root_entries = levels[-1]
    empty = [hex(machine._native.empty_word(level, False)) for level, *_ in shape["levels"]]
    header: dict[str, Any] = {
        "arch": arch,
        "page_bytes": page,
        "entry_bytes": width,
        "entries_per_table": levels[0][1],
        "levels": levels,
        "byte_order": order,
        "roots": {
            "kernel": {
                "pa": hex(machine.roots()[0]),
                "levels": len(levels),
                "va_bits": root_shift + root_entries.bit_length() - 1,
                "entries": root_entries,
            }
        },
        "pages": [hex(pa) for pa in sorted(memory)],
        "missing": [],
    }
    if arch == "loongarch64":
        header["empty"] = empty
    file = path / "tables.ptimg"
    body = b"".join(bytes(memory[pa]) for pa in sorted(memory))
    file.write_bytes(b"PTIMG1\n" + json.dumps(header).encode() + b"\n" + body)
    return file


@pytest.mark.parametrize(("backend", "geometry"), PLACES, ids=[geometry for _, geometry in PLACES])
def test_readers_of_images_find_what_the_machine_does(backend: str, geometry: str, tmp_path: Path) -> None:
    machine, vas = built(backend, geometry)
    file = image_of(machine, NAMED.get(geometry, ARCH[backend]), tmp_path)
    image, plain = Image(file), PlainImage(file.read_bytes())
    found = [one for r in image.ranges("kernel") for one in pages(r)]
    leaves = plain.leaves("kernel")
    assert found == sorted(
        (leaf.va, leaf.pa, leaf.level, leaf.raw, leaf.write, leaf.execute, leaf.user) for leaf in leaves
    )
    assert len(found) >= 24
    hits = 0
    for va in vas:
        there, here = machine.translate(va), image.walk(va, "kernel").pa
        assert here == (there.pa if there else None), hex(va)
        hits += there is not None
    assert hits >= 24
