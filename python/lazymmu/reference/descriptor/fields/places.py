"""A level of a geometry under a backend, as the reference sees it."""

from __future__ import annotations

from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.descriptor.fields.layout import Place
from lazymmu.reference.errors import ConfigError
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import defaults

LEVELS = ("pte", "pmd", "pud", "p4d", "pgd")


def place(backend: str, geometry: str, level: str, pa_bits: int | None = None, scheme: str = "v6.12") -> Place:
    """A level of a geometry under a backend, with the software bits of a kernel."""
    if backend not in BACKENDS:
        raise ConfigError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    shape = geometry_named(geometry)
    number = LEVELS.index(level) + 1
    if number > shape.levels:
        raise ConfigError(f"geometry {geometry} has no level {level}")
    kinds = BACKENDS[backend].entry_format(shape, defaults(scheme)).layouts(number)
    return Place(kinds, 8 * shape.bytes_of(number), pa_bits or shape.pa_bits)
