"""Differences that are no fault of the model: each is recognised in what was recorded, and has a proven reason.

``docs/conformance.md`` explains them by the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lazymmu.conform.changes import Change
from lazymmu.recording import Kernel


class Reason(NamedTuple):
    """A stable name, and what it means."""

    name: str
    text: str


PINNED = Reason(
    "xen-pinned-alias",
    "a page that becomes a page table is made read-only in the linear map, which the model does not have",
)
SWITCHED = Reason(
    "xen-context-switch",
    "the task was switched out in the middle: nothing but flushes of the queue is added",
)
TEMPORARY = Reason(
    "highmem-temporary-mapping",
    "invalidations before the first store of the operation: temporary mappings of highmem pages that it clears",
)
BREAK = Reason(
    "zap-need-resched",
    "zap_pte_range left its loop because another task waited, and flushed there what it had to flush before unlocking",
)

ALL = (PINNED, SWITCHED, TEMPORARY, BREAK)

# Read/write, accessed, dirty, no-execute.
_ALIAS_BITS = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 63


def descriptor(kernel: Kernel, change: Change) -> Reason | None:
    """Why the kernel changed a descriptor that the model left alone."""
    start = kernel.number("page_offset")
    linear = start <= change.va < kernel.number("high_memory")
    if kernel.xen and change.level == 1 and linear and (change.old ^ change.new) & ~_ALIAS_BITS == 0:
        return PINNED
    return None


def hypervisor(model: Sequence[str], kernel: Sequence[str]) -> Reason | None:
    """Why the hypervisor was called at other times."""
    extra = added(model, kernel)
    return SWITCHED if extra is not None and set(extra) <= {"flush", "lazy flush"} else None


def added(model: Sequence[Any], kernel: Sequence[Any]) -> list[Any] | None:
    """What the kernel did besides all that the model did in the same order; None if the model did something else."""
    extra = []
    at = 0
    for step in kernel:
        if at < len(model) and model[at] == step:
            at += 1
        else:
            extra.append(step)
    return extra if at == len(model) else None


def instructions(model: Sequence[int], kernel: Sequence[int], invalidation: int) -> Reason | None:
    """Why instructions differ: the kernel has invalidations more, all of them before anything else."""
    more = len(kernel) - len(model)
    same = more > 0 and list(kernel[more:]) == list(model)
    return TEMPORARY if same and set(kernel[:more]) == {invalidation} else None
