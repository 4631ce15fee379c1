"""A walk over a table image, in plain Python: what hardware finds in the words, entry by entry.

The format of the file: ``PTIMG1``, a line of JSON, the pages. What bits mean is from the manuals: Intel SDM
vol. 3A 4.3 to 4.5, Arm ARM D8.3, Arm ARM v7 B3.5 and B3.6, RISC-V privileged specification 12.3 to 12.6 and chapter
"Svnapot", z/Architecture Principles of Operation chapter 3 "Dynamic address translation",
Power ISA 3.0 Book III 5.7.10.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple


class Leaf(NamedTuple):
    """One leaf entry: first address, memory, level, bytes, word, and what may be done there."""

    va: int
    pa: int
    level: int
    size: int
    raw: int
    write: bool
    execute: bool
    user: bool


class Grants(NamedTuple):
    """What the entries on the way leave to a leaf."""

    write: bool = True
    execute_kernel: bool = True
    execute_user: bool = True
    user: bool = True


class X86:
    """Present, read/write, user, page size in bits 0, 1, 2, 7; execute disable in bit 63."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        self.narrow = header["entry_bytes"] == 4
        self.pdpt = 3 if not self.narrow and root["entries"] == 4 else 0
        self.address = 0xFFFF_F000 if self.narrow else 0x000F_FFFF_FFFF_F000

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Whether the kernel's dump shows the leaf."""
        return bool(word & 1)

    def leaf(self, level: int, word: int) -> bool:
        """At the lowest level always; above where the page size bit is set."""
        return level == 1 or (level in (2, 3) and level != self.pdpt and bool(word >> 7 & 1))

    def table(self, word: int) -> bool:
        """What is present and no leaf."""
        return bool(word & 1)

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """The address field; in large leaves bit 12 is a cache attribute."""
        return word & self.address & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:
        """A page-directory-pointer entry of PAE grants nothing and takes nothing."""
        if level == self.pdpt:
            return above
        execute = self.narrow or not word >> 63
        return Grants(
            above.write and bool(word >> 1 & 1),
            above.execute_kernel and execute,
            above.execute_user and execute,
            above.user and bool(word >> 2 & 1),
        )

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute, user."""
        own = self.below(1, word, above)
        return own.write, own.execute_kernel, own.user

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """The highest bit of a 64-bit machine's addresses is repeated."""
        return va | ((1 << 64) - (1 << bits)) if bits > 32 and va >> (bits - 1) else va


class Arm64:
    """Valid and table in bits 0 and 1; AP in 7:6; PXN and UXN in 53 and 54; in tables APTable 62:61, UXN 60, PXN 59."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        page: int = header["page_bytes"]
        self.wide = page == 0x10000
        self.lpa2 = not self.wide and root["va_bits"] > 48
        self.field = (1 << (50 if self.lpa2 else 48)) - page
        self.sections = (2,) if self.wide else (2, 3)

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """The dump shows invalid leaves too."""
        return word != 0

    def leaf(self, level: int, word: int) -> bool:
        """A block has the table bit clear, and is only valid at two levels."""
        return level == 1 or (level in self.sections and word & 3 == 1)

    def table(self, word: int) -> bool:
        """What is valid and no leaf."""
        return bool(word & 1)

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Bits above 47 stand elsewhere: 15:12 (64 KiB pages) or 9:8 (52 bits with smaller pages)."""
        pa = word & self.field
        if self.wide:
            pa |= (word >> 12 & 0xF) << 48
        if self.lpa2:
            pa |= (word >> 8 & 3) << 50
        return pa & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """Hierarchical permissions."""
        return Grants(
            above.write and not word >> 62 & 1,
            above.execute_kernel and not word >> 59 & 1,
            above.execute_user and not word >> 60 & 1,
            above.user and not word >> 61 & 1,
        )

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute (by whom the page is for), user."""
        user = bool(word >> 6 & 1)
        execute = above.execute_user and not word >> 54 & 1 if user else above.execute_kernel and not word >> 53 & 1
        return above.write and not word >> 7 & 1, execute, user and above.user

    def extend(self, va: int, bits: int, kernel: bool) -> int:
        """The kernel has a tree of its own, whose addresses begin with ones."""
        return va | ((1 << 64) - (1 << bits)) if kernel else va


class RiscV:
    """V, R, W, X, U in bits 0 to 4; a leaf grants something; the frame's number begins at bit 10."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:  # noqa: ARG002
        self.field = (1 << 32) - (1 << 10) if header["entry_bytes"] == 4 else (1 << 54) - (1 << 10)
        self.napot = 0 if header["entry_bytes"] == 4 else 1 << 63

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """The dump shows what is valid."""
        return bool(word & 1)

    def leaf(self, level: int, word: int) -> bool:
        """At any level, where R, W or X is set."""
        return level == 1 or bool(word & 0b1110)

    def table(self, word: int) -> bool:
        """What is valid and no leaf."""
        return bool(word & 1)

    def pa(self, word: int, size: int, va: int) -> int:
        """In a group of 16 pages the low bits of the number tell its size; the address has them instead."""
        number = (word & self.field) << 2
        return number & ~0xFFFF | va & 0xF000 if word & self.napot else number & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """A table's word restricts nothing."""
        return above

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute, user."""
        return bool(word >> 2 & 1), bool(word >> 3 & 1), bool(word >> 4 & 1)

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """The highest bit of an address is repeated."""
        return va | ((1 << 64) - (1 << bits)) if bits > 32 and va >> (bits - 1) else va


class Arm:
    """LPAE: like arm64's, with 40 bits of address, and large leaves of 2 MiB alone."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        pass

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """The dump shows what is valid."""
        return bool(word & 1)

    def leaf(self, level: int, word: int) -> bool:
        """A block has the table bit clear."""
        return level == 1 or (level == 2 and word & 3 == 1)

    def table(self, word: int) -> bool:
        """Whether the walk goes on below."""
        return word & 3 == 3

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Bits 39 to 12."""
        return word & 0xFF_FFFF_F000 & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """APTable, XNTable, PXNTable."""
        executable = not word >> 60 & 1
        return Grants(
            above.write and not word >> 62 & 1,
            above.execute_kernel and executable and not word >> 59 & 1,
            above.execute_user and executable,
            above.user and not word >> 61 & 1,
        )

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute (by whom the page is for), user."""
        user, never = bool(word >> 6 & 1), word >> 54 & 1
        execute = above.execute_user and not never if user else above.execute_kernel and not (never or word >> 53 & 1)
        return above.write and not word >> 7 & 1, execute, user and above.user

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """An address has 32 bits."""
        return va


class ArmShort(Arm):
    """Short descriptors: sections of 1 MiB, small pages; AP and XN are elsewhere in both."""

    def shown(self, level: int, word: int) -> bool:
        """What is valid."""
        return bool(word & (2 if level == 1 else 3))

    def leaf(self, level: int, word: int) -> bool:
        """Bit 1 makes a section of an entry of the root."""
        return level == 1 or bool(word & 2)

    def table(self, word: int) -> bool:
        """Two bits say what it is."""
        return word & 3 == 1

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Of leaves; a table of 256 entries has 1 KiB."""
        return word & 0xFFFF_FC00 & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """PXN alone."""
        return above._replace(execute_kernel=above.execute_kernel and not word >> 2 & 1)

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:
        """AP[2], XN, AP[1]; a section may have PXN of its own."""
        if level > 1:
            user = bool(word >> 11 & 1)
            return not word >> 15 & 1, not word >> 4 & 1 and (user or not word & 1), user
        user = bool(word >> 5 & 1)
        return not word >> 9 & 1, (above.execute_user if user else above.execute_kernel) and not word & 1, user


class S390:
    """Invalid in bit 10 of a page's entry, in bit 5 above, where 10 is a large leaf; protection 9, no execution 8."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        pass

    def shown(self, level: int, word: int) -> bool:
        """What is valid."""
        return not word >> (10 if level == 1 else 5) & 1

    def leaf(self, level: int, word: int) -> bool:
        """Segments of 1 MiB and regions of 2 GiB may be leaves."""
        return level == 1 or (level in (2, 3) and bool(word >> 10 & 1))

    def table(self, word: int) -> bool:
        """Whether the walk goes on below."""
        return not word >> 5 & 1

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Page tables have 2 KiB; region entries have their length below."""
        return word & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """Protection holds for what is below."""
        return above._replace(write=above.write and not word >> 9 & 1)

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Each tree is of one space alone: no entry keeps a program out."""
        return above.write and not word >> 9 & 1, not word >> 8 & 1, True

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """Both trees begin at 0."""
        return va


class PowerPc:
    """Valid in bit 63, leaf 62, privileged 3, read, write, execute 2 to 0; behind a hash table Linux has the same."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        pass

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """Not the flags that a hash fault left behind."""
        return word >> 62 == 3

    def leaf(self, level: int, word: int) -> bool:
        """Bit 62 says so."""
        return level == 1 or bool(word >> 62 & 1)

    def table(self, word: int) -> bool:
        """What is valid."""
        return bool(word >> 63)

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """53 address bits of a leaf; a link has its table's size in the lowest five bits."""
        if word >> 62 & 1:
            return word & ((1 << 53) - 1) & ~(size - 1)
        return word & ((1 << 62) - 1) & ~0xFF

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """Links grant everything."""
        return above

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute, and not privileged."""
        return bool(word >> 1 & 1), bool(word & 1), not word >> 3 & 1

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """The kernel's quadrant is the uppermost."""
        return va | (0xC << 60 if kernel else 0)


class Sparc64:
    """sun4v: valid 63, large 56, privileged 8, execute 7, writable 6, address 55:13. Links are addresses."""

    valid, large, privileged, exec, writable, address = 63, 56, 8, 7, 6, 0x00FF_FFFF_FFFF_E000

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:
        pass

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """What is valid."""
        return bool(word >> self.valid & 1)

    def leaf(self, level: int, word: int) -> bool:
        """Above the leaf tables a bit says so."""
        return level == 1 or (level in (2, 3) and bool(word >> self.large & 1))

    def table(self, word: int) -> bool:
        """Nothing is 0."""
        return word != 0

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Of leaves and links."""
        return word & self.address & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """Links grant everything."""
        return above

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Writable for hardware, executable, not privileged."""
        return bool(word >> self.writable & 1), bool(word >> self.exec & 1), not word >> self.privileged & 1

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """Kernel and program have trees of their own; both have addresses in both halves."""
        return va | (-(va >> (bits - 1)) << bits) & ((1 << 64) - 1)


class Sun4u(Sparc64):
    """The older words: privileged 2, execute 12 (for software), writable 1, address 42:13."""

    privileged, exec, writable, address = 2, 12, 1, 0x0000_07FF_FFFF_E000


class LoongArch:
    """Valid, dirty, privilege 3:2, global or large 6; no read 61, no execution 62; links have the window's address."""

    def __init__(self, header: dict[str, Any], root: dict[str, Any]) -> None:  # noqa: ARG002
        page: int = header["page_bytes"]
        self.field = (1 << 48) - page

    def shown(self, level: int, word: int) -> bool:  # noqa: ARG002
        """What is valid."""
        return bool(word & 1)

    def leaf(self, level: int, word: int) -> bool:
        """Above the leaf tables bit 6 says so."""
        return level == 1 or (level in (2, 3) and bool(word >> 6 & 1))

    def table(self, word: int) -> bool:
        """An address in the window of cached memory."""
        return word >> 60 == 9

    def pa(self, word: int, size: int, va: int) -> int:  # noqa: ARG002
        """Bits 47 down to the page's; of a large leaf bit 12 says global."""
        return word & self.field & ~(size - 1)

    def below(self, level: int, word: int, above: Grants) -> Grants:  # noqa: ARG002
        """Links grant everything."""
        return above

    def granted(self, level: int, word: int, above: Grants) -> tuple[bool, bool, bool]:  # noqa: ARG002
        """Write, execute, privilege level 3."""
        return bool(word >> 1 & 1), not word >> 62 & 1, word >> 2 & 3 == 3

    def extend(self, va: int, bits: int, kernel: bool) -> int:  # noqa: ARG002
        """The kernel's half begins at -2^47 (LA464), however many bits the tables cover."""
        return va | ((1 << 64) - (1 << 47)) if kernel else va


_Known = X86 | Arm64 | RiscV | Arm | ArmShort | S390 | PowerPc | Sparc64 | LoongArch
FORMATS: dict[str, type[_Known]] = {
    "x86_64": X86,
    "i386": X86,
    "arm64": Arm64,
    "riscv64": RiscV,
    "riscv32": RiscV,
    "arm": Arm,
    "ppc64": PowerPc,
    "s390x": S390,
    "loongarch64": LoongArch,
    "sparc64": Sparc64,
    "sun4u": Sun4u,
}


class Image:
    """A table image that is in order: damaged ones are the core's business."""

    def __init__(self, data: bytes) -> None:
        magic, line, self.pages = data.split(b"\n", 2)
        if magic != b"PTIMG1":
            raise ValueError(f"not a table image: {magic!r}")
        self.header: dict[str, Any] = json.loads(line)
        size = self.header["page_bytes"]
        self.empty = {level: int(word, 16) for level, word in enumerate(self.header.get("empty", ()), start=1)}
        """What entries hold where nothing is."""
        self.at = {int(pa, 16): n * size for n, pa in enumerate(self.header["pages"])}

    def words(self, pa: int, entries: int) -> tuple[int, ...]:
        """The words of a table; pages of one that is larger follow each other."""
        size, width = self.header["page_bytes"], self.header["entry_bytes"]
        order = ">" if self.header.get("byte_order") == "big" else "<"
        start = self.at[pa & ~(size - 1)] + (pa & (size - 1))
        return struct.unpack_from(f"{order}{entries}{'Q' if width == 8 else 'I'}", self.pages, start)

    def shape(self, level: int) -> tuple[int, int]:
        """Shift and entries of a level below the root."""
        if levels := self.header.get("levels"):
            shift, entries = levels[level - 1]
            return shift, entries
        entries = self.header["entries_per_table"]
        lowest = (self.header["page_bytes"] - 1).bit_length()
        return lowest + (level - 1) * (entries - 1).bit_length(), entries

    def leaves(self, name: str) -> Iterator[Leaf]:
        """Every leaf below a root, table by table."""
        root = self.header["roots"][name]
        known = FORMATS[self.header["arch"]]
        form = (ArmShort if known is Arm and self.header["entry_bytes"] == 4 else known)(self.header, root)

        def walk(pa: int, level: int, entries: int, base: int, above: Grants) -> Iterator[Leaf]:
            size = 1 << self.shape(level)[0]
            below = self.shape(level - 1)[1] if level > 1 else 0
            for index, word in enumerate(self.words(pa, entries)):
                va = base + index * size
                if word in (0, self.empty.get(level)):
                    continue
                if form.leaf(level, word):
                    if form.shown(level, word):
                        full = form.extend(va, root["va_bits"], name == "kernel")
                        yield Leaf(full, form.pa(word, size, va), level, size, word, *form.granted(level, word, above))
                elif form.table(word):
                    inner = form.below(level, word, above)
                    at = form.pa(word, min(below * self.header["entry_bytes"], 0x1000), va)
                    yield from walk(at, level - 1, below, va, inner)

        yield from walk(int(root["pa"], 16), root["levels"], root["entries"], 0, Grants())
