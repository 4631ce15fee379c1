"""Images of page tables: what is mapped, and where one address leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazymmu import _native
from lazymmu.errors import ImageError, RecordingError
from lazymmu.recording.files import read_bytes

FILE = "tables.ptimg"
"""Name of the image in the directory of a recording."""

KERNEL = "kernel"
"""Name of the kernel's root."""


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive leaves of one level with the same attributes that map consecutive memory.

    ``end`` is one past the last address, ``raw`` the word of the first leaf. ``prot`` is what hardware grants when
    entries above the leaf are taken into account; ``valid`` in it is false where the kernel keeps a word that
    hardware does not use.
    """

    va: int
    end: int
    pa: int
    level: int
    page_size: int
    prot: Mapping[str, Any]
    raw: int


@dataclass(frozen=True, slots=True)
class Walk:
    """The way of a walk: entries from the root down as (level, index, word), and where it leads (None: a fault)."""

    root: str
    va: int
    pa: int | None
    levels: tuple[tuple[int, int, int], ...]
    prot: Mapping[str, Any] | None


class Image:
    """A table image: ``tables.ptimg`` (``.xz``), or the directory that holds it.

    Raises:
        RecordingError: no file, or its compression ends early.
        ImageError: not an image, truncated, or of an architecture that is not modelled.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _find(Path(path))
        try:
            data = read_bytes(self.path)
        except RecordingError as error:
            raise ImageError(error.path, error.place, error.problem) from error
        self._native = _native.TableImage(data, str(self.path))
        self.arch: str = self._native.arch
        self.roots = {name: pa for name, pa, *_ in self._native.roots}

    def ranges(self, root: str = KERNEL) -> Iterator[Range]:
        """Everything mapped below a root, by ascending address.

        Raises `ImageError` where an entry points outside the image, or the tables form no tree.
        """
        found = self._native.ranges(root)
        attributes = found["attributes"]
        columns = (found[name].tolist() for name in ("va", "last", "pa", "level", "page_size", "raw", "prot"))
        for va, last, pa, level, size, raw, prot in zip(*columns, strict=True):
            yield Range(va, last + 1, pa, level, size, attributes[prot], raw)

    def walk(self, va: int, root: str | None = None) -> Walk:
        """What a hardware walk of an address meets.

        Without ``root``: from the first root that maps the address, the kernel's before others.

        Raises `ImageError` where no root's tables can map such an address.
        """
        if not 0 <= va < 1 << 64:
            raise ImageError(self.path, "VA", f"{va:#x} has more than 64 bits")
        names = [root] if root is not None else sorted(self.roots, key=lambda name: (name != KERNEL, name))
        first: Walk | None = None
        refused: ImageError | None = None
        for name in names:
            try:
                levels, pa, prot = self._native.path(name, va)
            except ImageError as error:
                if error.place != "VA":
                    raise
                refused = refused or error
                continue
            found = Walk(name, va, pa, tuple(levels), prot)
            if pa is not None:
                return found
            first = first or found
        if first is None:
            raise refused or ImageError(self.path, "roots", "the image has none")
        return first


def _find(path: Path) -> Path:
    if not path.is_dir():
        return path
    for candidate in (path / FILE, path / f"{FILE}.xz"):
        if candidate.is_file():
            return candidate
    raise ImageError(path, "", f"no {FILE} or {FILE}.xz in this directory")
