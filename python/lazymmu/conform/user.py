"""``conform`` over ``user*.jsonl``: a recorded process and its page tables, step by step.

Tables lie elsewhere in the model than in the kernel, so entries are compared by level and address, links by what they
say besides the address, and the addresses must belong together from first to last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from lazymmu import _native
from lazymmu.arrays import EVENT, RESULT, records
from lazymmu.conform import calls, hash_batch, user_hardware
from lazymmu.conform.changes import BadRecord, Changes, renamed
from lazymmu.conform.changes import recorded as recorded_changes
from lazymmu.conform.records import read
from lazymmu.conform.report import Difference, Found, Report
from lazymmu.conform.session import SPARE
from lazymmu.conform.user_steps import CHILD, PARENT, BadStep, Op, Seen, Steps
from lazymmu.errors import ConfigError, ProgramError, RecordingError, RunError
from lazymmu.machine import load_program
from lazymmu.recording import Kernel, Recording
from lazymmu.results import from_record

Key = tuple[int, int, int]
"""Level, first address and place of an entry: behind the entries of a leaf table there may be the hardware's."""

IGNORED = ("probes", "info", "lzreset")
HARDWARE_BITS = {
    "x86-64": (0x20, 0x40),
    "x86-32": (0x20, 0x40),
    "xen-pv": (0x20, 0x40),
    "riscv": (0x40, 0x80),
    "powerpc-radix": (0x100, 0x80),
    "powerpc-hash": (0x100, 0x80),
}
"""Accessed and dirty bit where the CPUs that were recorded set them, or a hash fault does."""

PAE_ROOT = 3
EMULATED = 1 << 5
"""Reserved in a page-directory-pointer entry of PAE (SDM vol. 3A table 4-8); QEMU's walker sets it as accessed."""


class Model:
    """The process in the model."""

    def __init__(self, kernel: Kernel, window: tuple[int, int]) -> None:
        self.kernel = kernel
        self.window = window
        options = [(k, v if isinstance(v, str) else str(v).lower()) for k, v in kernel.options.items()]
        self.machine = _native.Machine(
            kernel.backend, kernel.scheme, kernel.geometry, options, {}, 1, CHILD, [(PARENT, 0)], "logged", None
        )
        geometry = self.machine.geometry
        self.levels: dict[int, tuple[int, int]] = {n: (shift, count) for n, _, shift, count in geometry["levels"]}
        self.sizes = {n: 1 << shift for n, (shift, _) in self.levels.items()}
        self.root_level = max(self.levels)
        self.page, self.pmd = self.sizes[1], self.sizes[2]
        self.entry_bytes: int = geometry["entry_bytes"]
        self.root_bytes: int = geometry["root_bytes"]
        self.empty = {n: self.machine.empty_word(n, False) for n in self.levels}
        """What the entries of a new table hold, by level."""
        self.nothing = kernel.nothing(self.machine)
        self.spare: int = geometry["table_frames"] + SPARE[geometry["long_bits"]]
        self.isolated = bool(kernel.info.get("pti_root_shown"))
        """Records show the root that the program runs with, too: it lies behind the one that the kernel runs with."""
        self.events: list[Any] = []
        self.waits: list[tuple[int, int]] = []
        """Operation of the step, and its event behind which another task waits for the CPU."""
        self.by_hardware = 0

    def run(self, op: Op) -> int:
        """Carries out one operation of the process."""
        waits = [
            {"at": {"op": 0, "event": event}, "ops": [{"need_resched": {}}]}
            for number, event in self.waits
            if number == len(self.events)
        ]
        raw = self.machine.run(load_program({"ops": [{"op": op}], "injections": waits}))
        result = from_record(records(raw.take_results(), RESULT)[0])
        self.events.append(records(raw.events(), EVENT))
        if result.ending not in ("returned", "done"):
            raise RunError(f"{next(iter(op))}: {result.ending}")
        return result.ret

    def _at(self, level: int, table: int, va: int) -> int:
        """Where a table has the entry of an address."""
        shift, entries = self.levels[level]
        return table + (va >> shift & entries - 1) * (self.root_bytes if level == self.root_level else self.entry_bytes)

    def _path(self, va: int) -> Iterator[tuple[int, int, int]]:
        """Level, address of the entry, and word, from the root down to where the walk ends."""
        table = self.machine.roots()[PARENT]
        for level in range(self.root_level, 0, -1):
            at = self._at(level, table, va)
            word = self.machine.peek(at)
            yield level, at, word
            if self.machine.classify(level, word) != "table":
                return
            table = self.machine.table_pa(level, word)

    def adopt(self, changes: Changes) -> int:
        """Links tables that a step found: other areas of the process have them, and no record shows how they came."""
        shown = {(c.level, c.va) for c in changes}
        adopted = 0
        for change in sorted(changes, key=lambda c: -c.level):
            table = self.machine.roots()[PARENT]
            for level in range(self.root_level, change.level, -1):
                at = self._at(level, table, change.va)
                word = self.machine.peek(at)
                if self.machine.classify(level, word) != "table":
                    if word != self.empty[level] or (level, change.va & ~(self.sizes[level] - 1)) in shown:
                        break
                    largest = max(entries for _, entries in self.levels.values()) * self.entry_bytes
                    self.spare += max(self.page, largest)
                    self.machine.add_table(self.spare, level - 1)
                    word = self.machine.table_word(level, self.spare)
                    self.machine.poke(at, word)
                    adopted += 1
                table = self.machine.table_pa(level, word)
        return adopted

    def place(self, va: int) -> tuple[int, int] | None:
        """Where the leaf entry of an address lies, and its word."""
        return next(((at, word) for level, at, word in self._path(va) if level == 1), None)

    def word(self, va: int) -> int | None:
        """The leaf word of an address."""
        return next((self.known(1, word) for level, _, word in self._path(va) if level == 1), None)

    def known(self, level: int, word: int) -> int:
        """A word, or 0 for what an empty entry holds."""
        return 0 if word == self.empty[level] else word

    def huge(self, va: int) -> bool:
        """Whether a large leaf maps the address."""
        return any(level > 1 and self.machine.classify(level, word) == "leaf" for level, _, word in self._path(va))

    def _attributes(self, va: int) -> Mapping[str, Any]:
        return self.machine.attributes(1, self.word(va) or 0) or {}

    def writable(self, va: int) -> bool:
        """Whether hardware may write through the entry."""
        return bool(self._attributes(va).get("write"))

    def set_by_hardware(self, va: int, *, write: bool) -> bool:
        """CPUs of x86 and riscv and hash faults set the bits themselves; those of arm64 that were recorded do not."""
        bits = HARDWARE_BITS.get(self.kernel.backend)
        if bits is None or (write and not self.writable(va)):
            return False
        at, word = next((at, word) for level, at, word in self._path(va) if level == 1)
        new = word | bits[0] | (bits[1] if write else 0)
        if new != word:
            self.by_hardware += 1
            self.machine.poke(at, new)
        return True

    def entries(self) -> dict[Key, tuple[int, int, int]]:
        """The entries of the window, but those that are 0 where that means empty: table, place and word."""
        tables = {pa: (level, words.tolist()) for pa, level, words in self.machine.image(PARENT)}
        out: dict[Key, tuple[int, int, int]] = {}
        stack = [(self.machine.roots()[PARENT], 0)]
        start, end = self.window
        while stack:
            table, base = stack.pop()
            level, words = tables[table]
            size = self.sizes[level]
            first = max(0, (start - base) // size)
            last = min(self.levels[level][1], (end - base + size - 1) // size)
            for index in range(first, last):
                va = base + index * size
                for place in range(index, len(words), self.levels[level][1]):
                    if words[place] or self.empty[level]:
                        out[level, va, place] = (table, place, words[place])
                if level == self.root_level and self.isolated:
                    place = index + self.levels[level][1]
                    if copy := self.machine.peek(table + place * self.root_bytes):
                        out[level, va, place] = (table, place, copy)
                if level > 1 and self.machine.classify(level, words[index]) == "table":
                    stack.append((self.machine.table_pa(level, words[index]), va))
        return out


class UserFile:
    """One file of user steps."""

    def __init__(self, kernel: Kernel, recording: Recording, path: Path) -> None:
        self.kernel = kernel
        self.path = path
        self.records = read(path)
        self.result = Report(str(path))
        self.sequences = user_hardware.sequences(recording, path)
        self.batch = hash_batch.Batches(self.result)
        self.here: dict[int, int] = {}
        """Where the model has a table that a link of the kernel leads to."""
        self.tables: dict[tuple[int, int], int] = {}
        """Tables of the kernel by level and first address."""

    def report(self) -> Report:
        """Every step, and where model and kernel differ."""
        model: Model | None = None
        steps: Steps | None = None
        for line, record in self.records:
            if record.get("cmd") != "user" or "what" not in record:
                if not str(record.get("cmd")).startswith(IGNORED):
                    raise RecordingError(self.path, f"line {line}", f"expected a user step, got {record.get('cmd')!r}")
                continue
            try:
                window = self._window(record)
                if model is None or steps is None or model.window != window:
                    model = Model(self.kernel, window)
                    self._learn_frames(model)
                    steps = Steps(model, window, model.root_level, model.sizes)
                changes = self._changes(record, model)
                self._step(model, steps, record, changes)
            except (BadRecord, BadStep, calls.BadEvent, user_hardware.BadSequence) as error:
                raise RecordingError(self.path, f"line {line}", str(error)) from None
            except (ProgramError, RunError) as error:
                raise RecordingError(
                    self.path, f"line {line}", f"it does not follow from the records before: {error}"
                ) from None
            except ConfigError as error:
                raise RecordingError(self.path, f"line {line}", f"no model can be built for it: {error}") from error
        if model is not None and model.by_hardware:
            self.result.count("accessed and dirty bits set by hardware", model.by_hardware)
        return self.result

    def _changes(self, record: Mapping[str, Any], model: Model) -> Changes:
        changes = recorded_changes(record.get("chg", []), model.sizes, swapped=self.kernel.swapped)
        return renamed(changes, model.nothing)

    def _window(self, record: Mapping[str, Any]) -> tuple[int, int]:
        try:
            start, end = (int(text, 0) for text in record["win"])
            int(record["pgd_pa"], 0)
        except (KeyError, TypeError, ValueError):
            raise BadRecord(f"a window 'win' and the root 'pgd_pa' are needed, got {record.get('win')!r}") from None
        return start, end

    def _learn_frames(self, model: Model) -> None:
        """Under Xen a word holds a machine frame, but without permission at all the guest's own: both are needed."""
        if not self.kernel.xen:
            return
        mask = (1 << 52) - 1 & ~(model.page - 1)
        for _, record in self.records:
            for change in self._changes(record, model) if "what" in record else ():
                if change.level == 1 and change.old & 1 and change.new and not change.new & 1:
                    model.machine.map_frame(~change.new & mask, change.old & mask)

    def _seen(self, model: Model, record: Mapping[str, Any], changes: Changes) -> Seen:
        machine = model.machine
        entries = model.levels[1][1]
        leaves = {
            c.va: (model.known(1, c.old), model.known(1, c.new)) for c in changes if c.level == 1 and c.place < entries
        }
        large = {c.va: (c.old, c.new) for c in changes if c.level == 2 and machine.classify(2, c.new) == "leaf"}
        cleared = [
            c.level
            for c in changes
            if c.level > 1 and not model.known(c.level, c.new) and machine.classify(c.level, c.old) == "table"
        ]
        # Frames as the process's kernel counts them.
        frame = machine.table_pa if self.kernel.xen else machine.word_address
        return Seen(leaves, large, frame, record.get("ev", []), max(cleared, default=0), self._executable(model))

    def _executable(self, model: Model) -> bool:
        """Whether the first page that the process got may be executed."""
        for _, record in self.records:
            for change in self._changes(record, model) if "what" in record else ():
                if change.level == 1 and model.machine.classify(1, change.new) == "leaf":
                    return bool((model.machine.attributes(1, change.new) or {}).get("exec"))
        return False

    def _step(self, model: Model, steps: Steps, record: Mapping[str, Any], changes: Changes) -> None:
        number = record.get("n")
        if not isinstance(number, int):
            raise BadRecord(f"expected a number in 'n', got {number!r}")
        self.result.ops += 1
        if self.kernel.xen and record.get("ev"):
            state = next((call[-1] for call in record["ev"] if isinstance(call[-1], dict)), {})
            model.machine.set_lazy(0, 0, calls.paused(state))
        self.result.adopted += model.adopt(changes)
        executed = user_hardware.of_step(self, number)
        then = model.machine.snapshot(), copy(steps), dict(self.here), dict(self.result.checked)
        found = self._perform(model, steps, record, changes, executed)
        if executed and (waits := user_hardware.left_early(self, model, executed)):
            # When another task waits is the kernel's affair: the step is done again as it was recorded.
            model.machine, before, self.here, self.result.checked = then
            vars(steps).update(vars(before))
            model.waits = waits
            found = self._perform(model, steps, record, changes, executed)
            model.waits = []
        if self.kernel.backend == "powerpc-hash":
            found += self.batch.compare(model.events, 1, model.window, record)
            hash_batch.adopt(self.kernel, model, changes)
        what = str(record["what"])
        differences = [Difference(number, what, *difference) for difference in found]
        self.result.differences += differences
        self.result.agree += not differences

    def _perform(
        self,
        model: Model,
        steps: Steps,
        record: Mapping[str, Any],
        changes: Changes,
        executed: Sequence[user_hardware.Token] | None,
    ) -> list[Found]:
        """Does what a step does, and what differs."""
        before = model.entries()
        model.events.clear()
        found: list[Found] = []
        try:
            steps.step(str(record["what"]), self._seen(model, record, changes))
        except (ProgramError, RunError) as error:
            found.append(("refused", str(error), ""))
        found += self._compare(model, changes, before, model.entries())
        if executed is not None:
            found += user_hardware.compare(self, model, executed)
        return found

    def _compare(
        self,
        model: Model,
        changes: Changes,
        before: Mapping[Key, tuple[int, int, int]],
        after: Mapping[Key, tuple[int, int, int]],
    ) -> list[Found]:
        """Descriptors that differ, and those that only one side changed."""
        found: list[Found] = []
        self.result.count("descriptors", len(changes))
        rows = list(changes)
        wanted = {(c.level, c.va, c.place) for c in rows}
        right = {}
        for c in rows:
            self.tables[c.level, c.va & ~(self._span(model, c.level) - 1)] = c.table
            right[c] = self._same(model, c.level, before.get((c.level, c.va, c.place)), c.old)
        # What is no longer linked may be anything later.
        for c in rows:
            if c.level > 1 and model.machine.classify(c.level, c.old) == "table":
                self.here.pop(model.machine.word_address(c.level, c.old), None)
        for c in rows:
            key = (c.level, c.va, c.place)
            entries = before.get(key), after.get(key)
            if not (self._same(model, c.level, entries[1], c.new) and right[c]):
                place = f"descriptor, level {c.level} table {c.table:#x} index {c.place} va {c.va:#x}"
                words = [entry[2] if entry else model.empty[c.level] for entry in entries]
                model_text = f"{words[0]:#x} -> {words[1]:#x}" if words[0] != words[1] else "unchanged"
                found.append((place, model_text, f"{c.old:#x} -> {c.new:#x}"))
        for key in sorted(before.keys() | after.keys(), reverse=True):
            # A table that came or went: its entries change from or to what a new one holds.
            none = (0, 0, model.empty[key[0]])
            old, new = before.get(key, none)[2], after.get(key, none)[2]
            if old != new and key not in wanted:
                place = f"descriptor, level {key[0]} va {key[1]:#x} index {key[2]}"
                found.append((place, f"{old:#x} -> {new:#x}", "unchanged"))
        return found

    @staticmethod
    def _span(model: Model, level: int) -> int:
        """Bytes that a whole table of a level maps."""
        return model.sizes[level] * model.levels[level][1]

    def _same(self, model: Model, level: int, entry: tuple[int, int, int] | None, theirs: int) -> bool:
        """Equal words; of links the same flags, and tables that have always been each other's counterparts.

        Where the model has no table, a record may show 0 or what a new one holds.
        """
        if entry is None:
            return theirs in (0, model.empty[level])
        machine, ours = model.machine, entry[2]
        if level == 1:
            return not (ours ^ theirs) & ~hash_batch.slots(self.kernel)
        if machine.classify(level, theirs) != "table":
            return ours == theirs
        if machine.classify(level, ours) != "table":
            return False
        there, here = machine.word_address(level, theirs), machine.word_address(level, ours)
        differing = theirs ^ machine.table_word(level, there) ^ ours ^ machine.table_word(level, here)
        if differing == EMULATED and self.kernel.backend == "x86-32" and level == PAE_ROOT:
            self.result.count("accessed bits of pointer entries set by the emulator", 1)
            differing = 0
        known = self.here.setdefault(there, here)
        return not differing and known == here


def files(recording: Recording) -> list[Path]:
    """The files of user steps of a recording."""
    return recording.matching("user", ".jsonl")
