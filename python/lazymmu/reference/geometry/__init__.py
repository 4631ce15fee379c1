"""Levels, shifts, entries and addresses. Knows nothing of descriptors' bits.

Each module of this package with ``GEOMETRIES`` is one architecture's.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

from lazymmu.reference.errors import ConfigError
from lazymmu.reference.geometry.shape import LAYOUT, Geometry

__all__ = ["GEOMETRIES", "LAYOUT", "Geometry", "geometry_named"]


def _all() -> list[Geometry]:
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    parts = [module for module in modules if hasattr(module, "GEOMETRIES")]
    parts.sort(key=lambda module: (module.ORDER, module.__name__))
    return [geometry for module in parts for geometry in module.GEOMETRIES]


GEOMETRIES: Final[dict[str, Geometry]] = {geometry.name: geometry for geometry in _all()}


def geometry_named(name: str) -> Geometry:
    """Looks a geometry up."""
    if name not in GEOMETRIES:
        raise ConfigError(f"unknown geometry {name!r}; known: {', '.join(GEOMETRIES)}")
    return GEOMETRIES[name]
