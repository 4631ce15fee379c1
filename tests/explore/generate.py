"""Small random programs whose threads run at the same time."""

from __future__ import annotations

import random
from typing import Any

import lazymmu

PA = 0x1000_0000
SCHEMES = ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"]


def program(rng: random.Random, backend: str) -> dict[str, Any]:
    """Two threads with an operation or two each on the same few pages, some of them in use; often an interrupt."""
    geometry = lazymmu.Machine(backend).geometry
    page = 1 << geometry["page_shift"]
    kernel = [geometry["vmalloc_start"] + (16 + n) * page for n in range(3)]
    user = [(64 + n) * page for n in range(3)]

    shared: tuple[dict[str, str], dict[str, str]] = ({}, {"prot": "PAGE_SHARED"})

    def op() -> dict[str, Any]:
        va, mm = rng.choice([(rng.choice(kernel), 0), (rng.choice(user), 1)])
        what = rng.choice(["access", "access", "pte", "pte", "pte", "map", "flush", "loop"])
        if what == "access":
            return {"access": {"va": va, "kind": rng.choice(["read", "write"])}}
        if what == "pte":
            step = rng.choice(["set", "clear", "get-and-clear", "wrprotect", "try-set"])
            more = {"pa": PA, **shared[mm]} if step in ("set", "try-set") else {}
            return {"pte": {"mm": mm, "va": va, "step": step, **more}}
        if what == "map":
            return {"vmap_page_range": {"va": rng.choice(kernel), "size": page, "pa": PA}}
        if what == "flush":
            return {"flush_tlb_kernel_range": {"va": rng.choice(kernel), "size": page}}
        callback = {"kind": rng.choice(["clear", "get-and-clear", "wrprotect"])}
        first = user[0] if mm else kernel[0]
        return {"apply_to_page_range": {"mm": mm, "va": first, "size": 2 * page, "callback": callback, "create": False}}

    ops: list[dict[str, Any]] = [{"populate_kernel": {"va": kernel[0]}}, {"populate_user": {"mm": 1, "va": user[0]}}]
    ops += [{"pte": {"mm": 1, "va": va, "step": "set", "pa": PA, **shared[1]}} for va in user[:2]]
    ops += [{"vmap_page_range": {"va": kernel[0], "size": page, "pa": PA}}]
    ops += [{"access": {"va": va}} for va in (*user[:2], kernel[0])]
    together: dict[str, Any] = {
        "threads": [{"ops": [{"task": n, "op": op()} for _ in range(rng.choice([1, 1, 2]))]} for n in range(2)]
    }
    if rng.random() < 0.5:
        together["interrupts"] = [{"irq": "hard", "cpu": rng.randrange(2), "ops": [op()]}]
    return {
        "cpus": 2,
        "mms": 1,
        "tasks": [{"mm": 1, "cpu": n} for n in range(2)],
        "ops": [{"op": op} for op in ops],
        "concurrent": together,
    }
