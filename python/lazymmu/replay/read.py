"""From the lines of a trace to moves: which line is an operation, and which tells of the course of one.

The probes sit on functions that call each other, so ``vmap_range_noflush`` is an operation of its own only where no
other one of the same task is under way that covers its range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lazymmu.recording.trace import TraceEvent, argument, read_trace
from lazymmu.replay.moves import Kind, Move


@dataclass(frozen=True)
class Levels:
    """Shifts of the recorded kernel: by level, 1 the leaf table's, only levels that are not folded."""

    shifts: dict[int, int]
    entry_bytes: int
    page_bytes: int

    def base(self, level: int, va: int) -> int:
        """The first address that the table of this level at an address maps."""
        above = self.shifts.get(level + 1)
        return 0 if above is None else va >> above << above


@dataclass
class Reader:
    """Reads one trace."""

    path: Path
    levels: Levels
    moves: list[Move] = field(default_factory=list)
    cpus: int = 1
    lines: int = 0
    _open: dict[int, Move] = field(default_factory=dict)
    _flush: Move | None = None
    _leaves_seen: bool = False

    def read(self) -> list[Move]:
        """The moves of the file, in its order."""
        events = list(read_trace(self.path))
        # Recorded when they returned, inner calls come before the outer ones: backwards it is the other way round.
        inside_out = any(event.leaving for event in events if event.name in _OPERATIONS)
        for event in reversed(events) if inside_out else events:
            self.lines += 1
            self.cpus = max(self.cpus, event.cpu + 1)
            handler = _HANDLERS.get(event.name)
            if handler is not None:
                handler(self, event)
                self._leaves_seen = self._leaves_seen or handler is Reader._leaf_table
        if inside_out:
            self.moves.reverse()
        if not self._leaves_seen:
            self._guess_leaf_tables()
        return self.moves

    def _guess_leaf_tables(self) -> None:
        """Without probes on the loops over leaf tables: single pages need every table of their range."""
        for move in self.moves:
            small = move.kind is Kind.PAGES and 1 << move.shift <= self.levels.page_bytes
            made = {va for level, va in move.made if level == 1}
            step = 1 << self.levels.shifts[2]
            for base in range(self.levels.base(1, move.va), move.end, step):
                whole = move.va <= base and base + step <= move.end
                if base not in made and (small or (move.kind is Kind.MAP and not whole)):
                    move.visited.append(base)

    def _number(self, event: TraceEvent, name: str) -> int:
        return argument(self.path, event, name)

    def _begin(self, event: TraceEvent, kind: Kind, start: str = "addr", end: str = "end") -> Move:
        move = Move(kind, event.line, event.cpu, self._number(event, start), self._number(event, end))
        self._open[event.pid] = move
        self.moves.append(move)
        return move

    def _inside(self, event: TraceEvent, start: str = "addr", end: str = "end") -> Move | None:
        """The move under way in this task, if it covers the event's range."""
        move = self._open.get(event.pid)
        if move is not None and move.covers(self._number(event, start), self._number(event, end)):
            return move
        return None

    def _by_pointer(self, move: Move, level: int, pointer: int) -> int | None:
        """First address that an entry maps: the one in the move's range that has this place in its table."""
        shift = self.levels.shifts[level]
        per_page = self.levels.page_bytes // self.levels.entry_bytes
        if level + 1 in self.levels.shifts:
            # Several tables may share a page.
            per_page = min(per_page, 1 << (self.levels.shifts[level + 1] - shift))
        index = (pointer % self.levels.page_bytes) // self.levels.entry_bytes
        first, last = move.va >> shift, (move.end - 1) >> shift
        number = first + (index - first) % per_page
        return number << shift if number <= last else None

    # Operations.

    def _map(self, event: TraceEvent) -> None:
        move = self._begin(event, Kind.MAP)
        move.pa, move.prot = self._number(event, "pa"), self._number(event, "prot")

    def _map_noflush(self, event: TraceEvent) -> None:
        if self._inside(event) is None:
            move = self._begin(event, Kind.MAP_NOFLUSH)
            move.pa, move.prot = self._number(event, "pa"), self._number(event, "prot")
            move.shift = self._number(event, "shift")

    def _pages(self, event: TraceEvent) -> None:
        move = self._begin(event, Kind.PAGES)
        move.prot, move.shift = self._number(event, "prot"), self._number(event, "shift")

    def _unmap(self, event: TraceEvent) -> None:
        self._begin(event, Kind.UNMAP, "start")

    def _apply(self, event: TraceEvent) -> None:
        start = self._number(event, "addr")
        move = Move(Kind.APPLY, event.line, event.cpu, start, start + self._number(event, "size"))
        move.create = bool(event.arguments.get("create", 1))
        self._open[event.pid] = move
        self.moves.append(move)

    def _flushed(self, event: TraceEvent) -> None:
        # A large leaf that takes the place of a table flushes in the middle of its walk: that is the walk's own.
        under_way = self._open.get(event.pid)
        start, end = self._number(event, "start"), self._number(event, "end")
        if start < end and not (under_way and under_way.ret is None and under_way.covers(start, end)):
            self._flush = Move(Kind.FLUSH, event.line, event.cpu, start, end)
            self.moves.append(self._flush)

    def _purge(self, event: TraceEvent) -> None:
        if self._number(event, "num_purged"):
            start, end = self._number(event, "start"), self._number(event, "end")
            flushed = self._flush is not None and (self._flush.va, self._flush.end) == (start, end)
            if not flushed and start < end:
                self.moves.append(Move(Kind.FLUSH, event.line, event.cpu, start, end))
        self._flush = None

    # The course of one.

    def _leaf_table(self, event: TraceEvent) -> None:
        if move := self._inside(event):
            move.visited.append(self.levels.base(1, self._number(event, "addr")))

    def _table_made(self, event: TraceEvent) -> None:
        level, key = {"pte_alloc_kernel": (1, "pmd"), "pmd_alloc": (2, "pud"), "pud_alloc": (3, "p4d")}[event.name]
        move = self._open.get(event.pid)
        if move is None or level + 1 not in self.levels.shifts:
            return
        va = event.arguments.get("addr")
        if va is None:
            va = self._by_pointer(move, level + 1, self._number(event, key))
        if va is not None and self.levels.base(level, move.va) <= self.levels.base(level, va) < move.end:
            move.made.append((level, self.levels.base(level, va)))

    def _large(self, event: TraceEvent) -> None:
        move = self._open.get(event.pid)
        if move is not None:
            va = self._by_pointer(move, 2, self._number(event, "pmd"))
            if va is not None:
                move.huge.append(va)

    def _gave_way(self, event: TraceEvent) -> None:
        if move := self._open.get(event.pid):
            move.visited.append(self.levels.base(1, self._number(event, "addr")))

    def _returned(self, event: TraceEvent) -> None:
        if move := self._inside(event):
            move.mask = (move.mask or 0) | self._number(event, "mask")
            move.ret = move.ret or event.arguments.get("ret", 0)

    def _sync(self, event: TraceEvent) -> None:
        if move := self._open.get(event.pid):
            move.syncs.append((self._number(event, "start"), self._number(event, "end")))

    def _other(self, event: TraceEvent) -> None:
        self._open.pop(event.pid, None)


_OPERATIONS = ("vmap_page_range", "vmap_pages_range_noflush", "vunmap_range_noflush")

_HANDLERS: dict[str, Callable[[Reader, TraceEvent], None]] = {
    "vmap_page_range": Reader._map,
    "vmap_range_noflush": Reader._map_noflush,
    "vmap_pages_range_noflush": Reader._pages,
    "vunmap_range_noflush": Reader._unmap,
    "apply_to_page_range": Reader._apply,
    "flush_tlb_kernel_range": Reader._flushed,
    "purge_vmap_area_lazy": Reader._purge,
    "vmap_pages_pte_range": Reader._leaf_table,
    "vmap_pte_range": Reader._leaf_table,
    "vunmap_pte_range": Reader._leaf_table,
    "apply_to_pte_range": Reader._leaf_table,
    "pte_alloc_kernel": Reader._table_made,
    "pmd_alloc": Reader._table_made,
    "pud_alloc": Reader._table_made,
    "pmd_set_huge": Reader._large,
    "pmd_free_pte_page": Reader._gave_way,
    "vmap_p4d_ret": Reader._returned,
    "vmap_pages_p4d_ret": Reader._returned,
    "vunmap_p4d_ret": Reader._returned,
    "apply_p4d_ret": Reader._returned,
    "arch_sync_kernel_mappings": Reader._sync,
    "alloc_vmap_area": Reader._other,
    "free_vmap_area_noflush": Reader._other,
}


def tables_before(moves: Iterable[Move], levels: Levels) -> list[int]:
    """Addresses whose leaf tables, and those above, were there when the trace began.

    They are those that a move found and no earlier one made. Where a table above a new leaf table was there already,
    a neighbour that no move makes is named instead.
    """
    moves = list(moves)
    ever_made = {table for move in moves for table in move.made}
    known: set[tuple[int, int]] = set()
    before: list[int] = []

    def found(va: int) -> None:
        before.append(va)
        know(va)

    def know(va: int) -> None:
        known.update((level, levels.base(level, va)) for level in levels.shifts)

    for move in moves:
        new = set(move.made)
        for level, va in move.made:
            for upper in range(level + 1, max(levels.shifts)):
                base = levels.base(upper, va)
                if (upper, base) not in known and (upper, base) not in new:
                    neighbour = _neighbour(base, upper, levels, ever_made)
                    if neighbour is not None:
                        found(neighbour)
            known.add((level, va))
        for va in move.visited:
            if (1, va) not in known:
                found(va)
        for va in move.visited:
            know(va)
        known.difference_update((1, va) for va in move.huge)
    return before


def _neighbour(base: int, level: int, levels: Levels, avoid: set[tuple[int, int]]) -> int | None:
    """An address below a table whose lower tables are none of these; the last ones are the least likely to be used."""
    step = 1 << levels.shifts[level]
    end = base + (1 << levels.shifts[level + 1])
    for va in range(end - step, base - step, -step):
        if all((lower, levels.base(lower, va)) not in avoid for lower in range(1, level)):
            return va
    return None
