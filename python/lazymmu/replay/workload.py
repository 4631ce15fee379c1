"""A recorded trace as something to run on any configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lazymmu import _native
from lazymmu.compare.workload import Configuration, Outcome, Prepared
from lazymmu.machine import Machine
from lazymmu.recording.kernel import Kernel
from lazymmu.replay.moves import Kind, Move
from lazymmu.replay.operations import read_operations
from lazymmu.replay.place import Placement
from lazymmu.replay.read import Levels, Reader, tables_before
from lazymmu.results import Run

DATA_FRAMES = {64: 0x1_0000_0000, 32: 0x1800_0000}
"""Pages that a trace does not name are taken from here, aligned like their addresses."""

DATA_WINDOW = 256 << 20

SHOWN = 5
"""Moves that differ from the recorded kernel's and are named one by one."""


@dataclass
class TraceWorkload:
    """The operations of a trace.

    On the recorded kernel's backend and geometry they happen at the recorded addresses, and masks and return values
    must be those of the kernel; elsewhere addresses are moved together.
    """

    kernel: Kernel
    path: Path
    _prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Directory and file."""
        return f"{self.path.parent.name}/{self.path.name.partition('.')[0]}"

    @property
    def about(self) -> str:
        """How much it is."""
        source = f"{self.read.lines} events" if self.read.lines else "a driver's commands"
        release = self.kernel.info.get("release")
        return f"{len(self.read.moves)} operations from {source}, recorded on Linux {release}"

    @cached_property
    def read(self) -> Reader:
        """The trace, read."""
        kernel = self.kernel
        reader = Reader(self.path, Levels(kernel.shifts, kernel.number("pte_bytes"), 1 << kernel.number("page_shift")))
        if self.path.name.startswith("ops"):
            reader.moves = read_operations(kernel, self.path)
        else:
            reader.read()
        return reader

    @cached_property
    def _before(self) -> list[int]:
        return tables_before(self.read.moves, self.read.levels)

    def _own(self, backend: str, geometry: str) -> bool:
        return self.kernel.modelled and (backend, geometry) == (self.kernel.backend, self.kernel.geometry)

    def _placement(self, geometry: str) -> Placement:
        ranges = [(move.va, move.end) for move in self.read.moves if move.kind is not Kind.FLUSH]
        ranges += [(va, va + 1) for va in self._before]
        return Placement(ranges, self.read.levels.page_bytes, _native.geometries()[geometry])

    def suits(self, backend: str, geometry: str, scheme: str) -> bool:
        """Where its addresses have room."""
        del scheme
        return self._own(backend, geometry) or self._placement(geometry).fits

    def prepare(self, configuration: Configuration) -> Prepared:
        """The program, and the tables that were there before."""
        key = configuration.backend, configuration.geometry
        if key not in self._prepared:
            self._prepared[key] = self._prepare(*key)
        return self._prepared[key]

    def _prepare(self, backend: str, geometry: str) -> Prepared:
        own = self._own(backend, geometry)
        writer = _Writer(self.kernel, _native.geometries()[geometry], None if own else self._placement(geometry))
        setup = {"cpus": self.read.cpus, "mms": 1, "ops": [writer.table(va) for va in dict.fromkeys(self._before)]}
        program = {
            "cpus": self.read.cpus,
            "mms": 1,
            "tasks": [{"cpu": cpu} for cpu in range(self.read.cpus)],
            "ops": [{"task": move.cpu, "op": writer.operation(move)} for move in self.read.moves],
        }
        options = self.kernel.options if own else {}
        layout = self.kernel.layout if own else {}
        return Prepared(program, options, layout, setup)

    def judge(self, configuration: Configuration, prepared: Prepared, run: Run, machine: Machine) -> Outcome:
        """Whether masks and return values are the recorded ones, where they have to be."""
        del prepared
        own = self._own(configuration.backend, configuration.geometry)
        if not own or configuration.scheme_name != self.kernel.scheme or len(run.results) != len(self.read.moves):
            return Outcome(run, machine)
        found = list(self._failures(run))
        more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        return Outcome(run, machine, found[:SHOWN] + more)

    def _failures(self, run: Run) -> Sequence[str]:
        out = []
        for move, result in zip(self.read.moves, run.results, strict=True):
            where = f"line {move.line}: {move.kind.value} {move.va:#x} to {move.end:#x}"
            if result.ending != "returned":
                if move.kind is not Kind.FLUSH:
                    out.append(f"{where}: {result.ending}, the kernel returned {move.ret}")
                continue
            if move.mask is not None and result.mask != move.mask:
                out.append(f"{where}: mask {result.mask:#x}, the kernel had {move.mask:#x}")
            if move.ret is not None and result.ret != move.ret:
                out.append(f"{where}: returned {result.ret}, the kernel {move.ret}")
        return out


@dataclass
class _Writer:
    """Writes moves as operations of one geometry; ``place`` is None at the recorded addresses."""

    kernel: Kernel
    geometry: dict[str, Any]
    place: Placement | None

    def _at(self, va: int) -> int:
        return self.place(va) if self.place else va

    def table(self, va: int) -> dict[str, Any]:
        """Links the tables of an address."""
        return {"op": {"populate_kernel": {"va": self._at(va), "sync": True}}}

    def _prot(self, bits: int) -> int | str:
        if self.place is None:
            return bits
        return self.kernel.prot_name(bits)

    def _pa(self, pa: int) -> int:
        if self.place is None:
            return pa
        bits: int = min(self.geometry["pa_bits"], 44)
        return pa // self.place.page * self._page & ((1 << bits) - 1)

    @property
    def _page(self) -> int:
        shift: int = self.geometry["page_shift"]
        return 1 << shift

    def operation(self, move: Move) -> dict[str, Any]:
        """One operation of a program."""
        va, end = self._at(move.va), self._at(move.end)
        match move.kind:
            case Kind.MAP | Kind.MAP_NOFLUSH:
                out: dict[str, Any] = {
                    "va": va,
                    "size": end - va,
                    "pa": self._pa(move.pa),
                    "prot": self._prot(move.prot),
                }
                if move.kind is Kind.MAP_NOFLUSH:
                    out["max_shift"] = max(move.shift, self.geometry["page_shift"])
                return {move.kind.value: out}
            case Kind.PAGES:
                start = DATA_FRAMES[self.geometry["long_bits"]] + va % DATA_WINDOW
                pages = {"count": (end - va) // self._page, "start": start}
                if move.hole is not None:
                    pages["null_at"] = move.hole
                small = 1 << move.shift <= 1 << self.kernel.number("page_shift")
                shift = 0 if small else self._shift(move.shift)
                return {move.kind.value: {"va": va, "pages": pages, "prot": self._prot(move.prot), "page_shift": shift}}
            case Kind.UNMAP:
                return {move.kind.value: {"va": va, "size": end - va, "noflush": True}}
            case Kind.APPLY:
                # What the callback did is not in a trace; a rewrite of each entry costs what a change of it costs.
                callback: dict[str, Any] = {"kind": move.fn or "protect"}
                if move.fn:
                    prot = self._prot(move.prot)
                    callback |= {"pa": self._pa(move.pa), "prot": prot, "fail_at": move.fail_at}
                out = {"va": va, "size": end - va, "create": move.create, "callback": callback}
                return {move.kind.value: out}
            case Kind.FLUSH:
                return {move.kind.value: {"va": va, "size": max(end - va, self._page)}}

    def _shift(self, shift: int) -> int:
        """The large page that takes the place of the recorded one."""
        if self.place is None:
            return shift
        pmd: int = self.geometry["levels"][1][2]
        larger = shift - self.kernel.number("page_shift")
        return min(self._page.bit_length() - 1 + larger, pmd)
