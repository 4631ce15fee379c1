"""Table pages by physical address, and the frames they come from. Knows no architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lazymmu.reference.codes import STORES
from lazymmu.reference.geometry import Geometry

ZONE: Final = 1 << 30
"""Each zone holds this much of tables at most."""


class Table:
    """A page of entries. ``base`` is the first address that it maps, ``mm`` the address space it was made for."""

    __slots__ = ("base", "geometry", "highmem", "level", "mm", "pa", "words")

    def __init__(
        self, geometry: Geometry, pa: int, level: int, base: int, mm: int, highmem: bool = False, blank: int = 0
    ) -> None:
        self.geometry = geometry
        self.pa = pa
        self.level = level
        self.base = base
        self.mm = mm
        self.highmem = highmem
        self.words = [blank] * geometry.words_of(level)

    def at(self, va: int) -> Entry:
        """The entry that covers an address."""
        return Entry(self, self.geometry.index(self.level, va), va)

    def first_address(self, index: int) -> int:
        """First address that an entry maps."""
        index %= self.geometry.entries_of(self.level)  # the hardware's words lie behind
        return self.geometry.extend(self.base + (index << self.geometry.shifts[self.level - 1]))

    def __repr__(self) -> str:
        return f"<table {self.pa:#x}: level {self.level}, mm {self.mm}, from {self.base:#x}>"


class Entry:
    """A place in a table, with the address for which it is looked at."""

    __slots__ = ("home", "index", "va")

    def __init__(self, home: Table, index: int, va: int) -> None:
        self.home = home
        self.index = index
        self.va = va

    @property
    def level(self) -> int:
        """1 pte ... 5 pgd."""
        return self.home.level

    @property
    def mm(self) -> int:
        """Address space of the table."""
        return self.home.mm

    @property
    def table(self) -> int:
        """Physical address of the table."""
        return self.home.pa

    @property
    def addr(self) -> int:
        """Physical address of the entry."""
        return self.home.pa + self.index * self.home.geometry.bytes_of(self.home.level)

    @property
    def first(self) -> int:
        """First address that the entry maps. A walk that goes on in a moved table still counts from where it began."""
        return self.va & -(1 << self.home.geometry.shifts[self.level - 1])

    @property
    def word(self) -> int:
        """What memory holds."""
        return self.home.words[self.index]

    def __repr__(self) -> str:
        return f"<entry {self.index} of {self.home!r}>"


class Zone:
    """Free frames: those given back, last first, then upward."""

    def __init__(self, start: int, end: int, page_size: int) -> None:
        self.next = start
        self.end = end
        self.page_size = page_size
        self.freed: dict[int, list[int]] = {}
        """By size: a page, or what a larger table takes."""

    def take(self, size: int = 0) -> int | None:
        """A frame, or several in a row that begin at a multiple of their size; None: no memory."""
        size = max(size, self.page_size)
        if self.freed.get(size):
            return self.freed[size].pop()
        start = -(-self.next // size) * size
        if start + size > self.end:
            return None
        self.next = start + size
        return start

    def give(self, pa: int, size: int = 0) -> None:
        """A frame is free again."""
        self.freed.setdefault(max(size, self.page_size), []).append(pa)


class Memory:
    """All live tables, and the two zones that their frames come from."""

    def __init__(self, geometry: Geometry, blank: Callable[[int, int], int] = lambda _level, _mm: 0) -> None:
        self.geometry = geometry
        self.blank = blank
        """What the entries of a new table hold, by level and address space."""
        layout = geometry.layout
        low, high = layout["table_frames"], layout["highmem_frames"]
        low_end = min(low + ZONE, high) if high else low + ZONE
        self.low = Zone(low, low_end, geometry.page_size)
        self.high = Zone(high, high + ZONE if high else 0, geometry.page_size)
        self.tables: dict[int, Table] = {}
        self.table_bytes = {level: geometry.table_bytes(level) for level in range(1, geometry.levels + 1)}
        """What a table of each level takes."""

    def take(self, highmem: bool = False, level: int = 0) -> int | None:
        """A frame for a page that is no table, or for a table of a level. Large tables are never in highmem."""
        size = self.table_bytes[level] if level else 0
        if size > self.geometry.page_size:
            return self.low.take(size)
        return (self.high if highmem else self.low).take()

    def give(self, pa: int, highmem: bool = False, level: int = 0) -> None:
        """A frame is free again."""
        (self.high if highmem else self.low).give(pa, self.table_bytes[level] if level else 0)

    def is_highmem(self, pa: int) -> bool:
        """Whether the kernel has no permanent mapping of a page."""
        high = self.geometry.layout["highmem_frames"]
        return high != 0 and pa >= high

    def place(self, pa: int, level: int, base: int, mm: int, highmem: bool = False) -> Table:
        """A table in a frame, in which nothing is mapped."""
        table = self.tables[pa] = Table(self.geometry, pa, level, base, mm, highmem, self.blank(level, mm))
        return table

    def remove(self, table: Table) -> None:
        """A table ends; its frame is free. An interrupt may have freed it in the middle of an operation: once more."""
        self.tables.pop(table.pa, None)
        self.give(table.pa, table.highmem, table.level)


def store_code(why: str | int) -> int:
    """A store code by name or number."""
    return why if isinstance(why, int) else STORES.index(why)
