"""``lazymmu decode`` and ``lazymmu encode``: page-table entries by hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lazymmu import descriptor
from lazymmu.cli import common
from lazymmu.errors import DescriptorError

Geometry = Annotated[str, typer.Option("--geometry", metavar="G", help="Geometry; see `lazymmu list geometries`.")]
Level = Annotated[str, typer.Option("--level", metavar="L", help="pte, pmd, pud, p4d or pgd.")]
Backend = Annotated[str | None, typer.Option("--backend", metavar="B", help="Where several share the geometry.")]
Scheme = Annotated[str, typer.Option("--scheme", metavar="S", help="Kernel whose software bits they are.")]
PaBits = Annotated[int | None, typer.Option("--pa-bits", metavar="N", help="Physical width of the CPU.")]


def _number(name: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise DescriptorError(f"{name} = {text}, limit: a number (0x...)", name, None, "a number") from None


def as_json(entry: descriptor.Descriptor) -> dict[str, Any]:
    """An entry as the JSON Schema of ``decode`` has it."""
    fields = [
        {
            "name": item.field.name,
            "bits": [[high, low] for high, low, _ in reversed(item.field.parts)],
            "role": item.field.role,
            "value": item.value,
            "meaning": item.meaning,
            "about": item.field.about,
        }
        for item in reversed(entry.values)
    ]
    return {
        "word": f"{entry.word:#0{entry.bits // 4 + 2}x}",
        "backend": entry.backend,
        "geometry": entry.geometry,
        "level": entry.level,
        "kind": entry.kind,
        "hardware": entry.hardware,
        "about": entry.about,
        "fields": fields,
        "address": None if entry.address is None else f"{entry.address:#x}",
        "attributes": entry.attributes,
        "grants": entry.grants,
        "software": entry.software,
        "verdict": entry.verdict,
        "problems": [
            {"field": p.field, "value": p.value, "limit": p.limit, "verdict": p.verdict} for p in entry.problems
        ],
    }


@common.command
def main(
    word: Annotated[str, typer.Argument(metavar="WORD", help="The entry: 0x...")],
    geometry: Geometry,
    level: Level = "pte",
    backend: Backend = None,
    pa_bits: PaBits = None,
    scheme: Scheme = descriptor.SCHEME,
    lenient: Annotated[bool, typer.Option("--lenient", help="Explain reserved words too.")] = False,
    json: common.Json = False,
) -> bool:
    """Explain a page-table entry: its fields, their bits and meaning, and a picture of the word."""
    value = _number("word", word)
    entry = descriptor.decode(
        value, geometry, level, backend=backend, pa_bits=pa_bits, scheme=scheme, strict=not lenient
    )
    if json:
        common.print_json(as_json(entry))
    else:
        print(descriptor.explain(entry))  # noqa: T201
    return True


@common.command
def encode(
    fields: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="Fields; the others are zero.")],
    geometry: Geometry,
    level: Level = "pte",
    kind: Annotated[str | None, typer.Option("--kind", metavar="K", help="page, block, table, swap, ...")] = None,
    backend: Backend = None,
    pa_bits: PaBits = None,
    scheme: Scheme = descriptor.SCHEME,
    json: common.Json = False,
) -> bool:
    """Make a page-table entry from its fields."""
    values = {}
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals:
            raise DescriptorError(f"{text!r}: expected FIELD=VALUE", name, None, "FIELD=VALUE")
        values[name] = _number(name, value)
    word = descriptor.encode(values, geometry, level, kind=kind, backend=backend, pa_bits=pa_bits, scheme=scheme)
    if json:
        entry = descriptor.decode(word, geometry, level, backend=backend, pa_bits=pa_bits, scheme=scheme)
        common.print_json(as_json(entry))
    else:
        print(f"{word:#x}")  # noqa: T201
    return True
