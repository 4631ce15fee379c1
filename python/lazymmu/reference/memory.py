"""Table pages by physical address, and the frames they come from. Knows no architecture."""

from __future__ import annotations

from typing import Final

from lazymmu.reference.codes import STORES
from lazymmu.reference.geometry import Geometry

ZONE: Final = 1 << 30
"""Each zone holds this much of tables at most."""


class Table:
    """A page of entries. ``base`` is the first address that it maps, ``mm`` the address space it was made for."""

    __slots__ = ("base", "geometry", "highmem", "level", "mm", "pa", "words")

    def __init__(self, geometry: Geometry, pa: int, level: int, base: int, mm: int, highmem: bool = False) -> None:
        self.geometry = geometry
        self.pa = pa
        self.level = level
        self.base = base
        self.mm = mm
        self.highmem = highmem
        self.words = [0] * geometry.entries_of(level)

    def at(self, va: int) -> Entry:
        """The entry that covers an address."""
        return Entry(self, self.geometry.index(self.level, va), va)

    def first_address(self, index: int) -> int:
        """First address that an entry maps."""
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
        return self.home.pa + self.index * self.home.geometry.entry_bytes

    @property
    def first(self) -> int:
        """First address that the entry maps."""
        return self.home.first_address(self.index)

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
        self.freed: list[int] = []

    def take(self) -> int | None:
        """A frame, or None."""
        if self.freed:
            return self.freed.pop()
        if self.next >= self.end:
            return None
        self.next += self.page_size
        return self.next - self.page_size

    def give(self, pa: int) -> None:
        """A frame is free again."""
        self.freed.append(pa)


class Memory:
    """All live tables, and the two zones that their frames come from."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        layout = geometry.layout
        low, high = layout["table_frames"], layout["highmem_frames"]
        low_end = min(low + ZONE, high) if high else low + ZONE
        self.low = Zone(low, low_end, geometry.page_size)
        self.high = Zone(high, high + ZONE if high else 0, geometry.page_size)
        self.tables: dict[int, Table] = {}

    def take(self, highmem: bool = False) -> int | None:
        """A frame for a page that is no table, or not yet one."""
        return (self.high if highmem else self.low).take()

    def give(self, pa: int, highmem: bool = False) -> None:
        """A frame is free again."""
        (self.high if highmem else self.low).give(pa)

    def is_highmem(self, pa: int) -> bool:
        """Whether the kernel has no permanent mapping of a page."""
        high = self.geometry.layout["highmem_frames"]
        return high != 0 and pa >= high

    def place(self, pa: int, level: int, base: int, mm: int, highmem: bool = False) -> Table:
        """A zeroed table in a frame."""
        table = self.tables[pa] = Table(self.geometry, pa, level, base, mm, highmem)
        return table

    def remove(self, table: Table) -> None:
        """A table ends; its frame is free."""
        del self.tables[table.pa]
        self.give(table.pa, table.highmem)


def store_code(why: str | int) -> int:
    """A store code by name or number."""
    return why if isinstance(why, int) else STORES.index(why)
