"""The kernel of a recording as a model: backend, geometry, scheme, options, address layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lazymmu import _native
from lazymmu.errors import RecordingError
from lazymmu.recording.files import Recording, parse, read_bytes, read_lines

PROTS = {
    "rw": "PAGE_KERNEL",
    "ro": "PAGE_KERNEL_RO",
    "rwx": "PAGE_KERNEL_EXEC",
    "nc": "prot_nc",
    "wc": "prot_wc",
    "io": "prot_io",
    "rox": "prot_rox",
}
"""Protections of the command language, and where ``info.json`` has their bits."""

NAMES = {
    "PAGE_KERNEL": "PAGE_KERNEL",
    "PAGE_KERNEL_RO": "PAGE_KERNEL_RO",
    "PAGE_KERNEL_EXEC": "PAGE_KERNEL_EXEC",
    "prot_rox": "PAGE_KERNEL_ROX",
    "prot_nc": "PAGE_IOREMAP",
    "prot_io": "PAGE_IOREMAP",
}
"""Protections that every backend has, by where ``info.json`` has their bits."""

FAR_FRAMES = {64: 0xF_0000_0000, 32: 0x2000_0000}
"""Where the model puts tables of its own, away from the frames that recorded kernels used."""


BACKGROUND = {
    "x86-64": 0x60,
    "x86-32": 0x60,
    "xen-pv": 0x60,
    "riscv": 0xC0,
    "powerpc-radix": 0x180,
    # With where the hash table has the page: of 4K pages, and of 64K pages.
    "powerpc-hash": 0x11E0_0000_0000_01C0 | 1 << 55 | 1 << 12,
}
"""Bits of leaf entries that change without an operation: hardware sets accessed and dirty, a hash fault says more."""


IO_SPACE = ("powerpc-radix", "powerpc-hash")
"""Backends whose kernels have a space for I/O areas behind vmalloc, as large as that; the model has one for all."""


def _shape(geometry: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Shift and entries of each level."""
    return [(shift, entries) for _, _, shift, entries in geometry["levels"]]


@dataclass(frozen=True)
class Kernel:
    """A recorded kernel."""

    recording: Recording
    info: Mapping[str, Any]
    config: frozenset[str]
    command_line: str
    found: Mapping[str, str | bool] = field(default_factory=dict)
    """Options that other parts of the recording tell."""

    def number(self, key: str) -> int:
        """A number of ``info.json``."""
        value = self.info.get(key)
        if isinstance(value, str):
            try:
                return int(value, 0)
            except ValueError:
                pass
        elif isinstance(value, int):
            return value
        where = self.recording.need("info.json")
        raise RecordingError(where, key, f"expected a number, got {value!r}")

    @cached_property
    def release(self) -> tuple[int, int]:
        """Major and minor number of the kernel."""
        text = str(self.info.get("release", ""))
        found = re.match(r"(\d+)\.(\d+)", text)
        if not found:
            raise RecordingError(
                self.recording.need("info.json"), "release", f"expected a kernel release, got {text!r}"
            )
        return int(found[1]), int(found[2])

    @cached_property
    def xen(self) -> bool:
        """It ran as a paravirtualised guest."""
        return self.command_line.startswith("xen:") or "earlyprintk=xen" in self.command_line

    @cached_property
    def backend(self) -> str:
        """The backend that models it."""
        machine = str(self.info.get("machine", ""))
        backends = [name for name, machines in _native.machines() if machine in machines]
        if not backends:
            known = ", ".join(dict.fromkeys(m for _, machines in _native.machines() for m in machines))
            path = self.recording.need("info.json")
            raise RecordingError(path, "machine", f"backend {machine} not modelled: expected one of {known}")
        # Several may model one machine: of those that have tables of this shape, the hypervisor's comes last.
        shapes = _native.geometries()
        names = {name: names for name, _, names in _native.backends()}
        fitting = [b for b in backends if any(_shape(shapes[name]) == self.shape for name in names[b])]
        return (fitting or backends)[-1 if self.xen else 0]

    @cached_property
    def background(self) -> int:
        """Bits of leaf entries that change without an operation."""
        bits = BACKGROUND.get(self.backend, 0)
        # Bit 12 is the lowest of an address where pages are that small.
        return bits & ~((1 << 53) - (1 << self.number("page_shift"))) & (1 << 64) - 1

    @cached_property
    def swapped(self) -> bool:
        """Memory has table words in the other byte order than the kernel its numbers: powerpc tables are big-endian."""
        return self.info.get("machine") == "ppc64le"

    def nothing(self, machine: _native.Machine) -> dict[int, tuple[int, int]]:
        """What entries hold where nothing is, by level: in the kernel, and in its model.

        Only where that depends on the kernel's image (loongarch), and therefore is in the recording.
        """
        words = self.info.get("empty", [])
        try:
            theirs = [int(word, 0) for word in words]
        except (TypeError, ValueError):
            theirs = [-1]
        if any(not 0 <= word < 1 << 64 for word in theirs):
            where = self.recording.need("info.json")
            raise RecordingError(where, "empty", f"expected a list of 64-bit words, got {words!r}")
        return {
            level: (word, machine.empty_word(level, False)) for level, word in zip(self.shifts, theirs, strict=False)
        }

    @cached_property
    def modelled(self) -> bool:
        """There is a backend for its machine, and a geometry for its tables."""
        try:
            return bool(self.backend and self.geometry)
        except RecordingError:
            return False

    @cached_property
    def shape(self) -> list[tuple[int, int]]:
        """Shift and entries of each level that is not folded, leaf tables first."""
        shape = [(self.number("page_shift"), self.number("ptrs_per_pte"))]
        top = self.number("pgdir_shift")
        for level in ("pmd", "pud", "p4d"):
            # riscv keeps PTRS_PER_P4D where it folds the level at run time.
            if self.number(f"ptrs_per_{level}") > 1 and self.number(f"{level}_shift") < top:
                shape += [(self.number(f"{level}_shift"), self.number(f"ptrs_per_{level}"))]
        shape.append((top, self.number("ptrs_per_pgd")))
        return shape[: self._levels(len(shape))]

    def _levels(self, most: int) -> int:
        """Levels that the kernel's own tables have: a recording may say it, and s390 chooses by what it has to map."""
        if "levels" in self.info:
            return self.number("levels")
        if self.info.get("machine") == "s390x":
            end = self.number("vmalloc_end")
            return next((levels for levels, bits in ((3, 42), (4, 53)) if end <= 1 << bits), most)
        return most

    @property
    def shifts(self) -> dict[int, int]:
        """Shifts by level number, 1 the leaf tables'."""
        return {level: shift for level, (shift, _) in enumerate(self.shape, start=1)}

    @cached_property
    def geometry(self) -> str:
        """The geometry of its tables."""
        shape = self.shape
        known = _native.geometries()
        names = next(names for name, _, names in _native.backends() if name == self.backend)
        fitting = [name for name in names if _shape(known[name]) == shape]
        if self.backend == "sparc64" and fitting:
            # The same shape with other words: bit 61 says dirty in one of them, and is of the page's size in the other.
            return fitting[0 if self.number("PAGE_KERNEL") & 1 << 61 else -1]
        # The same tables may be stepped over in another way: `PGDIR_SHIFT` is a constant where levels fold at run time.
        stepping = [name for name in fitting if known[name]["slot_shift"] == self.number("pgdir_shift")]
        for name in stepping or fitting:
            return name
        path = self.recording.need("info.json")
        raise RecordingError(
            path, "ptrs_per_pgd", f"not modelled: {self.backend} has no geometry with shifts and entries {shape}"
        )

    @cached_property
    def scheme(self) -> str:
        """The scheme of its release."""
        if self.release >= (7, 0):
            return "v7.0"
        return "v6.16" if self.release >= (6, 16) else "v6.12"

    @cached_property
    def options(self) -> dict[str, str | bool]:
        """What this build and this machine have that the scheme's defaults have not."""
        has = self.config.__contains__
        out: dict[str, str | bool] = dict(self.found)
        if self.config:
            out["hugetlb"] = has("CONFIG_HUGETLB_PAGE")
            out["rcu_table_free"] = has("CONFIG_MMU_GATHER_RCU_TABLE_FREE")
            out["pt_reclaim"] = has("CONFIG_PT_RECLAIM")
        if self.backend == "arm64":
            if "nohugeiomap" in self.command_line.split():
                out["huge_vmap"] = False
            if self.config:
                out["arm64_contpte"] = has("CONFIG_ARM64_CONTPTE")
            if self.config and self.release < (6, 18):
                out["arm64_block_vmap"] = not has("CONFIG_PTDUMP_DEBUGFS")
            return out
        if self.backend == "riscv":
            out["riscv_svpbmt"] = self.number("prot_io") != self.number("PAGE_KERNEL")
        if self.backend not in ("x86-64", "x86-32", "xen-pv"):
            return out
        out["x86_global"] = bool(self.number("PAGE_KERNEL") & 0x100)
        if "pti" in self.info:
            out["x86_pti"] = bool(self.number("pti"))
        out["x86_pse"] = bool(self.number("pse"))
        out["x86_gbpages"] = bool(self.number("gbpages"))
        out["x86_64_sync"] = self.number("arch_page_table_sync_mask") != 0
        out["x86_shared_kernel_pmd"] = (
            bool(self.number("SHARED_KERNEL_PMD")) if "SHARED_KERNEL_PMD" in self.info else False
        )
        if self.config:
            out["highpte"] = has("CONFIG_HIGHPTE")
        return out

    @cached_property
    def rodata_full(self) -> bool:
        """Protections of vmalloc memory reach its linear alias (arm64): the build's default, or ``rodata=full``.

        7.3 has no such default any more: they do unless ``rodata=`` is ``off`` or ``noalias``.
        """
        chosen = [word.partition("=")[2] for word in self.command_line.split() if word.startswith("rodata=")]
        if self.release >= (7, 0):
            return not chosen or chosen[-1] not in ("off", "noalias")
        if chosen:
            return chosen[-1] == "full"
        return not self.config or "CONFIG_RODATA_FULL_DEFAULT_ENABLED" in self.config

    @cached_property
    def layout(self) -> dict[str, int]:
        """The addresses that this build has elsewhere than the geometry's default."""
        # x86 gives the last address of the vmalloc space, others the first one behind it.
        end = -(-self.number("vmalloc_end") // 4096) * 4096
        geometry = _native.geometries()[self.geometry]
        bits = geometry["long_bits"]
        layout = {"vmalloc_start": self.number("vmalloc_start"), "vmalloc_end": end, "table_frames": FAR_FRAMES[bits]}
        if self.backend in IO_SPACE:
            layout["vmalloc_end"] += end - layout["vmalloc_start"]
        if self.backend == "s390":
            # Users have addresses of their own, which the model tells from the kernel's by where these begin.
            layout["kernel_start"] = layout["task_size"] = layout["vmalloc_start"]
        if geometry["highmem_frames"]:
            low_end = self.number("high_memory") - self.number("page_offset")
            layout["highmem_frames"] = low_end
            layout["table_frames"] = min(layout["table_frames"], low_end * 3 // 4 >> 22 << 22)
        return layout

    @cached_property
    def shown(self) -> tuple[int, int] | None:
        """What a record without a window shows besides the linear map; None: all that the model has."""
        # The driver looks at the vmalloc space, and I/O areas lie behind it.
        return (self.number("vmalloc_start"), self.number("vmalloc_end")) if self.backend in IO_SPACE else None

    def prot(self, name: str) -> int | None:
        """The bits of a protection of the command language."""
        return self.number(PROTS[name]) if name in PROTS else None

    def prot_name(self, bits: int) -> str:
        """The portable name of a protection's bits: the one of those in ``info.json`` that has them, or nearly."""
        present = {name: self.number(key) for key, name in NAMES.items() if key in self.info}
        return min(present, key=lambda name: ((present[name] ^ bits).bit_count(), list(present).index(name)))


def describe(recording: Recording) -> Kernel:
    """The kernel of a recording.

    Raises `RecordingError` where ``info.json`` lacks something, or has something that no backend models.
    """
    path = recording.need("info.json")
    text = read_bytes(path).decode("utf-8", "replace")
    info = parse(text, path, 1)
    lines: list[str] = []
    if config := recording.find("kernel.config"):
        lines = [line for _, line in read_lines(config)]
    enabled = frozenset(line.partition("=")[0] for line in lines if line.endswith(("=y", "=m")))
    command_line = recording.find("cmdline")
    shown = read_bytes(command_line).decode("utf-8", "replace").strip() if command_line else ""
    return Kernel(recording, info, enabled, shown)
