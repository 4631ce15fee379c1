"""What came of an exploration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from lazymmu.results import Hazard, Run
from lazymmu.scenario.model import Scenario

LEVELS = ("-", "pte", "pmd", "pud", "p4d", "pgd")


class Mapping(NamedTuple):
    """A run of leaves: where, how many bytes, and what they map.

    ``pa`` None: init_mm maps this, and the root of ``mm`` does not lead there.
    """

    mm: int
    va: int
    size: int
    level: str
    pa: int | None


def mappings(leaves: Iterable[tuple[int, int, int, int | None, int]], shifts: dict[int, int]) -> list[Mapping]:
    """Leaves (mm, va, level, pa, word) as runs of neighbours; ``shifts`` are address bits below each level."""
    out: list[Mapping] = []
    bits: int | None = None
    for mm, va, level, pa, word in leaves:
        size, name = 1 << shifts[level], LEVELS[level]
        attributes = None if pa is None else word ^ pa
        last = out[-1] if out else None
        joins = (
            last is not None
            and (last.mm, last.level, last.va + last.size, attributes) == (mm, name, va, bits)
            and (pa is None if last.pa is None else last.pa + last.size == pa)
        )
        if joins and last is not None:
            out[-1] = last._replace(size=last.size + size)
        else:
            out.append(Mapping(mm, va, size, name, pa))
        bits = attributes
    return out


@dataclass
class Outcome:
    """One way in which a scenario can end, and a shortest run to it.

    ``returns`` are those of all operations as `lazymmu.Result.summary` shows them, ``interrupts`` those of what came in
    between: (operation, interrupt, step, value). ``final`` are the mappings there are at the end, ``tables`` the table
    pages. ``replay`` is the scenario, or the program, with the schedule that leads here.
    """

    hazards: list[Hazard]
    returns: list[Any]
    interrupts: list[tuple[int, int, int, Any]]
    final: list[Mapping]
    tables: int
    deadlock: bool
    schedule: list[dict[str, Any]]
    replay: Scenario | dict[str, Any]
    run: Run
    failures: Sequence[str] = ()
    """Expectations of the scenario that do not hold here."""

    def ok(self, *, strict: bool = False) -> bool:
        """Nothing breaks (strict: no contract is violated), all is as expected, and no thread waits for ever."""
        return not (self.deadlock or self.failures) and (self.run.strict_ok if strict else self.run.ok)

    def codes(self, severity: str = "breaks") -> list[str]:
        """Hazard codes of a severity."""
        return sorted({hazard.code for hazard in self.hazards if hazard.severity == severity})

    def story(self, code: str = "") -> str:
        """The run up to the first thing that breaks (with this code): one line an event, one column a CPU."""
        from lazymmu.report.story import story

        return story(self, code)

    def _repr_html_(self) -> str:
        codes = ", ".join(self.codes()) or "nothing breaks"
        returned = ", ".join(str(value) for value in self.returns)
        return f"<b>{escape(codes)}</b> &mdash; returned {escape(returned)}<pre>{escape(self.story())}</pre>"


@dataclass
class Exploration:
    """All outcomes of a scenario on one configuration, or those within the bound.

    ``bound`` says why the search is not complete; None: it is. ``error_probability`` bounds the chance that two states
    were taken for one.
    """

    backend: str
    geometry: str
    scheme: str
    states: int
    steps: int
    depth: int
    bound: str | None
    memory: int
    seconds: float
    error_probability: float
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Nothing was left out."""
        return self.bound is None

    @property
    def ok(self) -> bool:
        """No outcome has anything that breaks."""
        return self.fine(strict=False)

    def fine(self, *, strict: bool) -> bool:
        """The same; strict: no contract is violated either."""
        return all(outcome.ok(strict=strict) for outcome in self.outcomes)

    def verdict(self) -> str:
        """What was found, and how far the search went, in one line."""
        bad = sum(not outcome.ok() for outcome in self.outcomes)
        far = f"{self.states} states, complete" if self.complete else f"{self.states} states, bounded by {self.bound}"
        return f"{bad} of {len(self.outcomes)} outcomes break in {far}" if bad else f"none in {far}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{outcome._repr_html_()}</td></tr>" for outcome in self.outcomes)
        where = escape(f"{self.backend} {self.geometry} {self.scheme}: {self.verdict()}")
        return f"<table><caption>{where}</caption>{rows}</table>"
