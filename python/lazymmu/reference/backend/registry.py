"""Which backends there are: every class with a name in a module of this package."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

from lazymmu.reference import backend as package
from lazymmu.reference.backend.base import Backend


def _all() -> list[type[Backend]]:
    found = set()
    for item in pkgutil.iter_modules(package.__path__):
        if item.name != "registry":
            module = importlib.import_module(f"{package.__name__}.{item.name}")
            found |= {kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Backend)}
    return sorted((kind for kind in found if kind.name), key=lambda kind: (kind.order, kind.name))


BACKENDS: Final[dict[str, type[Backend]]] = {kind.name: kind for kind in _all()}
