"""Writes docs/support-matrix.md from what the code says it can do: `python docs/support_matrix.py`."""

from __future__ import annotations

from pathlib import Path

import lazymmu
from lazymmu import _native

HERE = Path(__file__).parent
RECORDINGS = HERE.parent / "tests" / "data" / "kernel"
MASKS = ((1, "pgd"), (2, "p4d"), (4, "pud"), (8, "pmd"), (16, "pte"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def size(shift: int) -> str:
    units = ("", "K", "M", "G", "T", "P")
    return f"{1 << shift % 10}{units[shift // 10]}"


def geometries() -> str:
    rows = []
    for backend, _, names in _native.backends():
        for name in names:
            g = _native.geometries()[name]
            levels = " ".join(f"{level}:{count}" for _, level, _, count in reversed(g["levels"]))
            group = size(g["page_shift"] + g["cont_ptes"].bit_length() - 1) if g["cont_ptes"] > 1 else ""
            mask = lazymmu.Machine(backend, name).sync_mask
            synced = " ".join(level for bit, level in MASKS if mask & bit)
            bits = f"{g['va_bits']} / {g['pa_bits']}"
            page = f"[`{backend}`](backends/{backend}.md)"
            rows.append([page, f"`{name}`", size(g["page_shift"]), levels, bits, group, synced])
    head = ["backend", "geometry", "page", "levels and entries", "VA / PA bits", "contiguous group", "synced levels"]
    return table(head, rows)


def refused(backend: str, geometry: str, op: dict[str, object]) -> bool:
    """Whether an operation is not modelled there."""
    try:
        lazymmu.Machine(backend, geometry, mms=1).run([op])
    except lazymmu.RunError as error:
        return "not modelled" in str(error)
    return False


def users() -> str:
    rows = []
    large = {"do_huge_pmd_anonymous_page": {"mm": 1, "va": 1 << 30, "pa": 1 << 30}}
    for backend, _, names in _native.backends():
        small = not refused(backend, names[0], {"flush_tlb_mm": {"mm": 1}})
        leaves = [f"`{name}`" for name in names if small and not refused(backend, name, large)]
        rows.append([f"[`{backend}`](backends/{backend}.md)", "yes" if small else "no", " ".join(leaves)])
    return table(["backend", "user mappings", "large leaves of them"], rows)


def schemes() -> str:
    return table(
        ["scheme", "what it is", "changes"], [[f"`{n}`", a, f"`{b}`" if b else ""] for n, a, b in _native.schemes()]
    )


def hazards() -> str:
    rows = [[f"[{code}](hazards/{code}.md)", name, rule] for code, name, rule, _ in _native.hazards()]
    return table(["code", "name", "rule"], rows)


def options() -> str:
    names = [name for name, *_ in _native.schemes()]
    defaults = {scheme: {row[0]: row[1] for row in _native.options(scheme)} for scheme in names}
    rows = []
    for name, _, values, about in _native.options(names[0]):
        given = [defaults[scheme][name] for scheme in names]
        shown = (
            f"`{given[0]}`"
            if len(set(given)) == 1
            else ", ".join(f"{s} `{v}`" for s, v in zip(names, given, strict=True))
        )
        rows.append([f"`{name}`", about, " ".join(f"`{v}`" for v in values), shown])
    return table(["option", "what it says", "values", "default"], rows)


def page() -> str:
    parts = {
        "Backends and geometries": geometries(),
        "User mappings": "Faults, fork, zap, mprotect, mremap, madvise, aging "
        "([what they do](model/user-mappings.md)).\n\n" + users(),
        "Schemes": "Every scheme runs on every backend and geometry.\n\n" + schemes(),
        "Hazards": hazards(),
        "Options": "Dated facts that a scenario or a `Scheme` may set.\n\n" + options(),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
    origin = "Written by `docs/support_matrix.py` from the code; a test fails when it is not up to date."
    return f"# Support matrix\n\n{origin}\n\n{body}\n"


if __name__ == "__main__":
    (HERE / "support-matrix.md").write_text(page(), encoding="utf-8")
