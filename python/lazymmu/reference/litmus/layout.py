"""The initial state of herd's format: variables, entries, registers."""

from __future__ import annotations

import re

from lazymmu.reference.litmus import riscv, x86
from lazymmu.reference.litmus.program import Malformed, Names, Place, Thread, Unsupported
from lazymmu.reference.litmus.text import number
from lazymmu.reference.visibility.entry import X86, Arm64, RiscV

TABLE = 0x4000_0000
"""The one table; its entries are reached untranslated at the same addresses."""
PHYSICAL = 0x1_0000_0000

USUAL = {
    "armv8": 3 | Arm64.AF | Arm64.USER,
    "x86-tso": X86.P | X86.RW | X86.US | X86.A | X86.D,
    "rvwmo": RiscV.V | RiscV.R | RiscV.W | RiscV.U | RiscV.A | RiscV.D,
}
BITS: dict[str, dict[str, tuple[int, bool]]] = {
    "armv8": {
        "valid": (Arm64.VALID, True),
        "af": (Arm64.AF, True),
        "db": (Arm64.READ_ONLY, False),
        "dbm": (Arm64.DBM, True),
        "el0": (Arm64.USER, True),
        "x": (Arm64.XN, False),
        "ng": (Arm64.NG, True),
    },
    "x86-tso": {"p": (X86.P, True), "valid": (X86.P, True), "rw": (X86.RW, True), "us": (X86.US, True)}
    | {"a": (X86.A, True), "d": (X86.D, True), "g": (X86.G, True)},
    "rvwmo": {"v": (RiscV.V, True), "valid": (RiscV.V, True), "r": (RiscV.R, True), "w": (RiscV.W, True)}
    | {"x": (RiscV.X, True), "u": (RiscV.U, True), "g": (RiscV.G, True), "a": (RiscV.A, True), "d": (RiscV.D, True)},
}
USUAL_ATTRIBUTES = {"Normal", "ISH", "iWB", "oWB", "Inner-shareable"}
"""What the default memory attributes are made of."""


class Layout:
    """Gives variables their pages, and collects what memory holds."""

    def __init__(self, architecture: str, threads: list[Thread]) -> None:
        self.architecture = architecture
        self.threads = threads
        self.variables: list[str] = []
        self.cells: dict[int, int] = {}
        self.entries: dict[int, int] = {}
        self.attributes = [""]

    def variable(self, name: str) -> int:
        """The number of a variable."""
        if name not in self.variables:
            self.variables.append(name)
        return self.variables.index(name) + 1

    def frame(self, name: str) -> int:
        """The physical page a variable has at the start."""
        return PHYSICAL + (self.variable(name) << 12)

    def address(self, name: str) -> int:
        """The value of a name: a virtual address, or the address of an entry."""
        name = name.strip()
        if match := re.fullmatch(r"(?:PTE|TTD)\(\s*(\w+)\s*\)|pte_(\w+)", name):
            return TABLE + 8 * self.variable(match[1] or match[2])
        if match := re.fullmatch(r"PA\(\s*(\w+)\s*\)|phy_(\w+)", name):
            return self.frame(match[1] or match[2])
        if match := re.fullmatch(r"(\w+)\s*(?:\+\s*(\w+)|\[\s*(\w+)\s*\])", name):
            return (self.variable(match[1]) << 12) + int(match[2] or match[3], 0)
        if re.fullmatch(r"[A-Za-z_]\w*", name) is None:
            raise Unsupported(f"the value {name}")
        return self.variable(name) << 12

    def usual(self, frame: int) -> int:
        """The entry of a usable mapping."""
        place = frame >> 12 << RiscV.PPN if self.architecture == "rvwmo" else frame
        return place | USUAL[self.architecture]

    def descriptor(self, text: str, own: int | None) -> int:
        """``oa:PA(x), valid:0, attrs:(...)``."""
        frame, changes = own or 0, []
        for part in re.split(r",(?![^(]*\))", text):
            key, _, value = (piece.strip() for piece in part.partition(":"))
            bits = BITS[self.architecture]
            if key == "oa":
                frame = self.address(value)
                if frame < PHYSICAL:
                    raise Unsupported("an entry that maps a table")
            elif key in bits:
                bit, when_set = bits[key]
                changes.append((bit, bit if bool(int(value)) == when_set else 0))
            elif self.architecture == "armv8" and (key == "attrs" or not value):
                names = re.findall(r"[\w-]+", value or key)
                chosen = ",".join(sorted(n for n in names if n not in USUAL_ATTRIBUTES))
                if chosen not in self.attributes:
                    self.attributes.append(chosen)
                at = self.attributes.index(chosen)
                changes.append((7 << 2 | 3 << 8, (at & 7) << 2 | at >> 3 << 8))
            else:
                raise Malformed(f"{key!r} is no field of an entry")
        word = self.usual(frame)
        for mask, value_bits in changes:
            word = word & ~mask | value_bits
        return word

    def value(self, text: str, own: int | None) -> int:
        """A number, an address, a label, an entry."""
        text = text.strip().removeprefix("&")
        if text.startswith("(") and text.endswith(")"):
            return self.descriptor(text[1:-1], own)
        match = re.fullmatch(r'label:"P?(\d+):(\w+)"|P?(\d+)\s*:\s*([A-Za-z_]\w*)', text)
        if match:
            thread = self.threads[int(match[1] or match[3])]
            return thread.code[thread.place(match[2] or match[4])].address
        found = number(text)
        if found is not None:
            return found
        if ":" in text or text in ("NOP", "instr"):
            raise Unsupported(f"the value {text}")
        return self.address(text)

    def register(self, name: str) -> str:
        """The full name of a register."""
        if self.architecture == "x86-tso":
            return x86.full_register(name)
        if self.architecture == "rvwmo":
            return riscv.full_register(name)
        return re.sub(r"^W(\d+)$", r"X\1", name.upper())

    def place(self, text: str) -> Place:
        """``0:X1``, ``x``, ``[x]``, ``PTE(x)``, ``x[1]``."""
        text = text.strip()
        if match := re.fullmatch(r"P?(\d+)\s*:\s*(\w+)", text):
            if int(match[1]) >= len(self.threads):
                raise Malformed(f"no thread {match[1]}")
            return "register", int(match[1]), self.register(match[2])
        inner = text.removeprefix("*").strip()
        if inner.startswith("[") and inner.endswith("]"):
            inner = inner[1:-1].strip()
        if match := re.fullmatch(r"(\w+)\[(\d+)\]", inner):
            return "memory", PHYSICAL + (self.variable(match[1]) << 12) + 4 * int(match[2])
        address = self.address(inner)
        entry = TABLE <= address < TABLE + 0x1000
        return "memory", address if entry or address >= PHYSICAL else address + PHYSICAL

    def read(self, text: str) -> None:
        """Reads the whole initial state."""
        for statement in text.replace("\n", " ").split(";"):
            left, equals, right = (part.strip() for part in statement.partition("="))
            if not left:
                continue
            left = re.sub(r"^(?:[A-Za-z_]\w*\s+|[A-Za-z_]\w*\s*\*+\s*)(?=[\w\[*])", "", left).strip("* ")
            if right.startswith("{"):
                base = PHYSICAL + (self.variable(left.split("[")[0].strip()) << 12)
                for i, element in enumerate(right.strip("{}").split(",")):
                    self.cells[base + 4 * i] = self.value(element, None)
                continue
            if not equals:
                left = re.sub(r"\[\d+\]$", "", left)
            place = self.place(left)
            if place[0] == "register":
                registers = self.threads[place[1]].registers
                registers[str(place[2])] = self.value(right, None) if equals else 0  # type: ignore[misc]
                continue
            cell = place[1]
            is_entry = TABLE <= cell < TABLE + 0x1000
            own = PHYSICAL + ((cell - TABLE) // 8 << 12) if is_entry else None
            if equals:
                (self.entries if is_entry else self.cells)[cell] = self.value(right, own)

    def finish(self) -> tuple[dict[int, int], Names, list[int]]:
        """Memory, names, and the cells of entries."""
        names, managed = Names(), []
        for at, name in enumerate(self.variables, 1):
            cell, frame = TABLE + 8 * at, PHYSICAL + (at << 12)
            names.pages[at], names.physical[frame], names.entries[cell] = name, name, f"PTE({name})"
            self.cells[cell] = self.entries.get(cell, self.usual(frame))
            managed.append(cell)
        for i, thread in enumerate(self.threads):
            for line in thread.code:
                if line.labels:
                    names.code[line.address] = f"P{i}:{line.labels[0]}"
        return self.cells, names, managed
