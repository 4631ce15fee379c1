"""Writes the vectors whose ids begin with ``rule-`` and ``kernel-``, and leaves the others as they are:
`python -m tests.vectors.collect RECORDINGS`, a folder of kernel recordings.

Nothing here comes from lazymmu. Bit positions are those of the manuals, written down once more; words of kernels come
out of their table images by a walk of ten lines, and what they mean out of the kernel's own dump of its tables.
"""

# fmt: off
# ruff: noqa: E501
from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OWN = HERE.parent / "data" / "kernel"
Vector = dict[str, Any]
Bits = list[tuple[str, int, int]]

ARM_ARM = "Arm ARM DDI 0487, D8.3"
SDM = "Intel SDM vol. 3A, 5.4 and 5.5"
PRIV = "RISC-V privileged architecture, 12.3 to 12.6"
FACTS = "computed from the kernel's headers, conformance vectors 10.2"


def text(path: Path) -> str:
    return lzma.open(path, "rt").read() if path.suffix == ".xz" else path.read_text()


class Image:
    """A table image: `PTIMG1`, one line of JSON, the pages."""

    def __init__(self, path: Path) -> None:
        data = lzma.decompress(path.read_bytes())
        _, head, self.pages = data.split(b"\n", 2)
        self.head = json.loads(head)
        size = self.head["page_bytes"]
        self.at = {int(pa, 16): n * size for n, pa in enumerate(self.head["pages"])}

    def word(self, table: int, index: int) -> int:
        size, width = self.head["page_bytes"], self.head["entry_bytes"]
        at = self.at[table & -size] + table % size + index * width
        return int.from_bytes(self.pages[at : at + width], self.head.get("byte_order", "little"))

    def walk(self, va: int, level: int, shifts: list[int], address: int, shift: int) -> int | None:
        """The word at a level (0: pte) above an address; None where a table above is missing."""
        table = int(self.head["roots"]["kernel"]["pa"], 16)
        for n in range(len(shifts) - 1, -1, -1):
            top = self.head["entries_per_table"]
            if "levels" in self.head:
                top = self.head["levels"][n][1]
            if n == len(shifts) - 1:
                top = self.head["roots"]["kernel"]["entries"]
            word = self.word(table, (va >> shifts[n]) % top)
            if n == level:
                return word
            table = (word & address) << shift
            if table & -self.head["page_bytes"] not in self.at:
                return None
        return None


LEVELS = ("pte", "pmd", "pud", "p4d", "pgd")


def arm64_dump(what: str) -> dict[str, int]:
    memory = {"NORMAL": 0, "NORMAL-TAGGED": 1, "NORMAL-NC": 2, "nGnRnE": 3, "nGnRE": 4}
    # F: the entry is not valid. With nG, which is then PRESENT_INVALID, software finds it present.
    absent = what.startswith("F ")
    found = {
        "AP2": "ro" in what.split(), "PXN": "NX" in what.split(), "UXN": "UXN" in what, "AF": "AF" in what.split(),
        "SH": 3 if "SHD" in what else 0, "nG": "NG" in what.split(), "Contiguous": "CON" in what, "AP1": "USR" in what,
        "type": 1 if "BLK" in what else 3, "AttrIndx": memory[what.split("/")[-1].strip()],
    }
    if absent:
        found["type"] = 2
        if found["nG"]:
            del found["nG"]
            found["PRESENT_INVALID"] = 1
    return {name: int(value) for name, value in found.items()}


def x86_dump(what: str) -> dict[str, int]:
    words = what.split()
    found = {"P": 1, "RW": "RW" in words, "US": "USR" in words, "PWT": "PWT" in words, "PCD": "PCD" in words}
    found |= {"G": "GLB" in words, "XD": "NX" in words}
    if "PSE" in words:
        found["PS"] = 1
    return {name: int(value) for name, value in found.items()}


def x86_narrow_dump(what: str) -> dict[str, int]:
    """Two levels: no bit against execution."""
    return {name: value for name, value in x86_dump(what).items() if name != "XD"}


def riscv_dump(what: str) -> dict[str, int]:
    flags = what.split()[-9:]
    return {name: int(name in flags) for name in "DAGUXWRV"}


def lpae_dump(what: str) -> dict[str, int]:
    words = what.split()
    found = {"AP2": "ro" in words, "XN": "NX" in words, "AP1": "USR" in words, "SH": 3 if "SHD" in words else 0}
    for name, index in (("MEM/BUFFERABLE/WC", 1), ("DEV/SHARED", 4), ("MEM/CACHED/WBWA", 7)):
        if name in words:
            found["AttrIndx"] = index
    return {name: int(value) for name, value in found.items()}


def classic_dump(what: str) -> dict[str, int]:
    words = what.split()
    found = {"APX": "ro" in words, "XN": "NX" in words, "AP1": "USR" in words, "S": "SHD" in words}
    for name, bits in (("MEM/BUFFERABLE/WC", (0, 0, 1)), ("DEV/SHARED", (1, 0, 0)), ("MEM/CACHED/WBWA", (1, 1, 1))):
        if name in words:
            found |= dict(zip(("TEX0", "C", "B"), bits, strict=True))
    return {name: int(value) for name, value in found.items()}


def s390_dump(what: str) -> dict[str, int]:
    words = what.split()
    return {"I": 0, "P": int("RO" in words), "IEP": int("NX" in words)}


def powerpc_dump(what: str) -> dict[str, int]:
    words = what.split()
    found = {"V": "valid" in words, "read": "r" in words, "write": "w" in words, "execute": "X" in words, "privileged": 1}
    found |= {"C": "dirty" in words, "R": "accessed" in words, "ATT": 2 if "non-idempotent" in words else 0}
    return {name: int(value) for name, value in found.items()}


def hash_dump(what: str) -> dict[str, int]:
    """Linux's own words, which the hash table is filled from."""
    words = what.split()
    found = {"PRESENT": "valid" in words, "READ": "r" in words, "WRITE": "w" in words, "EXEC": "X" in words, "PRIVILEGED": 1}
    found |= {"DIRTY": "dirty" in words, "ACCESSED": "accessed" in words, "HASHPTE": "hpte" in words}
    return {name: int(value) for name, value in found.items()} | {"CACHE_CTL": 2 if "non-idempotent" in words else 0}


PPC = 0x3FFF_FFFF_FFFF_FF00
DUMPS = (
    # folder, backend, geometry, dump, shifts, address mask and shift of a link, reader
    ("arm64-6.12.117-4k48", "arm64", "arm64-4k-48", "ptdump_kernel_page_tables.txt", [12, 21, 30, 39], 0xFFFF_FFFF_F000, 0, arm64_dump),
    ("arm64-7.3.4-4k48", "arm64", "arm64-4k-48", "ptdump_kernel_page_tables.txt.xz", [12, 21, 30, 39], 0xFFFF_FFFF_F000, 0, arm64_dump),
    ("arm64-7.3.4-64k48", "arm64", "arm64-64k-48", "ptdump_kernel_page_tables.txt", [16, 29, 42], 0xFFFF_FFFF_0000, 0, arm64_dump),
    ("x86_64-6.12.117-4lvl", "x86-64", "x86-64-4level", "ptdump_kernel.txt.xz", [12, 21, 30, 39], 0xF_FFFF_FFFF_F000, 0, x86_dump),
    ("i386-6.12.117-pae-highpte-pti", "x86-32", "x86-32-pae", "ptdump_kernel.txt", [12, 21, 30], 0xF_FFFF_FFFF_F000, 0, x86_dump),
    ("riscv64-6.12.117-sv48", "riscv", "riscv-sv48", "ptdump_kernel_page_tables.txt", [12, 21, 30, 39], 0x3F_FFFF_FFFF_FC00, 2, riscv_dump),
    ("x86_64-6.12.117-5lvl", "x86-64", "x86-64-5level", "ptdump_kernel.txt.xz", [12, 21, 30, 39, 48], 0xF_FFFF_FFFF_F000, 0, x86_dump),
    ("i386-6.12.117-2level", "x86-32", "x86-32-2level", "ptdump_kernel.txt.xz", [12, 22], 0xFFFF_F000, 0, x86_narrow_dump),
    ("riscv64-6.12.117-sv39", "riscv", "riscv-sv39", "ptdump_kernel_page_tables.txt.xz", [12, 21, 30], 0x3F_FFFF_FFFF_FC00, 2, riscv_dump),
    ("riscv64-6.12.117-sv57", "riscv", "riscv-sv57", "ptdump_kernel_page_tables.txt.xz", [12, 21, 30, 39, 48], 0x3F_FFFF_FFFF_FC00, 2, riscv_dump),
    ("riscv32-6.12.117-sv32", "riscv", "riscv-sv32", "ptdump_kernel_page_tables.txt", [12, 22], 0xFFFF_FC00, 2, riscv_dump),
    ("arm-6.12.117-lpae", "arm", "arm-lpae", "ptdump_kernel_page_tables.txt.xz", [12, 21, 30], 0xFF_FFFF_F000, 0, lpae_dump),
    ("arm-6.12.117-classic", "arm", "arm-classic", "ptdump_kernel_page_tables.txt.xz", [12, 20], 0xFFFF_FC00, 0, classic_dump),
    ("s390x-6.12.117-3level", "s390", "s390-3level", "ptdump_kernel_page_tables.txt.xz", [12, 20, 31], 0xFFFF_FFFF_FFFF_F800, 0, s390_dump),
    ("s390x-7.3.4-3level", "s390", "s390-3level", "ptdump_kernel_page_tables.txt.xz", [12, 20, 31], 0xFFFF_FFFF_FFFF_F800, 0, s390_dump),
    ("ppc64-6.12.117-radix64k", "powerpc-radix", "powerpc-radix-64k", "ptdump_kernel_page_tables.txt.xz", [16, 21, 30, 39], PPC, 0, powerpc_dump),
    ("ppc64-6.12.117-hash64k", "powerpc-hash", "powerpc-hash-64k", "ptdump_kernel_page_tables.txt.xz", [16, 24, 34, 44], PPC, 0, hash_dump),
)


def recorded(recordings: Path, backend: str) -> Iterator[Vector]:
    """One vector for each sort of mapping in each dump, up to three of a sort; and the tables above them."""
    for folder, owner, geometry, name, shifts, address, shift, reader in DUMPS:
        if owner != backend:
            continue
        place = recordings if (recordings / folder).exists() else OWN
        image = Image(place / folder / "tables.ptimg.xz")
        seen: dict[str, int] = {}
        tables = 0
        for line in text(place / folder / name).splitlines():
            match = re.match(r"(0x[0-9a-f]+)-0x[0-9a-f]+\s+(?:0x[0-9a-f]+\s+)?[0-9]+[KMGTPE]\s*(.*)", line)
            if not match:
                continue
            va, what = int(match[1], 16), match[2]
            level = re.search(r"\b(PTE|PMD|PUD|P4D|PGD|pte|pmd|pud|p4d|pgd)\b", what)
            if level is None:
                continue
            # Two levels: the upper one has the name of the highest. powerpc says pte of every leaf.
            number = min(LEVELS.index(level[0].lower()), len(shifts) - 1)
            if backend.startswith("powerpc"):
                number = next(n for n in reversed(range(len(shifts))) if (image.walk(va, n, shifts, address, shift) or 0) >> 62 & 1)
            rest = (what[: level.start()] + what[level.end() :]).strip()
            sort = f"{level[0]} {rest}"
            if not rest or rest == "I" or seen.get(sort, 0) >= 3:
                continue
            if geometry == "arm-classic" and number == 1 and va >> 20 & 1:
                # Entries of the root are pairs, and the second of one is not an entry of its own.
                continue
            word = image.walk(va, number, shifts, address, shift)
            if word is None or not word:
                continue
            seen[sort] = seen.get(sort, 0) + 1
            source = f"recording {folder}: the kernel's dump says {' '.join(what.split())!r} of {va:#x}"
            yield vector(backend, geometry, LEVELS[number], word, reader(rest), "valid", source, f"{folder}/{va:x}")
            above = image.walk(va, number + 1, shifts, address, shift) if number + 1 < len(shifts) else None
            if above and tables < 4:
                tables += 1
                source = f"recording {folder}: the entry above {va:#x} leads to its table"
                # Of short descriptors `address` is the page, in which the hardware's table is the second half.
                links = (above & address) << shift & (-0x1000 if geometry == "arm-classic" else -1)
                name = f"{folder}/table-{va:x}"
                yield vector(backend, geometry, LEVELS[number + 1], above, {"address": links}, "valid", source, name, "table")


def changed(recordings: Path, backend: str, folder: str, geometry: str, address: int) -> Iterator[Vector]:
    """Words that user steps of a recorded kernel left in leaf tables, one for each combination of other bits."""
    seen = set()
    for line in text(recordings / folder / "user.jsonl.xz").splitlines():
        for change in json.loads(line).get("chg", ()):
            level, word = int(change[0]), int(str(change[5]), 0) & (1 << 64) - 1
            key = level, word & ~address
            if level > 2 or not word & 1 or key in seen or len(seen) >= 14:
                continue
            seen.add(key)
            source = f"recording {folder}: left by a step of a user program in a table of level {level}"
            name = f"{folder}/user-{word & ~address:x}"
            yield vector(backend, geometry, LEVELS[level - 1], word, {}, "valid", source, name)


def vector(
    backend: str, geometry: str, level: str, word: int, fields: dict[str, int], verdict: str, source: str, name: str,
    kind: str | None = None, pa_bits: int | None = None,
) -> Vector:
    prefix = "kernel" if source.startswith("recording") else "rule"
    slug = re.sub(r"[^a-z0-9.-]+", "-", f"{prefix}-{geometry}-{level}-{name}".lower()).strip("-")
    out: Vector = {"id": slug, "geometry": geometry, "level": level, "word": hex(word), "fields": fields}
    out |= {"verdict": verdict, "source": source}
    if kind:
        out["kind"] = kind
    if pa_bits:
        out["pa_bits"] = pa_bits
    if backend == "s390" and "-7.3" in name:
        out["scheme"] = "v7.0"
    return out


def each_field(backend: str, geometry: str, level: str, base: int, bits: Bits, source: str, kind: str) -> Iterator[Vector]:
    """The base with all bits of one field flipped, for every field."""
    for name, high, low in bits:
        mask = (1 << (high - low + 1)) - 1
        word = base ^ mask << low
        where = f"{high}:{low}" if high != low else str(low)
        yield vector(
            backend, geometry, level, word, {name: word >> low & mask}, "valid", f"{source}: bits {where}", f"{kind}-{name}", kind
        )


A64_LEAF: Bits = [
    ("NS", 5, 5), ("AP1", 6, 6), ("AP2", 7, 7), ("AF", 10, 10), ("nG", 11, 11), ("GP", 50, 50), ("DBM", 51, 51),
    ("Contiguous", 52, 52), ("PXN", 53, 53), ("UXN", 54, 54), ("DIRTY", 55, 55), ("SPECIAL", 56, 56), ("DEVMAP", 57, 57),
    ("UFFD_WP", 58, 58), ("PBHA", 62, 59), ("ignored", 63, 63),
]
A64_TABLE: Bits = [("AF", 10, 10), ("PXNTable", 59, 59), ("UXNTable", 60, 60), ("APTable", 62, 61), ("NSTable", 63, 63)]
X64_LEAF: Bits = [
    ("RW", 1, 1), ("US", 2, 2), ("PWT", 3, 3), ("PCD", 4, 4), ("A", 5, 5), ("D", 6, 6), ("G", 8, 8), ("SPECIAL", 9, 9),
    ("SOFT_DIRTY", 11, 11), ("XD", 63, 63),
]
X64_HIGH: Bits = [("UFFD_WP", 10, 10), ("DEVMAP", 57, 57), ("SAVED_DIRTY", 58, 58), ("PKEY", 62, 59), ("ignored", 56, 52)]
X64_TABLE: Bits = [("RW", 1, 1), ("US", 2, 2), ("PWT", 3, 3), ("PCD", 4, 4), ("A", 5, 5), ("XD", 63, 63)]
RV_LEAF: Bits = [("W", 2, 2), ("X", 3, 3), ("U", 4, 4), ("G", 5, 5), ("A", 6, 6), ("D", 7, 7), ("SPECIAL", 8, 8), ("DEVMAP", 9, 9)]


def arm64() -> Iterator[Vector]:
    def make(geometry: str, level: str, word: int, fields: dict[str, int], verdict: str, source: str, name: str, kind: str | None = None, pa_bits: int | None = None) -> Vector:
        return vector("arm64", geometry, level, word, fields, verdict, source, name, kind, pa_bits)

    kernel, g = 0x00E8_0000_0000_0703, "arm64-4k-48"
    attributes = {"type": 3, "AttrIndx": 0, "SH": 3, "AF": 1, "nG": 0, "DBM": 1, "PXN": 1, "UXN": 1, "DIRTY": 1}
    yield make(g, "pte", 0x00E8_8123_4567_8703, {**attributes, "address": 0x8123_4567_8000}, "valid", FACTS, "PAGE_KERNEL", "page")
    for name, word, fields in (
        ("PAGE_KERNEL_EXEC", 0x00C8_0000_0000_0703, {"PXN": 0, "UXN": 1, "AP2": 0, "DBM": 1}),
        ("PAGE_KERNEL_RO", 0x00E0_0000_0000_0783, {"PXN": 1, "AP2": 1, "DBM": 0}),
        ("PAGE_KERNEL_ROX", 0x00C0_0000_0000_0783, {"PXN": 0, "AP2": 1, "DBM": 0}),
        ("ioremap", 0x0068_0000_0000_0713, {"AttrIndx": 4, "DIRTY": 0}),
        ("ioremap_wc", 0x0068_0000_0000_070B, {"AttrIndx": 2}),
        ("PAGE_KERNEL+CONT", 0x00F8_0000_0000_0703, {"Contiguous": 1}),
        ("PAGE_SHARED", 0x0068_0000_0000_0FC3, {"AP1": 1, "AP2": 1, "nG": 1, "DBM": 1}),
        ("PAGE_READONLY", 0x0060_0000_0000_0FC3, {"AP1": 1, "AP2": 1, "DBM": 0}),
        ("PAGE_EXECONLY", 0x0020_0000_0000_0F83, {"AP1": 0, "UXN": 0, "PXN": 1}),
    ):
        yield make(g, "pte", word, fields, "valid", FACTS, name, "page")
    yield make(g, "pte", 0x0060_0000_0000_0F82, {"PRESENT_INVALID": 1, "AP1": 0}, "valid", FACTS, "PAGE_NONE", "present-invalid")
    yield make("arm64-64k-52", "pte", 0x0002_8123_4567_A000 & ~(3 << 48) | 3, {"address": 0xA_8123_4567_0000}, "valid", f"{FACTS}: bits 51:48 stand in 15:12; without Linux's copy of 49:48", "high-address", "page")
    yield make("arm64-64k-52", "pte", 0x0002_8123_4567_A003, {"address": 0xA_8123_4567_0000}, "acceptable", f"{FACTS}: Linux leaves address bits 49:48 in place too, where hardware has RES0", "high-address-linux", "page")
    yield make("arm64-4k-52", "pte", 0x0000_8123_4567_8303, {"address": 0xC_8123_4567_8000}, "valid", FACTS, "lpa2", "page")
    yield make("arm64-16k-52", "pte", 0x0000_8123_4567_8303 & ~0x3000, {"address": 0xC_8123_4567_8000}, "valid", f"{ARM_ARM}: LPA2 with 16 KiB pages", "lpa2", "page")
    yield from each_field("arm64", g, "pte", kernel, A64_LEAF, f"{ARM_ARM}, VMSAv8-64 page descriptor", "page")
    yield from each_field("arm64", g, "pmd", kernel & ~2, A64_LEAF, f"{ARM_ARM}, VMSAv8-64 block descriptor", "block")
    yield from each_field("arm64", g, "pud", 0x1000_0000_4000_0003, A64_TABLE, f"{ARM_ARM}, VMSAv8-64 table descriptor", "table")
    for word in (0, 1 << 12, 4):
        kind = "none" if word == 0 else "swap"
        yield make(g, "pte", word, {"type": 0}, "valid", f"{ARM_ARM}: bit 0 clear is an invalid descriptor", f"invalid-{word:x}", kind)
    for level, base in (("pte", 0x701), ("p4d", 0x701)):
        yield make(g, level, base, {"type": 1}, "invalid", f"{ARM_ARM}: type 0b01 is reserved at this level", "reserved-type", "reserved")
    yield make("arm64-64k-48", "pud", 0x701, {"type": 1}, "invalid", f"{ARM_ARM}: no block at level 1 with 64 KiB pages and 48 bits", "reserved-type", "reserved")
    yield make("arm64-16k-48", "pud", 0x701, {"type": 1}, "invalid", f"{ARM_ARM}: no block at level 1 with 16 KiB pages without LPA2", "reserved-type", "reserved")
    yield make(g, "pmd", 0x701 | 1 << 16, {"nT": 1}, "valid", f"{ARM_ARM}: nT (FEAT_BBM) of a block", "nT", "block")
    for bit in (12, 15, 17, 20, 48, 49):
        yield make(g, "pmd", 0x701 | 1 << bit, {"type": 1}, "acceptable", f"{ARM_ARM}: bit {bit} of a 2 MiB block is RES0", f"res0-{bit}", "block")
    for bit in (48, 49):
        yield make(g, "pte", kernel | 1 << bit, {"type": 3}, "acceptable", f"{ARM_ARM}: bit {bit} is RES0 with 48-bit addresses", f"res0-{bit}", "page")
    yield make(g, "pte", kernel & ~0x200, {"SH": 1}, "acceptable", f"{ARM_ARM}: shareability 0b01 is reserved", "SH-reserved", "page")
    yield make(g, "pte", kernel | 1 << 40, {"address": 1 << 40}, "invalid", f"{ARM_ARM}: output address above the physical size, an Address size fault", "too-wide", "page", 40)
    yield make(g, "pte", kernel | 1 << 39, {"address": 1 << 39}, "valid", f"{ARM_ARM}: output address of the physical size", "just-fits", "page", 40)
    yield make(g, "pmd", 0x1000_0080_0000_0003, {"address": 1 << 39}, "invalid", f"{ARM_ARM}: next-level table above the physical size", "table-too-wide", "table", 36)


def x86_64(backend: str = "x86-64") -> Iterator[Vector]:
    g = "x86-64-4level"

    def make(geometry: str, level: str, word: int, fields: dict[str, int], verdict: str, source: str, name: str, kind: str | None = None, pa_bits: int | None = None) -> Vector:
        return vector(backend, geometry, level, word, fields, verdict, source, name, kind, pa_bits)

    kernel = 0x8000_0000_0000_0163
    yield make(g, "pte", 0x8000_0001_2345_6163, {"P": 1, "RW": 1, "US": 0, "A": 1, "D": 1, "G": 1, "XD": 1, "address": 0x1_2345_6000}, "valid", FACTS, "PAGE_KERNEL", "page")
    yield make(g, "pmd", 0x8000_0001_2340_01E3, {"PS": 1, "G": 1, "XD": 1, "address": 0x1_2340_0000}, "valid", FACTS, "PAGE_KERNEL_LARGE", "large-page")
    for name, word, fields in (
        ("PAGE_KERNEL_EXEC", 0x163, {"XD": 0, "RW": 1}),
        ("PAGE_KERNEL_RO", 0x8000_0000_0000_0121, {"RW": 0, "D": 0}),
        ("PAGE_KERNEL_ROX", 0x121, {"RW": 0, "XD": 0}),
        ("PAGE_KERNEL_NOCACHE", 0x8000_0000_0000_017B, {"PWT": 1, "PCD": 1}),
        ("ioremap", 0x8000_0000_0000_0173, {"PWT": 0, "PCD": 1}),
        ("ioremap_wc", 0x8000_0000_0000_016B, {"PWT": 1, "PCD": 0}),
    ):
        yield make(g, "pte", word, fields, "valid", FACTS, name, "page")
    for level, word in (("pmd", 0x63), ("pud", 0x67), ("p4d", 0x67)):
        yield make(g, level, 0x123_4000 | word, {"P": 1, "address": 0x123_4000}, "valid", FACTS, f"table-{word:x}", "table")
    if backend == "x86-64":
        five = "x86-64-5level"
        yield make(five, "pgd", 0x123_4067, {"address": 0x123_4000}, "valid", FACTS, "table-67", "table")
        yield make(five, "pgd", 0x123_40E7, {"PS": 1}, "invalid", f"{SDM}: PS of a PML5 entry is reserved", "PS", "table")
    page = f"{SDM}: format of a 4 KiB page"
    yield from each_field(backend, g, "pte", kernel, [*X64_LEAF, *X64_HIGH, ("PAT", 7, 7)], page, "page")
    large = f"{SDM}: format of a 2 MiB page"
    yield from each_field(backend, g, "pmd", kernel | 0x80, [*X64_LEAF, *X64_HIGH, ("PAT", 12, 12)], large, "large-page")
    yield from each_field(backend, g, "pud", kernel | 0x80, [*X64_LEAF[:3], ("PAT", 12, 12)], f"{SDM}: format of a 1 GiB page", "large-page")
    yield from each_field(backend, g, "pmd", 0x123_4067, X64_TABLE, f"{SDM}: format of a page directory entry", "table")
    for bit in (13, 17, 20):
        yield make(g, "pmd", kernel | 0x80 | 1 << bit, {"PS": 1}, "invalid", f"{SDM}: bit {bit} of a 2 MiB page is reserved", f"reserved-{bit}", "large-page")
    for bit in (13, 21, 29):
        yield make(g, "pud", kernel | 0x80 | 1 << bit, {"PS": 1}, "invalid", f"{SDM}: bit {bit} of a 1 GiB page is reserved", f"reserved-{bit}", "large-page")
    yield make(g, "p4d", 0x123_40E7, {"PS": 1}, "invalid", f"{SDM}: PS of a PML4 entry is reserved", "PS", "table")
    yield make(g, "pte", kernel | 1 << 46, {"address": 1 << 46}, "invalid", f"{SDM}: bits from MAXPHYADDR are reserved", "too-wide", "page", 46)
    yield make(g, "pte", kernel | 1 << 45, {"address": 1 << 45}, "valid", f"{SDM}: the highest bit below MAXPHYADDR", "just-fits", "page", 46)
    yield make(g, "pmd", 1 << 46 | 0x67, {"address": 1 << 46}, "invalid", f"{SDM}: bits from MAXPHYADDR are reserved", "table-too-wide", "table", 46)
    yield make(g, "pte", 0, {"P": 0}, "valid", f"{SDM}: not present", "none", "none")
    yield make(g, "pte", 0x60, {"P": 0, "A": 1, "D": 1}, "acceptable", "arch/x86/include/asm/pgtable.h: pte_none ignores A and D (an erratum)", "erratum", "none")
    yield make(g, "pte", 0x000F_FFFE_DCBA_9120, {"PROTNONE": 1, "address": 0x1_2345_6000}, "valid", "arch/x86/include/asm/pgtable-invert.h: the frame is inverted", "PROT_NONE", "prot-none")
    offset = ~0x1234 & (1 << 50) - 1
    yield make(g, "pte", 5 << 59 | offset << 9, {"type": 5, "offset": 0x1234}, "valid", "arch/x86/include/asm/pgtable_64.h: swap entry", "swap", "swap")


def x86_32() -> Iterator[Vector]:
    pae, two = "x86-32-pae", "x86-32-2level"

    def make(geometry: str, level: str, word: int, fields: dict[str, int], verdict: str, source: str, name: str, kind: str | None = None, pa_bits: int | None = None) -> Vector:
        return vector("x86-32", geometry, level, word, fields, verdict, source, name, kind, pa_bits)

    kernel = 0x8000_0000_0000_0163
    yield from each_field("x86-32", pae, "pte", kernel, X64_LEAF, f"{SDM}: PAE, format of a 4 KiB page", "page")
    yield from each_field("x86-32", pae, "pmd", kernel | 0x80, [*X64_LEAF, ("PAT", 12, 12)], f"{SDM}: PAE, format of a 2 MiB page", "large-page")
    yield from each_field("x86-32", pae, "pmd", 0x123_4067, X64_TABLE, f"{SDM}: PAE, format of a page directory entry", "table")
    yield from each_field("x86-32", two, "pte", 0x163, [b for b in X64_LEAF if b[1] < 32], f"{SDM}: 32-bit paging, format of a 4 KiB page", "page")
    yield from each_field("x86-32", two, "pmd", 0x1E3, [b for b in X64_LEAF if b[1] < 32], f"{SDM}: 32-bit paging, format of a 4 MiB page", "large-page")
    yield from each_field("x86-32", two, "pmd", 0x123_4067, [b for b in X64_TABLE if b[1] < 32], f"{SDM}: 32-bit paging, format of a page directory entry", "table")
    yield from each_field("x86-32", pae, "pud", 0x123_4001, [("PWT", 3, 3), ("PCD", 4, 4), ("ignored", 11, 9)], f"{SDM}: PAE, format of a PDPT entry", "table")
    for bit in (1, 2, 5, 6, 7, 8, 52, 62, 63):
        yield make(pae, "pud", 0x123_4001 | 1 << bit, {"P": 1, "address": 0x123_4000}, "invalid", f"{SDM}: bit {bit} of a PDPT entry is reserved", f"reserved-{bit}", "table")
    for bit in (52, 58, 62):
        yield make(pae, "pte", kernel | 1 << bit, {"P": 1}, "invalid", f"{SDM}: bit {bit} is reserved with PAE", f"reserved-{bit}", "page")
    yield make(two, "pmd", 0x1E3 | 1 << 21, {"PS": 1}, "invalid", f"{SDM}: bit 21 of a 4 MiB page is reserved", "reserved-21", "large-page")
    yield make(two, "pmd", 0x1E3 | 1 << 13, {"address": 1 << 32}, "valid", f"{SDM}: PSE-36, bits 39:32 of the address stand in 20:13", "pse36", "large-page", 36)
    yield make(two, "pmd", 0x1E3 | 1 << 13, {"address": 1 << 32}, "invalid", f"{SDM}: without PSE-36 bits 21:13 are reserved", "no-pse36", "large-page")
    yield make(two, "pte", 0x1234_5163, {"address": 0x1234_5000}, "valid", f"{SDM}: 32-bit paging, format of a 4 KiB page", "address", "page")
    yield make(two, "pte", 0x1234_5120, {"PROTNONE": 1, "address": 0x1234_5000}, "valid", "arch/x86/include/asm/pgtable-2level.h: no inversion", "PROT_NONE", "prot-none")
    yield make(two, "pte", 0x1234 << 9 | 5 << 1, {"type": 5, "offset": 0x1234}, "valid", "arch/x86/include/asm/pgtable-2level.h: swap entry", "swap", "swap")
    yield make(pae, "pte", kernel | 1 << 36, {"address": 1 << 36}, "invalid", f"{SDM}: bits from MAXPHYADDR are reserved", "too-wide", "page", 36)


def riscv() -> Iterator[Vector]:
    def make(geometry: str, level: str, word: int, fields: dict[str, int], verdict: str, source: str, name: str, kind: str | None = None, pa_bits: int | None = None) -> Vector:
        return vector("riscv", geometry, level, word, fields, verdict, source, name, kind, pa_bits)

    g = "riscv-sv39"
    yield make(g, "pte", 0x2008_00E7, {"V": 1, "R": 1, "W": 1, "X": 0, "G": 1, "A": 1, "D": 1, "address": 0x8020_0000}, "valid", FACTS, "PAGE_KERNEL", "page")
    yield make(g, "pte", 0x8000_0000_2008_20E7, {"N": 1, "size": 8, "address": 0x8020_0000}, "valid", FACTS, "napot", "napot-page")
    yield make(g, "pte", 0x4000_0000_0400_00E7, {"PBMT": 2, "address": 0x1000_0000}, "valid", FACTS, "ioremap", "page")
    for name, word in (("PAGE_KERNEL_EXEC", 0xEF), ("PAGE_KERNEL_READ", 0xE3), ("PAGE_KERNEL_READ_EXEC", 0xEB)):
        yield make(g, "pte", word, {"W": word >> 2 & 1, "X": word >> 3 & 1}, "valid", FACTS, name, "page")
    for geometry in ("riscv-sv39", "riscv-sv32"):
        yield from each_field("riscv", geometry, "pte", 0x2000_00E7, RV_LEAF, f"{PRIV}: leaf", "page")
        yield from each_field("riscv", geometry, "pmd", 0x2000_00E7, RV_LEAF, f"{PRIV}: superpage", "superpage")
        yield make(geometry, "pte", 0x2000_0005, {"V": 1}, "invalid", f"{PRIV}: W without R is reserved", "W-without-R", "reserved")
        yield make(geometry, "pte", 0x2000_0001, {"V": 1}, "invalid", f"{PRIV}: a pointer at the last level", "pointer", "reserved-table")
        yield make(geometry, "pmd", 0x2000_0001, {"V": 1, "address": 0x8000_0000}, "valid", f"{PRIV}: a pointer to the next level", "pointer", "table")
        yield make(geometry, "pmd", 0x2000_04E7, {"V": 1}, "invalid", f"{PRIV}: a misaligned superpage", "misaligned", "superpage")
        yield make(geometry, "pte", 0, {}, "valid", f"{PRIV}: not valid", "none", "none")
        for bit, name in ((4, "U"), (6, "A"), (7, "D")):
            yield make(geometry, "pmd", 0x2000_0001 | 1 << bit, {name: 1}, "acceptable", f"{PRIV}: {name} of a pointer is to be cleared", f"pointer-{name}", "table")
    for bit in (54, 57, 60):
        yield make(g, "pte", 0x2000_00E7 | 1 << bit, {"V": 1}, "invalid", f"{PRIV}: bits 60:54 are reserved", f"reserved-{bit}", "page")
    for value, verdict in ((1, "valid"), (2, "valid"), (3, "invalid")):
        yield make(g, "pte", 0x2000_00E7 | value << 61, {"PBMT": value}, verdict, f"{PRIV}: Svpbmt, memory type {value}", f"PBMT-{value}", "page")
    yield make(g, "pmd", 0x2000_0001 | 1 << 61, {"PBMT": 1}, "invalid", f"{PRIV}: PBMT of a pointer is reserved", "pointer-PBMT", "table")
    yield make(g, "pmd", 0x2000_00E7 | 1 << 63, {"N": 1}, "invalid", f"{PRIV}: N above the last level is reserved", "N", "superpage")
    yield make(g, "pte", 0x2000_00E7 | 1 << 63, {"V": 1}, "invalid", f"{PRIV}: Svnapot has 64 KiB only: PFN[3:0] = 0b1000", "napot-size", "reserved-group")
    yield make(g, "pte", 0x20, {"PROT_NONE": 1}, "valid", "arch/riscv/include/asm/pgtable-bits.h: PROT_NONE is G without V", "PROT_NONE", "prot-none")


def main() -> None:
    recordings = Path(sys.argv[1])
    made = {
        "arm64": [*arm64(), *recorded(recordings, "arm64"), *changed(recordings, "arm64", "arm64-6.12.117-4k48", "arm64-4k-48", 0xFFFF_FFFF_F000)],
        "x86-64": [*x86_64(), *recorded(recordings, "x86-64"), *changed(recordings, "x86-64", "x86_64-6.12.117-4lvl", "x86-64-4level", 0xF_FFFF_FFFF_F000)],
        "x86-32": [*x86_32(), *recorded(recordings, "x86-32")],
        "xen-pv": [*x86_64("xen-pv"), *changed(recordings, "xen-pv", "x86_64-7.3.4-xenpv", "x86-64-4level", 0xF_FFFF_FFFF_F000)],
        "riscv": [*riscv(), *recorded(recordings, "riscv"), *changed(recordings, "riscv", "riscv64-6.12.117-sv48", "riscv-sv48", 0x3F_FFFF_FFFF_FC00)],
    }
    for backend in ("arm", "s390", "powerpc-radix", "powerpc-hash"):
        made[backend] = [*recorded(recordings, backend)]
    for backend, vectors in made.items():
        path = HERE / f"{backend}.json"
        known = json.loads(path.read_text()) if path.exists() else []
        known = [v for v in known if not v["id"].startswith(("rule-", "kernel-"))]
        vectors = [*known, *vectors]
        ids = [v["id"] for v in vectors]
        assert len(ids) == len(set(ids)), [name for name in ids if ids.count(name) > 1][:3]
        path.write_text("[\n" + ",\n".join(f"  {json.dumps(v)}" for v in vectors) + "\n]\n")
        print(backend, len(vectors))


if __name__ == "__main__":
    main()
