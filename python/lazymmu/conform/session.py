"""A model machine that follows a recorded kernel: it takes over what the kernel had before, and the frames it chose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lazymmu import _native
from lazymmu.arrays import EVENT, RESULT, Records, records
from lazymmu.conform.changes import Change, differences, image
from lazymmu.machine import load_program
from lazymmu.recording import Kernel
from lazymmu.results import Result, from_record

Key = tuple[int, int, int]


class Ran:
    """What the model did for one command."""

    def __init__(self, results: list[Result], events: Records, changes: dict[Key, tuple[int, int]]) -> None:
        self.results = results
        self.events = events
        self.changes = changes


class Session:
    """The model's side of a recording, command by command."""

    def __init__(self, kernel: Kernel, *, cpus: int, mms: int) -> None:
        self.kernel = kernel
        options = [(k, v if isinstance(v, str) else str(v).lower()) for k, v in kernel.options.items()]
        self.machine = _native.Machine(
            kernel.backend, kernel.scheme, kernel.geometry, options, kernel.layout, cpus, mms, [], "logged", None
        )
        geometry = self.machine.geometry
        self.levels = {number: (shift, entries) for number, _, shift, entries in geometry["levels"]}
        self.sizes = {number: 1 << shift for number, (shift, _) in self.levels.items()}
        self.root_level = max(self.levels)
        self.entry_bytes = geometry["entry_bytes"]
        self.spare = kernel.layout["table_frames"] + (0x40_0000 if geometry["long_bits"] == 64 else 0x2_0000)
        self.model_root = self.machine.roots()[0]
        self.kernel_root = kernel.number("init_mm_pgd_pa")
        self.touched: set[tuple[int, int]] = set()
        self.adopted = 0
        if kernel.xen:
            self.machine.set_ram_end(kernel.number("max_pfn") << 12)

    def _here(self, table: int) -> int:
        """Where the model has a table that the kernel has there."""
        return self.model_root if table == self.kernel_root else table

    def there(self, table: int) -> int:
        """Where the kernel has a table that the model has there."""
        return self.kernel_root if table == self.model_root else table

    def _index(self, level: int, va: int) -> int:
        shift, entries = self.levels[level]
        return va >> shift & entries - 1

    def _entry(self, table: int, index: int) -> int:
        return table + index * self.entry_bytes

    def _fresh(self) -> int:
        self.spare += 1 << self.levels[1][0]
        return self.spare

    def _move(self, level: int, va: int, parent: int, child: int) -> None:
        """Puts the table below ``parent`` for an address at ``child``, with what it held."""
        words = {pa: w for pa, _, w in self.machine.image()}
        index = self._index(level + 1, va)
        word = self.machine.peek(self._entry(parent, index))
        old = None
        if self.machine.classify(level + 1, word) == "table":
            old = self.machine.table_pa(level + 1, word)
        self.machine.add_table(child, level)
        if old in words:
            for n, value in enumerate(words[old].tolist()):
                if value:
                    self.machine.poke(self._entry(child, n), value)
        self.machine.poke(self._entry(parent, index), self.machine.table_word(level + 1, child))

    def _reach(self, level: int, va: int, table: int) -> None:
        """Makes sure that the model's table of this level for an address is at ``table``."""
        at = self.model_root
        for upper in range(self.root_level, level, -1):
            word = self.machine.peek(self._entry(at, self._index(upper, va)))
            linked = self.machine.classify(upper, word) == "table"
            below = self.machine.table_pa(upper, word) if linked else None
            wanted = table if upper - 1 == level else below if below is not None else self._fresh()
            if below != wanted:
                self._move(upper - 1, va, at, wanted)
                self.adopted += 1
            at = wanted

    def _take_over(self, change: Change, strict: bool) -> str | None:
        """Gives the model the word that the kernel had before; says so where the model should have had it."""
        address = self._entry(self._here(change.table), change.index)
        now = self.machine.peek(address)
        if now == change.old:
            return None
        if change.level > 1 and self.machine.classify(change.level, change.old) == "table":
            child = self.machine.word_address(change.level, change.old)
            if self.kernel.xen and self.machine.classify(change.level, now) == "table":
                self.machine.map_frame(self.machine.table_pa(change.level, now), child)
            else:
                self._move(change.level - 1, change.va, self._here(change.table), child)
        self.machine.poke(address, change.old)
        self.adopted += 1
        if strict and (change.level, change.va) in self.touched:
            return f"level {change.level} {change.va:#x}: the model has {now:#x} before, the kernel {change.old:#x}"
        return None

    def prepare(self, changes: Sequence[Change], *, strict: bool) -> list[str]:
        """Takes over what was there before a command, and plans the frames of the tables it allocates."""
        complaints = []
        self.machine.forget_plans()
        made: dict[int, Change] = {}
        for change in changes:
            if change.level > 1 and self._links(change):
                pa = self._guest(change, changes)
                made[pa] = change
        for change in sorted(changes, key=lambda c: -c.level):
            if change.table not in made:
                self._reach(change.level, change.va, self._here(change.table))
                if complaint := self._take_over(change, strict):
                    complaints.append(complaint)
        for pa, change in made.items():
            base = change.va & ~(self.sizes[change.level] - 1)
            self.machine.plan_frame(change.level - 1, base, pa)
        return complaints

    def _links(self, change: Change) -> bool:
        """Whether a table was linked: the entry points to one now, and to another or none before."""
        if self.machine.classify(change.level, change.new) != "table":
            return False
        if self.machine.classify(change.level, change.old) != "table":
            return True
        return self.machine.word_address(change.level, change.old) != self.machine.word_address(
            change.level, change.new
        )

    def _guest(self, change: Change, changes: Iterable[Change]) -> int:
        """The address of a new table. Under Xen its word holds a machine frame; its entries tell the guest's."""
        machine = self.machine.word_address(change.level, change.new)
        if not self.kernel.xen:
            return machine
        inside = (c for c in changes if c.level == change.level - 1 and c.va - change.va < self.sizes[change.level])
        guest = next((c.table for c in inside if c.va >= change.va), machine)
        self.machine.map_frame(guest, machine)
        return guest

    def run(self, ops: Sequence[Mapping[str, Any]]) -> Ran:
        """Carries out the operations of one command."""
        before = image(self.machine)
        raw = self.machine.run(load_program(list(ops)))
        after = image(self.machine)
        results = [from_record(r) for r in records(raw.take_results(), RESULT)]
        events = records(raw.take_events(), EVENT)
        found = differences(before, after)
        return Ran(results, events, {(level, self.there(t), n): w for (level, t, n), w in found.items()})

    def follow(self, changes: Iterable[Change], ran: Ran) -> None:
        """Sets the model to what the kernel had after a command, so that one difference is not reported again and again."""
        wanted = {(c.level, c.table, c.index): c.new for c in changes}
        live = {pa for pa, _, _ in self.machine.image()}
        for key, (old, new) in ran.changes.items():
            if key not in wanted and old != new and self._here(key[1]) in live:
                self.machine.poke(self._entry(self._here(key[1]), key[2]), old)
        for (_, table, index), new in wanted.items():
            if self._here(table) in live and self.machine.peek(self._entry(self._here(table), index)) != new:
                self.machine.poke(self._entry(self._here(table), index), new)

    def remember(self, changes: Iterable[Change]) -> None:
        """These entries are known to the model from now on."""
        self.touched.update((c.level, c.va) for c in changes)

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
        if self.kernel.backend == "arm64":
            return va | high
        return va | (high if va >> bits - 1 & 1 and bits > 32 else 0)
