"""Backend and geometry of a recording follow from its ``info.json``, in every configuration of each architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lazymmu import _native
from lazymmu.errors import RecordingError
from lazymmu.recording import Kernel, describe, open_recording

from .places import SMALL

# Levels from the leaf tables up as (shift, entries), as the kernel's headers define them; what is folded has one entry
# and the shift of the level above, or on riscv, where it is folded at run time, keeps its own.
CONFIGURATIONS = {
    ("x86-64", "x86-64-4level"): ("x86_64", [(12, 512), (21, 512), (30, 512), (39, 512)]),
    ("x86-64", "x86-64-5level"): ("x86_64", [(12, 512), (21, 512), (30, 512), (39, 512), (48, 512)]),
    ("x86-32", "x86-32-pae"): ("i686", [(12, 512), (21, 512), (30, 4)]),
    ("x86-32", "x86-32-2level"): ("i686", [(12, 1024), (22, 1024)]),
    ("xen-pv", "x86-64-4level"): ("x86_64", [(12, 512), (21, 512), (30, 512), (39, 512)]),
    ("arm64", "arm64-4k-39"): ("aarch64", [(12, 512), (21, 512), (30, 512)]),
    ("arm64", "arm64-4k-48"): ("aarch64", [(12, 512), (21, 512), (30, 512), (39, 512)]),
    ("arm64", "arm64-4k-52"): ("aarch64", [(12, 512), (21, 512), (30, 512), (39, 512), (48, 16)]),
    ("arm64", "arm64-16k-36"): ("aarch64", [(14, 2048), (25, 2048)]),
    ("arm64", "arm64-16k-47"): ("aarch64", [(14, 2048), (25, 2048), (36, 2048)]),
    ("arm64", "arm64-16k-48"): ("aarch64", [(14, 2048), (25, 2048), (36, 2048), (47, 2)]),
    ("arm64", "arm64-16k-52"): ("aarch64", [(14, 2048), (25, 2048), (36, 2048), (47, 32)]),
    ("arm64", "arm64-64k-42"): ("aarch64", [(16, 8192), (29, 8192)]),
    ("arm64", "arm64-64k-48"): ("aarch64", [(16, 8192), (29, 8192), (42, 64)]),
    ("arm64", "arm64-64k-52"): ("aarch64", [(16, 8192), (29, 8192), (42, 1024)]),
    ("riscv", "riscv-sv39"): ("riscv64", [(12, 512), (21, 512), (30, 512)]),
    ("riscv", "riscv-sv48"): ("riscv64", [(12, 512), (21, 512), (30, 512), (39, 512)]),
    ("riscv", "riscv-sv57"): ("riscv64", [(12, 512), (21, 512), (30, 512), (39, 512), (48, 512)]),
    ("riscv", "riscv-sv32"): ("riscv32", [(12, 1024), (22, 1024)]),
    ("powerpc-radix", "powerpc-radix-4k"): ("ppc64le", [(12, 512), (21, 512), (30, 512), (39, 8192)]),
    ("powerpc-radix", "powerpc-radix-64k"): ("ppc64le", [(16, 32), (21, 512), (30, 512), (39, 8192)]),
    ("powerpc-hash", "powerpc-hash-4k"): ("ppc64le", [(12, 512), (21, 128), (28, 512), (37, 512)]),
    ("powerpc-hash", "powerpc-hash-64k"): ("ppc64le", [(16, 256), (24, 1024), (34, 1024), (44, 256)]),
}

FOLDED = {
    ("arm64", "arm64-4k-52-on-48"): ("aarch64", [(12, 512), (21, 512), (30, 512), (39, 512), (48, 16)]),
    ("arm64", "arm64-16k-52-on-47"): ("aarch64", [(14, 2048), (25, 2048), (36, 2048), (47, 32)]),
}
"""The root of the build is folded at run time: the constants have one level more than there are."""

SPARC64 = {"sparc64-8k": "0xbc000000000007d0", "sparc64-8k-sun4u": "0x8000000000001fb6"}
"""`PAGE_KERNEL` of the two formats, whose tables have one shape."""

SOURCES = {
    "x86_64": "x86_64-6.12.117-4lvl",
    "i686": "i386-6.12.117-pae-highpte-pti",
    "aarch64": "arm64-7.3.4-4k48",
    "riscv64": "riscv64-6.12.117-sv48",
    "riscv32": "riscv64-6.12.117-sv48",
    "ppc64le": "ppc64-6.12.117-hash4k",
}


def of_shape(machine: str, shape: list[tuple[int, int]]) -> dict[str, Any]:
    """The numbers that tell the shape of tables."""
    (page, ptes), *middle, (top, roots) = shape
    info: dict[str, Any] = {"machine": machine, "page_shift": page, "ptrs_per_pte": ptes}
    riscv = {"pmd": 21, "pud": 30, "p4d": 39} if machine == "riscv64" else {}
    for n, level in enumerate(("pmd", "pud", "p4d")):
        folded = (riscv.get(level, top), 512 if level in riscv else 1)
        info[f"{level}_shift"], info[f"ptrs_per_{level}"] = middle[n] if n < len(middle) else folded
    return {**info, "pgdir_shift": top, "ptrs_per_pgd": roots, "pte_bytes": 4 if ptes == 1024 and page == 12 else 8}


def kernel_of(folder: Path, source: str, info: dict[str, Any], command_line: str = "") -> Kernel:
    folder.mkdir()
    known = json.loads((SMALL / source / "info.json").read_text())
    (folder / "info.json").write_text(json.dumps({**known, **info}))
    (folder / "cmdline").write_text(command_line)
    return describe(open_recording(folder))


@pytest.mark.parametrize("place", CONFIGURATIONS, ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_configuration_is_recognised(tmp_path: Path, place: tuple[str, str]) -> None:
    machine, shape = CONFIGURATIONS[place]
    line = "xen: earlyprintk=xen" if place[0] == "xen-pv" else "console=ttyS0"
    kernel = kernel_of(tmp_path / "any name", SOURCES[machine], of_shape(machine, shape), line)
    assert (kernel.backend, kernel.geometry) == place
    assert kernel.modelled


@pytest.mark.parametrize("place", FOLDED, ids=lambda place: place[1])
def test_a_root_that_is_folded_at_run_time(tmp_path: Path, place: tuple[str, str]) -> None:
    machine, shape = FOLDED[place]
    kernel = kernel_of(tmp_path / "any name", SOURCES[machine], {**of_shape(machine, shape), "levels": len(shape) - 1})
    assert (kernel.backend, kernel.geometry) == place
    assert kernel.shape == shape[:-1]


@pytest.mark.parametrize("geometry", SPARC64)
def test_formats_of_one_shape_are_told_apart(tmp_path: Path, geometry: str) -> None:
    shape = of_shape("sparc64", [(13, 1024), (23, 1024), (33, 1024), (43, 1024)])
    kernel = kernel_of(tmp_path / "sparc", SOURCES["x86_64"], {**shape, "PAGE_KERNEL": SPARC64[geometry]})
    assert (kernel.backend, kernel.geometry) == ("sparc64", geometry)


def test_every_geometry_of_these_architectures_is_here() -> None:
    listed = {(backend, g) for backend, _, geometries in _native.backends() for g in geometries}
    others = {"arm", "sparc64", "s390", "loongarch64"}
    historical = {("xen-pv", "x86-32-pae")}
    assert {place for place in listed if place[0] not in others} - historical == {*CONFIGURATIONS, *FOLDED}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"ptrs_per_pgd": 300}, ["ptrs_per_pgd", "(39, 300)"]),
        ({"page_shift": 13}, ["(13, 512)"]),
        ({"pmd_shift": "none"}, ["pmd_shift", "'none'"]),
        ({"machine": "vax"}, ["machine", "vax", "x86_64"]),
        ({"release": "seven"}, ["release", "seven"]),
    ],
)
def test_a_shape_that_no_geometry_has(tmp_path: Path, change: dict[str, Any], parts: list[str]) -> None:
    kernel = kernel_of(tmp_path / "damaged", SOURCES["x86_64"], change)
    with pytest.raises(RecordingError) as caught:
        assert kernel.backend and kernel.geometry and kernel.scheme
    assert all(part in str(caught.value) for part in ["info.json", *parts])
