"""Page-table isolation: user mode runs on a root of its own (``arch/x86/mm/pti.c``, ``pgtable.c`` of 6.12).

Both roots are one allocation of two pages, the user's behind the kernel's. What of the kernel the user's root maps is
not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lazymmu.reference.codes import INIT_MM, Store
from lazymmu.reference.geometry import Geometry
from lazymmu.reference.memory import Entry, Table
from lazymmu.reference.options import Options

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

_PRESENT_USER: Final = 1 << 0 | 1 << 2
_NX: Final = 1 << 63


def isolates(geometry: Geometry, options: Options) -> bool:
    """``X86_FEATURE_PTI``: entries of 8 bytes, as with 64 bits and PAE."""
    return options.x86_pti and geometry.entry_bytes == 8


class Isolation:
    """The second roots."""

    def __init__(self, kernel: Kernel) -> None:
        self.k = kernel
        self.roots: dict[int, Table] = {}
        """The root for user mode, by address space."""
        kernel.memory.table_bytes[kernel.geometry.levels] = 2 * kernel.geometry.page_size

    def add(self, root: Table, number: int) -> Table:
        """The user's root, behind the kernel's."""
        k = self.k
        self.roots[number] = k.memory.place(root.pa + k.geometry.page_size, root.level, 0, number)
        return self.roots[number]

    def drop(self, number: int) -> None:
        """There is no such address space after all; the frames are given back with the kernel's root."""
        del self.k.memory.tables[self.roots.pop(number).pa]

    def boundary(self) -> int:
        """``PGD_KERNEL_START``."""
        geometry = self.k.geometry
        return geometry.index(geometry.levels, geometry.layout["kernel_start"])

    def kernel_word(self, entry: Entry, word: int) -> int:
        """``pti_set_user_pgtbl``: a top-level entry of the user half goes to the user's root first.

        What the kernel's root gets is not executable: user code must not run on it by mistake.
        """
        user = self.roots.get(entry.mm)
        if user is None or entry.level != self.k.geometry.levels or entry.index >= self.boundary():
            return word
        self.k.store(Entry(user, entry.index, entry.va), word, Store.USER_COPY)
        return word | _NX if word & _PRESENT_USER == _PRESENT_USER else word

    def prepopulate(self, root: Table, number: int, pmds: list[Table]) -> None:
        """PAE: pmd pages of the user half are linked in both roots, those of the kernel half are the user's own."""
        user, boundary = self.roots[number], self.boundary()
        user.words[:boundary] = root.words[:boundary]
        for index, pmd in enumerate(pmds, boundary):
            user.words[index] = self.k.format.link(root.level, pmd.pa, kernel=number == INIT_MM)
