"""The steps of ``user*.jsonl``: what a process did to its own memory, as operations of the model.

A step says in words what happened; areas and pages are those of the script that recorded it. Frames, and whether a
write copied a page, are the kernel's choice and are taken from the record; what becomes of every entry is the model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from lazymmu.errors import LazymmuError

Op: TypeAlias = dict[str, Any]
PARENT, CHILD = 1, 2
BLOCK = 0x1_0000
"""Bytes of the large folios of the ``mTHP`` steps."""


class BadStep(LazymmuError):
    """A step that cannot be read."""


@dataclass(frozen=True)
class Area:
    """A ``vm_area_struct``: its range, ``vm_page_prot``, whether it may be written, whether it is shared memory.

    ``moved``: how far it lies from where it was mapped, which is what ``vm_pgoff`` of anonymous memory says.
    """

    start: int
    end: int
    prot: str = "PAGE_READONLY"
    writable: bool = True
    shared: bool = False
    moved: int = 0

    def like(self, other: Area) -> bool:
        """Both could be one area."""
        return replace(self, start=0, end=0) == replace(other, start=0, end=0)


class Process(Protocol):
    """The model's side of a step."""

    page: int
    pmd: int

    def run(self, op: Op) -> int:
        """Carries out an operation; its return value."""

    def word(self, va: int) -> int | None:
        """The leaf word of an address as the model has it now; None: no leaf table."""

    def huge(self, va: int) -> bool:
        """Whether a large leaf maps an address."""

    def writable(self, va: int) -> bool:
        """Whether the entry grants writes."""

    def set_by_hardware(self, va: int, *, write: bool) -> bool:
        """Lets the CPU set accessed and dirty bits; False: it does not do that here."""


@dataclass(frozen=True)
class Seen:
    """What a record shows: leaf words before and after by address (level 1), large leaves (level 2), calls."""

    leaves: Mapping[int, tuple[int, int]]
    large: Mapping[int, tuple[int, int]]
    frame: Callable[[int, int], int]
    """Frame of a word of a level."""
    calls: list[list[Any]]
    levels_cleared: int
    """The highest level at which a table was unlinked."""
    executable: bool = False
    """Data is executable in this process (``READ_IMPLIES_EXEC``)."""

    def new_frame(self, va: int) -> int | None:
        """The frame that an entry got, if it got one."""
        words = self.leaves.get(va)
        return None if words is None or not words[1] else self.frame(1, words[1])

    def copied(self, va: int) -> bool:
        """Whether an entry got another frame."""
        old, new = self.leaves.get(va, (0, 0))
        return bool(old and new) and self.frame(1, old) != self.frame(1, new)

    def protected(self) -> int | None:
        """Where the only call of ``change_protection`` began."""
        try:
            starts = [int(call[3], 0) for call in self.calls if call[0] == "change_protection"]
        except (IndexError, TypeError, ValueError):
            raise BadStep("a call of change_protection has no first address") from None
        return starts[0] if len(starts) == 1 else None


class Steps:
    """The recorded process: its areas, and the meaning of each step."""

    def __init__(self, process: Process, window: tuple[int, int], root_level: int, sizes: Mapping[int, int]) -> None:
        self.process = process
        self.start, self.end = window
        self.root_level = root_level
        self.sizes = sizes
        self.suffix = ""
        self.areas: list[Area] = []
        self.forked: list[Area] = []

    # Areas ----------------------------------------------------------------------------------------

    def _cut(self, start: int, end: int) -> list[Area]:
        """Removes a range from the areas; what was there."""
        kept, gone = [], []
        for area in self.areas:
            inside = replace(area, start=max(area.start, start), end=min(area.end, end))
            if inside.start >= inside.end:
                kept.append(area)
                continue
            gone.append(inside)
            if area.start < start:
                kept.append(replace(area, end=start))
            if area.end > end:
                kept.append(replace(area, start=end))
        self.areas = sorted(kept, key=lambda a: a.start)
        return gone

    def _add(self, new: Area) -> None:
        """Adds an area; neighbours of the same kind become one."""
        merged: list[Area] = []
        for area in sorted([*self.areas, new], key=lambda a: a.start):
            if merged and merged[-1].end == area.start and merged[-1].like(area):
                merged[-1] = replace(merged[-1], end=area.end)
            else:
                merged.append(area)
        self.areas = merged

    def _area(self, va: int) -> Area:
        found = next((a for a in self.areas if a.start <= va < a.end), None)
        if found is None:
            raise BadStep(f"no area at {va:#x}")
        return found

    def _split_edges(self, start: int, end: int) -> None:
        """Where an area is cut in the middle of a large leaf, that is split first (``vma_adjust_trans_huge``)."""
        for edge in (start, end):
            if edge % self.process.pmd and self.process.huge(edge):
                prot = self._area(edge - self.process.page).prot
                self.process.run({"split_huge_pmd": {"mm": PARENT, "va": edge & ~(self.process.pmd - 1), "prot": prot}})

    # What happens ---------------------------------------------------------------------------------

    def _pages(self, first: int, last: int) -> tuple[int, int]:
        return self.start + first * self.process.page, self.start + (last + 1) * self.process.page

    def fault(self, va: int, seen: Seen, *, write: bool) -> None:
        """One access of the process."""
        process = self.process
        at = {"mm": PARENT, "va": va}
        if process.huge(va):
            return
        word = process.word(va)
        if not word:
            self._missing(va, seen, write=write)
            return
        if process.set_by_hardware(va, write=write):
            return
        if process.run({"handle_pte_fault": {**at, "write": write}}) or not write or process.writable(va):
            return
        if seen.copied(va):
            copy = {"pa": seen.new_frame(va), "prot": self._area(va).prot}
            process.run({"do_wp_page": {**at, **copy}})
        else:
            process.run({"do_wp_page": at})

    def _missing(self, va: int, seen: Seen, *, write: bool) -> None:
        pa = seen.new_frame(va)
        if pa is None:
            raise BadStep(f"the record does not show which page {va:#x} got")
        area = self._area(va)
        op = {"mm": PARENT, "va": va, "pa": pa, "write": write, "prot": area.prot}
        if area.shared:
            self.process.run({"finish_fault": op})
        else:
            self.process.run({"do_anonymous_page": op})

    def write(self, start: int, end: int, seen: Seen) -> None:
        """Writes to each page."""
        for va in range(start, end, self.process.page):
            self.fault(va, seen, write=True)

    def large(self, va: int, seen: Seen) -> None:
        """A write to memory that may have large leaves: whatever came of it."""
        base = va & ~(self.process.pmd - 1)
        if base in seen.large:
            pa = seen.frame(2, seen.large[base][1])
            op = {"mm": PARENT, "va": base, "pa": pa, "prot": self._area(va).prot}
            self.process.run({"do_huge_pmd_anonymous_page": op})
        else:
            self.fault(va, seen, write=True)

    def block(self, va: int, seen: Seen) -> None:
        """A write to memory that may have large folios: the pages that appeared are one."""
        base = va & ~(BLOCK - 1)
        if self.process.page >= BLOCK or base not in seen.leaves or seen.new_frame(base) is None:
            self.fault(va, seen, write=True)
            return
        pages = sum(1 for n in range(BLOCK // self.process.page) if base + n * self.process.page in seen.leaves)
        pages = 1 << pages.bit_length() - 1
        op = {"mm": PARENT, "va": base, "pa": seen.new_frame(base), "pages": pages, "prot": self._area(va).prot}
        self.process.run({"do_anonymous_page": op})

    def protect(self, start: int, end: int, right: str) -> None:
        """``mprotect``."""
        self._split_edges(start, end)
        for area in self._cut(start, end):
            prot = "PAGE_SHARED" if area.shared and right == "RW" else "PAGE_READONLY"
            prot = "PAGE_NONE" if right == "NONE" else prot + self.suffix
            self._add(replace(area, prot=prot, writable=right == "RW"))
            op = {"mm": PARENT, "va": area.start, "size": area.end - area.start, "prot": prot}
            flags = {"try_writable": right == "RW", "shared": area.shared}
            self.process.run({"change_protection": {**op, **flags}})

    def discard(self, start: int, end: int) -> None:
        """``MADV_DONTNEED``."""
        self.process.run({"zap_page_range": {"mm": PARENT, "va": start, "size": end - start}})

    def advise(self, start: int, end: int, advice: str) -> None:
        """``MADV_COLD``, ``MADV_FREE``."""
        self.process.run({"madvise": {"mm": PARENT, "va": start, "size": end - start, "advice": advice}})

    def unmap(self, start: int, end: int, seen: Seen | None) -> None:
        """``munmap``. Which tables others still need, outside the window, the record shows."""
        self._split_edges(start, end)
        gone = self._cut(start, end)
        if not gone:
            return
        before = max((a.end for a in self.areas if a.end <= start), default=0)
        behind = min((a.start for a in self.areas if a.start >= end), default=0)
        if seen is not None and not self.areas and seen.levels_cleared < self.root_level:
            # Something beside the window keeps the upper tables: as near as it can be.
            size = self.sizes.get(seen.levels_cleared, 0)
            behind = -(-end // size) * size if size else end
        areas = [{"start": area.start, "end": area.end} for area in gone]
        op = {"mm": PARENT, "vmas": areas, "floor": before, "ceiling": behind}
        self.process.run({"unmap_region": op})

    def move(self, start: int, end: int, to: int) -> None:
        """``mremap`` to a place that is unmapped first."""
        self._split_edges(start, end)
        self.unmap(to, to + end - start, None)
        moved = self._area(start)
        self.process.run({"move_page_tables": {"mm": PARENT, "va": start, "to": to, "size": end - start}})
        self._add(replace(moved, start=to, end=to + end - start, moved=moved.moved + to - start))
        self.unmap(start, end, None)

    def fork(self) -> None:
        """``fork``: what has anonymous memory is copied, then the parent's TLB entries go."""
        for area in self.areas:
            if not area.shared:
                op = {"mm": PARENT, "to": CHILD, "va": area.start, "size": area.end - area.start}
                self.process.run({"copy_page_range": op})
        self.process.run({"flush_tlb_mm": {"mm": PARENT}})
        self.forked = [area for area in self.areas if not area.shared]

    def child_exits(self) -> None:
        """The child is gone."""
        if self.forked:
            areas = [{"start": area.start, "end": area.end} for area in self.forked]
            self.process.run({"exit_mmap": {"mm": CHILD, "vmas": areas}})
        self.forked = []

    # The words ------------------------------------------------------------------------------------

    def step(self, what: str, seen: Seen) -> None:
        """Carries out one step.

        Raises `BadStep` where the words are not known.
        """
        if seen.executable:
            self.suffix = "_EXEC"
        for pattern, act in _STEPS:
            if found := re.fullmatch(pattern, what):
                act(self, found, seen)
                return
        raise BadStep(f"unknown step {what!r}")

    def fresh(self) -> None:
        """The next test begins with a new anonymous mapping of the window."""
        if not self.areas:
            self.areas = [Area(self.start, self.end, "PAGE_READONLY" + self.suffix)]

    def odd_page(self, seen: Seen, default: int) -> int:
        """The page to which something was done: where the call began, or the entry that differs from its neighbours."""
        if (va := seen.protected()) is not None:
            return va
        flags = {va: new - seen.frame(1, new) for va, (_, new) in seen.leaves.items() if new}
        kinds = list(flags.values())
        rare = [va for va, kind in flags.items() if kinds.count(kind) == 1]
        return rare[0] if len(rare) == 1 or len(kinds) == 1 else default


def _number(found: re.Match[str], group: int = 1) -> int:
    return int(found[group])


def _map_window(s: Steps, _found: re.Match[str], _seen: Seen) -> None:
    s.areas = []
    s.fresh()


def _read_page(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.fault(s.start + _number(found) * s.process.page, seen, write=False)


def _write_page(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.fault(s.start + _number(found) * s.process.page, seen, write=True)


def _write_pages(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.write(*s._pages(_number(found), _number(found, 2)), seen)


def _parent_writes(s: Steps, found: re.Match[str], seen: Seen) -> None:
    if "child exit" in found[0]:
        s.child_exits()
    _write_pages(s, found, seen)


def _straddle(s: Steps, found: re.Match[str], seen: Seen) -> None:
    middle = (s.start // s.process.pmd + 1) * s.process.pmd
    start = middle - _number(found) // 2 * s.process.page
    s.write(start, start + _number(found) * s.process.page, seen)


def _protect_pages(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.protect(*s._pages(_number(found, 2), _number(found, 3)), found[1])


def _protect_large(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.protect(s.start + s.process.pmd, s.start + 2 * s.process.pmd, found[1])


def _protect_one_of_large(s: Steps, found: re.Match[str], seen: Seen) -> None:
    va = s.odd_page(seen, s.start + s.process.pmd + 8 * s.process.page)
    s.protect(va, va + s.process.page, found[1])


def _protect_block(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.protect(s.start, s.start + max(BLOCK, s.process.page), found[1])


def _protect_one_of_block(s: Steps, found: re.Match[str], seen: Seen) -> None:
    va = s.odd_page(seen, s.start + BLOCK + s.process.page)
    s.protect(va, va + s.process.page, found[1])


def _dontneed_pages(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.discard(*s._pages(_number(found), _number(found, 2)))


def _dontneed_one(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.discard(*s._pages(_number(found), _number(found)))


def _dontneed_large(s: Steps, _found: re.Match[str], _seen: Seen) -> None:
    s.discard(s.start, s.start + s.process.pmd)


def _advise(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.advise(*s._pages(_number(found, 2), _number(found, 3)), found[1].lower())


def _move_pages(s: Steps, found: re.Match[str], _seen: Seen) -> None:
    s.move(*s._pages(_number(found), _number(found, 2)), s.start + (s.end - s.start) // 2)


def _move_large(s: Steps, _found: re.Match[str], _seen: Seen) -> None:
    s.move(s.start + 2 * s.process.pmd, s.start + 3 * s.process.pmd, s.start)


def _fork(s: Steps, _found: re.Match[str], _seen: Seen) -> None:
    s.fork()


def _unmap_pages(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.unmap(*s._pages(_number(found), _number(found, 2)), seen)


def _unmap_all(s: Steps, _found: re.Match[str], seen: Seen) -> None:
    s.child_exits()
    s.unmap(s.start, s.end, seen)


def _large_fault(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.fresh()
    s.large(s.start + {"first": 0, "second": 1, "third": 2}[found[1]] * s.process.pmd, seen)


def _block_fault(s: Steps, found: re.Match[str], seen: Seen) -> None:
    s.fresh()
    s.block(s.start + _number(found) * s.process.page, seen)


def _shared(s: Steps, found: re.Match[str], seen: Seen) -> None:
    start, end = s._pages(_number(found, 2), _number(found, 3))
    s._add(Area(start, end, prot="PAGE_SHARED" + s.suffix, shared=True))
    for va in range(start, end, s.process.page):
        s.fault(va, seen, write=found[1] == "write")


_STEPS: list[tuple[str, Callable[[Steps, re.Match[str], Seen], None]]] = [
    (r"mmap anon rw whole window", _map_window),
    (r"read fault page (\d+)\b.*", _read_page),
    (r"write fault page (\d+)\b.*", _write_page),
    (r"write faults pages (\d+)\.\.(\d+)", _write_pages),
    (r"write pages (\d+)\.\.(\d+)\b.*", _write_pages),
    (r"write (\d+) pages straddling the second leaf table", _straddle),
    (r"parent writes pages (\d+)\.\.(\d+)\b.*", _parent_writes),
    (r"mprotect (READ|NONE|RW) pages (\d+)\.\.(\d+)", _protect_pages),
    (r"mprotect (READ|NONE|RW) whole THP", _protect_large),
    (r"mprotect (READ|NONE|RW) one page of THP.*", _protect_one_of_large),
    (r"mprotect (READ|NONE|RW) whole 64kB block", _protect_block),
    (r"mprotect (READ|NONE|RW) one page of 64kB block", _protect_one_of_block),
    (r"madvise DONTNEED pages (\d+)\.\.(\d+)", _dontneed_pages),
    (r"DONTNEED page (\d+) of 64kB block", _dontneed_one),
    (r"DONTNEED whole THP", _dontneed_large),
    (r"madvise (FREE|COLD) pages (\d+)\.\.(\d+)", _advise),
    (r"mremap pages (\d+)\.\.(\d+) to the middle of the window", _move_pages),
    (r"mremap THP third PMD to first PMD", _move_large),
    (r"fork\b.*", _fork),
    (r"munmap pages (\d+)\.\.(\d+)", _unmap_pages),
    (r"munmap (whole window|window|shared mapping)", _unmap_all),
    (r"THP write fault in the (first|second|third) PMD", _large_fault),
    (r"mTHP 64kB write fault page (\d+)", _block_fault),
    (r"shared memfd mapping, (read|write) pages (\d+)\.\.(\d+)", _shared),
]
"""The words of the recording script."""
