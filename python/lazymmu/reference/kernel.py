"""The kernel at work: what walkers, hooks and backends share.

It reads, stores, descends, allocates tables, and says what happens.

Native functions that a user may replace go through `Overrides.call`; where nothing is replaced that is a plain call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from lazymmu.reference import events as ev
from lazymmu.reference import lazy
from lazymmu.reference.backend.base import Backend, PteRange
from lazymmu.reference.codes import INIT_MM, PTE, Bug, Site, Store, level_bit
from lazymmu.reference.descriptor import Format
from lazymmu.reference.errors import TaskDied
from lazymmu.reference.events import Log
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import State
from lazymmu.reference.memory import Entry, Memory, Table
from lazymmu.reference.options import Options
from lazymmu.reference.overrides import Overrides, site_name, store_name
from lazymmu.reference.scheme import Scheme
from lazymmu.reference.walk.core import Walk

if TYPE_CHECKING:
    from lazymmu.reference.user.process import Process

_WORD = (1 << 64) - 1


class Kernel(State):
    """One machine's kernel."""

    def __init__(
        self,
        geometry: Geometry,
        table_format: Format,
        options: Options,
        backend: type[Backend],
        scheme: Scheme,
        overrides: Overrides,
        log: Log,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.format = table_format
        self.options = options
        self.scheme = scheme
        self.overrides = overrides
        self.log = log
        self.memory = Memory(geometry, table_format.blank)
        self.fail_alloc: int | None = None
        """Allocations to go until one is made to fail."""
        self.dying: TaskDied | None = None
        """Set from a BUG until its operation ended, so that a hook cannot swallow it."""
        self.backend = backend(self)
        self.process: Process | None = None
        """User mappings, where they are modelled."""
        overrides.bind(self)

    # What happens ---------------------------------------------------------------------------------

    def emit(
        self,
        kind: int,
        *,
        level: int = 0,
        aux: int = 0,
        va: int = 0,
        addr: int = 0,
        old: int = 0,
        new: int = 0,
        mm: int = INIT_MM,
    ) -> None:
        """A micro-step, by the code that runs now."""
        cpu = self.cpus[self.cpu]
        self.log.add(
            (
                kind,
                level,
                self.cpu,
                self.context(),
                cpu.current.id,
                mm,
                self.op,
                aux,
                va & _WORD,
                addr,
                old & _WORD,
                new & _WORD,
            )
        )

    def warn(self, code: int, va: int = 0) -> None:
        """``WARN_ON``: the kernel goes on."""
        self.emit(ev.WARN, aux=code, va=va)

    def bug(self, code: int, va: int = 0) -> NoReturn:
        """``BUG_ON`` or an oops: the task ends."""
        self.emit(ev.BUG, aux=code, va=va)
        self.task().dead = True
        self.dying = TaskDied(code)
        raise self.dying

    def resched(self, code: int) -> None:
        """``cond_resched``, ``might_sleep``, or really sleeping."""
        self.emit(ev.RESCHED, aux=code)

    # Entries --------------------------------------------------------------------------------------

    def read(self, entry: Entry) -> int:
        """``ptep_get`` and its like: memory's word. What waits in a queue is not seen, which `STALE_READ` tells."""
        word = self.backend.read(entry)
        queued = self.backend.queued(entry.addr)
        if queued is not None and queued != word:
            self._about_entry(ev.STALE_READ, entry, 0, word, queued)
        return word

    def none(self, entry: Entry) -> bool:
        """``pXd_none(*entry)``."""
        return self.format.none(entry.level, self.read(entry))

    def descend(self, entry: Entry) -> Table:
        """``pXd_offset``: the table that an entry points to. What it points to otherwise is no table: a stray walk."""
        word = self.read(entry)
        table = self.linked(entry.level, word)
        if table is None:
            self.bug(Bug.STRAY_WALK, entry.va)
        return table

    def linked(self, level: int, word: int) -> Table | None:
        """The table that a word of this level leads to, if it does."""
        if self.format.leaf(level, word):
            return None
        table = self.memory.tables.get(self.format.table(word))
        return table if table is not None and table.level == level - 1 else None

    def entries(self, table: Table, start: int, end: int) -> Iterator[tuple[Entry, int, int]]:
        """The entries of one table over a range, each with the part of the range that it covers."""
        addr = start
        while True:
            following = self.geometry.addr_end(table.level, addr, end)
            yield table.at(addr), addr, following
            if following == end:
                return
            addr = following

    def store(self, entry: Entry, word: int, code: int) -> None:
        """A plain store."""
        words, index = entry.home.words, entry.index
        old, words[index] = words[index], word
        self._about_entry(ev.STORE, entry, code, old, word)

    def about_queue(self, entry: Entry, word: int, code: int) -> None:
        """A store went to the backend's queue."""
        self._about_entry(ev.QUEUE, entry, code, entry.word, word)

    def _about_entry(self, kind: int, entry: Entry, code: int, old: int, new: int) -> None:
        home = entry.home
        self.emit(kind, level=home.level, aux=code, va=entry.first, addr=entry.addr, old=old, new=new, mm=home.mm)

    # Tables ---------------------------------------------------------------------------------------

    def take_frame(self, level: int, va: int, mm: int, highmem: bool = False) -> int | None:
        """A frame for a table; on failure `ALLOC_FAIL`."""
        injected = False
        if self.fail_alloc is not None:
            injected = self.fail_alloc == 0
            self.fail_alloc = None if injected else self.fail_alloc - 1
        frame = None if injected else self.memory.take(highmem, level)
        if frame is None:
            self.emit(ev.ALLOC_FAIL, level=level, va=va, mm=mm, aux=int(injected))
        return frame

    def new_table(self, level: int, va: int, mm: int, highmem: bool = False) -> Table | None:
        """A zeroed table that nothing points to yet."""
        frame = self.take_frame(level, va, mm, highmem)
        if frame is None:
            return None
        table = self.memory.place(frame, level, va, mm, highmem)
        self.emit(ev.ALLOC, level=level, va=va, addr=frame, mm=mm, aux=int(highmem))
        return table

    def alloc_below(self, entry: Entry, mm: int, highmem: bool = False) -> bool:
        """``__p4d_alloc`` ... ``__pte_alloc``: allocate, look again, order the zeroing (``smp_wmb``), link."""
        table = self.new_table(entry.level - 1, entry.first, mm, highmem)
        if table is None:
            return False
        if not self.none(entry):
            # Another CPU has been faster.
            self.free_table(table)
            return True
        self.emit(ev.WMB)
        self.backend.hand_over(table)
        link = self.format.link(entry.level, table.pa, kernel=mm == INIT_MM)
        self.set_entry(entry, link, Store.POPULATE)
        if self.options.begin_end_flush_links:
            lazy.flush(self)
        return True

    def free_table(self, table: Table) -> None:
        """``pte_free_kernel``, ``pmd_free``."""
        self.memory.remove(table)
        self.emit(ev.FREE, level=table.level, va=table.base, addr=table.pa, mm=table.mm)

    # What a user may replace ----------------------------------------------------------------------

    def set_pte(self, entry: Entry, word: int, code: int = Store.SET) -> None:
        """``set_pte_at``."""
        if self.overrides.overridden("set_pte") is None:
            self.backend.set_pte(entry, word, code)
        else:
            self.overrides.call("set_pte", self._set_pte, (entry, word, code), (entry, word, store_name(code)))

    def _set_pte(self, entry: Entry, word: int, code: int) -> int:
        self.backend.set_pte(entry, word, code)
        return 0

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``."""
        self.overrides.call("pte_clear", self._pte_clear, (entry,), (entry,))

    def _pte_clear(self, entry: Entry) -> int:
        self.backend.pte_clear(entry)
        return 0

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """``ptep_get_and_clear``: the word that was there."""
        if self.overrides.overridden("ptep_get_and_clear") is None:
            return self.backend.ptep_get_and_clear(entry)
        return int(self.overrides.call("ptep_get_and_clear", self.backend.ptep_get_and_clear, (entry,), (entry,)))

    def set_entry(self, entry: Entry, word: int, code: int) -> None:
        """``set_pmd``, ``set_pud``, ``set_p4d``, ``set_pgd``; with word 0 also ``pmd_clear`` and its like."""
        self.overrides.call("set_entry", self._set_entry, (entry, word, code), (entry, word, store_name(code)))

    def _set_entry(self, entry: Entry, word: int, code: int) -> int:
        self.backend.set_entry(entry, word, code)
        return 0

    def walk_begin(self, walk: Walk) -> None:
        """The scheme's place behind a walk function's range check."""
        self.overrides.call("walk_begin", self._walk_begin, (walk,), (walk,))

    def _walk_begin(self, walk: Walk) -> int:
        self.scheme.walk_begin(self, walk)
        return 0

    def walk_end(self, walk: Walk, mask: int) -> None:
        """The scheme's place at a walk function's end."""
        self.overrides.call("walk_end", self._walk_end, (walk, mask), (walk, mask))

    def _walk_end(self, walk: Walk, mask: int) -> int:
        self.scheme.walk_end(self, walk, mask)
        return 0

    def pte_begin_range(self, site: int, table: Table, start: int, end: int) -> None:
        """The same, and it is known which entries the section is about (facts 4.5)."""
        index = self.geometry.index(PTE, start)
        count = (end - start & self.geometry.address_mask) // self.geometry.page_size
        outer = self.backend.declare(PteRange(table, index, count))
        try:
            self.pte_begin(site)
        finally:
            self.backend.declare(outer)

    def pte_begin(self, site: int) -> None:
        """The scheme's place in front of a PTE loop."""
        self.overrides.call("pte_begin", self._pte_begin, (site,), (site_name(site),))

    def _pte_begin(self, site: int) -> int:
        self.scheme.pte_begin(self, site)
        return 0

    def pte_end(self, site: int) -> None:
        """The scheme's place behind a PTE loop."""
        self.overrides.call("pte_end", self._pte_end, (site,), (site_name(site),))

    def _pte_end(self, site: int) -> int:
        self.scheme.pte_end(self, site)
        return 0

    def begin(self, walk: Walk) -> None:
        """``arch_update_kernel_mappings_begin`` (the seed)."""
        self.emit(ev.BEGIN, aux=walk.code, va=walk.start, new=walk.end, mm=walk.mm)
        self.overrides.call("begin", self.backend.begin, (walk,), (walk,))

    def end(self, walk: Walk, mask: int) -> None:
        """``arch_update_kernel_mappings_end`` (the seed)."""
        self.overrides.call("end", self.backend.end, (walk, mask), (walk, mask))
        self.emit(ev.END, aux=walk.code | mask << 8, va=walk.start, new=walk.end, mm=walk.mm)

    def sync(self, walk: Walk, mask: int) -> None:
        """``if (mask & ARCH_PAGE_TABLE_SYNC_MASK) arch_sync_kernel_mappings(start, end)`` (facts 3)."""
        if not mask & self.backend.sync_mask:
            return
        self.emit(ev.SYNC, aux=walk.code | mask << 8, va=walk.start, new=walk.end)
        copied = self.overrides.call("sync", self.backend.sync, (walk.start, walk.end), (walk, mask))
        self.emit(ev.SYNC_END, va=walk.start, new=walk.end, old=int(copied or 0))

    def sync_one_address(self, va: int, level: int) -> None:
        """``pgd_populate_kernel`` and ``p4d_populate_kernel``: a sync of ``[va, va]`` (facts 3.3)."""
        self.sync(Walk(Site.POPULATE_KERNEL, va, va, INIT_MM), level_bit(level))

    def defer(self, flags: int) -> None:
        """A barrier is left for later: `DEFER` if that changes a thread flag, or happens in an interrupt."""
        task = self.task()
        before = task.flags
        task.flags |= flags
        interrupt = self.in_interrupt()
        if task.flags != before or interrupt:
            self.emit(ev.DEFER, old=before, new=task.flags, aux=int(interrupt))
