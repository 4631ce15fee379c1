"""Loops over user mappings end early when another task waits for the CPU (``need_resched``), and go on behind it."""

from __future__ import annotations

from typing import Any

import pytest

from lazymmu import reference
from lazymmu.machine import load_program, run
from lazymmu.report import names

START, PAGES = 0x4000_0000, 40
FAULTS = [{"do_anonymous_page": {"mm": 1, "va": START + n * 4096, "pa": 0x1000_0000 + n * 4096}} for n in range(PAGES)]
RANGE = {"mm": 1, "va": START, "size": PAGES * 4096}


def told(ops: list[dict[str, Any]]) -> str:
    """The last operation: sections in brackets with the number of their stores, ``.`` cond_resched, ``s`` a switch."""
    program = {"ops": [{"op": op} for op in [*FAULTS, *ops]], "mms": 2}
    found = run(load_program(program), "arm64")
    assert found.counts == reference.run(program, "arm64").counts
    words = {"ENTER": "[", "LEAVE": "]", "RESCHED": ".", "SWITCH": "s", "STORE": "|"}
    mine = found.events[found.events["op"] == len(FAULTS) + len(ops) - 1]
    text = "".join(words.get(names.kinds()[kind], "") for kind in mine["kind"].tolist())
    text = text[text.index("[") : text.rindex("]") + 4]
    for stores in sorted(set(text.replace("[", " ").replace("]", " ").split()), key=len, reverse=True):
        if set(stores) == {"|"}:
            text = text.replace(stores, str(len(stores)))
    return text


@pytest.mark.parametrize(
    ("op", "at_once", "in_parts"),
    [
        # Eight of progress a page, asked at 32: four pages, each protected in the parent and stored in the child.
        ({"copy_page_range": {**RANGE, "to": 2}}, "[80].", "[8].ss[72]."),
        # Asked at every entry that is not empty.
        ({"zap_page_range": RANGE}, "[40].", "[].ss[40]."),
        # Asked every 32 entries, the 32nd comes later.
        ({"madvise": {**RANGE, "advice": "cold"}}, "[40].", "[31].ss[9]."),
        # Not asked.
        ({"madvise": {**RANGE, "advice": "free"}}, "[40].", "[40].ss"),
    ],
    ids=["fork", "zap", "cold", "free"],
)
def test_a_loop_ends_early_and_goes_on(op: dict[str, Any], at_once: str, in_parts: str) -> None:
    assert told([op]) == at_once
    assert told([{"need_resched": {}}, op]) == in_parts


def test_who_lost_the_cpu_is_not_asked_again() -> None:
    ops = [{"need_resched": {}}, {"cond_resched": {}}, {"zap_page_range": RANGE}]
    assert told(ops) == "[40]."


def test_where_no_other_task_may_run_the_loop_does_not_wait_for_one() -> None:
    ops = [*FAULTS, {"bh_disable": {}}, {"need_resched": {}}, {"zap_page_range": RANGE}]
    program = {"ops": [{"op": op} for op in ops], "mms": 2}
    found = run(load_program(program), "x86-64")
    assert found.counts == reference.run(program, "x86-64").counts
    last = found.events[found.events["op"] == len(ops) - 1]["kind"].tolist()
    assert [names.kinds()[kind] for kind in last].count("STORE") == PAGES


def test_the_idle_task_gives_way_to_nobody() -> None:
    ops = [*FAULTS, {"switch": {"to": 1}}, {"need_resched": {}}, {"zap_page_range": RANGE}]
    program = {"ops": [{"op": op} if n <= len(FAULTS) else {"op": op, "task": 1} for n, op in enumerate(ops)], "mms": 2}
    found = run(load_program(program), "x86-64")
    assert found.counts == reference.run(program, "x86-64").counts
    assert not any(names.kinds()[int(e["kind"])] == "SWITCH" for e in found.events[-60:])
