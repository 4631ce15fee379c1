"""Scripted lazy-mode sections: one letter a step, and the task's counters after each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lazymmu.conform.commands import BadCommand, Command, Op, Scene

SECTIONS = {
    "e": "lazy_enable",
    "d": "lazy_disable",
    "p": "lazy_pause",
    "r": "lazy_resume",
    "b": "bh_disable",
    "B": "bh_enable",
    "y": "sleep",
}
NEXT = {"s": "set", "n": "set", "U": "set", "i": "set", "t": "try-set"}
"""Letters that work on the next entry, as steps of the model."""

LAST = {"c": "clear", "g": "get-and-clear", "w": "wrprotect"}
"""Letters that work on the last one."""

LETTERS = "".join([*SECTIONS, *NEXT, *LAST])


class Step(NamedTuple):
    """A letter, and the counters after it: enable, pause, pending barrier, lazy mode active."""

    letter: str
    enable: int
    pause: int
    pending: int
    active: int


def script(command: Command, scene: Scene) -> Iterator[tuple[str, Op]]:
    """Letters with their operations, each made when those before it have been carried out."""
    va, pa = command.number(0), command.number(1)
    done = 0
    for letter in command.text(2):
        if letter in SECTIONS:
            op: Op = {SECTIONS[letter]: {}}
        elif letter in NEXT:
            at, frame = va + done * scene.page, pa + done * scene.page
            op = {"pte": {"va": at, "step": NEXT[letter], **_word(letter, frame, scene)}}
            if letter == "i":
                op = {"irq": {"kind": "hard", "ops": [op]}}
            done += 1
        elif letter in LAST:
            at = va + max(done - 1, 0) * scene.page
            op = {"pte": {"va": at, "step": LAST[letter]}}
            if letter == "w" and scene.read(at) == 0:
                # The driver stores what it has read without a look, and a queued entry reads as none.
                op = {"pte": {"va": at, "step": "set", "word": 0}}
        else:
            raise BadCommand(f"unknown letter {letter!r} in {command.text(2)!r}: expected one of {LETTERS}")
        yield letter, op


def _word(letter: str, frame: int, scene: Scene) -> dict[str, Any]:
    if letter == "n":
        # The valid bit is bit 0 on every architecture of these recordings.
        return {"pa": frame, "prot": scene.prot("rw") & ~1}
    if letter == "U":
        return {"pa": frame, "prot": "PAGE_SHARED"}
    return {"pa": frame, "prot": scene.prot("rw")}


def recorded(steps: Sequence[Any]) -> list[Step]:
    """The steps of a record."""
    try:
        return [Step(str(step[0]), *(int(n) for n in step[1:5])) for step in steps]
    except (IndexError, TypeError, ValueError):
        raise BadCommand(f"{steps!r} are no steps: expected [letter, enable, pause, pending, active] each") from None
