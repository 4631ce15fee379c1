"""loongarch64: every store of a global entry is followed by ``DBAR 0b11000``; nothing is batched.

``arch/loongarch/mm/pgtable.c``, ``tlb.c``, ``include/asm/pgtable.h`` (6.12); facts 1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.backend.base import Backend
from lazymmu.reference.codes import INIT_MM, PTE, Access, Store, Tlbi
from lazymmu.reference.descriptor.loongarch import DIRTY, GLOBAL, PRESENT, VALID, WRITE, LoongarchFormat
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.machine import Mm, Task
from lazymmu.reference.memory import Entry
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

DBAR: Final = 1
TLB_ENTRIES: Final = 2048 + 64
"""Of an LA464: the set-associative part and the fully associative one."""


class Loongarch(Backend):
    """Two roots: PGDL for addresses of the lower half, PGDH for the upper one, always init_mm's."""

    name = "loongarch64"
    order = 110
    geometries = ("loongarch64-16k-3level", "loongarch64-4k-4level", "loongarch64-64k-2level")

    @classmethod
    def entry_format(cls, geometry: Geometry, options: Options) -> LoongarchFormat:  # noqa: ARG003, D102
        return LoongarchFormat(geometry)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.needs_barrier = True
        self._cpumask: dict[int, set[int]] = {}
        self._numbered: dict[int, set[int]] = {}

    def cpumask(self, mm: int) -> set[int]:
        """``mm_cpumask``: CPUs that are told when entries change."""
        return self._cpumask.setdefault(mm, set())

    def numbered(self, mm: int) -> set[int]:
        """CPUs on which an address space has a number (ASID): entries with another one are not found."""
        return self._numbered.setdefault(mm, set())

    def booted(self) -> None:  # noqa: D102
        for cpu in self.k.cpus:
            self._enter(cpu.loaded, cpu.id)

    def switch_in(self, following: Task) -> None:  # noqa: D102
        self._enter(following.mm, self.k.cpu)

    def _enter(self, mm: int, cpu: int) -> None:
        """``switch_mm_irqs_off``."""
        if mm != INIT_MM:
            self.cpumask(mm).add(cpu)
            self.numbered(mm).add(cpu)

    def before_access(self, mm: int, va: int, access: int) -> None:
        """The walker makes what is present valid, and what may be written and is dirty."""
        table = self.k.mms[mm].root
        while True:
            entry = table.at(va)
            word = entry.word
            if table.level == PTE or self.k.format.leaf(table.level, word):
                break
            below = self.k.linked(table.level, word)
            if below is None or not self.k.format.usable(table.level, word):
                return
            table = below
        used = word | VALID | (DIRTY if access == Access.WRITE and word & WRITE else 0)
        if word & PRESENT and used != word:
            self.k.store(entry, used, Store.FLAGS)

    def set_pte(self, entry: Entry, word: int, code: int) -> None:
        """``set_pte``."""
        self.k.store(entry, word, code)
        if word & GLOBAL:
            self.k.emit(ev.BAR, aux=DBAR)

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``: G stays, for the two pages of a TLB entry must agree on it."""
        self.set_pte(entry, entry.word & GLOBAL, Store.CLEAR)

    def ptep_get_and_clear(self, entry: Entry) -> int:
        """The generic one, by ``pte_clear``."""
        old = entry.word
        self.set_pte(entry, old & GLOBAL, Store.GET_AND_CLEAR)
        return old

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """``local_flush_tlb_kernel_range`` on every CPU: pairs of pages, up to an eighth of the TLB."""
        others = len(self.k.cpus) - 1
        if others:
            self.k.emit(ev.IPI, aux=others)
        pair = 2 * self.k.geometry.page_size
        pages = -(-(end - start) // self.k.geometry.page_size)
        if (pages + 1) // 2 > TLB_ENTRIES // 8:
            self.k.emit(ev.TLBI, aux=Tlbi.INVTLB_ALL, old=1, va=start, new=end)
        else:
            self.k.emit(ev.TLBI, aux=Tlbi.INVTLB, old=-(-end // pair) - start // pair, va=start, new=end)

    def split_roots(self) -> bool:  # noqa: D102
        return True

    def boot(self) -> None:  # noqa: D102
        k = self.k
        base = 0 if k.geometry.signed else k.geometry.layout["kernel_start"]
        k.mms.append(Mm(INIT_MM, self.boot_table(k.geometry.levels, base)))

    def pgd_alloc(self, number: int, *, booting: bool) -> Mm | None:
        """``pgd_alloc``: entries above the user's are copied, though nobody looks at them."""
        k = self.k
        levels = k.geometry.levels
        frame = k.memory.take(level=levels) if booting else k.take_frame(levels, 0, number)
        if frame is None:
            return None
        root = k.memory.place(frame, levels, 0, number)
        boundary = k.geometry.layout["task_size"] // k.geometry.size(levels)
        root.words[boundary:] = k.mms[INIT_MM].root.words[boundary:]
        mm = Mm(number, root)
        k.mms.append(mm)
        return mm
