"""``lazymmu walk``: what a table image maps."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from lazymmu.cli import common
from lazymmu.errors import ConfigError
from lazymmu.recording.image import KERNEL, Image, Range, Walk

LEVELS = ("", "pte", "pmd", "pud", "p4d", "pgd")

Address = Annotated[str, typer.Argument(metavar="[VA]", help="Walk only this address.")]
Root = Annotated[str, typer.Option("--root", metavar="NAME", help="Walk from this root of the image.")]


@common.command
def main(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="tables.ptimg.xz, or the directory that holds it.")],
    va: Address = "",
    root: Root = "",
    json: common.Json = False,
) -> bool:
    """List what a recorded table image maps, or walk one address."""
    tables = Image(image)
    if va:
        found = tables.walk(_number(va), root or None)
        if json:
            common.print_json(_walk(found))
        else:
            _show_walk(found)
        return True
    ranges = list(tables.ranges(root or KERNEL))
    if json:
        common.print_json({"root": root or KERNEL, "ranges": [_range(r) for r in ranges]})
    else:
        _show(ranges)
    return True


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ConfigError(f"VA: expected a number such as 0xffff800080000000, got {text!r}") from None


def _range(r: Range) -> dict[str, Any]:
    return {
        "va": hex(r.va),
        "end": hex(r.end),
        "pa": hex(r.pa),
        "level": LEVELS[r.level],
        "page_size": r.page_size,
        "prot": r.prot,
        "raw": hex(r.raw),
    }


def _walk(w: Walk) -> dict[str, Any]:
    return {
        "va": hex(w.va),
        "pa": None if w.pa is None else hex(w.pa),
        "root": w.root,
        "levels": [{"level": LEVELS[level], "index": index, "raw": hex(raw)} for level, index, raw in w.levels],
        "prot": w.prot,
    }


def _prot(prot: Any) -> str:
    flags = [name for name in ("write", "exec", "user", "global", "contiguous") if prot[name]]
    return " ".join([*flags, prot["memory"], *(() if prot.get("valid", True) else ("invalid",))])


def _show(ranges: list[Range]) -> None:
    table = Table("from", "to", "physical", "level", "pages of", "grants", box=None, pad_edge=False)
    for r in ranges:
        size = f"{r.page_size >> 10} KiB"
        table.add_row(f"{r.va:#x}", f"{r.end:#x}", f"{r.pa:#x}", LEVELS[r.level], size, _prot(r.prot))
    common.console().print(table)


def _show_walk(w: Walk) -> None:
    console = common.console()
    for level, index, raw in w.levels:
        console.print(f"{LEVELS[level]}[{index}] = {raw:#x}")
    if w.pa is None or w.prot is None:
        console.print(f"{w.va:#x} is not mapped")
    else:
        console.print(f"{w.va:#x} -> {w.pa:#x}: {_prot(w.prot)}")
