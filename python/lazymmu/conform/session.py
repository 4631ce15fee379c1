"""A model machine that follows a recorded kernel: it takes over what the kernel had before, and the frames it chose."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lazymmu import _native
from lazymmu.arrays import EVENT, RESULT, Records, records
from lazymmu.conform.changes import Change, Changes, Words
from lazymmu.errors import RecordingError
from lazymmu.machine import load_program
from lazymmu.recording import Kernel
from lazymmu.report import names
from lazymmu.results import Result, from_record

_XEN_KEEPS = 1 << 52 | (1 << 52) - 1 & ~0xFFF | 1 << 2
"""Of a leaf that the guest changes: the mark of a kernel leaf, the machine frame, and U: the guest runs in ring 3."""

SPARE = {64: 0x400_0000, 32: 0x40_0000}
"""So many bytes behind the frames of its own, the model puts tables whose place in the kernel is not known yet."""


OWN_TREE = ("arm64", "loongarch64")
"""Backends whose kernels have tables for their half of the addresses alone."""


@dataclass
class Ran:
    """What the model did for one command; tables as the kernel has them."""

    results: list[Result]
    events: Records
    changes: Changes


def _columns(*columns: Any) -> Changes:
    level, table, index, old, new = columns
    return Changes(level, table, index, np.zeros(len(level), np.uint64), old, new)


class Session:
    """The model's side of a recording, command by command."""

    def __init__(self, kernel: Kernel, *, cpus: int, mms: int, tables: Iterable[int] = ()) -> None:
        self.kernel = kernel
        options = [(k, v if isinstance(v, str) else str(v).lower()) for k, v in kernel.options.items()]
        layout = dict(kernel.layout)
        layout["table_frames"] = self._room(layout, tables)
        self.machine = _native.Machine(
            kernel.backend, kernel.scheme, kernel.geometry, options, layout, cpus, mms, [], "logged", None
        )
        geometry = self.machine.geometry
        self.levels: dict[int, tuple[int, int]] = {n: (shift, count) for n, _, shift, count in geometry["levels"]}
        self.sizes = {number: 1 << shift for number, (shift, _) in self.levels.items()}
        self.root_level = max(self.levels)
        self.entry_bytes: int = geometry["entry_bytes"]
        self.widths = np.full(6, self.entry_bytes, np.uint64)
        self.widths[self.root_level] = geometry["root_bytes"]
        self.spare = layout["table_frames"] + SPARE[geometry["long_bits"]]
        self.model_root = self.machine.roots()[0]
        self.kernel_root = kernel.number("init_mm_pgd_pa")
        known = [self.machine.empty_word(n, True) if n in self.levels else 0 for n in range(6)]
        self.empty: Words = np.array(known, np.uint64)
        """What the entries of a new table hold, by level."""
        self.nothing = kernel.nothing(self.machine)
        self.touched: dict[int, npt.NDArray[np.bool_]] = {}
        self.made: Words = np.empty(0, np.uint64)
        """Tables of the command at hand that are new."""
        self.adopted = 0
        if kernel.xen:
            self.machine.set_ram_end(kernel.number("max_pfn") << kernel.number("page_shift"))

    @staticmethod
    def _room(layout: Mapping[str, int], tables: Iterable[int]) -> int:
        """Frames for tables of the model's own, where the kernel has none: the usual ones, or the largest gap below."""
        usual = layout["table_frames"]
        if "highmem_frames" not in layout:
            return usual
        taken = sorted({*tables, 0x10_0000, layout["highmem_frames"]})
        taken = [pa for pa in taken if pa <= layout["highmem_frames"]]
        gaps = [(end - start, start) for start, end in itertools.pairwise(taken)]
        return max(gaps)[1] + 0x1000 if gaps else usual

    # Where things are: the root of the model has a frame of its own.

    def _here(self, tables: Words) -> Words:
        return np.where(tables == np.uint64(self.kernel_root), np.uint64(self.model_root), tables)

    def _there(self, tables: Words) -> Words:
        return np.where(tables == np.uint64(self.model_root), np.uint64(self.kernel_root), tables)

    def here(self, table: int) -> int:
        """Where the model has a table that the kernel has there."""
        return self.model_root if table == self.kernel_root else table

    def there(self, table: int) -> int:
        """Where the kernel has a table that the model has there."""
        return self.kernel_root if table == self.model_root else table

    def index(self, level: int, va: int) -> int:
        """The place of an address in its table."""
        shift, entries = self.levels[level]
        return va >> shift & entries - 1

    def entry(self, table: int, index: int) -> int:
        """The physical address of an entry."""
        return table + index * (int(self.widths[self.root_level]) if table == self.model_root else self.entry_bytes)

    def _fresh(self) -> int:
        # Tables of upper levels may be larger than a page.
        largest = max(entries for _, entries in self.levels.values()) * self.entry_bytes
        self.spare += max(1 << self.levels[1][0], largest)
        return self.spare

    def _move(self, level: int, va: int, parent: int, child: int) -> None:
        """Puts the table below ``parent`` for an address at ``child``, with what it held."""
        at = self.entry(parent, self.index(level + 1, va))
        word = self.machine.peek(at)
        indices = np.arange(self.levels[level][1], dtype=np.uint64)
        old = None
        if self.machine.classify(level + 1, word) == "table":
            below = np.full(len(indices), self.machine.table_pa(level + 1, word), np.uint64)
            words, there = self.machine.read_words(below, indices)
            old = words if there.all() else None
        self.machine.add_table(child, level)
        if old is not None:
            self.machine.write_words(np.full(len(indices), child, np.uint64), indices, old)
        self.machine.poke(at, self.machine.table_word(level + 1, child))

    def below(self, level: int, va: int) -> int | None:
        """The model's table of this level for an address, if there is one."""
        at = self.model_root
        for upper in range(self.root_level, level, -1):
            word = self.machine.peek(self.entry(at, self.index(upper, va)))
            if self.machine.classify(upper, word) != "table":
                return None
            at = self.machine.table_pa(upper, word)
        return at

    def word(self, va: int) -> int:
        """Where the model's tables end for an address: a leaf of any size, or 0."""
        at = self.model_root
        for level in range(self.root_level, 0, -1):
            word = self.machine.peek(self.entry(at, self.index(level, va)))
            if self.machine.classify(level, word) != "table":
                return word
            at = self.machine.table_pa(level, word)
        return 0

    def reach(self, level: int, va: int, table: int | None) -> None:
        """Makes sure that the model has a table of this level for an address; at ``table``, if that is known."""
        at = self.model_root
        for upper in range(self.root_level, level, -1):
            word = self.machine.peek(self.entry(at, self.index(upper, va)))
            linked = self.machine.classify(upper, word) == "table"
            below = self.machine.table_pa(upper, word) if linked else None
            known = table if upper - 1 == level else None
            wanted = known if known is not None else below if below is not None else self._fresh()
            if below != wanted:
                self._move(upper - 1, va, at, wanted)
                self.adopted += 1
            at = wanted

    def links(self, change: Change) -> bool:
        """Whether a table was linked: the entry points to one now, and to another or none before."""
        if self.machine.classify(change.level, change.new) != "table":
            return False
        if self.machine.classify(change.level, change.old) != "table":
            return True
        return self.machine.word_address(change.level, change.old) != self.machine.word_address(
            change.level, change.new
        )

    def _guest(self, change: Change, changes: Changes) -> int:
        """The address of a new table. Under Xen its word holds a machine frame; its entries tell the guest's."""
        machine = self.machine.word_address(change.level, change.new)
        if not self.kernel.xen:
            return machine
        inside = (changes.level == change.level - 1) & (changes.va >= np.uint64(change.va))
        inside &= changes.va - np.uint64(change.va) < np.uint64(self.sizes[change.level])
        found = changes.table[inside]
        guest = int(found[0]) if len(found) else machine
        self.machine.map_frame(guest, machine)
        return guest

    def prepare(self, changes: Changes, *, strict: bool) -> list[str]:
        """Takes over what was there before a command, and plans the frames of the tables it allocates.

        Returns where a known entry is not as the kernel had it.
        """
        self.machine.forget_plans()
        made: dict[int, Change] = {}
        upper = list(changes.upper())
        for change in upper:
            if self.links(change):
                made[self._guest(change, changes)] = change
        self.made = np.array(list(made), np.uint64)
        old = np.isin(changes.table, self.made, invert=True)
        complaints = self._take_over(changes.rows(old), strict=strict)
        for pa, change in made.items():
            base = change.va & ~(self.sizes[change.level] - 1)
            self.machine.plan_frame(change.level - 1, base, pa)
            self.touched.pop(pa, None)
        return complaints

    def as_new(self, changes: Changes) -> Changes:
        """Entries of new tables as changes from what a new table holds, which records show as that or as 0.

        What else a record has as the word before stays, and will differ. Entries that are still empty are no changes.
        """
        new = np.isin(changes.table, self.made)
        if not new.any():
            return changes
        words = self.empty[changes.level]
        new &= (changes.old == 0) | (changes.old == words)
        level, table, index, va, old, now = changes.columns()
        return Changes(level, table, index, va, np.where(new, words, old), now).rows(~new | (now != words))

    def _take_over(self, changes: Changes, *, strict: bool) -> list[str]:
        complaints: list[str] = []
        _, firsts = np.unique(changes.table, return_index=True)
        for change in sorted(changes.rows(firsts), key=lambda c: -c.level):
            self.reach(change.level, change.va, self.here(change.table))
        here = self._here(changes.table)
        words, _ = self.machine.read_words(here, changes.index)
        wrong = words != changes.old
        if not wrong.any():
            return complaints
        bad = changes.rows(wrong)
        self.adopted += len(bad)
        for change, word in zip(bad, words[wrong].tolist(), strict=True):
            by_itself = change.level == 1 and not (word ^ change.old) & ~self.kernel.background
            if strict and not by_itself and self.known(change.table, change.place):
                place = f"level {change.level} {change.va:#x}"
                complaints.append(f"{place}: the model has {word:#x} before, the kernel {change.old:#x}")
            if change.level > 1 and self.machine.classify(change.level, change.old) == "table":
                self._relink(change, word)
        self.machine.write_words(here[wrong], bad.index, bad.old)
        return complaints

    def _relink(self, change: Change, word: int) -> None:
        child = self.machine.word_address(change.level, change.old)
        if self.kernel.xen and self.machine.classify(change.level, word) == "table":
            self.machine.map_frame(self.machine.table_pa(change.level, word), child)
        else:
            self._move(change.level - 1, change.va, self.here(change.table), child)

    def run(self, ops: Sequence[Mapping[str, Any]], injections: Sequence[Mapping[str, Any]] = ()) -> Ran:
        """Carries out the operations of one command, and what happened in the middle of them."""
        before = self.machine.freeze()
        raw = self.machine.run(load_program({"ops": [{"op": op} for op in ops], "injections": list(injections)}))
        results = [from_record(r) for r in records(raw.take_results(), RESULT)]
        events = records(raw.events(), EVENT)
        if self.kernel.xen:
            self._pin(events)
        return self.since(before, results, events)

    def _pin(self, events: Records) -> None:
        """``xen_alloc_ptpage``: a page that becomes a table is read-only in the linear map.

        The hypercall is the model's; the linear map is here, as far as records have shown it.
        """
        made = events[(events["kind"] == names.kind("ALLOC")) & (events["mm"] == 0) & (events["level"] > 0)]
        for pa in made["addr"].tolist():
            va = pa + self.kernel.number("page_offset")
            table = self.below(1, va)
            at = None if table is None else self.entry(table, self.index(1, va))
            word = 0 if at is None else self.machine.peek(at)
            if at is not None and self.machine.classify(1, word) == "leaf":
                # The machine frame and the hypervisor's own bits are as they were.
                self.machine.poke(at, word & _XEN_KEEPS | self.machine.pte_word(0, "PAGE_KERNEL_RO"))

    def since(self, before: _native.Frozen, results: list[Result], events: Records) -> Ran:
        """What has changed since a moment."""
        found = _columns(*self.machine.changes_since(before))
        level, table, index, va, old, new = found.columns()
        return Ran(results, events, Changes(level, self._there(table), index, va, old, new))

    def follow(self, changes: Changes, extra: Changes) -> None:
        """Sets the model to what the kernel had after a command, so that one difference is not reported for ever.

        ``extra`` are changes of the model that the kernel did not make.
        """
        self.machine.write_words(self._here(extra.table), extra.index, extra.old)
        here = self._here(changes.table)
        words, there = self.machine.read_words(here, changes.index)
        wrong = there & (words != changes.new)
        self.machine.write_words(here[wrong], changes.index[wrong], changes.new[wrong])

    def remember(self, changes: Changes) -> None:
        """These entries are known to the model from now on."""
        for table in np.unique(changes.table).tolist():
            mine = changes.table == np.uint64(table)
            level = int(changes.level[mine][0])
            if table not in self.touched:
                # Behind the entries of a leaf table there may be as many for the hardware.
                self.touched[table] = np.zeros(self.levels[level][1] * (2 if level == 1 else 1), np.bool_)
            places = changes.index[mine]
            if places.max() >= len(self.touched[table]):
                raise RecordingError(
                    self.kernel.recording.folder, hex(table), "an index is beyond the end of its table"
                )
            self.touched[table][places] = True

    def known(self, table: int, index: int) -> bool:
        """Whether an earlier command changed this entry."""
        seen = self.touched.get(table)
        return seen is not None and index < len(seen) and bool(seen[index])

    def entries(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Every entry that is not empty: level, table (where the kernel has it), index, first address, word."""
        words = {pa: (level, w) for pa, level, w in self.machine.image(0)}
        stack = [(self.model_root, 0)]
        while stack:
            table, base = stack.pop()
            level, entries = words[table]
            for index in np.flatnonzero(entries).tolist():
                word = int(entries[index])
                va = base + index * self.sizes[level]
                yield level, self.there(table), index, self._canonical(va), word
                if level > 1 and self.machine.classify(level, word) == "table":
                    below = self.machine.table_pa(level, word)
                    if below in words:
                        stack.append((below, va))

    def _canonical(self, va: int) -> int:
        shift, entries = self.levels[self.root_level]
        bits = shift + entries.bit_length() - 1
        high = self.kernel.number("vmalloc_start") >> bits << bits
        if self.kernel.backend in OWN_TREE:
            return va | high
        return va | (high if va >> bits - 1 & 1 and bits > 32 else 0)
