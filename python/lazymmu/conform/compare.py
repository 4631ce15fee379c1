"""``conform``: the recorded operations run in the model, and every difference by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazymmu.conform import calls
from lazymmu.conform.changes import BadRecord, Change
from lazymmu.conform.changes import recorded as recorded_changes
from lazymmu.conform.commands import COMMANDS, Allocations, BadCommand, Command, Scene, parse
from lazymmu.conform.session import Ran, Session
from lazymmu.errors import ProgramError, RecordingError, RunError
from lazymmu.recording import Kernel, Recording, describe, read_records
from lazymmu.results import Result

IGNORED = ("info", "probes")
"""Commands that change nothing."""


@dataclass(frozen=True)
class Difference:
    """Something that model and kernel do not agree about in one operation."""

    op: int
    command: str
    what: str
    model: str
    kernel: str


@dataclass
class Report:
    """What one file of a recording says about the model."""

    recording: str
    ops: int = 0
    agree: int = 0
    adopted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    """How many returns, changed descriptors, calls, ... were compared."""

    @property
    def ok(self) -> bool:
        """Everything that was compared agrees, and everything was compared."""
        return not self.differences and not self.skipped

    def count(self, what: str, number: int) -> None:
        """Notes that so many more of something were compared."""
        self.checked[what] = self.checked.get(what, 0) + number


def conform(recording: Recording) -> Iterator[Report]:
    """Compares every file of operations of a recording with the model.

    Raises `lazymmu.RecordingError` where a file cannot be read.
    """
    kernel = describe(recording)
    files = recording.matching("ops", ".jsonl")
    if not files:
        raise RecordingError(recording.file or recording.folder, "", "no ops*.jsonl to conform to")
    for file in files:
        yield _File(kernel, file).report()


class _File:
    """One file of operations."""

    def __init__(self, kernel: Kernel, path: Path) -> None:
        self.kernel = kernel
        self.path = path
        self.records = list(read_records(path))
        self.compared = calls.probed(self._probes())
        self.session = Session(kernel, cpus=self._cpus(), mms=self._roots())
        self.allocations = Allocations()
        self.result = Report(str(path))

    def _probes(self) -> Iterable[str]:
        return next((r.get("on", []) for _, r in self.records if r.get("cmd", "").startswith("probes")), [])

    def _cpus(self) -> int:
        return 1

    def _roots(self) -> int:
        """Process roots that a synchronisation visits, as far as the record shows them."""
        return 1

    def report(self) -> Report:
        for line, record in self.records:
            text = record.get("cmd")
            if not isinstance(text, str):
                raise RecordingError(self.path, f"line {line}", f"expected a command in 'cmd', got {text!r}")
            try:
                command = parse(text)
            except BadCommand as error:
                raise RecordingError(self.path, f"line {line}", str(error)) from None
            if command.name not in IGNORED:
                self._operation(line, record, command)
        self.result.adopted = self.session.adopted
        return self.result

    def _operation(self, line: int, record: dict[str, Any], command: Command) -> None:
        number = record.get("n")
        if not isinstance(number, int):
            raise RecordingError(self.path, f"line {line}", f"expected a number in 'n', got {number!r}")
        try:
            changes = recorded_changes(record.get("chg", []), self.session.sizes)
        except BadRecord as error:
            raise RecordingError(self.path, f"line {line}", str(error)) from None
        self.result.ops += 1
        before = len(self.result.differences)
        for what, model, kernel in self._compare(line, record, command, changes):
            self.result.differences.append(Difference(number, str(record["cmd"]), what, model, kernel))
        if len(self.result.differences) == before:
            self.result.agree += 1

    def _compare(
        self, line: int, record: dict[str, Any], command: Command, changes: list[Change]
    ) -> Iterator[tuple[str, str, str]]:
        if command.name == "walk":
            yield from self._walk(command, changes)
            return
        if command.name not in COMMANDS:
            self.result.skipped[command.name] = self.result.skipped.get(command.name, 0) + 1
            self._take(changes)
            return
        for complaint in self.session.prepare(changes, strict=command.window is not None):
            yield "state before", complaint, ""
        scene = Scene(self.kernel, record, self.allocations, self._leaves(changes))
        try:
            ops = COMMANDS[command.name](command, scene)
            ran = self.session.run(ops)
        except BadCommand as error:
            raise RecordingError(self.path, f"line {line}", str(error)) from None
        except (ProgramError, RunError) as error:
            yield "refused", str(error), ""
            self._take(changes)
            return
        yield from self._results(record, ran.results[-1])
        yield from self._changes(command, changes, ran)
        yield from self._tables(record, ran)
        yield from self._calls(record, ran)
        self.session.follow(changes, ran)
        self.session.remember(changes)

    def _take(self, changes: list[Change]) -> None:
        """Follows the kernel where the model has no operation for what it did."""
        self.session.prepare(changes, strict=False)
        self.session.follow(changes, Ran([], None, {}))  # type: ignore[arg-type]
        self.session.remember(changes)

    def _leaves(self, changes: Iterable[Change]) -> list[tuple[int, int, int]]:
        machine = self.session.machine
        return [
            (c.level, c.va, machine.word_address(c.level, c.new))
            for c in changes
            if machine.classify(c.level, c.new) == "leaf"
        ]

    def _results(self, record: dict[str, Any], result: Result) -> Iterator[tuple[str, str, str]]:
        self.result.count("returns", 1)
        wanted = record.get("ret", 0)
        if result.ending in ("returned", "done"):
            if result.ret != wanted:
                yield "return value", str(result.ret), str(wanted)
        elif result.ending == "address":
            address = result.value or 0
            if hex(address) != record.get("va"):
                yield "address", hex(address), str(record.get("va"))
        else:
            yield "return value", str(result.summary()), str(wanted)
        if "fn_calls" in record:
            self.result.count("callbacks", int(record["fn_calls"]))
            if result.calls != record["fn_calls"]:
                yield "callbacks", str(result.calls), str(record["fn_calls"])

    def _changes(self, command: Command, changes: list[Change], ran: Ran) -> Iterator[tuple[str, str, str]]:
        wanted = {(c.level, c.table, c.index): c for c in changes}
        self.result.count("descriptors", len(wanted))
        for key, change in wanted.items():
            words = ran.changes.get(key)
            place = f"level {change.level} table {change.table:#x} index {change.index} va {change.va:#x}"
            kernel = f"{change.old:#x} -> {change.new:#x}"
            if words is None:
                yield f"descriptor, {place}", "unchanged", kernel
            elif words != (change.old, change.new):
                yield f"descriptor, {place}", f"{words[0]:#x} -> {words[1]:#x}", kernel
        for key, (old, new) in ran.changes.items():
            if key not in wanted and self._in_window(command, ran, key):
                level, table, index = key
                yield f"descriptor, level {level} table {table:#x} index {index}", f"{old:#x} -> {new:#x}", "unchanged"

    def _in_window(self, command: Command, ran: Ran, key: tuple[int, int, int]) -> bool:
        """Whether the record would show a change of this entry."""
        if command.window is None:
            return True
        level, table, index = key
        address = (
            self.session.model_root if table == self.session.kernel_root else table
        ) + index * self.session.entry_bytes
        vas = ran.events["va"][ran.events["addr"] == address]
        start, end = command.window
        return any(start - self.session.sizes[level] < int(va) < end for va in vas)

    def _tables(self, record: dict[str, Any], ran: Ran) -> Iterator[tuple[str, str, str]]:
        for key, kind in (("alloc", "ALLOC"), ("freed", "FREE")):
            wanted = {int(level): int(n) for level, n in record.get(key, {}).items()}
            found: dict[int, int] = {}
            code = next(c for c, name in calls.names.kinds().items() if name == kind)
            for event in ran.events[ran.events["kind"] == code]:
                if event["mm"] == 0 and event["level"]:
                    found[int(event["level"])] = found.get(int(event["level"]), 0) + 1
            self.result.count("tables", sum(wanted.values()))
            if found != wanted:
                yield f"tables {'allocated' if key == 'alloc' else 'freed'}", str(found), str(wanted)

    def _calls(self, record: dict[str, Any], ran: Ran) -> Iterator[tuple[str, str, str]]:
        if not self.compared:
            return
        wanted = calls.recorded(record.get("ev", []), self.compared, True)
        found = calls.modelled(ran.events, self.compared)
        if record.get("ev_overflow"):
            found = found[: len(wanted)]
        self.result.count("calls", len(wanted))
        if wanted != found:
            first = next(
                (n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
            )
            yield f"calls, from number {first}", _some(found, first), _some(wanted, first)

    def _walk(self, command: Command, changes: Sequence[Change]) -> Iterator[tuple[str, str, str]]:
        """Every descriptor in a range: the whole state at once."""
        start, end = command.number(0), command.number(0) + command.number(1)
        wanted = {(c.level, c.table, c.index): c.new for c in changes}
        found = {}
        for level, pa, index, va, word in self.session.entries():
            if start <= va < end or (level > 1 and va < end and va + self.session.sizes[level] > start):
                found[level, pa, index] = word
        self.result.count("descriptors", len(wanted))
        for key in sorted(wanted.keys() | found.keys(), reverse=True):
            if wanted.get(key) != found.get(key):
                level, table, index = key
                place = f"descriptor, level {level} table {table:#x} index {index}"
                yield place, _word(found.get(key)), _word(wanted.get(key))


def _word(word: int | None) -> str:
    return "none" if word is None else hex(word)


def _some(found: Sequence[calls.Call], first: int) -> str:
    return calls.show(found[first : first + 3]) or "no more"
