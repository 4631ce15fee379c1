"""User hooks: which native functions a user's `lazymmu.Scheme` or `lazymmu.Hooks` replaces, and how they are called.

A hook gets a `Lent` kernel first, then the arguments of the function that it replaces. ``kernel.native()`` does what
would have been done without the hook. Everything about replacing is in this file; native code only says
``overrides.call(name, native, ...)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from lazymmu import hooks as public
from lazymmu.reference import events as ev
from lazymmu.reference import lazy
from lazymmu.reference.codes import SITES, STORES
from lazymmu.reference.memory import Entry, store_code

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.walk.core import Walk

PLACES: Final = ("walk_begin", "walk_end", "pte_begin", "pte_end")
HOOKS: Final = (
    "begin",
    "end",
    "sync",
    "enter",
    "leave",
    "flush",
    "pause",
    "resume",
    "set_pte",
    "pte_clear",
    "ptep_get_and_clear",
    "set_entry",
    "kmap",
    "kunmap",
    "pte_fn",
)


def _find(given: object, base: type, names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Methods that an object has of its own: those inherited from the public base class are the native ones."""
    found = {}
    for name in names:
        method = getattr(given, name, None)
        if callable(method) and getattr(method, "__func__", method) is not getattr(base, name):
            found[name] = method
    return found


class Overrides:
    """The methods that replace native functions."""

    def __init__(self, scheme: object | None, hooks: object | None) -> None:
        self._found: dict[str, Callable[..., Any]] = {}
        for given, base, names in ((scheme, public.Scheme, PLACES), (hooks, public.Hooks, HOOKS)):
            if given is not None:
                self._found |= _find(public.instance(given), base, names)
        self._natives: list[tuple[Callable[..., int], tuple[Any, ...]]] = []

    def bind(self, kernel: Kernel) -> None:
        """The kernel that hooks will be lent."""
        self.kernel = kernel
        self.lent = Lent(kernel, self)

    def overridden(self, name: str) -> Callable[..., Any] | None:
        """The method that replaces a native function, or None."""
        return self._found.get(name)

    def call(self, name: str, native: Callable[..., int], args: tuple[Any, ...], given: tuple[Any, ...]) -> Any:
        """Calls what is there for ``name``: ``native(*args)``, or the user's method with ``given``."""
        method = self._found.get(name)
        if method is None:
            return native(*args)
        self._natives.append((native, args))
        try:
            result = method(self.lent, *given)
        except BaseException as error:
            if not getattr(error, "__notes__", None) and error is not self.kernel.dying:
                k = self.kernel
                error.add_note(f"in hook {name} on cpu{k.cpu}, operation {k.op}, before event {k.log.total}")
            raise
        finally:
            self._natives.pop()
        if self.kernel.dying is not None:
            raise self.kernel.dying
        return result

    def native(self, *changes: Any) -> int:
        """What the innermost hook replaces; ``changes`` take the place of the last arguments."""
        native, args = self._natives[-1]
        return native(*args[: len(args) - len(changes)], *changes)


class Lent:
    """The kernel as a hook sees it: `lazymmu.hooks.Kernel`."""

    def __init__(self, kernel: Kernel, overrides: Overrides) -> None:
        self._kernel = kernel
        self._overrides = overrides

    @property
    def flags(self) -> int:
        """Thread flags of the running task."""
        return self._kernel.task().flags

    @flags.setter
    def flags(self, value: int) -> None:
        self._kernel.task().flags = value

    @property
    def lazy(self) -> tuple[int, int]:
        """The running task's lazy MMU counters: enable, pause."""
        task = self._kernel.task()
        return task.enable, task.pause

    @property
    def task(self) -> int:
        """The running task."""
        return self._kernel.task().id

    @property
    def cpu(self) -> int:
        """The executing CPU."""
        return self._kernel.cpu

    @property
    def op(self) -> int:
        """Index of the running operation."""
        return self._kernel.op

    @property
    def in_interrupt(self) -> bool:
        """``in_interrupt()``."""
        return self._kernel.in_interrupt()

    @property
    def sync_mask(self) -> int:
        """``ARCH_PAGE_TABLE_SYNC_MASK``."""
        return self._kernel.backend.sync_mask

    def option(self, name: str) -> str:
        """The value of an option."""
        return self._kernel.options.text(name)

    def root(self, mm: int = 0) -> int:
        """Physical address of a root table."""
        return self._kernel.mms[mm].root.pa

    def valid_kernel(self, word: int) -> bool:
        """Whether the word is a valid mapping of the kernel's."""
        return self._kernel.format.valid_kernel(word)

    def native(self) -> int:
        """What the hook that is being called replaces, with the arguments of the call."""
        return self._overrides.native()

    def native_word(self, word: int, why: str | int) -> None:
        """The same for ``set_pte`` and ``set_entry`` with another word or reason."""
        self._overrides.native(word, store_code(why))

    def begin(self, walk: Walk) -> None:
        """``arch_update_kernel_mappings_begin``."""
        self._kernel.begin(walk)

    def end(self, walk: Walk, mask: int) -> None:
        """``arch_update_kernel_mappings_end``."""
        self._kernel.end(walk, mask)

    def sync(self, walk: Walk, mask: int) -> None:
        """``arch_sync_kernel_mappings`` if the mask asks for it."""
        self._kernel.sync(walk, mask)

    def lazy_enable(self) -> None:
        """``lazy_mmu_mode_enable``."""
        lazy.enable(self._kernel)

    def lazy_disable(self) -> None:
        """``lazy_mmu_mode_disable``."""
        lazy.disable(self._kernel)

    def lazy_flush(self) -> None:
        """``arch_flush_lazy_mmu_mode``."""
        lazy.flush(self._kernel)

    def lazy_pause(self) -> None:
        """``lazy_mmu_mode_pause``."""
        lazy.pause(self._kernel)

    def lazy_resume(self) -> None:
        """``lazy_mmu_mode_resume``."""
        lazy.resume(self._kernel)

    def set_pte(self, entry: Entry, word: int, why: str | int = "set") -> None:
        """``set_pte_at``."""
        self._kernel.set_pte(entry, word, store_code(why))

    def pte_clear(self, entry: Entry) -> None:
        """``pte_clear``."""
        self._kernel.pte_clear(entry)

    def flush_tlb_kernel_range(self, start: int, end: int) -> None:
        """Invalidates the TLBs for ``[start, end)``."""
        self._kernel.backend.flush_tlb_kernel_range(start, end)

    def read(self, entry: Entry) -> int:
        """The entry as software reads it."""
        return self._kernel.read(entry)

    def store(self, entry: Entry, word: int, why: str | int = "set") -> None:
        """A plain store."""
        self._kernel.store(entry, word, store_code(why))

    def barrier(self) -> None:
        """``DSB ISHST; ISB``."""
        self._kernel.emit(ev.BAR)

    def defer(self, flags: int = 0) -> None:
        """Leaves a barrier for later."""
        self._kernel.defer(flags)


def site_name(site: int) -> str:
    """The name of a site, as hooks get it."""
    return SITES[site]


def store_name(code: int) -> str:
    """The name of a store code, as hooks get it."""
    return STORES[code]
