"""What a decoded entry is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """Bits of an entry that mean something together."""

    name: str
    parts: tuple[tuple[int, int, int], ...]
    """``(high, low, at)``, lowest first: bits ``high`` to ``low`` of the word are bits ``at`` and up of the value."""
    role: str
    """``address``, ``control`` (hardware reads it), ``software``, ``ignored``, ``res0`` or ``reserved``."""
    about: str
    values: Mapping[int, str]
    """What values mean, where they have names."""
    inverted: bool = False
    """The word holds the complement of the value."""

    @property
    def bits(self) -> str:
        """The bits as manuals write them, highest first: ``49:12`` or ``47:12, 9:8``."""
        return ", ".join(f"{high}:{low}" if high != low else str(high) for high, low, _ in reversed(self.parts))

    @property
    def width(self) -> int:
        """Number of bits in the word."""
        return sum(high - low + 1 for high, low, _ in self.parts)


@dataclass(frozen=True)
class Kind:
    """One kind of entry at a level."""

    name: str
    hardware: str
    """``leaf``, ``table``, or ``invalid``: what a hardware walk makes of it."""
    about: str
    fields: tuple[Field, ...]
    mask: int
    value: int
    """Words of this kind are those with ``word & mask == value`` that no kind before it takes."""


@dataclass(frozen=True)
class Value:
    """A field with its value in one word."""

    field: Field
    value: int

    @property
    def meaning(self) -> str:
        """The value's name, if it has one."""
        return self.field.values.get(self.value, "")


@dataclass(frozen=True)
class Problem:
    """A field that is not what it may be."""

    field: str
    value: int
    limit: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value:#x}, limit: {self.limit}"


@dataclass(frozen=True)
class Descriptor:
    """A word taken apart."""

    word: int
    geometry: str
    backend: str
    level: str
    bits: int
    """Width of the word."""
    kind: str
    hardware: str
    """``leaf``, ``table``, or ``invalid``: what a hardware walk makes of it."""
    about: str
    values: tuple[Value, ...]
    """Every field, lowest bits first."""
    address: int | None
    """Physical address of the table or of the memory that is mapped; None where the kind has none."""
    attributes: Mapping[str, bool | str] | None
    """What a leaf grants, in the words of the portable API; None for other kinds."""
    grants: Mapping[str, bool] | None
    """What a table leaves to the leaves below it; None for other kinds."""
    software: Mapping[str, bool | None]
    """The kernel's own predicates: ``none``, ``present``, ``leaf``, and ``bad`` (None at pte level)."""
    verdict: str
    """``valid``: as the architecture defines it; ``acceptable``: hardware takes it, but software should not write it;
    ``invalid``: reserved at this level, or an address above the physical width."""
    problems: tuple[Problem, ...]

    def __getitem__(self, name: str) -> int:
        for item in self.values:
            if item.field.name == name:
                return item.value
        raise KeyError(f"{name}: a {self.kind} entry has {', '.join(v.field.name for v in self.values)}")

    @property
    def fields(self) -> dict[str, int]:
        """Values by name, as `encode` takes them."""
        return {item.field.name: item.value for item in self.values}
