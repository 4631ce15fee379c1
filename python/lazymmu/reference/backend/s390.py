"""s390: what hardware may use is made invalid by IPTE, which also takes it out of the TLBs, and only then changed.

``arch/s390/mm/pgtable.c``, ``pgalloc.c``, ``include/asm/pgtable.h``, ``tlbflush.h`` (6.12); a lazy section's cache:
facts 4.5 (posted in April 2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.base import Backend, PteRange
from lazymmu.reference.backend.s390_pageattr import PageAttr
from lazymmu.reference.codes import INIT_MM, Drain, Store, Tlbi
from lazymmu.reference.descriptor.s390 import INVALID, PRESENT, S390Format
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.set_memory import Request
    from lazymmu.reference.walk.areas import Areas

UNUSED: Final = 0x80


class Cache:
    """``struct ipte_range`` of a CPU: new words of entries, by their place in the table."""

    def __init__(self, entries: PteRange) -> None:
        self.entries = entries
        self.words: dict[int, int] = {}

    def covers(self, entry: Entry) -> bool:
        """Whether the entry is one of the section's."""
        return entry.home is self.entries.table and 0 <= entry.index - self.entries.index < self.entries.count

    def entry(self, index: int) -> Entry:
        """The entry at a place."""
        return self.entries.table.at(self.entries.table.first_address(index))


class S390(Backend):
    """Two trees; a lazy section that says which entries it is about keeps them back until it ends."""

    name = "s390"
    order = 100
    geometries = ("s390-3level", "s390-4level", "s390-5level")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> S390Format:  # noqa: D102
        return S390Format(geometry, present_bits=options.s390_present_bits)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.has_lazy = kernel.options.s390_pte_batch
        self.sets_memory = True
        self.caches: dict[int, Cache] = {}
        self.declared: dict[int, PteRange] = {}
        self.ran: set[tuple[int, int]] = set()
        """Address spaces and CPUs that ran them since they were flushed."""
        self.flush_mm: set[int] = set()
        """Address spaces with entries that were made invalid without a flush."""

    # Entries --------------------------------------------------------------------------------------

    def _cache(self, entry: Entry) -> Cache | None:
        """``is_lazy_mmu_mode_active``: not in interrupts."""
        cache = None if self.k.in_interrupt() else self.caches.get(self.k.cpu)
        return cache if cache is not None and cache.covers(entry) else None

    def put(self, entry: Entry, word: int, code: int) -> bool:
        """Whether the word went to the cache."""
        cache = self._cache(entry)
        if cache is None:
            return False
        cache.words[entry.index] = word
        self.k.about_queue(entry, word, code)
        return True

    def read(self, entry: Entry) -> int:
        """``ptep_get``: what the cache has counts."""
        cache = self._cache(entry)
        return entry.word if cache is None else cache.words.get(entry.index, entry.word)

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``set_ptes``: a plain store, which only an invalid entry may get."""
        if word & PRESENT:
            word &= ~UNUSED
        self.write(entry, word, code)

    def write(self, entry: Entry, word: int, code: int) -> None:
        """To the section's cache, or to memory."""
        if not self.put(entry, word, code):
            self.k.store(entry, word, code)

    def pte_clear(self, entry: Entry) -> None:  # noqa: D102
        self.set_pte(entry, INVALID, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:  # noqa: D102
        return self.exchange(entry, INVALID, Store.GET_AND_CLEAR, lazy=True)

    def ptep_try_set(self, entry: Entry, word: int) -> bool:  # noqa: D102
        if self.k.format.occupied(self.read(entry)):
            return False
        self.set_pte(entry, word, Store.TRY_SET)
        return True

    def exchange(self, entry: Entry, word: int, code: int, *, lazy: bool) -> int:
        """``ptep_xchg_direct``, ``ptep_xchg_lazy``."""
        old = self.read(entry)
        if not self.put(entry, word, code):
            if not old & INVALID and lazy:
                self.invalidate_lazy(entry)
            elif not old & INVALID:
                self.ipte([entry], local=self.only_here(entry.mm))
            self.k.store(entry, word, code)
        return old

    def invalidate_lazy(self, entry: Entry) -> None:
        """``ptep_flush_lazy``: the flush may wait if no other CPU can use the address space before it is done."""
        if self.attached_here(entry.mm):
            self.k.store(entry, entry.word | INVALID, Store.INVALIDATE)
            self.flush_mm.add(entry.mm)
        else:
            self.ipte([entry], local=False)

    def attached_here(self, mm: int) -> bool:
        """``cpu_attach_mask``: this CPU has an address space loaded, and no other has."""
        return mm != INIT_MM and [cpu for cpu in self.k.cpus if cpu.loaded == mm] == [self.k.here()]

    def only_here(self, mm: int) -> bool:
        """``mm_cpumask``: this CPU may have entries in its TLB, and no other."""
        loaded = {cpu.id for cpu in self.k.cpus if cpu.loaded == mm}
        return mm != INIT_MM and loaded | {cpu for ran, cpu in self.ran if ran == mm} == {self.k.cpu}

    def flush_lazy(self, mm: int) -> None:
        """``__tlb_flush_mm_lazy``: IDTE of all that came from an address space."""
        if mm in self.flush_mm:
            self.flush_mm.discard(mm)
            self.ran = {(ran, cpu) for ran, cpu in self.ran if ran != mm}
            self.k.emit(ev.TLBI, aux=Tlbi.IDTE, old=1, mm=mm, va=0, new=(1 << 64) - 1)

    def switch_out(self, prev: Task) -> None:  # noqa: ARG002, D102
        if self.k.here().loaded != INIT_MM:
            self.ran.add((self.k.here().loaded, self.k.cpu))

    def switch_in(self, following: Task) -> None:
        """``finish_arch_post_lock_switch``."""
        self.flush_lazy(following.mm)

    def ipte(self, entries: list[Entry], *, local: bool) -> None:
        """IPTE of neighbours, here only or everywhere."""
        for entry in entries:
            self.k.store(entry, entry.word | INVALID, Store.INVALIDATE)
        first, last = entries[0], entries[-1]
        if len(entries) == 1:
            code = Tlbi.IPTE_LOCAL if local else Tlbi.IPTE
        else:
            code = Tlbi.IPTE_RANGE_LOCAL if local else Tlbi.IPTE_RANGE
        end = last.va + self.k.geometry.page_size & self.k.geometry.address_mask
        level = int(first.mm != INIT_MM)
        self.k.emit(ev.TLBI, level=level, aux=code, mm=first.mm, old=1, va=first.va, new=end)

    def set_memory(self, areas: Areas, request: Request) -> int:  # noqa: D102
        return PageAttr(self, request).run(areas)

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``__tlb_flush_kernel``: IDTE of all that came from init_mm."""
        self.k.emit(ev.TLBI, aux=Tlbi.IDTE, old=1, va=start, new=end)

    # Lazy mode ------------------------------------------------------------------------------------

    def declare(self, entries: PteRange | None) -> PteRange | None:
        """What ``lazy_mmu_mode_enable_for_pte_range`` was told; returns what was known before."""
        task = self.k.task().id
        before = self.declared.pop(task, None)
        if entries is not None:
            self.declared[task] = entries
        return before

    def lazy_state(self) -> int:
        """Whether the CPU has a cache."""
        return int(self.k.cpu in self.caches)

    def enter(self) -> int:
        """Nothing without a range; with one, preemption is off until the end."""
        entries = self.declared.get(self.k.task().id)
        if entries is not None and self.k.cpu not in self.caches:
            self.caches[self.k.cpu] = Cache(entries)
            self.k.task().locks += 1
        return 0

    def leave(self) -> int:
        """The cache goes to the table."""
        self._write_back(Drain.LEAVE)
        if self.caches.pop(self.k.cpu, None) is not None:
            self.k.task().locks = max(self.k.task().locks - 1, 0)
        return 0

    def lazy_flush(self) -> int:
        """Left and entered again."""
        self._write_back(Drain.HOOK)
        return 0

    def _write_back(self, reason: int) -> None:
        cache = self.caches.get(self.k.cpu)
        if cache is None or not cache.words:
            return
        words, cache.words = cache.words, {}
        runs: list[list[Entry]] = []
        for index in sorted(words):
            entry = cache.entry(index)
            previous = runs[-1][-1] if runs else None
            if previous is not None and index == previous.index + 1 and not (previous.word ^ entry.word) & INVALID:
                runs[-1].append(entry)
            else:
                runs.append([entry])
        valid = [not run[0].word & INVALID for run in runs]
        self.k.emit(ev.FLUSH, old=len(words), new=sum(valid), aux=reason, mm=cache.entries.table.mm)
        for run, used in zip(runs, valid, strict=True):
            if used:
                self.ipte(run, local=self.only_here(run[0].mm))
            for entry in run:
                self.k.store(entry, words[entry.index], Store.DRAIN)

    # Roots ----------------------------------------------------------------------------------------

    def split_roots(self) -> bool:  # noqa: D102
        return True

    def boot(self) -> None:  # noqa: D102
        self.k.mms.append(Mm(INIT_MM, self.boot_table(self.k.geometry.levels, 0)))

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``crst_table_alloc``: empty."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        mm = Mm(number, k.memory.place(frame, levels, 0, number))
        k.mms.append(mm)
        return mm
