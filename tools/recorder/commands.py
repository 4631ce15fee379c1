"""The command script of a recording: the same for the same geometry, features and seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from configurations import Configuration

KINDS = ("vmpr", "vunmap", "vunmapnf", "vmaps", "apply")
WEIGHTS = (22, 17, 16, 30, 30)


class Script:
    """Collects commands; addresses and sizes are in pages of the recorded kernel."""

    def __init__(self, configuration: Configuration, info: Mapping[str, Any], operations: int, seed: int) -> None:
        self.has = configuration.features.__contains__
        self.random = random.Random(f"{configuration.key} {seed}")
        self.operations = operations
        self.page = 1 << info["page_shift"]
        self.pte = info["ptrs_per_pte"]
        self.pmd = self.page * self.pte
        self.pud = 1 << info["pud_shift"]
        start, end = int(info["vmalloc_start"], 0), int(info["vmalloc_end"], 0)
        space = end - start
        if configuration.area_bytes:
            self.size = configuration.area_bytes
        elif 16 * self.pud <= space // 4 and self.pud > self.pmd:
            self.size = 16 * self.pud
        else:
            self.size = min(64 * self.pmd, space // 8 // self.pmd * self.pmd)
        unit = max(self.pud, self.pmd) if self.size > self.pud else self.pmd
        middle = start + space // (2 if configuration.area_bytes else 4)
        self.base = -(-middle // unit) * unit
        self.size = min(self.size, (end - self.base) // self.pmd * self.pmd - self.pmd)
        self.deep = self.size >= 15 * self.pud and self.pud > self.pmd
        self.io = configuration.io
        self.outside = configuration.outside
        self.lines: list[str] = []

    def add(self, *words: object) -> None:
        """A command that looks everywhere."""
        self.lines.append(" ".join(hex(w) if isinstance(w, int) and w > 9999 else str(w) for w in words))

    def inside(self, *words: object) -> None:
        """A command of which only the area is looked at."""
        self.add(*words, "@", hex(self.base), hex(self.size))

    def at(self, pages: int) -> str:
        """An address of the area."""
        return hex(self.base + pages * self.page)

    def bytes(self, pages: int) -> str:
        """So many pages."""
        return hex(pages * self.page)

    def memory(self, pages: int) -> str:
        """A frame that is no memory."""
        return hex(self.io + pages * self.page)

    def everything(self) -> list[str]:
        """The whole script."""
        self.add("probes", 1)
        self.inside("nop")
        self.inside("area", hex(self.base), hex(self.size), "map")
        self.pages()
        self.arrays()
        self.callbacks()
        if self.deep:
            self.far()
        self.large()
        self.areas()
        self.linear()
        self.chance()
        self.inside("apply", self.at(0), hex(self.size), 0, 0, 0, "rw")
        self.add("walk", hex(self.base), hex(self.size))
        self.inside("vunmap", self.at(0), hex(self.size))
        self.add("walk", hex(self.base), hex(self.size))
        if self.outside:
            self.beside()
        self.inside("unarea", hex(self.base), hex(self.size))
        return self.lines

    def pages(self) -> None:
        """Single pages and few, of every protection, over the end of a leaf table, a whole table."""
        for at, count, frame, prot in (
            (0, 1, 1, "rw"), (1, 1, 2, "rw"), (2, 3, 3, "ro"), (8, 2, 9, "nc"), (10, 2, 11, "wc"), (12, 2, 13, "io"),
            (14, 2, 15, "rwx"), (self.pte - 3, 6, 513, "rw"), (2 * self.pte, self.pte, 1025, "rw"),
        ):  # fmt: skip
            self.inside("vmpr", self.at(at), self.bytes(count), self.memory(frame), prot)
        for at, count in ((0, 1), (1, 4), (5, 2), (6, 12), (self.pte - 4, 8)):
            self.inside("vunmap", self.at(at), self.bytes(count))
        half = self.pte // 2
        self.inside("vunmapnf", self.at(2 * self.pte), self.bytes(half))
        self.inside("vunmapnf", self.at(2 * self.pte + half), self.bytes(half))
        self.inside("vunmap", self.at(0), self.bytes(4 * self.pte))

    def arrays(self) -> None:
        """Arrays of pages in every order, one over occupied entries, one with a hole."""
        last = self.pte
        for at, count, prot, kind, a, b in (
            (0, 1, "rw", "c", 0, 0), (1, 16, "rw", "c", 4, 0), (20, 16, "ro", "r", 100, 0), (40, 16, "rw", "s", 7, 3),
            (60, 16, "rw", "x", 32, 5), (last - 20, 40, "rw", "c", 128, 0), (14, 8, "rw", "c", 0, 0),
            (80, 8, "rw", "h", 0, 3),
        ):  # fmt: skip
            self.inside("vmaps", self.at(at), count, 0, prot, kind, a, b)
        self.inside("vunmap", self.at(0), self.bytes(2 * self.pte))

    def callbacks(self) -> None:
        """`apply_to_page_range`: every callback, with and without making tables, and one that fails."""
        three = 3 * self.pte
        for at, count, create, kind, frame, *more in (
            (three, 8, 1, 1, 1), (three, 8, 1, 0, 0), (three, 16, 0, 0, 0), (three, 8, 0, 3, 0),
            (three + 2, 2, 0, 4, 0), (three, 8, 0, 0, 0), (three + 32, 16, 1, 1, 1, 5),
            (4 * self.pte - 4, 8, 1, 1, 1), (0, 8 * self.pte, 0, 0, 0), (6 * self.pte, 1, 1, 0, 0),
            (0, 8 * self.pte, 0, 2, 0),
        ):  # fmt: skip
            pa = self.memory(frame) if frame else 0
            self.inside("apply", self.at(at), self.bytes(count), create, kind, pa, "rw", *more)
        self.inside("vunmap", self.at(0), self.bytes(8 * self.pte))

    def far(self) -> None:
        """Over the ends of tables of higher levels."""
        upper = self.pud // self.page
        for n in (1, 2, 3):
            self.inside("vmpr", self.at(n * upper - 2), self.bytes(4), self.memory(n * 1024 + 1), "rw")
        self.inside("vmpr", self.at(5 * upper + 2560), self.bytes(1), self.memory(1), "rw")
        self.inside("vmaps", self.at(7 * upper - 4), 8, 0, "rw", "c", 0, 0)
        self.inside("apply", self.at(9 * upper - 2), self.bytes(4), 1, 1, self.memory(1), "rw")
        self.inside("apply", self.at(0), hex(10 * self.pud), 0, 0, 0, "rw")
        self.inside("vunmap", self.at(0), hex(10 * self.pud))

    def large(self) -> None:
        """Ranges that may become large leaves, or would if they were aligned; then parts of them."""
        at = 11 * self.pud // self.page if self.deep else 0
        n, align = self.pte, self.pmd // self.page
        for start, count, frame, prot in (
            (at, n, 0, "rw"), (at + 2 * n - 1, n + 2, n - 1, "rw"), (at + 5 * n, n + 1, 5 * n, "rw"),
            (at + 7 * n, n, 7 * n, "ro"), (at + 8 * n, n, 8 * n, "io"), (at + 9 * n, n, 9 * n + 1, "rw"),
        ):  # fmt: skip
            self.inside("vmpr", self.at(start), self.bytes(count), self.memory(frame), prot)
        self.inside("vunmap", self.at(at + 9 * n), self.bytes(n))
        self.inside("vmpr", self.at(at + 9 * n), self.bytes(n), self.memory(9 * n), "rw")
        self.inside("apply", self.at(at + 9 * n), self.bytes(1), 0, 0, 0, "rw")
        for start, count in ((at, n), (at + 5 * n, n), (at + 7 * n, 1), (at, 11 * n)):
            self.inside("vunmap", self.at(start), self.bytes(count))
        if self.has("huge"):
            shift = (self.pmd - 1).bit_length()
            if align <= 512:
                self.inside("vmaps", self.at(at), align, shift, "rw", "c", 0, 0)
                self.inside("vmaps", self.at(at + n), align, shift, "rw", "c", align, 0)
                self.inside("vunmap", self.at(at), self.bytes(2 * n))
            if self.page < 1 << 16:
                self.inside("vmaps", self.at(at + 2 * n), (1 << 18) // self.page, 16, "rw", "c", 0, 0)
                self.inside("vmaps", self.at(at + 3 * n), (1 << 18) // self.page, 15, "rw", "c", 64, 0)
                self.inside("vunmap", self.at(at + 2 * n), self.bytes(2 * n))
        if self.has("larger") and self.deep:
            self.larger(at)

    def larger(self, at: int) -> None:
        """Leaves of the next level, tables in their place, and leaves again."""
        n = self.pud // self.page
        io = -(-self.io // self.pud) * self.pud
        at += 2 * n
        self.inside("vmpr", self.at(at), hex(self.pud), hex(io), "rw")
        self.inside("vunmap", self.at(at), hex(self.pud))
        self.inside("vmpr", self.at(at), self.bytes(1), self.memory(1), "rw")
        self.inside("vunmap", self.at(at), self.bytes(1))
        self.inside("vmpr", self.at(at), hex(self.pud), hex(io), "rw")
        self.inside("vunmap", self.at(at), hex(self.pud))

    def beside(self) -> None:
        """Where a top-level entry is made, which other address spaces must get."""
        at, window = self.outside, ("@", hex(self.outside), hex(1 << 30))
        table = at + 2 * self.pmd
        self.add("vmpr", hex(at), self.bytes(1), self.memory(1), "rw", *window)
        self.add("vmpr", hex(at + self.page), self.bytes(1), self.memory(1), "rw", *window)
        self.add("vunmap", hex(at), self.bytes(2), *window)
        self.add("apply", hex(table), self.bytes(2), 1, 1, self.memory(1), "rw", *window)
        self.add("vunmap", hex(table), self.bytes(2), *window)

    def areas(self) -> None:
        """What drivers ask for, and give back."""
        self.add("purge")
        if self.has("ioremap"):
            wanted = (self.page, 3 * self.page, 17 * self.page, self.pmd, self.pmd + 5 * self.page, 2 * self.pmd)
            fitting = [size for size in wanted if size <= self.size // 4 and size < 1 << 28]
            step = max(1 << 24, 4 * self.pmd) if self.page > 4096 else 1 << 24
            for slot, size in enumerate(fitting):
                self.add("ioremap", slot, hex(self.io + slot * step), hex(size))
            for slot in range(len(fitting)):
                self.add("iounmap", slot)
            self.add("purge")
        small = self.size <= 1 << 25
        sizes = (self.page, 5 * self.page, 33 * self.page, 256 * self.page if small else 512 * self.page)
        for slot, size in enumerate(sizes):
            self.add("vmalloc", slot, hex(size))
        count = len(sizes)
        if self.has("huge") and not small and self.pmd <= 1 << 25:
            for size in (self.pmd, 2 * self.pmd + self.page, 16 * self.page):
                self.add("vmallochuge", count, hex(size))
                count += 1
        if self.has("setmem"):
            for change, first, pages in (("ro", 4, 8), ("nx", 4, 8), ("x", 6, 2), ("rw", 4, 8), ("nx", 0, 33)):
                self.add("setmem", 2, change, first, pages)
        if self.has("touch"):
            for slot in range(len(sizes)):
                self.add("touch", slot)
        for slot in range(count):
            self.add("vfree", slot)
        self.add("purge")
        self.add("vmap", 8, 16, "c", 0, 0, "rw")
        self.add("vmap", 9, 16, "s", 3, 5, "ro")
        if self.has("touch"):
            self.add("touch", 8)
        self.add("vunmapp", 8)
        self.add("vunmapp", 9)
        self.add("purge")
        for slot, pages, first in ((10, 4, 0), (11, 40, 8), (12, 300, 50)):
            self.add("vmram", slot, pages, "c", first, 0)
        for slot in (10, 11, 12):
            self.add("vmunram", slot)
        self.add("purge")

    def linear(self) -> None:
        """Changes of the linear map."""
        if self.has("setdirect"):
            for change in ("invalid", "default"):
                self.add("setdirect", 8, 1, change)
            for change in ("invalid", "default"):
                self.add("setdirect", 16, 4, change)
        if self.has("lin"):
            changes = (("ro", 32, 4), ("x", 36, 2), ("rw", 32, 4), ("nx", 36, 2))
            for change, first, pages in changes:
                self.add("lin", first, pages, change)

    def chance(self) -> None:
        """Random commands around the ends of tables, of which none finds a kernel's BUG."""
        places = [0, self.pte, 2 * self.pte, 3 * self.pte]
        if self.deep:
            upper = self.pud // self.page
            places += [p + n * upper for n in (1, 2, 4) for p in (-self.pte, 0, self.pte)]
        if self.size < 8 * self.pmd:
            places = [p for p in places if (p + self.pte + 64) * self.page < self.size]
        taken: set[int] = set()
        for _ in range(self.operations):
            at = max(self.random.choice(places) + self.random.choice((-1, 0, 1, self.pte // 2)), 0)
            if self.random.random() < 0.3:
                at += self.random.randrange(self.pte // 2)
            count = self.random.choice((1, 1, 1, 2, 3, 8, 8, self.random.randrange(4, 50)))
            self.one(at, count, taken)

    def one(self, at: int, count: int, taken: set[int]) -> None:
        """One random command."""
        kind = self.random.choices(KINDS, WEIGHTS)[0]
        if kind == "vmpr":
            # On an occupied entry it is a BUG.
            while count > 1 and taken & set(range(at, at + count)):
                count //= 2
            if at in taken:
                kind = "vunmapnf"
        pages = range(at, at + count)
        frame = self.random.randrange(1, 8192)
        match kind:
            case "vmpr":
                prot = self.random.choice(("rw", "rw", "ro", "rwx", "nc"))
                self.inside("vmpr", self.at(at), self.bytes(count), self.memory(frame), prot)
                taken.update(pages)
            case "vmaps":
                order = self.random.choice("ccrsx")
                a, b = self.random.randrange(900), self.random.randrange(1, 9)
                self.inside("vmaps", self.at(at), count, 0, self.random.choice(("rw", "ro")), order, a, b)
                taken.update(pages)
            case "apply":
                callback = self.random.choice((0, 1, 1, 3, 3, 4, 4))
                create = int(callback in (0, 1) and self.random.random() < 0.4)
                self.inside("apply", self.at(at), self.bytes(count), create, callback, self.memory(frame), "rw")
                if callback == 1:
                    taken.update(pages)
                if callback == 4:
                    taken.difference_update(pages)
            case _:
                self.inside(kind, self.at(at), self.bytes(count))
                taken.difference_update(pages)
