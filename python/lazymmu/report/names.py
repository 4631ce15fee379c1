"""Numbers as names: event kinds, codes, levels."""

from __future__ import annotations

import functools

from lazymmu import _native

LEVELS = ("-", "pte", "pmd", "pud", "p4d", "pgd")


@functools.cache
def kinds() -> dict[int, str]:
    """Names of event kinds by code."""
    return {code: name for code, name, _ in _native.event_kinds()}


@functools.cache
def kind(name: str) -> int:
    """The code of an event kind."""
    return next(code for code, other in kinds().items() if other == name)


@functools.cache
def codes(vocabulary: str) -> dict[int, str]:
    """Texts of a small vocabulary by code."""
    return dict(dict(_native.codes())[vocabulary])


@functools.cache
def operations() -> dict[int, str]:
    """Names of operations by code."""
    return dict(_native.operations())


def mask(bits: int) -> str:
    """A ``pgtbl_mod_mask`` as text."""
    names = ("PGD", "P4D", "PUD", "PMD", "PTE")
    return "|".join(name for n, name in enumerate(names) if bits & 1 << n) or "0"
