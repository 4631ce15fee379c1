"""``lazymmu list``: what there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from lazymmu import _native
from lazymmu.cli import common
from lazymmu.errors import ConfigError
from lazymmu.scenario import builtin
from lazymmu.scenario.expressions import ABOUT

Row = dict[str, Any]


def _backends() -> list[Row]:
    return [{"name": name, "about": about, "geometries": names} for name, about, names in _native.backends()]


def _geometries() -> list[Row]:
    rows = []
    for name, g in _native.geometries().items():
        row = {"name": name, "levels": len(g["levels"]), "page_size": 1 << g["page_shift"], "va_bits": g["va_bits"]}
        rows.append({**row, "vmalloc_start": hex(g["vmalloc_start"]), "vmalloc_end": hex(g["vmalloc_end"])})
    return rows


def _schemes() -> list[Row]:
    return [{"name": name, "about": about, "base": base} for name, about, base in _native.schemes()]


def _scenarios() -> list[Row]:
    return [{"name": k.name, "about": k.about, "parameters": list(k.parameters)} for k in builtin.known()]


def _hazards() -> list[Row]:
    return [{"code": c, "name": name, "rule": rule, "source": source} for c, name, rule, source in _native.hazards()]


def _events() -> list[Row]:
    keys = ("level", "va", "addr", "old", "new", "aux", "about")
    return [{"code": c, "name": name, **dict(zip(keys, f, strict=True))} for c, name, f in _native.event_kinds()]


def _codes() -> list[Row]:
    return [{"vocabulary": name, "code": code, "text": text} for name, rows in _native.codes() for code, text in rows]


def _options() -> list[Row]:
    schemes = [name for name, *_ in _native.schemes()]
    defaults = {s: {name: value for name, value, *_ in _native.options(s)} for s in schemes}
    return [
        {"name": name, "values": values, "defaults": {s: defaults[s][name] for s in schemes}, "about": about}
        for name, _, values, about in _native.options(schemes[0])
    ]


def _operations() -> list[Row]:
    return [{"code": code, "name": name} for code, name in _native.operations()]


def _symbols() -> list[Row]:
    return [{"name": name, "about": about} for name, about in ABOUT.items()]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "backends": _backends,
    "geometries": _geometries,
    "schemes": _schemes,
    "scenarios": _scenarios,
    "hazards": _hazards,
    "events": _events,
    "codes": _codes,
    "options": _options,
    "operations": _operations,
    "symbols": _symbols,
}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return value.popitem()[1] if len(set(value.values())) == 1 else ", ".join(value.values())
    return "" if value is None else str(value)


@common.command
def main(
    what: Annotated[str, typer.Argument(metavar="|".join(LISTS), help="What to list.")],
    json: common.Json = False,
) -> bool:
    """List backends, geometries, schemes, scenarios, hazards and the rest of the vocabulary."""
    if what not in LISTS:
        raise ConfigError(f"unknown list {what!r}: expected one of {', '.join(LISTS)}")
    rows = LISTS[what]()
    if json:
        common.print_json(rows)
        return True
    keys = [key for key in rows[0] if any(_shown(row[key]) for row in rows)]
    table = Table(*keys, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_shown(row[key]) for key in keys))
    common.console().print(table)
    return True
