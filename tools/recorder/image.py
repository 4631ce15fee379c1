"""A table image: every page of tables below the kernel's and the program's root, read from the guest's memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from configurations import Configuration
from guest import Guest

BIG = ("s390x", "sun4u", "ppc64")
"""Architectures whose tables are big-endian, whatever the kernel is."""

LEVELS = ("", "page", "pmd", "pud", "p4d", "pgdir")
ENTRIES = ("", "pte", "pmd", "pud", "p4d", "pgd")
"""Names of the levels in shifts, and in numbers of entries."""


def table_image(configuration: Configuration, info: Mapping[str, Any], found: Mapping[str, Any], guest: Guest) -> bytes:
    """The image as bytes: magic, a line of JSON, pages."""
    page = 1 << info["page_shift"]
    roots = found["roots"]
    pages: set[int] = set()
    for root in roots.values():
        for level, text in root["tables"]:
            pa = int(text, 0)
            pages.update(range(pa & ~(page - 1), pa + _bytes(info, level, root), page))
    if _classic(info):
        # What hardware sees: each entry of Linux's root is two, each leaf table two small ones behind Linux's own.
        roots = {name: root | {"entries": 2 * root["entries"]} for name, root in roots.items()}
    ordered = sorted(pages)
    memory = guest.memory(ordered, page)
    header = {
        "format": "PTIMG1",
        "arch": configuration.image_arch,
        "config": configuration.key,
        "kernel": info["release"],
        "page_shift": info["page_shift"],
        "entry_bytes": info["pte_bytes"],
        "entries_per_table": info["ptrs_per_pte"] // (2 if _classic(info) else 1),
        "levels": _levels(info) if _uneven(info) else None,
        "byte_order": "big" if configuration.image_arch in BIG else "little",
        "empty": info.get("empty"),
        "roots": {name: {k: v for k, v in root.items() if k != "tables"} for name, root in roots.items()},
        "page_bytes": page,
        "pages": [hex(pa) for pa in ordered],
        "missing": [],
        "info": dict(info),
    }
    kept = {name: value for name, value in header.items() if value is not None}
    return b"PTIMG1\n" + json.dumps(kept).encode() + b"\n" + b"".join(memory[pa] for pa in ordered)


def _shift(info: Mapping[str, Any], level: int) -> int:
    return int(info[f"{LEVELS[level]}_shift"])


def _entries(info: Mapping[str, Any], level: int) -> int:
    return int(info[f"ptrs_per_{ENTRIES[level]}"])


def _levels(info: Mapping[str, Any]) -> list[list[int]]:
    """Shift and entries of each level that is there."""
    return [[_shift(info, n), _entries(info, n)] for n in range(1, 6) if _entries(info, n) > 1]


def _uneven(info: Mapping[str, Any]) -> bool:
    """Tables of different levels have different sizes, and it is not only the root."""
    return str(info["machine"]).startswith(("s390x", "ppc64"))


def _classic(info: Mapping[str, Any]) -> bool:
    """Arm with short descriptors."""
    return info["pte_bytes"] == 4 and str(info["machine"]).startswith("arm")


def _bytes(info: Mapping[str, Any], level: int, root: Mapping[str, Any]) -> int:
    entries = root["entries"] if level == root["levels"] else _entries(info, level)
    # Of short descriptors the root has pairs, and a leaf table words for the hardware behind Linux's.
    return int(entries) * int(info["pte_bytes"]) * (2 if _classic(info) else 1)
