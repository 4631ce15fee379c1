"""Programs that several tests of the reference run, and what they look for in the results."""

from __future__ import annotations

from typing import Any

from lazymmu.reference import Machine
from lazymmu.results import Run

PAGE = 4096
MIB = 1 << 20
ARM = 0xFFFF_8000_8000_0000 + 0x1000_0000
"""An address whose root slot has a table, and nothing below it."""
X86 = 0xFFFF_C900_0000_0000
X86_32 = 0xF000_0000
A, B, C, D = "v6.12", "begin-end", "v6.16", "v7.0"
SCHEMES = ("v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0")


def ops(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ops": [{"op": op} for op in given], **more}


def pages(va: int, count: int, **more: Any) -> dict[str, Any]:
    shift = {"page_shift": more.pop("page_shift")} if "page_shift" in more else {}
    return {"vmap_pages_range": {"va": va, "pages": {"count": count, "start": 0x2_0000_0000, **more}, **shift}}


def small(va: int, count: int, **more: Any) -> dict[str, Any]:
    return {"vmap_pages_range": {"va": va, "pages": {"count": count, "start": 0x800_0000, **more}}}


def vmap(va: int, size: int, pa: int = 0x2_0000_0000, **more: Any) -> dict[str, Any]:
    return {"vmap_page_range": {"va": va, "size": size, "pa": pa, **more}}


def vunmap(va: int, size: int, **more: Any) -> dict[str, Any]:
    return {"vunmap_range": {"va": va, "size": size, **more}}


def apply(va: int, count: int, kind: str | None = None, **more: Any) -> dict[str, Any]:
    callback = {k: more.pop(k) for k in ("pa", "fail_at", "error", "set", "clear") if k in more}
    fn = None if kind is None else {"kind": kind, **callback}
    return {"apply_to_page_range": {"va": va, "size": count * PAGE, "callback": fn, **more}}


def kinds(result: Run, *wanted: int) -> list[int]:
    return [event[0] for event in result.events if event[0] in wanted]


def found(result: Run) -> set[tuple[str, str]]:
    return {(hazard.code, hazard.severity) for hazard in result.hazards}


def populated(backend: str, scheme: str, *given: dict[str, Any], **more: Any) -> Machine:
    """A machine whose tables for some addresses exist already."""
    machine = Machine(backend, scheme=scheme, **more)
    machine.run(ops(*given))
    return machine


def with_tables(scheme: str, va: int, count: int, backend: str = "arm64", **more: Any) -> Machine:
    return populated(backend, scheme, apply(va, count, None), **more)
