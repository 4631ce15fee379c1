"""Every log a test can end with, and its final states."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from lazymmu.reference.litmus import names
from lazymmu.reference.litmus.program import Litmus, Outcome, Unsupported
from lazymmu.reference.litmus.thread import Findings, Runner
from lazymmu.reference.visibility import ENVIRONMENT, Effect, Log, Write
from lazymmu.reference.visibility.entry import decode, set_accessed


@dataclass(frozen=True)
class Answer:
    """The verdict, the outcomes, the number of logs, and whether loops were cut."""

    verdict: str
    outcomes: frozenset[Outcome]
    explored: int
    cut: bool


def _spontaneous(test: Litmus, settled: tuple[Effect, ...]) -> Iterator[Effect]:
    """Access flags the hardware may set for no access at all."""
    if not any(thread.hardware_access or thread.hardware_dirty for thread in test.threads):
        return
    architecture = test.profile.architecture
    for cell in test.managed:
        _, word = Log(test.initial, settled).value_at(cell, len(settled))
        entry = decode(architecture, 3, word)
        if entry.kind == "leaf" and not entry.accessed:
            yield Write(ENVIRONMENT, cell, set_accessed(architecture, word), walker=True)


def _outcomes(test: Litmus, settled: tuple[Effect, ...], found: list[Findings]) -> Iterator[Outcome]:
    log = Log(test.initial, settled)
    for finals in itertools.product(*(findings.finals for findings in found)):
        registers = [dict(values) for values, _ in finals]
        values = []
        for place, _ in test.places:
            if place[0] == "register":
                values.append(registers[place[1]][str(place[2])])  # type: ignore[misc]
            else:
                values.append(log.value_at(place[1], log.now)[1])
        faults = tuple(fault for _, faults in finals for fault in faults)
        outcome = Outcome(tuple(values), faults)
        if test.filter is None or test.filter(outcome):
            yield outcome


def _one_size(footprints: set[tuple[int, int]]) -> None:
    """Refuses accesses of different sizes to the same bytes."""
    for (a, wide), (b, width) in itertools.combinations(sorted(footprints), 2):
        if a < b + width and b < a + wide:
            raise Unsupported("accesses of different sizes to the same bytes")


def decide(test: Litmus) -> Answer:
    """Decides a test.

    Raises:
        Unsupported: The program does something that is not modelled.
    """
    observed = [
        tuple(dict.fromkeys(str(p[2]) for p, _ in test.places if p[0] == "register" and p[1] == number))  # type: ignore[misc]
        for number in range(len(test.threads))
    ]
    outcomes: set[Outcome] = set()
    visited: set[tuple[Effect, ...]] = {()}
    waiting: list[tuple[Effect, ...]] = [()]
    cut = False
    footprints: set[tuple[int, int]] = set()
    while waiting:
        settled = waiting.pop()
        found = [Runner(test, number, settled, observed[number]).run() for number in range(len(test.threads))]
        footprints.update(*(findings.footprints for findings in found))
        _one_size(footprints)
        cut |= any(findings.cut for findings in found)
        if not all(findings.finals or findings.proposals or findings.waits for findings in found):
            continue
        outcomes.update(_outcomes(test, settled, found))
        following = {effect for findings in found for effect in findings.proposals}
        for effect in following.union(_spontaneous(test, settled)):
            longer = (*settled, effect)
            if longer not in visited:
                visited.add(longer)
                waiting.append(longer)
    satisfying = sum(1 for outcome in outcomes if test.formula(outcome))
    if test.quantifier == "forall":
        verdict = "Required" if satisfying == len(outcomes) else "Not required"
    else:
        verdict = "Allowed" if satisfying else "Forbidden"
    return Answer(verdict, frozenset(outcomes), len(visited), cut)


def rows(test: Litmus, answer: Answer) -> set[tuple[tuple[tuple[str, str], ...], tuple[str, ...]]]:
    """The outcomes in words: what is observed, and the faults."""
    found = set()
    for outcome in answer.outcomes:
        values = []
        for (place, name), word in zip(test.places, outcome.values, strict=True):
            entry = place[0] == "memory" and place[1] in test.names.entries
            values.append((name, names.descriptor(test, word) if entry else names.value(test, word)))
        faults = tuple(sorted({names.fault(test, fault) for fault in outcome.faults}))
        found.add((tuple(values), faults))
    return found
