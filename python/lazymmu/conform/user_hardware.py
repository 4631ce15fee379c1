"""What the CPU executed in a user step, against the events of the model: stores to tables, barriers, invalidations.

Interrupts, context switches and temporary mappings of highmem fall into the middle of a step; they are left out by the
functions that executed them. x86's own reloads of CR3 on the way in and out of the kernel are, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazymmu.arrays import Records
from lazymmu.conform.hardware import OTHERS
from lazymmu.conform.report import Found, first_difference
from lazymmu.errors import RecordingError
from lazymmu.recording import Recording, read_records
from lazymmu.report import names

if TYPE_CHECKING:
    from lazymmu.conform.user import Model, UserFile

Token = tuple[Any, ...]

ELSEWHERE = (
    "__switch_to",
    "cpu_do_idle",
    "kernel_init_pages",
    "switch_mm_irqs_off",
    "entry_SYSENTER_32",
    "entry_SYSCALL_64",
    "syscall_return_via_sysret",
    "common_interrupt_return",
    "error_entry",
    "restore_all_switch_stack",
    "check_and_switch_context",
    "vmap_pages_pte_range",
    "lazy_mmu_mode_disable",
)
"""Functions whose instructions have nothing to do with the process's tables: they belong to the kernel's own."""

NOT_COMPARED = ("fork", "parent writes")
"""In these steps the child runs, too, and the recording cannot tell whose barriers are whose."""


USER_COPY = next(code for code, text in names.codes("store").items() if text == "user-copy")
"""Stores to the root of user mode (page-table isolation), which no record names."""

FLUSHES = ("flush all", "invlpg", "sfence.vma", "dsb ishst", "tlbi vale1is", "tlbi aside1is", "dsb ish")
"""What the flush of a gather consists of."""


class BadSequence(ValueError):
    """A sequence that cannot be read."""


def sequences(recording: Recording, path: Path) -> Mapping[str, list[tuple[int, list[Any]]]]:
    """The sequences of the steps, by their words, in the order of the recording."""
    if not path.name.startswith("user_hw."):
        return {}
    file = recording.find("hwseq.jsonl")
    if file is None:
        return {}
    out: dict[str, list[tuple[int, list[Any]]]] = {}
    for line, record in read_records(file):
        text = record.get("cmd")
        if isinstance(text, str) and text.startswith("user: "):
            if not isinstance(record.get("seq"), list):
                raise RecordingError(file, f"line {line}", "expected a list in 'seq'")
            out.setdefault(text.removeprefix("user: "), []).append((line, record["seq"]))
    return out


def _expand(items: Sequence[Any]) -> Iterator[Token]:
    for item in items:
        if not isinstance(item, Mapping):
            yield from _one(item, 0)
            continue
        for n in range(int(item["rep"])):
            for inner in item["seq"]:
                yield from _one(inner, n)


def _one(item: Sequence[Any], n: int) -> Iterator[Token]:
    if item[0] == "W":
        if item[4] not in ELSEWHERE:
            yield "store", int(item[1]), int(item[2], 0), int(item[3]) + n
        return
    text, function = item
    if function in ELSEWHERE or text.startswith(OTHERS):
        return
    if "%cr3" in text or text == "sfence.vma" or text.startswith("sfence.vma zero"):
        yield ("flush all",)
    elif text.startswith(("sfence.vma", "fence w,w")):
        yield (text.split()[0],)
    elif text.startswith(("tlbi", "invlpg", "dsb", "dmb", "isb")):
        yield (text.split(",")[0].split("(")[0].strip(),)
    else:
        raise BadSequence(f"unknown instruction {text!r}")


_DSB = {1: "dsb ishst", 2: "dsb ish", 3: "dsb nshst", 4: "dsb nsh"}


def _modelled(file: UserFile, model: Model) -> Iterator[Token]:
    for token, _ in _told(file, model):
        yield token


def _told(file: UserFile, model: Model) -> Iterator[tuple[Token, tuple[int, int]]]:
    """The model's tokens, each with the operation and the event that it comes from."""
    for op, events in enumerate(model.events):
        for index, tokens in enumerate(_tokens(file, model, events)):
            for token in tokens:
                yield token, (op, index)


def _tokens(file: UserFile, model: Model, events: Records) -> Iterator[list[Token]]:
    """What each event of an operation is in the recording."""
    kinds, texts = names.kinds(), names.codes("tlbi")
    arm64 = file.kernel.backend == "arm64"
    # Of fences between stores, only those of the table allocators were recorded.
    publish = {"arm64": ("dmb ishst",), "riscv": ("fence",)}.get(file.kernel.backend)
    sorts = [kinds[int(kind)] for kind in events["kind"]]
    for event, last, kind, following in zip(events, ["", *sorts], sorts, [*sorts[1:], ""], strict=False):
        tokens: list[Token] = []
        if kind == "STORE" and event["mm"] == 1 and event["aux"] != USER_COPY:
            level = int(event["level"])
            span = file._span(model, level)
            va = int(event["va"])
            linked = file.tables.get((level, va & ~(span - 1)))
            if linked is not None:
                tokens = [("store", level, linked, (va & span - 1) // model.sizes[level])]
        elif kind == "TLBI" and event["mm"] == 1:
            text = texts[int(event["aux"])]
            whole = text in ("non-global", "sfence.vma-all")
            tokens = [("flush all",) if whole else (f"tlbi {text}" if arm64 else text,)] * int(event["old"])
        elif publish is not None and kind == "WMB" and last == "ALLOC":
            tokens = [publish]
        elif arm64 and kind == "BAR":
            tokens = [("dsb ishst",), ("isb",)]
        elif kind == "DSB" and following != "SWITCH":
            # That of a context switch is `__switch_to`'s.
            tokens = [(_DSB[int(event["aux"])],)]
        elif kind == "ISB":
            tokens = [("isb",)]
        yield tokens


def of_step(file: UserFile, number: int) -> list[Token] | None:
    """What the CPU executed in a step; None where that was not recorded, or says nothing of this process."""
    what = next((str(r["what"]) for _, r in file.records if r.get("n") == number and "what" in r), "")
    waiting = file.sequences.get(what)
    if not waiting or what.startswith(NOT_COMPARED):
        return None
    _, items = waiting.pop(0)
    try:
        return list(_expand(items))
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSequence(f"damaged sequence: {error}") from None


def _shown(model: Model, tokens: Sequence[Token]) -> list[Token]:
    """Without what cannot be compared.

    With 32 bits temporary mappings of highmem, of tables and of data, are invalidated page by page all the time.
    """
    if model.machine.geometry["long_bits"] != 32:
        return list(tokens)
    return [token for token in tokens if token != ("invlpg",)]


def compare(file: UserFile, model: Model, recorded: Sequence[Token]) -> list[Found]:
    """Where both sequences part."""
    found = _shown(model, list(_modelled(file, model)))
    wanted = _shown(model, _to_tables(file, model, recorded))
    file.result.count("instructions", len(wanted))
    place = first_difference(found, wanted)
    if place is None:
        return []
    n = int(place)
    return [(f"instructions, from number {n} of {len(wanted)}", str(found[n : n + 4]), str(wanted[n : n + 4]))]


def left_early(file: UserFile, model: Model, recorded: Sequence[Token]) -> list[tuple[int, int]]:
    """Where another task waited: operation and event of the model behind which the kernel left its loop.

    Nothing differs but where in a run of leaf stores the gather was flushed: ``zap_pte_range`` leaves its loop at
    ``need_resched()``, and what must be flushed before the lock is released is flushed there.
    """
    told = [(token, at) for token, at in _told(file, model) if token[0] not in FLUSHES]
    wanted = _shown(model, _to_tables(file, model, recorded))
    stores = [token for token in wanted if token[0] not in FLUSHES]
    if [token for token, _ in told] != stores:
        return []
    early = _flushed(wanted) - _flushed(_shown(model, list(_modelled(file, model))))
    inside = [
        place
        for place in sorted(early)
        if 0 < place < len(stores) and stores[place][:2] == ("store", 1) and stores[place - 1][:3] == stores[place][:3]
    ]
    return [told[place - 1][1] for place in inside]


def _to_tables(file: UserFile, model: Model, tokens: Sequence[Token]) -> list[Token]:
    """Stores by table and place, without those to unknown tables.

    The recording counts from the beginning of a page, and small tables share one.
    """
    width = model.entry_bytes
    sizes = {table: model.levels[level][1] * width for (level, _), table in file.tables.items()}
    starts = sorted(sizes)
    out: list[Token] = []
    for token in tokens:
        if token[0] != "store":
            out.append(token)
            continue
        at = token[2] + token[3] * width
        below = bisect_right(starts, at) - 1
        if below >= 0 and at < starts[below] + sizes[starts[below]]:
            out.append(("store", token[1], starts[below], (at - starts[below]) // width))
    return out


def _flushed(tokens: Sequence[Token]) -> set[int]:
    """How many other instructions there were before each flush."""
    places, others = set(), 0
    for token in tokens:
        if token[0] in FLUSHES:
            places.add(others)
        else:
            others += 1
    return places
