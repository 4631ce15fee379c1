"""What the readers share."""

from __future__ import annotations

import re


def number(text: str) -> int | None:
    """A number in any base, of 64 bits."""
    try:
        return int(text.replace("_", ""), 0) & 0xFFFF_FFFF_FFFF_FFFF
    except ValueError:
        return int(text) if text.isdigit() else None


def operands(text: str) -> list[str]:
    """Splits at commas outside brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "[(") - (c in "])")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    parts = [part.strip() for part in parts]
    return parts if parts != [""] else []


def split_labels(text: str) -> tuple[tuple[str, ...], str]:
    """Leading labels, and the rest."""
    labels: list[str] = []
    while match := re.match(r"\s*([\w.]+)\s*:\s*", text):
        labels.append(match[1])
        text = text[match.end() :]
    return tuple(labels), text.strip()
