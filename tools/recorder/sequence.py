"""What a CPU executed in each command: stores to page tables, barriers, invalidations, in order (``hwseq.jsonl``).

QEMU's plugin (``plugin/trace.c``) tells every store of the kernel between the begin and the end of a command, and the
instructions of ``instructions.py``. Here places of code become functions, stores to anything but tables go, and what
repeats is folded.
"""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import instructions
import numpy as np
import numpy.typing as npt
from configurations import Configuration

HERE = Path(__file__).parent
Events = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Item = list[Any]

BEGIN, END, INSTRUCTION, STORE = 1, 2, 3, 4
MARKS = ("probes_begin", "probes_end")
"""Functions of the driver that begin and end what is told of a command."""

INITIALISE = (
    "clear_page",
    "memset",
    "__memset",
    "__pi_clear_page",
    "__pi_memset",
    "kernel_init_pages",
    "clear_highpages_kasan_tagged",
)
"""How functions begin whose stores initialise a table that is not linked yet."""

OTHERWISE = ("rcu_", "__call_rcu")
"""How functions begin that keep things of their own in pages that were tables, or become some in the same command."""

ALLOCATORS = (
    "__p4d_alloc",
    "__pud_alloc",
    "__pmd_alloc",
    "__pte_alloc",
    "__pte_alloc_kernel",
    "pmd_install",
)
"""Functions whose fences between stores are told: everywhere else locks have them, too."""

APART = (
    "arch_counter_get_cntvct",
    "arch_timer_handler_virt",
    "arch_timer_set_next_event_virt",
    "gic_eoi_irq",
    "gic_handle_irq",
)
"""Functions whose barriers order something else: clocks, interrupts, the console."""

BOUNDS = ("_start", "_end", "_text", "_begin")
"""How names end that are of sections."""

LONGEST = 12
"""Items of a group that repeats."""

FEWEST = 3
"""Repetitions that are worth a group."""

INDEX_BITS = 20


_X86_LINK = (0x81, 0x01, 0)
_RISCV_LINK = (0x0F, 0x01, -2)
_LINKS = {
    "arm64": (0b11, 0b11, 0),
    "x86_64": _X86_LINK,
    "i386": _X86_LINK,
    "riscv64": _RISCV_LINK,
    "riscv32": _RISCV_LINK,
}
"""How a link to a table is told from other entries: bits, their values, and how far left the table's address is."""


class SequenceError(RuntimeError):
    """A trace does not fit the records."""


class Symbols:
    """The functions of a kernel, by address."""

    def __init__(self, text: str) -> None:
        lines = (line.split() for line in text.splitlines())
        found = [(int(at, 16), name) for at, kind, name in lines if kind in "tTwW"]
        self.at = {name: at for at, name in found}
        # Of several names of a place one of a function, not of the section that it begins.
        found.sort(key=lambda symbol: (symbol[0], symbol[1].endswith(BOUNDS), symbol[1]))
        first = dict(reversed(found))
        self.addresses = sorted(first)
        self.names = [first[at] for at in self.addresses]

    def address(self, name: str) -> int:
        """Where a function begins."""
        return self.at[name]

    def function(self, pc: int) -> str:
        """The function of an instruction."""
        at = bisect_right(self.addresses, pc) - 1
        return self.names[at] if at >= 0 else hex(pc)


def build_plugin(folder: Path) -> Path:
    """Compiles the plugin."""
    library = folder / "trace.so"
    flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    subprocess.run(["cc", *flags, "-o", str(library), str(HERE / "plugin" / "trace.c")], check=True)
    return library


def plugin_option(configuration: Configuration, library: Path, symbols: Symbols, trace: Path) -> str:
    """What ``-plugin`` gets."""
    begin, end = (symbols.address(name) for name in MARKS)
    classes = instructions.ALL[configuration.image_arch].classes
    words = [f"out={trace}", f"begin={begin:#x}", f"end={end:#x}", f"kernel={symbols.address('_text'):#x}"]
    return ",".join([str(library), *words, *(f"insn={mask:#x}:{value:#x}" for mask, value in classes)])


def windows(trace: Path) -> Iterator[Events]:
    """The events of each command: rows of what, where and which."""
    events = np.memmap(trace, np.uint64, "r").reshape(-1, 3)
    marks = np.flatnonzero((events[:, 0] == BEGIN) | (events[:, 0] == END))
    begin = None
    for mark in marks.tolist():
        if events[mark, 0] == BEGIN:
            begin = mark
        elif begin is not None:
            yield np.array(events[begin + 1 : mark])
            begin = None


def _runs(same: npt.NDArray[np.bool_]) -> Numbers:
    """How many are true from each place on."""
    count = len(same)
    ends = np.where(same, count, np.arange(count))
    return np.asarray(np.minimum.accumulate(ends[::-1])[::-1] - np.arange(count), np.int64)


def fold(codes: Numbers, steps: Numbers) -> list[tuple[int, int, int]]:
    """Groups that cover a sequence: where, how many items, how often; an item grows by its step each time."""
    count = len(codes)
    best = np.zeros(count, np.int64)
    length = np.ones(count, np.int64)
    times = np.ones(count, np.int64)
    for group in range(1, min(LONGEST, count // FEWEST) + 1):
        repeats = np.ones(count, np.int64)
        repeats[:-group] += _runs(codes[group:] - codes[:-group] == steps[:-group]) // group
        covered = np.where(repeats >= FEWEST, repeats * group, 0)
        better = covered > best
        best[better], length[better], times[better] = covered[better], group, repeats[better]
    out: list[tuple[int, int, int]] = []
    at = 0
    while at < count:
        out.append((at, int(length[at]), int(times[at])))
        at += int(length[at] * times[at])
    return out


class Sequences:
    """Turns windows of a trace into sequences, record by record: tables become known in this order."""

    def __init__(self, configuration: Configuration, info: Mapping[str, Any], symbols: Symbols) -> None:
        self.symbols = symbols
        self.text = instructions.ALL[configuration.image_arch].text
        self.page = 1 << int(info["page_shift"])
        self.entry = int(info["pte_bytes"])
        self.tables: dict[int, int] = {}
        """Level of each page that a record has shown to be a table, until one shows that it is none any more."""
        self.links = _LINKS[configuration.image_arch]

    def _instruction(self, pc: int, word: int) -> Item | None:
        text, function = self.text(word), self.symbols.function(pc)
        if text is None or function in APART:
            return None
        if text.startswith(("dmb", "fence")) and function not in ALLOCATORS:
            return None
        return [text, function]

    def _items(self, events: Events) -> tuple[list[Item], Numbers, Numbers]:
        """The kinds of items, and for each item its kind (or none), and its place in a table."""
        kinds: list[Item] = []
        numbers: dict[tuple[int, int], int] = {}
        pages = np.array(sorted(self.tables), np.uint64)
        page = events[:, 2] & ~np.uint64(self.page - 1)
        stores = events[:, 0] == STORE
        events, page = (rows[~stores | np.isin(page, pages)] for rows in (events, page))
        stores = events[:, 0] == STORE
        index = np.where(stores, (events[:, 2] - page) // np.uint64(self.entry), np.uint64(0)).astype(np.int64)
        # One kind: an instruction of the kernel, and a page for it to store to.
        second = np.where(stores, page | np.uint64(1), events[:, 2])
        pairs, inverse = np.unique(np.stack([events[:, 1], second], axis=1), axis=0, return_inverse=True)
        store = np.zeros(len(pairs), np.bool_)
        store[inverse.ravel()] = stores
        kind = np.full(len(pairs), -1, np.int64)
        for n, (pc, word) in enumerate(pairs.tolist()):
            item: Item | None
            if store[n]:
                function, table = self.symbols.function(pc), word & ~1
                item = (
                    ["W", self.tables[table], hex(table), 0, function]
                    if not function.startswith(INITIALISE + OTHERWISE)
                    else None
                )
            else:
                item = self._instruction(pc, word)
            if item is not None:
                key = hash(tuple(item)), len(item)
                kind[n] = numbers.setdefault(key, len(kinds))
                if kind[n] == len(kinds):
                    kinds.append(item)
        found = kind[inverse.ravel()]
        return kinds, found[found >= 0], index[found >= 0]

    def _follow(self, runs: Sequence[Sequence[Any]], place: int) -> dict[int, int]:
        """Tables that upper entries link, with their levels: before a command (4) or after it (5)."""
        found = {}
        for run in runs:
            level, times = run[0], run[6] if len(run) > 6 else 1
            step = int(run[place + 3], 0) if len(run) > 6 else 0
            for n in range(times if level > 1 else 0):
                table = self._linked(int(run[place], 0) + n * step)
                if table is not None:
                    found[table] = level - 1
        return found

    def _linked(self, word: int) -> int | None:
        mask, value, shift = self.links
        if word & mask != value:
            return None
        return (word & (1 << 48 + shift) - 1) >> 12 + shift << 12 & ~(self.page - 1)

    def record(self, record: Mapping[str, Any], events: Events) -> dict[str, Any]:
        """The line of ``hwseq.jsonl`` for a record."""
        changed = 0
        for run in record["chg"]:
            self.tables[int(run[1], 0) & ~(self.page - 1)] = run[0]
            changed += run[6] if len(run) > 6 else 1
        after = self._follow(record["chg"], 5)
        self.tables.update(after)
        kinds, kind, index = self._items(events)
        # What is no table any more is a page as any other: of a slab, of a batch of pages to be freed.
        for table in self._follow(record["chg"], 4).keys() - after.keys():
            self.tables.pop(table, None)
        store = np.array([item[0] == "W" for item in kinds], np.int64)
        steps = store[kind] if len(kind) else kind

        def item(at: int) -> Item:
            found = kinds[kind[at]]
            return [*found[:3], int(index[at]), found[4]] if found[0] == "W" else found

        sequence: list[Any] = []
        for at, length, times in fold(kind << INDEX_BITS | index, steps):
            group = [item(at + n) for n in range(length)]
            if times > 1:
                sequence.append({"rep": times, "seq": group})
            else:
                sequence += group
        return {
            "n": record["n"],
            "cmd": f"user: {record['what']}" if record["cmd"] == "user" else record["cmd"],
            "counts": _counts(kinds, kind),
            "seq": sequence,
            "descriptors_changed": changed,
        }


def _counts(kinds: Sequence[Item], kind: Numbers) -> dict[str, int]:
    """How many there are of each sort, as they come."""
    counts: dict[str, int] = {}
    found, first, times = np.unique(kind, return_index=True, return_counts=True)
    for at in np.argsort(first).tolist():
        item = kinds[int(found[at])]
        name = f"W{item[1]}" if item[0] == "W" else item[0].split()[0]
        counts[name] = counts.get(name, 0) + int(times[at])
    return counts


def sequences(
    configuration: Configuration, records: Sequence[Mapping[str, Any]], trace: Path, symbols: Symbols
) -> Iterator[dict[str, Any]]:
    """The lines of ``hwseq.jsonl``, from the records of the same boot."""
    info = next(record for record in records if record["cmd"] == "info")
    told = [r for r in records if r["cmd"].split()[0] not in ("info", "probes", "walk", "image")]
    state = Sequences(configuration, info, symbols)
    found = 0
    for record, events in zip(told, windows(trace), strict=False):
        yield state.record(record, events)
        found += 1
    if found != len(told):
        raise SequenceError(f"{len(told)} records, but {found} windows in {trace}")
