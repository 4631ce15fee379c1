"""A table image: every page of tables below the kernel's and the program's root, read from the guest's memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from configurations import Configuration
from guest import Guest


def table_image(configuration: Configuration, info: Mapping[str, Any], found: Mapping[str, Any], guest: Guest) -> bytes:
    """The image as bytes: magic, a line of JSON, pages."""
    page = 1 << info["page_shift"]
    roots = found["roots"]
    tables = {int(text, 0) for root in roots.values() for text in root["tables"]}
    # A table may be larger than a page, or share one.
    pages: set[int] = set()
    for pa in tables:
        size = max(_largest(info), page)
        pages.update(range(pa & ~(page - 1), (pa & ~(page - 1)) + (size if size > page else page), page))
    ordered = sorted(pages)
    memory = guest.memory(ordered, page)
    header = {
        "format": "PTIMG1",
        "arch": configuration.image_arch,
        "config": configuration.key,
        "kernel": info["release"],
        "page_shift": info["page_shift"],
        "entry_bytes": info["pte_bytes"],
        "entries_per_table": info["ptrs_per_pte"],
        "roots": {name: {k: v for k, v in root.items() if k != "tables"} for name, root in roots.items()},
        "page_bytes": page,
        "pages": [hex(pa) for pa in ordered],
        "missing": [],
        "info": dict(info),
    }
    return b"PTIMG1\n" + json.dumps(header).encode() + b"\n" + b"".join(memory[pa] for pa in ordered)


def _largest(info: Mapping[str, Any]) -> int:
    entries = max(info[f"ptrs_per_{level}"] for level in ("pte", "pmd", "pud", "p4d", "pgd"))
    return int(entries) * int(info["pte_bytes"])
