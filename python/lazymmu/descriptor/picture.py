"""A word as the manuals draw it: boxes over the bits, highest bit on the left."""

from __future__ import annotations

from dataclasses import dataclass

from lazymmu.descriptor.entry import Descriptor, Value
from lazymmu.descriptor.words import decode

WIDTH = 100
"""Columns of a picture."""


@dataclass(frozen=True)
class _Box:
    name: str
    high: int
    low: int
    text: str

    @property
    def bits(self) -> str:
        return str(self.high) if self.high == self.low else f"{self.high}:{self.low}"

    @property
    def width(self) -> int:
        return max(len(self.name), len(self.text), len(self.bits))


def _boxes(values: tuple[Value, ...], word: int) -> list[_Box]:
    boxes = []
    for item in values:
        for high, low, _ in item.field.parts:
            bits = (word >> low) & ((1 << (high - low + 1)) - 1)
            width = high - low + 1
            text = f"{bits:0{width}b}" if width <= 8 else f"{bits:#x}"
            name = "" if item.field.role in ("ignored", "res0") and bits == 0 else item.field.name
            boxes.append(_Box(name, high, low, text))
    return sorted(boxes, key=lambda box: -box.low)


def _rows(boxes: list[_Box], width: int) -> list[list[_Box]]:
    rows: list[list[_Box]] = [[]]
    used = 1
    for box in boxes:
        if rows[-1] and used + box.width + 3 > width:
            rows.append([])
            used = 1
        rows[-1].append(box)
        used += box.width + 3
    return rows


def picture(entry: Descriptor, width: int = WIDTH) -> str:
    """The word in boxes: the bits above, name and value inside. Rows are broken at ``width`` columns."""
    lines = []
    for row in _rows(_boxes(entry.values, entry.word), width):
        line = "+" + "+".join("-" * (box.width + 2) for box in row) + "+"
        lines += [
            " " + " ".join(f"{box.bits:^{box.width + 2}}" for box in row).rstrip(),
            line,
            "|" + "|".join(f" {box.name:^{box.width}} " for box in row) + "|",
            "|" + "|".join(f" {box.text:^{box.width}} " for box in row) + "|",
            line,
        ]
    return "\n".join(lines)


def _shown(value: Value) -> str:
    if value.field.role == "address" or value.value > 9:
        return f"{value.value:#x}"
    return str(value.value)


def _list(given: dict[str, bool]) -> str:
    return " ".join(name if is_so else f"no-{name}" for name, is_so in given.items())


def explain(
    word: int | Descriptor,
    geometry: str = "",
    level: str | int = "pte",
    *,
    backend: str | None = None,
    pa_bits: int | None = None,
    width: int = WIDTH,
) -> str:
    """What a word says, as text: a picture, then every field with its bits, value and meaning.

    Reserved words are explained too; what is wrong with them is at the end.
    """
    if isinstance(word, Descriptor):
        entry = word
    else:
        entry = decode(word, geometry, level, backend=backend, pa_bits=pa_bits, strict=False)
    digits = entry.bits // 4
    head = f"{entry.word:#0{digits + 2}x}  {entry.geometry} {entry.level}: {entry.kind} ({entry.hardware}), "
    head += entry.verdict
    lines = [head, entry.about, "", picture(entry, width), ""]
    rows = [("bits", "field", "value", "meaning")]
    for item in reversed(entry.values):
        if item.field.role in ("ignored", "res0", "reserved") and item.value == 0:
            continue
        meaning = f"{item.field.about}: {item.meaning}" if item.meaning else item.field.about
        rows.append((item.field.bits, item.field.name, _shown(item), meaning))
    sizes = [max(len(row[n]) for row in rows) for n in range(3)]
    lines += [
        "  ".join([f"{cell:<{size}}" for cell, size in zip(row[:3], sizes, strict=True)] + [row[3]]) for row in rows
    ]
    lines.append("")
    if entry.attributes is not None:
        flags = {name: value for name, value in entry.attributes.items() if isinstance(value, bool)}
        lines.append(f"attributes  {_list(flags)}, memory {entry.attributes['memory']}")
    if entry.grants is not None:
        lines.append(f"below it    {_list(dict(entry.grants))}")
    lines.append(f"software    {_list({name: value for name, value in entry.software.items() if value is not None})}")
    lines += [f"{problem.verdict:<11} {problem}" for problem in entry.problems]
    return "\n".join(lines)
