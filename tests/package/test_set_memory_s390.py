"""``set_memory`` on s390: CRDTE for each entry, here and of the alias."""

from __future__ import annotations

from typing import Any

import pytest

import lazymmu
from lazymmu.report import names

from .test_user_flushes import Flush, flushes

PAGE = 0x1000
PAGES = 2
MEMORY = 0x1_0000_0000


def machine() -> tuple[lazymmu.Machine, int, dict[str, int]]:
    """An area of two pages, and their linear addresses a GiB further up."""
    made = lazymmu.Machine("s390", "s390-3level", "v6.12", cpus=2)
    start = int(made.geometry["vmalloc_start"])
    linear = {"start": start + (1 << 30), "end": start + (1 << 30) + 16 * PAGE, "pa": MEMORY}
    made.run(
        [
            {"vmalloc": {"slot": 0, "size": PAGES * PAGE}},
            {"vmap_page_range": {"va": linear["start"], "size": 16 * PAGE, "pa": MEMORY}},
        ]
    )
    return made, start, linear


def change(what: str, **more: Any) -> list[dict[str, Any]]:
    return [{"set_memory": {"va": {"slot": 0}, "pages": PAGES, "change": what, **more}}]


def words(run: lazymmu.Run) -> list[int]:
    return [int(e["new"]) & 0xFFF for e in run.events if names.kinds()[int(e["kind"])] == "STORE"]


def crdte(first: int) -> list[Flush]:
    return [("crdte", 1, first + n * PAGE) for n in range(PAGES)]


@pytest.mark.parametrize(
    ("what", "expected"),
    [("ro", 0x31D), ("rw", 0x13D), ("nx", 0x13D), ("x", 0x3D), ("invalid", 0x53D), ("default", 0x13D)],
)
def test_each_entry_is_replaced(what: str, expected: int) -> None:
    made, start, _ = machine()
    run = made.run(change(what))
    assert words(run) == [expected] * PAGES
    assert flushes(run) == crdte(start)


def test_the_alias_loses_the_right_to_write_and_no_other() -> None:
    made, start, linear = machine()
    assert flushes(made.run(change("nx", linear=linear))) == crdte(start)
    assert flushes(made.run(change("ro", linear=linear))) == [*crdte(start), *crdte(linear["start"])]


def test_what_is_not_mapped_ends_it() -> None:
    made, start, _ = machine()
    run = made.run([{"set_memory": {"va": {"slot": 0}, "pages": PAGES + 1, "change": "ro"}}])
    assert run.results[-1].ret == -22
    assert flushes(run) == crdte(start)
