"""herd's ``.litmus`` format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lazymmu.reference.litmus import aarch64, riscv, x86
from lazymmu.reference.litmus.final import FinalReader
from lazymmu.reference.litmus.layout import TABLE, Layout
from lazymmu.reference.litmus.program import Instruction, Line, Litmus, Malformed, Stop, Thread, Unsupported
from lazymmu.reference.litmus.text import split_labels
from lazymmu.reference.visibility import Profile

CODE, CODE_STEP = 0x2000_0000, 0x1_0000
ARCHITECTURES: dict[str, tuple[str, Callable[[str], Instruction]]] = {
    "AArch64": ("armv8", aarch64.parse),
    "X86_64": ("x86-tso", x86.parse),
    "RISCV": ("rvwmo", riscv.parse),
}
OUTSIDE = {"ifetch", "self", "memtag", "mte", "tagmem", "pte2", "pte-squared", "mixed", "sve", "sme", "neon"}


def without_comments(text: str) -> str:
    """Without ``(* ... *)``, which nest."""
    out, depth, i = [], 0, 0
    while i < len(text):
        two = text[i : i + 2]
        if two == "(*":
            depth, i = depth + 1, i + 2
        elif two == "*)" and depth:
            depth, i = depth - 1, i + 2
        else:
            out.append(text[i] if not depth or text[i] == "\n" else " ")
            i += 1
    return "".join(out)


class Settings:
    """What variants and information lines ask for."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self.flags: dict[str, bool] = {}
        self.ets = 0
        self.on_fault = "fatal"
        self.hardware: list[tuple[int | None, bool, bool]] = []
        self.user: list[int] = []

    def variant(self, name: str) -> None:
        """One variant."""
        name = name.lower()
        faults = {"fatal": "fatal", "precise": "fatal", "handled": "handled", "imprecise": "handled"}
        faults |= {"skip": "skip", "faulttonext": "skip"}
        if name in ("ets", "ets2", "ets3"):
            self.ets = max(self.ets, int(name.removeprefix("ets") or "1"))
        elif name in ("exs", "eis", "eos", "svvptc", "svinval"):
            self.flags[name] = True
        elif name in faults:
            self.on_fault = faults[name]
        elif name in OUTSIDE:
            raise Unsupported(f"variant {name}")
        elif name not in ("vmsa", "kvm"):
            raise Malformed(f"unknown variant {name!r}")

    def information(self, key: str, value: str) -> None:
        """One ``Key=value`` line."""
        words = re.split(r"[,\s]+", value.strip())
        match key.strip().lower():
            case "variant":
                for word in words:
                    self.variant(word)
            case "tthm":
                for word in words:
                    thread, _, what = word.rpartition(":")
                    number = int(thread.removeprefix("P")) if thread else None
                    self.hardware.append((number, what in ("HA", "HD"), what == "HD"))
            case "el0":
                self.user = [int(word.removeprefix("P")) for word in words]

    def profile(self) -> Profile:
        """The profile they make."""
        return Profile(self.architecture, self.ets, **self.flags)


def columns(table: str, parse: Callable[[str], Instruction]) -> list[Thread]:
    """The table of programs."""
    rows = [row.split("|") for row in table.split(";") if row.strip()]
    heads = [head.strip() for head in rows[0]]
    count = 1 + max(int(re.fullmatch(r"P(\d+)(\.F)?", head.split(":")[0])[1]) for head in heads)  # type: ignore[index]
    threads = []
    for number in range(count):
        thread = Thread(registers={"NZCV": 0})
        for handler in (False, True):
            name = f"P{number}.F" if handler else f"P{number}"
            if name not in heads:
                continue
            column = heads.index(name)
            if handler:
                thread.handler = len(thread.code)
                thread.registers |= {"ELR_EL1": 0, "ESR_EL1": 0, "FAR_EL1": 0}
            labels: tuple[str, ...] = ()
            for row in rows[1:]:
                found, text = split_labels(row[column] if column < len(row) else "")
                labels += found
                if text:
                    append(thread, parse(text), labels, CODE + CODE_STEP * number, handler)
                    labels = ()
            append(thread, Stop(), labels, CODE + CODE_STEP * number, handler)
        threads.append(thread)
    return threads


def append(thread: Thread, instruction: Instruction, labels: tuple[str, ...], base: int, handler: bool) -> None:
    """Puts an instruction at the end of a thread's code."""
    thread.code.append(Line(instruction, labels, base + 4 * len(thread.code), handler))


def read(text: str, variants: Iterable[str] = ()) -> Litmus:
    """Reads a test.

    Raises:
        Unsupported: It is outside the subset.
        Malformed: It makes no sense.
    """
    text = without_comments(text)
    head, _, rest = text.partition("{")
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    arch, _, name = lines[0].partition(" ")
    if arch not in ARCHITECTURES:
        raise Unsupported(f"the architecture {arch}")
    architecture, parse = ARCHITECTURES[arch]
    settings = Settings(architecture)
    for line in lines[1:]:
        if "=" in line and not line.startswith('"'):
            settings.information(*line.split("=", 1))
    for variant in variants:
        settings.variant(variant)
    depth, end = 1, 0
    while depth:
        depth += (rest[end] == "{") - (rest[end] == "}")
        end += 1
    initial, body = rest[: end - 1], rest[end:]
    final = re.search(r"(?<![\w])(locations|filter|~\s*exists|exists|forall)(?!\w)", body)
    if final is None:
        raise Malformed("no final condition")
    threads = columns(body[: final.start()], parse)
    for number, access, dirty in settings.hardware:
        for i, thread in enumerate(threads):
            if number in (None, i):
                thread.hardware_access |= access
                thread.hardware_dirty |= dirty
    for i, thread in enumerate(threads):
        thread.user = i in settings.user
        if architecture == "x86-tso":
            thread.hardware_access = thread.hardware_dirty = True
        thread.roots = [(TABLE, 0), (TABLE, 0)]
    layout = Layout(architecture, threads)
    layout.read(initial)
    reader = FinalReader(layout, threads, body[final.start() :])
    quantifier, formula, keep = reader.read()
    cells, names, managed = layout.finish()
    return Litmus(
        name.strip(),
        settings.profile(),
        threads,
        cells,
        [(TABLE, TABLE + 0x1000)],
        3,
        settings.on_fault,
        quantifier,
        formula,
        reader.places,
        names,
        keep,
        managed,
    )
