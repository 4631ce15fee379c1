"""isla's ``.litmus.toml`` format."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lazymmu.reference.litmus import aarch64, riscv, x86
from lazymmu.reference.litmus.final import FinalReader
from lazymmu.reference.litmus.islasetup import DEFAULT_TABLE, Setup
from lazymmu.reference.litmus.program import (
    Instruction,
    Line,
    Litmus,
    Malformed,
    Names,
    Place,
    Stop,
    Thread,
    Unsupported,
)
from lazymmu.reference.litmus.text import split_labels
from lazymmu.reference.visibility import Profile

CODE, CODE_STEP = 0x40_0000, 0x1000
ARCHITECTURES: dict[str, tuple[str, Callable[[str], Instruction]]] = {"AArch64": ("armv8", aarch64.parse)}
ARCHITECTURES |= dict.fromkeys(("x86", "X86_64", "x86_64"), ("x86-tso", x86.parse))
ARCHITECTURES |= dict.fromkeys(("RISCV", "RISC-V", "riscv"), ("rvwmo", riscv.parse))


def local_labels(code: str) -> str:
    """Numeric labels are local: ``1f`` is the next ``1:``."""
    counts: Counter[str] = Counter()
    out = []
    for line in code.splitlines():
        line = line.partition("//")[0].strip()
        if match := re.match(r"(\d):", line):
            counts[match[1]] += 1
            line = f"local_{match[1]}_{counts[match[1]]}:{line[2:]}"
        if match := re.search(r"(?<=[ ,])(\d)([fb])$", line):
            label = f"local_{match[1]}_{counts[match[1]] + (match[2] == 'f')}"
            line = line[: match.start()] + label
        out.append(line)
    return "\n".join(out)


class IslaNames:
    """Names in conditions."""

    def __init__(self, setup: Setup, architecture: str) -> None:
        self.setup, self.architecture = setup, architecture

    def place(self, text: str) -> Place:
        """``1:X0`` or ``*pa1``."""
        if text.startswith("*"):
            return "memory", self.setup.physical_of(self.setup.value(text[1:]))
        thread, _, name = text.partition(":")
        if name.upper() == "PC":
            raise Unsupported("conditions on the program counter")
        return "register", int(thread), full_register(self.architecture, name)

    def value(self, text: str, own: int | None) -> int:
        """An expression."""
        del own
        return self.setup.value(text)

    def address(self, name: str) -> int:
        """A virtual address."""
        return self.setup.value(name)


def full_register(architecture: str, name: str) -> str:
    """The full name of a register; isla writes R0 for X0."""
    if match := re.fullmatch(r"[RWXrwx](\d+)", name):
        return f"X{match[1]}"
    return x86.full_register(name) if architecture == "x86-tso" else name


def lay_out(thread: Thread, code: str, address: int, handler: bool, parse: Callable[[str], Instruction]) -> None:
    """Puts code at an address."""
    labels: tuple[str, ...] = ()
    for statement in re.split(r"[\n;]", local_labels(code)):
        found, text = split_labels(statement)
        labels += found
        if text:
            thread.code.append(Line(parse(text), labels, address, handler))
            labels, address = (), address + 4
    thread.code.append(Line(Stop(), labels, address, handler))


def make_thread(
    number: int, body: dict[str, Any], sections: dict[str, Any], parse: Callable[[str], Instruction]
) -> Thread:
    """One thread with its handlers."""
    if "breakpoints" in body:
        raise Unsupported("breakpoints")
    thread = Thread(registers={"NZCV": 0}, levels=True)
    lay_out(thread, body["code"], CODE + CODE_STEP * number, False, parse)
    for name, section in sections.items():
        owner = re.match(r"thread(\d+)", name)
        if owner and int(owner[1]) != number:
            continue
        if not owner and re.search(rf"\b{name}\b", body["code"]) is None:
            continue
        address = section["address"]
        at = address if isinstance(address, int) else int(address, 0)
        lay_out(thread, f"{name}:\n{section['code']}", at, owner is not None, parse)
    for name in ("ELR", "ESR", "FAR", "SPSR"):
        thread.registers |= {f"{name}_EL1": 0, f"{name}_EL2": 0}
    return thread


def set_registers(thread: Thread, body: dict[str, Any], setup: Setup, architecture: str) -> None:
    """Initial values of a thread's registers."""
    root = setup.roots[DEFAULT_TABLE]
    thread.roots = [(root, 0), (root, 0)]
    labels = {label: line.address for line in thread.code for label in line.labels}
    for section in ("init", "reset"):
        for name, given in body.get(section, {}).items():
            name = name.upper()
            if name.startswith("VTTBR"):
                raise Unsupported("stage 2 translation")
            if name.startswith("__") or name in ("SCTLR_EL1", "TCR_EL1"):
                continue
            value = given if isinstance(given, int) else setup.value(given, labels)
            if name in ("PSTATE.EL", "CURRENTEL"):
                thread.level = value
            elif name == "PSTATE.SP":
                thread.own_stack = bool(value)
            elif name in ("TTBR0_EL1", "TTBR0_EL2"):
                thread.roots[int(name.endswith("2"))] = (value & 0x0000_FFFF_FFFF_F000, value >> 48)
            elif name in ("VBAR_EL1", "VBAR_EL2"):
                thread.vectors[int(name[-1])] = value
            else:
                thread.registers[full_register(architecture, name)] = value


def read(text: str, variants: Iterable[str] = ()) -> Litmus:
    """Reads a test.

    Raises:
        Unsupported: It is outside the subset.
        Malformed: It makes no sense.
    """
    table = tomllib.loads(text)
    if table["arch"] not in ARCHITECTURES:
        raise Unsupported(f"the architecture {table['arch']}")
    architecture, parse = ARCHITECTURES[table["arch"]]
    ets = 0
    for variant in variants:
        if variant.lower() not in ("vmsa", "ets", "ets2", "ets3"):
            raise Malformed(f"unknown variant {variant!r}")
        if variant.lower() != "vmsa":
            ets = max(ets, int(variant.lower().removeprefix("ets") or "1"))
    setup = Setup(table.get("symbolic", []))
    setup.read(table.get("page_table_setup", ""))
    bodies = [table["thread"][str(i)] for i in range(len(table["thread"]))]
    threads = [make_thread(i, body, table.get("section", {}), parse) for i, body in enumerate(bodies)]
    for thread, body in zip(threads, bodies, strict=True):
        set_registers(thread, body, setup, architecture)
    cells = {**setup.entries, **setup.memory}
    for section in ("locations", "memory"):
        for name, given in table.get(section, {}).items():
            cells[setup.physical_of(setup.value(name))] = given if isinstance(given, int) else setup.value(given)
    final = table["final"]
    reader = FinalReader(IslaNames(setup, architecture), threads, f"{final.get('kind', 'exists')} {final['assertion']}")
    quantifier, formula, keep = reader.read()
    names = Names({at >> 12: name for name, at in setup.virtuals.items()})
    names.physical = {at: name for name, at in setup.physicals.items()}
    names.physical |= {at: name for name, at in setup.unmapped()}
    names.entries = dict(setup.entry_names)
    for i, thread in enumerate(threads):
        for line in thread.code:
            if line.labels:
                names.code[line.address] = f"P{i}:{line.labels[0]}"
    direct = [(root, setup.ends[name]) for name, root in setup.roots.items()]
    direct += [(at, at + 0x1000) for _, at in setup.unmapped()]
    profile = Profile(architecture, ets)
    return Litmus(
        table.get("name", ""),
        profile,
        threads,
        cells,
        direct,
        0,
        "fatal",
        quantifier,
        formula,
        reader.places,
        names,
        keep,
    )
