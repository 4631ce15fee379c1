"""From a program's arguments to addresses and words that make sense.

What does not is an error, and nothing has happened yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference.codes import INIT_MM
from lazymmu.reference.errors import RunError
from lazymmu.reference.machine import Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.program import SlotAddress
from lazymmu.reference.walk.vmap_pages import Pages

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


class Resolver:
    """Looks up slots, names and numbers of one machine."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.slots: dict[int, int | None] = {}
        """What operations returned."""
        self.kmap_pages: dict[int, int] = {}
        """The pages behind slots of ``kmap_local``."""

    def error(self, message: str) -> RunError:
        """An error about the running operation."""
        return RunError(f"operation {self.k.op}: {message}", self.k.op)

    # Addresses ------------------------------------------------------------------------------------

    def address(self, given: int | SlotAddress) -> int:
        """A canonical address."""
        va = given if isinstance(given, int) else self._slot(given.slot) + given.offset
        if not self.k.geometry.canonical(va):
            raise self.error(f"address {va:#x} is not canonical")
        return va

    def _slot(self, slot: int) -> int:
        value = self.slots.get(slot)
        if value is None:
            raise self.error(f"slot {slot} holds no address")
        return value

    def page(self, given: int | SlotAddress) -> int:
        """An address of a page."""
        va = self.address(given)
        if va % self.k.geometry.page_size:
            raise self.error(f"address {va:#x} is not page aligned")
        return va

    def kernel_page(self, given: int | SlotAddress) -> int:
        """An address of a page in the kernel half."""
        va = self.page(given)
        if not self.k.geometry.is_kernel(va):
            raise self.error(f"address {va:#x} is not in the kernel half")
        return va

    def range(self, given: int | SlotAddress, size: int, mm: int = INIT_MM, *, ragged: bool = False) -> tuple[int, int]:
        """A range of pages in the half that the address space is about; ``ragged``: it may end inside a page."""
        start = self.kernel_page(given) if mm == INIT_MM else self.page(given)
        if not ragged:
            self.pages_of(size)
        end = start + size
        if size == 0 or end > self.k.geometry.address_mask:
            raise self.error(f"range {start:#x} + {size:#x} is empty or wraps")
        if not self.k.geometry.canonical(end - 1) or (mm == INIT_MM) != self.k.geometry.is_kernel(end - 1):
            raise self.error(f"range {start:#x} to {end:#x} leaves its half")
        if mm != INIT_MM and end > self.k.geometry.layout["task_size"]:
            raise self.error(f"range {start:#x} to {end:#x} is not in the user half")
        return start, end

    def pages_of(self, size: int) -> int:
        """A number of bytes that are whole pages."""
        if size == 0 or size % self.k.geometry.page_size:
            raise self.error(f"size {size:#x} is not a number of pages")
        return size

    def whole_pages(self, size: int) -> int:
        """A number of bytes, rounded up to whole pages."""
        page = self.k.geometry.page_size
        rounded = -(-size // page) * page
        if size == 0 or rounded >> 64:
            raise self.error(f"size {size:#x} is nothing, or more than there can be")
        return rounded

    def physical(self, pa: int, size: int = 0) -> int:
        """A physical page, and ``size`` bytes from there."""
        if pa % self.k.geometry.page_size:
            raise self.error(f"physical address {pa:#x} is not page aligned")
        if pa + max(size, 1) > 1 << self.k.geometry.pa_bits:
            raise self.error(f"physical address {pa + max(size, 1) - 1:#x} is beyond the geometry")
        return pa

    def at(self, at: int | None) -> int | None:
        """The address that an area shall have."""
        return None if at is None else self.kernel_page(at)

    # Names and numbers ----------------------------------------------------------------------------

    def prot(self, given: int | str | None, default: str = "PAGE_KERNEL") -> int:
        """A protection."""
        name = default if given is None else given
        known = self.k.format.protections
        if isinstance(name, str):
            if name not in known:
                raise self.error(f"unknown protection {name!r}; known: {', '.join(known)}")
            return known[name]
        return self.word(name)

    def word(self, word: int) -> int:
        """A word that fits an entry."""
        if word >> (8 * self.k.geometry.entry_bytes):
            raise self.error(f"{word:#x} does not fit an entry")
        return word

    def pages(self, given: Pages) -> Pages:
        """A page array: at least one page, each aligned and within physical memory."""
        page = self.k.geometry.page_size
        if given.count == 0:
            raise self.error("no pages")
        if given.list:
            if len(given.list) != given.count:
                raise self.error(f"a list of {len(given.list)} pages with count {given.count}")
            for pa in given.list:
                self.physical(pa, page)
            return given
        step = given.step or page
        self.physical(given.start)
        self.physical(step)
        self.physical(given.start + step * (given.count - 1), page)
        return Pages(given.count, given.start, step, (), given.null_at, given.invalid_at)

    def mm(self, number: int) -> int:
        """An address space."""
        if number >= len(self.k.mms):
            raise self.error(f"there is no mm {number}")
        return number

    def cpu(self, number: int) -> int:
        """A CPU."""
        if number >= len(self.k.cpus):
            raise self.error(f"there is no CPU {number}")
        return number

    def task(self, number: int) -> Task:
        """A task."""
        if number >= len(self.k.tasks):
            raise self.error(f"there is no task {number}")
        return self.k.tasks[number]

    def free_task(self, number: int) -> Task:
        """A task that can be switched to: alive, and not running on another CPU."""
        task = self.task(number)
        cpu = self.k.running_on(task)
        if task.dead:
            raise self.error(f"task {number} is dead")
        if cpu is not None and cpu is not self.k.here():
            raise self.error(f"task {number} runs on CPU {cpu.id}")
        self.stays_at_home(task, self.k.cpu)
        return task

    def stays_at_home(self, task: Task, cpu: int) -> None:
        """An idle task runs on its own CPU only."""
        if task.id in self.k.idle and self.k.idle[cpu] != task.id:
            raise self.error(f"task {task.id} is the idle task of another CPU, and stays there")

    def leaf_entry(self, mm: int, given: int | SlotAddress) -> Entry:
        """The PTE of an address; its table must exist."""
        va = self.range(given, self.k.geometry.page_size, mm)[0]
        table = self.k.mms[mm].root
        while table.level > 1:
            entry = table.at(va)
            below = self.k.linked(entry.level, entry.word)
            if below is None:
                raise self.error(f"there is no leaf table for {va:#x}")
            table = below
        return table.at(va)
