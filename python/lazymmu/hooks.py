"""Hooks written in Python: a proposal as a class, run by the core's walkers and by the reference.

Subclass `Scheme` to say *where* hooks are called, `Hooks` to say *what* they do; override only what changes. What is
not overridden stays native, and ``super()`` calls the native one. An exception in a hook ends the run and surfaces as
itself, with a note that names hook, operation and event; the machine stays usable.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import ClassVar, Protocol


class Walk(Protocol):
    """A walk function at work."""

    @property
    def site(self) -> str:
        """Name of the walk function; ``lazymmu list codes`` has all of them under ``site``."""

    @property
    def mm(self) -> int:
        """Address space; 0 is init_mm."""

    @property
    def start(self) -> int:
        """First address of the range."""

    @property
    def end(self) -> int:
        """First address behind the range."""


class Entry(Protocol):
    """An entry of a table. It may be kept, and used as long as its table exists."""

    @property
    def level(self) -> int:
        """1 pte, 2 pmd, 3 pud, 4 p4d, 5 pgd; the root's entries have the lowest name of their folded group."""

    @property
    def index(self) -> int:
        """Index in the table."""

    @property
    def va(self) -> int:
        """The address for which the entry is looked at."""

    @property
    def mm(self) -> int:
        """Address space of the table."""

    @property
    def table(self) -> int:
        """Physical address of the table."""


class Kernel(Protocol):
    """The running kernel, lent to a hook for the time of one call."""

    flags: int
    """Thread flags of the running task: 1 lazy (arm64 ``TIF_LAZY_MMU``), 2 pending, 4 updates (Xen)."""

    @property
    def lazy(self) -> tuple[int, int]:
        """The running task's lazy MMU counters: enable, pause."""

    @property
    def task(self) -> int:
        """The running task."""

    @property
    def cpu(self) -> int:
        """The executing CPU."""

    @property
    def op(self) -> int:
        """Index of the running operation."""

    @property
    def in_interrupt(self) -> bool:
        """``in_interrupt()``: also true while bottom halves are disabled."""

    @property
    def sync_mask(self) -> int:
        """``ARCH_PAGE_TABLE_SYNC_MASK`` of the backend."""

    def option(self, name: str) -> str:
        """The value of an option."""

    def root(self, mm: int = 0) -> int:
        """Physical address of an address space's root table."""

    def valid_kernel(self, word: int) -> bool:
        """Whether the word is a valid mapping of the kernel's: one whose barrier matters."""

    def native(self) -> int:
        """What the hook that is being called would have done, with the arguments of the call.

        Returns the old word for ``ptep_get_and_clear``, the address for ``kmap``, the entries copied for ``sync``,
        else 0.
        """

    def native_word(self, word: int, why: str) -> None:
        """The same for ``set_pte`` and ``set_entry`` with another word or reason."""

    def begin(self, walk: Walk) -> None:
        """``arch_update_kernel_mappings_begin``, with its event and whatever replaces it."""

    def end(self, walk: Walk, mask: int) -> None:
        """``arch_update_kernel_mappings_end``."""

    def sync(self, walk: Walk, mask: int) -> None:
        """``arch_sync_kernel_mappings(start, end)`` if the mask meets ``ARCH_PAGE_TABLE_SYNC_MASK``."""

    def lazy_enable(self) -> None:
        """``lazy_mmu_mode_enable``; ``arch_enter_lazy_mmu_mode`` where the API is not counted."""

    def lazy_disable(self) -> None:
        """``lazy_mmu_mode_disable``; ``arch_leave_lazy_mmu_mode`` where the API is not counted."""

    def lazy_flush(self) -> None:
        """``arch_flush_lazy_mmu_mode``."""

    def lazy_pause(self) -> None:
        """``lazy_mmu_mode_pause``."""

    def lazy_resume(self) -> None:
        """``lazy_mmu_mode_resume``."""

    def set_pte(self, entry: Entry, word: int, why: str = "set") -> None:
        """``set_pte_at``, with whatever replaces it."""

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``, with whatever replaces it."""

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """Invalidates the TLBs for ``[start, end)``."""

    def read(self, entry: Entry) -> int:
        """The entry as software reads it."""

    def store(self, entry: Entry, word: int, why: str = "set") -> None:
        """A plain store: no queue, no barrier."""

    def barrier(self) -> None:
        """``DSB ISHST; ISB``."""

    def defer(self, flags: int = 0) -> None:
        """Leaves a barrier for later.

        Sets these thread flags besides those set; logs ``DEFER`` if that changes any, or happens in an interrupt.
        """


class Scheme:
    """Where hooks are called. Override a method to move them; ``base`` is the scheme that this one changes.

    ``options`` sets dated facts (``lazymmu list options``) on top of the base's. ``hooks`` says what hooks do where the
    proposal overrides them: a `Hooks` by backend name.
    """

    base: ClassVar[str] = "v6.12"
    options: ClassVar[Mapping[str, str | bool]] = {}
    hooks: ClassVar[Mapping[str, Hooks | type[Hooks]]] = {}

    @property
    def name(self) -> str:
        """What reports call it."""
        return type(self).__name__

    def walk_begin(self, kernel: Kernel, walk: Walk) -> None:
        """After the range check of a walk function, before its first slot."""
        kernel.native()

    def walk_end(self, kernel: Kernel, walk: Walk, mask: int) -> None:
        """At the end of a walk function, also after an error; ``mask`` are the levels it touched."""
        kernel.native()

    def pte_begin(self, kernel: Kernel, site: str) -> None:
        """In a PTE loop function, when the table is at hand; ``site`` is its name."""
        kernel.native()

    def pte_end(self, kernel: Kernel, site: str) -> None:
        """Behind the PTE loop."""
        kernel.native()


class Hooks:
    """What hooks do. Override a method to change it.

    Events of the calls themselves (``BEGIN``, ``END``, ``SYNC``, ``ENTER``, ``LEAVE``, ``LAZY_FLUSH``) are made by
    generic code, events of what a hook does by what it calls on ``kernel``.
    """

    def begin(self, kernel: Kernel, walk: Walk) -> None:
        """``arch_update_kernel_mappings_begin``."""
        kernel.native()

    def end(self, kernel: Kernel, walk: Walk, mask: int) -> None:
        """``arch_update_kernel_mappings_end``."""
        kernel.native()

    def sync(self, kernel: Kernel, walk: Walk, mask: int) -> int | None:
        """``arch_sync_kernel_mappings``; returns the number of entries copied."""
        return kernel.native()

    def enter(self, kernel: Kernel) -> None:
        """``arch_enter_lazy_mmu_mode``."""
        kernel.native()

    def leave(self, kernel: Kernel) -> None:
        """``arch_leave_lazy_mmu_mode``."""
        kernel.native()

    def flush(self, kernel: Kernel) -> None:
        """``arch_flush_lazy_mmu_mode``."""
        kernel.native()

    def pause(self, kernel: Kernel) -> None:
        """``lazy_mmu_mode_pause``."""
        kernel.native()

    def resume(self, kernel: Kernel) -> None:
        """``lazy_mmu_mode_resume``."""
        kernel.native()

    def set_pte(self, kernel: Kernel, entry: Entry, word: int, why: str) -> None:
        """``set_pte_at`` of one entry; ``why`` is the store code."""
        kernel.native_word(word, why)

    def pte_clear(self, kernel: Kernel, entry: Entry) -> None:
        """``pte_clear``."""
        kernel.native()

    def ptep_get_and_clear(self, kernel: Kernel, entry: Entry) -> int:
        """``ptep_get_and_clear``; returns the word that was there."""
        return kernel.native()

    def set_entry(self, kernel: Kernel, entry: Entry, word: int, why: str) -> None:
        """``set_pmd``, ``set_pud``, ``set_p4d``, ``set_pgd``."""
        kernel.native_word(word, why)

    def kmap(self, kernel: Kernel, page: int) -> int:
        """``kmap_local_page``; returns the address, 0 for the direct map."""
        return kernel.native()

    def kunmap(self, kernel: Kernel, va: int) -> None:
        """``kunmap_local``."""
        kernel.native()

    def pte_fn(self, kernel: Kernel, entry: Entry) -> int | None:
        """The callback of ``apply_to_page_range`` where its kind is ``user``.

        Returns 0, None, or a negative error number.
        """
        return 0


_PLACES = ("walk_begin", "walk_end", "pte_begin", "pte_end")
_HOOKS = tuple(name for name in vars(Hooks) if not name.startswith("_"))


def instance(given: object) -> object:
    """An object from a class or an object."""
    return given() if isinstance(given, type) else given


def overridden(scheme: Scheme | None, hooks: Hooks | None) -> SimpleNamespace:
    """The methods that replace native hooks, by name."""
    found = {}
    for given, base, names in ((scheme, Scheme, _PLACES), (hooks, Hooks, _HOOKS)):
        for name in names if given is not None else ():
            if name in vars(given) or getattr(type(given), name) is not getattr(base, name):
                found[name] = getattr(given, name)
    return SimpleNamespace(**found)
