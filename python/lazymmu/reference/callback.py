"""``pte_fn_t``: the callbacks of a test driver, and the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lazymmu.reference import lazy
from lazymmu.reference.codes import EBUSY, ENOSPC, PTE, Store
from lazymmu.reference.memory import Entry
from lazymmu.reference.program import Callback
from lazymmu.reference.resolve import Resolver

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel


class Driver:
    """One callback, for one call of ``apply_to_page_range``: what it does, and how often it was called."""

    def __init__(self, k: Kernel, resolver: Resolver, given: Callback, size: int) -> None:
        self.k = k
        self.given = given
        self.prot = resolver.prot(given.prot)
        self.bits = resolver.word(given.set)
        if given.kind in MAPPING:
            resolver.physical(given.pa, size)
        self.calls = 0

    def __call__(self, pte: Entry) -> int:
        """The callback; the call numbered ``fail_at`` does its work, and then fails."""
        self.calls += 1
        error = KINDS[self.given.kind](self, pte)
        if error == 0 and self.calls == self.given.fail_at:
            return self.given.error or -ENOSPC
        return error

    def page(self) -> int:
        """The word that maps the next frame: one for each call, none for an entry that is passed over."""
        return self.k.format.page(self.given.pa + (self.calls - 1) * self.k.geometry.page_size, self.prot)


def _count(driver: Driver, pte: Entry) -> int:  # noqa: ARG001
    return 0


def _set(driver: Driver, pte: Entry) -> int:
    driver.k.set_pte(pte, driver.page())
    return 0


def _clear(driver: Driver, pte: Entry) -> int:
    driver.k.pte_clear(pte)
    return 0


def _wrprotect(driver: Driver, pte: Entry) -> int:
    wrprotect(driver.k, pte)
    return 0


def _get_and_clear(driver: Driver, pte: Entry) -> int:
    driver.k.ptep_get_and_clear(pte)
    return 0


def _pause_set(driver: Driver, pte: Entry) -> int:
    """As KASAN's callbacks do (7.3 facts 47)."""
    lazy.pause(driver.k)
    driver.k.set_pte(pte, driver.page())
    lazy.resume(driver.k)
    return 0


def _nested_set(driver: Driver, pte: Entry) -> int:
    lazy.enable(driver.k)
    driver.k.set_pte(pte, driver.page())
    lazy.disable(driver.k)
    return 0


def _try_set(driver: Driver, pte: Entry) -> int:
    """As the BPF arena does (7.3 facts 21)."""
    return 0 if driver.k.backend.ptep_try_set(pte, driver.page()) else -EBUSY


def _protect(driver: Driver, pte: Entry) -> int:
    """As ``change_page_range`` of ``pageattr.c`` did."""
    word = driver.k.read(pte) & ~driver.given.clear | driver.bits
    driver.k.set_pte(pte, word, Store.PROTECT)
    return 0


def _set_read_back(driver: Driver, pte: Entry) -> int:
    driver.k.set_pte(pte, driver.page())
    driver.k.read(pte)
    return 0


def _user(driver: Driver, pte: Entry) -> int:
    return int(driver.k.overrides.call("pte_fn", _no_hook, (), (pte,)) or 0)


def _no_hook() -> int:
    return 0


KINDS: Final[dict[str, Callable[[Driver, Entry], int]]] = {
    "count": _count,
    "set": _set,
    "clear": _clear,
    "wrprotect": _wrprotect,
    "get-and-clear": _get_and_clear,
    "pause-set": _pause_set,
    "nested-set": _nested_set,
    "try-set": _try_set,
    "protect": _protect,
    "set-read-back": _set_read_back,
    "user": _user,
}
MAPPING: Final = ("set", "pause-set", "nested-set", "try-set", "set-read-back")
"""Kinds that map frames from ``pa`` on."""


def wrprotect(k: Kernel, pte: Entry) -> None:
    """A present entry loses its permission to write."""
    word = k.read(pte)
    if k.format.present(PTE, word):
        k.set_pte(pte, k.format.wrprotect(word), Store.PROTECT)
