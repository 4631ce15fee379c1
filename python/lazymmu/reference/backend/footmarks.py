"""``mm_cpumask`` where a CPU stays in it when it goes on to another address space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazymmu.reference.codes import INIT_MM

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


class Footmarks:
    """What a TLB holds of an address space stays there until somebody invalidates it."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.left: set[tuple[int, int]] = set()
        """Address spaces and CPUs that ran them once."""

    def leave(self) -> None:
        """The executing CPU may load another root now."""
        if self.k.here().loaded != INIT_MM:
            self.left.add((self.k.here().loaded, self.k.cpu))

    def of(self, mm: int) -> set[int]:
        """``mm_cpumask``."""
        running = {cpu.id for cpu in self.k.cpus if cpu.loaded == mm}
        return running | {cpu for left, cpu in self.left if left == mm}

    def forget(self, mm: int, cpus: set[int]) -> None:
        """CPUs have invalidated all they had; a kernel thread there goes on with the kernel's root."""
        self.left -= {(mm, cpu) for cpu in cpus}
        for cpu in self.k.cpus:
            if cpu.id in cpus and cpu.loaded == mm and cpu.current.mm != mm:
                cpu.loaded = INIT_MM
