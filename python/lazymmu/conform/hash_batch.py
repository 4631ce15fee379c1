"""powerpc's hash MMU: what left the hash table, when, and in batches of how many.

Where the hash table has a page is the fault handler's choice, and is taken from the record; whether what has an entry
there loses it, at once or by batch, and when a batch is flushed, is the model's. Probes saw ``hpte_need_flush`` and
``__flush_tlb_pending`` of everything that ran meanwhile, also in other address spaces and beside the window: of these
only what concerns the window is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lazymmu.arrays import Records
from lazymmu.conform.calls import BadEvent
from lazymmu.conform.changes import Changes
from lazymmu.conform.report import Found, Report, first_difference
from lazymmu.recording import Kernel
from lazymmu.report import names

if TYPE_CHECKING:
    from lazymmu.conform.user import Model

Token = tuple[str, int]

ACCESSED_DIRTY = 0x180


def slots(kernel: Kernel) -> int:
    """Bits of a leaf that say where the hash table has the page; 0 without one."""
    return kernel.background & ~ACCESSED_DIRTY if kernel.backend == "powerpc-hash" else 0


def adopt(kernel: Kernel, model: Model, changes: Changes) -> None:
    """Where the hash table has the pages that changed."""
    mask = slots(kernel)
    for change in changes:
        if change.level == 1:
            place = model.place(change.va)
            if place is not None and (place[1] ^ change.new) & mask:
                model.machine.poke(place[0], place[1] & ~mask | change.new & mask)


class Batches:
    """What the probes of a file saw of the batch."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.mm: str | None = None
        """The address space: whose tables were changed first inside the window."""

    def compare(
        self, events: Iterable[Records], mm: int, window: tuple[int, int], record: Mapping[str, Any]
    ) -> list[Found]:
        """Where the model's invalidations in an address space and the kernel's in a window part."""
        wanted = list(self._recorded(record.get("ev", []), window))
        found = list(_modelled(events, mm))
        self.report.count("invalidations of hash entries", len(wanted))
        place = first_difference(found, wanted)
        if place is None:
            return []
        n = int(place)
        return [(f"hash entries, from number {n} of {len(wanted)}", _text(found[n : n + 3]), _text(wanted[n : n + 3]))]

    def _recorded(self, calls: list[list[Any]], window: tuple[int, int]) -> Iterator[Token]:
        waiting: list[bool] = []
        for call in calls:
            try:
                if call[0] == "hpte_need_flush":
                    mm, va, lazy = str(call[1]), int(call[2], 0), bool(call[-1]["lazy"])
                    inside = window[0] <= va < window[1]
                    if inside and self.mm is None:
                        self.mm = mm
                    mine = inside and mm == self.mm
                    if lazy:
                        waiting.append(mine)
                    if mine:
                        yield ("deferred" if lazy else "at once"), va
                elif call[0] == "__flush_tlb_pending":
                    if len(waiting) != int(call[-1]["queued"]):
                        raise BadEvent(f"{call!r}: {len(waiting)} entries were queued before")
                    if any(waiting):
                        yield "flush", sum(waiting)
                    waiting = []
            except (IndexError, KeyError, TypeError, ValueError) as error:
                if isinstance(error, BadEvent):
                    raise
                raise BadEvent(f"{call!r} is no call of the hash MMU") from None


def _modelled(all_events: Iterable[Records], mm: int) -> Iterator[Token]:
    kinds, codes = names.kinds(), names.codes("tlbi")
    for events in all_events:
        before = ""
        for event in events:
            last, before = before, kinds[int(event["kind"])]
            if event["mm"] != mm:
                continue
            if before == "DEFER_TLBI":
                yield "deferred", int(event["va"])
            elif before == "FLUSH":
                yield "flush", int(event["old"])
            elif before == "TLBI" and last != "FLUSH" and codes[int(event["aux"])] == "hpte":
                yield "at once", int(event["va"])


def _text(tokens: list[Token]) -> str:
    return ", ".join(f"{what} {n}" if what == "flush" else f"{what} {n:#x}" for what, n in tokens)
