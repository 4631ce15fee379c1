"""``conform``: the recorded operations run in the model, and every difference by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lazymmu.arrays import Records
from lazymmu.conform import calls, hardware, hash_batch, lazy, records
from lazymmu.conform.changes import BadRecord, Changes, renamed
from lazymmu.conform.changes import recorded as recorded_changes
from lazymmu.conform.commands import (
    COMMANDS,
    SET_MEMORY,
    Allocations,
    BadCommand,
    Command,
    NotModelled,
    Op,
    Scene,
    data_pages,
    linear_frames,
    parse,
)
from lazymmu.conform.report import Difference, Found, Report, first_difference
from lazymmu.conform.session import Ran, Session
from lazymmu.conform.user import UserFile
from lazymmu.conform.user import files as user_files
from lazymmu.errors import ConfigError, ProgramError, RecordingError, RunError
from lazymmu.recording import Kernel, Recording, describe, read_records
from lazymmu.report import names
from lazymmu.results import Result

IGNORED = ("info", "probes", "lzreset")
"""Commands that change no page table."""

ENOSYS = -38
"""What the driver returns for an operation that its kernel does not have."""

LINEAR_MAP = ("arm64", *SET_MEMORY)
"""Backends whose commands change the linear map."""

PENDING = 2
"""The bit of a task's thread flags that says that a barrier waits."""


def conform(recording: Recording) -> Iterator[Report]:
    """Compares every file of operations of a recording with the model.

    Raises `lazymmu.RecordingError` where a file cannot be read, or the kernel is not modelled.
    """
    kernel = describe(recording)
    if not (kernel.backend and kernel.geometry):
        raise RecordingError(recording.folder, "", "the kernel is not modelled")
    if recording.file is None or recording.file.name.startswith("user"):
        for file in user_files(recording):
            yield UserFile(kernel, recording, file).report()
        if recording.file is not None:
            return
    if recording.file is not None and recording.file.name.startswith("hwseq"):
        recording = Recording(recording.folder, recording.need("ops_hw.jsonl"))
    files = recording.matching("ops", ".jsonl")
    if not files:
        raise RecordingError(
            recording.file or recording.folder, "", "no ops*.jsonl, user*.jsonl or hwseq.jsonl to conform to"
        )
    for file in files:
        yield _File(kernel, recording, file).report()


def _sequences(recording: Recording, path: Path) -> dict[int, tuple[int, list[Any]]]:
    """What the CPU executed, by operation, with line numbers; only the run with the hardware's view has it."""
    if not path.name.startswith("ops_hw."):
        return {}
    file = recording.find("hwseq.jsonl")
    if file is None:
        return {}
    out = {}
    for line, record in read_records(file):
        if not isinstance(record.get("n"), int) or not isinstance(record.get("seq"), list):
            raise RecordingError(file, f"line {line}", "expected a number in 'n' and a list in 'seq'")
        out[record["n"]] = (line, record["seq"])
    return out


class _File:
    """One file of operations."""

    def __init__(self, kernel: Kernel, recording: Recording, path: Path) -> None:
        self.path = path
        self.records = records.read(path)
        # Each boot has its own frames; the file may say where they are.
        own = next((r for _, r in self.records if r.get("cmd") == "info" and "release" in r), {})
        self.kernel = replace(kernel, info={**kernel.info, **own})
        self.compared = calls.probed(self._probes())
        self.sequences = _sequences(recording, path)
        self.sequence_file = recording.find("hwseq.jsonl")
        if any(_uses_range_tlbi(items) for _, items in self.sequences.values()):
            self.kernel = replace(self.kernel, found={"arm64_range_tlbi": True})
        tables, roots = self._tables()
        try:
            self.session = Session(self.kernel, cpus=1, mms=roots, tables=tables)
        except ConfigError as error:
            raise RecordingError(path, "", f"no model can be built for it: {error}") from error
        self.followed: set[int] = set()
        self.purged = False
        self.asked = False
        """Whether a worker is still to purge: a release asked for it, and it did not run meanwhile."""
        self.allocations = Allocations()
        self.result = Report(str(path))
        probed = self.kernel.backend == "powerpc-hash" and "hpte_need_flush" in self._probes()
        self.batch = hash_batch.Batches(self.result) if probed else None

    def _probes(self) -> Iterable[str]:
        return next((r.get("on", []) for _, r in self.records if str(r.get("cmd", "")).startswith("probes")), [])

    def _tables(self) -> tuple[set[int], int]:
        """Tables that the file names, and how many processes the kernel has whose tables are synchronised."""
        tables: set[int] = set()
        for line, record in self.records:
            try:
                tables.update(int(run[1], 0) for run in record.get("chg", []))
            except (IndexError, TypeError, ValueError):
                raise RecordingError(self.path, f"line {line}", "'chg' is no list of runs of changes") from None
        seen = max((calls.synchronised(record.get("ev", [])) for _, record in self.records), default=0)
        return tables, max(seen, int(self.kernel.number("arch_page_table_sync_mask") != 0))

    def report(self) -> Report:
        for line, record in self.records:
            text = record.get("cmd")
            if not isinstance(text, str):
                if "what" in record:
                    self.result.skip("user steps")
                    continue
                raise RecordingError(self.path, f"line {line}", f"expected a command in 'cmd', got {text!r}")
            try:
                command = parse(text)
                if command.name not in IGNORED:
                    self._operation(line, record, command)
            except (BadCommand, BadRecord, calls.BadEvent, hardware.BadSequence) as error:
                raise RecordingError(self.path, f"line {line}", str(error)) from None
            except (ProgramError, RunError) as error:
                raise RecordingError(
                    self.path, f"line {line}", f"it does not follow from the records before: {error}"
                ) from None
        self.result.adopted = self.session.adopted
        return self.result

    def _operation(self, line: int, record: dict[str, Any], command: Command) -> None:
        number = record.get("n")
        if not isinstance(number, int):
            raise RecordingError(self.path, f"line {line}", f"expected a number in 'n', got {number!r}")
        changes = recorded_changes(record.get("chg", []), self.session.sizes, swapped=self.kernel.swapped)
        changes = renamed(changes, self.session.nothing)
        self.result.ops += 1
        differences = [
            Difference(number, str(record["cmd"]), *found) for found in self._compare(record, command, changes)
        ]
        self.result.differences += differences
        self.result.agree += not differences

    def _compare(self, record: dict[str, Any], command: Command, changes: Changes) -> Iterator[Found]:
        if command.name == "walk":
            yield from self._walk(command, changes)
            return
        if record.get("ret") == ENOSYS and not len(changes):
            self.result.count("operations that the kernel does not have", 1)
            return
        for complaint in self.session.prepare(changes, strict=command.window is not None):
            yield "state before", complaint, ""
        changes = self.session.as_new(changes)
        scene = Scene(self.kernel, record, self.allocations, lambda: self._leaves(changes), self._leaf)
        self._before(record, command, scene, changes)
        # Workers have been there since.
        if self.asked:
            self.session.run([{"purge": {}}])
            self.asked = False
        while command.name == "purge" and self.allocations.discarded:
            self.session.run([{"free": {"va": {"slot": self.allocations.discarded.pop()}}}])
        try:
            if command.name == "lz":
                ran, found = self._script(record, command, scene)
                yield from found
            elif command.name not in COMMANDS:
                raise BadCommand(f"unknown command {command.name!r}")
            else:
                ops = [*COMMANDS[command.name](command, scene), *self._earlier(record, command)]
                ran = self.session.run(ops, self._meanwhile(record))
                yield from self._results(record, _main(ran, command))
        except NotModelled:
            yield "operation", f"not modelled on {self.kernel.backend}", f"{len(changes)} descriptors changed"
            self._take(changes)
            return
        except (ProgramError, RunError) as error:
            yield "refused", str(error), ""
            self._take(changes)
            return
        if command.name == "unarea":
            ran = replace(ran, events=_without_purge(ran.events))
        window = _window(record, command) or self.kernel.shown
        extra, found = self._changes(window, changes, ran, self._used(command, scene))
        cut = bool(record.get("overflow"))
        yield from (d for d in found if not (cut and d[2] == "unchanged"))
        if not cut:
            yield from self._counted(record, ran)
        yield from self._calls(record, ran)
        if self.batch is not None and self.kernel.shown:
            yield from self.batch.compare([ran.events], 0, self.kernel.shown, record)
        yield from self._hardware(record, changes, ran)
        self.session.follow(changes, extra)
        self.session.remember(changes)

    def _meanwhile(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What else the CPU did in the middle, as the record tells: other tasks ran."""
        if not self.kernel.xen:
            return []
        ops: list[Op] = [{"need_resched": {}}, {"cond_resched": {}}]
        return [
            {"at": {"op": 0, "kind": kind, "nth": number}, "ops": ops}
            for kind, number in calls.switched(record.get("ev", []))
        ]

    def _before(self, record: Mapping[str, Any], command: Command, scene: Scene, changes: Changes) -> None:
        """Takes over what the record shows besides changes: tables that were there, frames of data, counters."""
        events = record.get("ev", [])
        made = {change.va for change in changes.upper() if change.level == 2 and self.session.links(change)}
        size = self.session.sizes[2]
        for va in calls.leaf_tables(events):
            if va & ~(size - 1) not in made and self.session.below(1, va) is None:
                self.session.reach(1, va, None)
                self.session.adopted += 1
        if self.kernel.backend in LINEAR_MAP:
            for pa in linear_frames(command, scene):
                self._linear(scene.linear(pa), pa)
        if self.kernel.xen:
            for va, pa in data_pages(command, scene):
                if va in scene.frame_at:
                    self.session.machine.map_frame(pa, scene.frame_at[va])
            if events and command.name != "lz":
                state = events[0][-1] if isinstance(events[0][-1], dict) else {}
                self.session.machine.set_lazy(0, 0, calls.paused(state))

    def _linear(self, va: int, pa: int) -> None:
        """An entry of the linear map that no record has shown is an ordinary one of the kernel."""
        if self.session.word(va):
            return
        self.session.reach(1, va, None)
        table = self.session.below(1, va)
        if table is not None:
            at = self.session.entry(table, self.session.index(1, va))
            self.session.machine.poke(at, self.session.machine.pte_word(pa, "PAGE_KERNEL"))
            self.session.adopted += 1

    def _take(self, changes: Changes) -> None:
        """Follows the kernel where the model has no operation for what it did."""
        none = changes.rows(np.zeros(len(changes), np.bool_))
        for change in changes.upper():
            if self.session.links(change):
                child = self.session.machine.word_address(change.level, change.new)
                self.session.reach(change.level - 1, change.va, child)
        self.session.follow(changes, none)
        self.session.remember(changes)
        self.followed.update(np.unique(changes.table).tolist())

    def _earlier(self, record: Mapping[str, Any], command: Command) -> list[Op]:
        """The first purge also invalidates what was freed before the recording began: how much is taken over."""
        if command.name != "purge" or self.purged:
            return []
        self.purged = True
        _, items = self.sequences.get(record["n"], (0, []))
        wanted = hardware.recorded(items, self.session.entry_bytes)
        pages = int(np.isin(wanted, [hardware.TLBI, hardware.INVLPG]).sum())
        if hardware.CR4 in wanted:
            pages = self.kernel.number("ptrs_per_pte") + 1
        size = pages << self.kernel.number("page_shift")
        return [{"flush_tlb_kernel_range": {"va": self.kernel.number("vmalloc_start"), "size": size}}] if pages else []

    def _leaf(self, va: int) -> int:
        table = self.session.below(1, va)
        if table is None:
            raise RunError(f"the model has no leaf table for {va:#x}")
        return self.session.machine.peek(self.session.entry(table, self.session.index(1, va)))

    def _leaves(self, changes: Changes) -> list[tuple[int, int, int]]:
        machine = self.session.machine
        return [
            (c.level, c.va, machine.word_address(c.level, c.new))
            for c in changes
            if machine.classify(c.level, c.new) == "leaf"
        ]

    def _script(self, record: Mapping[str, Any], command: Command, scene: Scene) -> tuple[Ran, list[Found]]:
        """A script of lazy sections, step by step, with the counters after each."""
        steps = lazy.recorded(record.get("steps", []))
        found: list[Found] = []
        machine = self.session.machine
        halves = 0
        before = machine.freeze()
        events = []
        results: list[Result] = []
        for number, (letter, op) in enumerate(lazy.script(command, scene)):
            ran = self.session.run([op])
            events.append(ran.events)
            results += ran.results
            halves += {"b": 1, "B": -1}.get(letter, 0)
            enable, pause, flags = machine.lazy(0)
            pending = int(bool(flags & PENDING))
            model = lazy.Step(letter, enable, pause, pending, int(enable > 0 and pause == 0 and halves == 0))
            self.result.count("steps", 1)
            if number >= len(steps) or model != steps[number]:
                kernel = "no step" if number >= len(steps) else str(tuple(steps[number]))
                found.append((f"counters after step {number} ({letter})", str(tuple(model)), kernel))
                if number < len(steps):
                    machine.set_lazy(0, steps[number].enable, steps[number].pause)
        return self.session.since(before, results, np.concatenate(events)), found

    def _results(self, record: Mapping[str, Any], result: Result) -> Iterator[Found]:
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

    def _used(self, command: Command, scene: Scene) -> list[int]:
        """Pages that the kernel maps and uses in the same command: arrays of pages that are areas of their own."""
        if command.name not in ("vmalloc", "vmallochuge"):
            return []
        return scene.outside(scene.address(), -(-command.number(1) // scene.page) * scene.page)

    def _changes(
        self, window: tuple[int, int] | None, changes: Changes, ran: Ran, used: Sequence[int]
    ) -> tuple[Changes, list[Found]]:
        """Descriptors that differ; and those in the window that only the model changed."""
        found: list[Found] = []
        self.result.count("descriptors", len(changes))
        width = self.session.widths
        there, here = changes.addresses(width), ran.changes.addresses(width)
        order = np.argsort(here)
        at = np.minimum(np.searchsorted(here[order], there), max(len(here) - 1, 0))
        match = here[order][at] == there if len(here) else np.zeros(len(there), np.bool_)
        old, new = ran.changes.old[order], ran.changes.new[order]
        same = match.copy()
        if len(here):
            same &= (old[at] == changes.old) & (new[at] == changes.new)
        if background := self.kernel.background:
            # Hardware sets accessed and dirty bits on its own, a hash fault says where the page is: no operation.
            by_hardware = ~match & ((changes.old ^ changes.new) & ~np.uint64(background) == 0)
            self.result.count("bits set by hardware and faults", int(by_hardware.sum()))
            same |= by_hardware
        if len(here) and (bits := hash_batch.slots(self.kernel)):
            # A page that is used as soon as it is mapped has a hash entry in the end.
            faulted = match & (changes.level == 1) & np.isin(changes.va, np.array(used, np.uint64))
            faulted &= ~same & (old[at] == changes.old) & ((new[at] ^ changes.new) & ~np.uint64(bits) == 0)
            self.result.count("bits set by hardware and faults", int(faulted.sum()))
            same |= faulted
        for row in np.flatnonzero(~same).tolist():
            c = next(iter(changes.rows(np.array([row]))))
            place = f"descriptor, level {c.level} table {c.table:#x} index {c.place} va {c.va:#x}"
            model = f"{int(old[at[row]]):#x} -> {int(new[at[row]]):#x}" if match[row] else "unchanged"
            found.append((place, model, f"{c.old:#x} -> {c.new:#x}"))
        only = np.isin(here, there, invert=True)
        if only.any() and window is not None:
            only &= self._in_window(window, ran)
        for c in ran.changes.rows(only):
            place = f"descriptor, level {c.level} table {c.table:#x} index {c.place}"
            found.append((place, f"{c.old:#x} -> {c.new:#x}", "unchanged"))
        return ran.changes.rows(only), found

    def _in_window(self, window: tuple[int, int], ran: Ran) -> Any:
        """Which changes of the model a record of this window would show."""
        start, end = window
        addresses = ran.changes.addresses(self.session.widths)
        model = np.where(
            ran.changes.table == np.uint64(self.session.kernel_root),
            addresses - np.uint64(self.session.kernel_root) + np.uint64(self.session.model_root),
            addresses,
        )
        stored = ran.events[ran.events["kind"] == names.kind("STORE")]
        order = np.argsort(stored["addr"], kind="stable")
        at = np.searchsorted(stored["addr"][order], model)
        known = at < len(order)
        vas = np.zeros(len(model), np.uint64)
        vas[known] = stored["va"][order][at[known]]
        known[known] &= stored["addr"][order][at[known]] == model[known]
        sizes = np.array([self.session.sizes.get(n, 0) for n in range(6)], np.uint64)[ran.changes.level]
        return known & (vas + sizes > np.uint64(start)) & (vas < np.uint64(end))

    def _counted(self, record: Mapping[str, Any], ran: Ran) -> Iterator[Found]:
        for key, kind in (("alloc", "ALLOC"), ("freed", "FREE")):
            try:
                wanted = {int(level): int(n) for level, n in record.get(key, {}).items()}
            except (AttributeError, TypeError, ValueError):
                raise BadRecord(f"{key}: expected numbers of tables by level, got {record[key]!r}") from None
            found: dict[int, int] = {}
            first, last = self.kernel.shown or (0, 1 << 64)
            for event in ran.events[ran.events["kind"] == names.kind(kind)]:
                if event["mm"] == 0 and event["level"] and first <= int(event["va"]) < last:
                    found[int(event["level"])] = found.get(int(event["level"]), 0) + 1
            self.result.count("tables", sum(wanted.values()))
            if found != wanted:
                yield f"tables {'allocated' if key == 'alloc' else 'freed'}", str(found), str(wanted)

    def _calls(self, record: Mapping[str, Any], ran: Ran) -> Iterator[Found]:
        if not self.compared or "ev" not in record:
            return
        wanted = calls.recorded(record["ev"], self.compared)
        found = calls.modelled(ran.events, self.compared, calls.synchronised(record["ev"]))
        cut = bool(record.get("ev_overflow"))
        self.result.count("calls", len(wanted))
        if difference := first_difference(found[: len(wanted)] if cut else found, wanted):
            yield (
                f"calls, from number {difference}",
                calls.show(found[difference:][:3]),
                calls.show(wanted[difference:][:3]),
            )
        if self.kernel.xen:
            steps, model = calls.xen_recorded(record["ev"]), calls.xen_modelled(ran.events)
            self.result.count("hypervisor steps", len(steps))
            if difference := first_difference(model[: len(steps)] if cut else model, steps):
                n = int(difference)
                yield f"hypervisor steps, from number {n}", ", ".join(model[n : n + 4]), ", ".join(steps[n : n + 4])

    def _hardware(self, record: Mapping[str, Any], changes: Changes, ran: Ran) -> Iterator[Found]:
        self.followed.update(np.unique(changes.table).tolist())
        if record["n"] not in self.sequences:
            return
        line, items = self.sequences[record["n"]]
        try:
            wanted = hardware.recorded(items, self.session.entry_bytes)
        except hardware.BadSequence as error:
            raise RecordingError(self.sequence_file, f"line {line}", str(error)) from None
        found = hardware.modelled(ran.events, self.kernel.backend)
        if str(record["cmd"]).startswith(_RELEASES):
            less = hardware.modelled(_without_purge(ran.events), self.kernel.backend)
            if hardware.invalidations(less) == hardware.invalidations(wanted) < hardware.invalidations(found):
                found, self.asked = less, True
        root, width = (
            self.session.model_root,
            self.session.levels[self.session.root_level][1] * self.session.entry_bytes,
        )
        inside = (found >= np.uint64(root)) & (found < np.uint64(root + width))
        found[inside] += np.uint64(self.session.kernel_root - root & (1 << 64) - 1)
        page = 1 << self.kernel.number("page_shift")
        found = hardware.only_known(found, self.followed, page)
        wanted = hardware.only_known(wanted, self.followed, page)
        self.result.count("instructions", len(wanted))
        length = min(len(found), len(wanted))
        differing = np.flatnonzero(found[:length] != wanted[:length])
        if len(differing) or len(found) != len(wanted):
            n = int(differing[0]) if len(differing) else length
            model, kernel = hardware.show(found[n : n + 4]), hardware.show(wanted[n : n + 4])
            yield f"instructions, from number {n} of {len(wanted)}", model or "no more", kernel or "no more"

    def _walk(self, command: Command, changes: Changes) -> Iterator[Found]:
        """Every descriptor in a range: the whole state at once. What no command has changed is taken over."""
        known = np.array([self.session.known(c.table, c.place) for c in changes], np.bool_)
        wanted = {(c.level, c.table, c.place): c.new for c in changes.rows(known)}
        fresh = changes.rows(~known)
        level, table, index, va, _, new = fresh.columns()
        self.session.prepare(Changes(level, table, index, va, new, new), strict=False)
        self.session.remember(changes)
        start, end = command.number(0), command.number(0) + command.number(1)
        taken = {(c.level, c.table, c.place) for c in fresh}
        found = {}
        for level_, pa, place, base, word in self.session.entries():
            inside = start <= base < end or (level_ > 1 and base < end and base + self.session.sizes[level_] > start)
            if inside and (level_, pa, place) not in taken:
                found[level_, pa, place] = word
        self.result.count("descriptors", len(wanted))
        for key in sorted(wanted.keys() | found.keys(), reverse=True):
            if wanted.get(key) != found.get(key):
                place_ = f"descriptor, level {key[0]} table {key[1]:#x} index {key[2]}"
                yield place_, _word(found.get(key)), _word(wanted.get(key))


def _window(record: Mapping[str, Any], command: Command) -> tuple[int, int] | None:
    """The addresses in which changes were recorded: as the record says, else as its command did."""
    if "win" in record:
        try:
            start, end = (int(text, 0) for text in record["win"])
        except (TypeError, ValueError):
            raise BadRecord(f"'win': expected two addresses, got {record['win']!r}") from None
    elif command.window is not None:
        start, end = command.window
    else:
        return None
    if not 0 <= start <= end <= 1 << 64:
        raise BadRecord(f"the window {start:#x} to {end:#x} is none of 64-bit addresses")
    return start, min(end, (1 << 64) - 1)


def _main(ran: Ran, command: Command) -> Result:
    """The result that the driver returned: of a nested allocation the outer one's, of a free the outer one's."""
    if command.name in ("iounmap", "vfree", "vunmapp", "vmunram"):
        return ran.results[0]
    failed = next((r for r in ran.results if r.ending == "returned" and r.ret), None)
    return failed or ran.results[-1]


_UNMAP = 1
"""Of a `FLUSH_CACHE`: before a range is unmapped."""

_RELEASES = ("iounmap", "vfree", "vunmapp", "vmunram", "unarea")


def _uses_range_tlbi(items: Iterable[Any]) -> bool:
    """FEAT_TLBIRANGE: ``info.json`` does not tell, the instructions do."""
    for item in items:
        inner = item.get("seq", []) if isinstance(item, Mapping) else [item]
        if any(isinstance(i, list) and i and str(i[0]).startswith("tlbi rva") for i in inner):
            return True
    return False


def _without_purge(events: Records) -> Records:
    """Without the purge that an enormous release asks for: in the kernel it is a worker's.

    A command may release two areas; the purge is behind the walk of either.
    """
    released = (events["kind"] == names.kind("FLUSH_CACHE")) & (events["aux"] == _UNMAP)
    ended = events["kind"] == names.kind("WALK_END")
    bounds = [0, *np.flatnonzero(released).tolist(), len(events)]
    kept = np.ones(len(events), np.bool_)
    for start, end in itertools.pairwise(bounds):
        ends = np.flatnonzero(ended[start:end])
        if len(ends):
            kept[start + ends[-1] + 1 : end] = False
    return events[kept]


def _word(word: int | None) -> str:
    return "none" if word is None else hex(word)
