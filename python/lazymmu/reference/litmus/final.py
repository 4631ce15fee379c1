"""The final clause: ``locations``, ``filter``, and the condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from lazymmu.reference.litmus.program import Formula, Malformed, Outcome, Place, Thread

TOKEN = re.compile(
    r"""\s*(?:(?P<mark>/\\|\\/|=>|!=|==|\|\||&&|[=~()\[\];,:&|*])|(?P<text>"[^"]*")|(?P<word>[\w.$+-]+))"""
)


class Names(Protocol):
    """What gives places and values to their names."""

    def place(self, text: str) -> Place:
        """Of a register or memory."""

    def value(self, text: str, own: int | None) -> int:
        """Of a number, a name, an entry."""

    def address(self, name: str) -> int:
        """Virtual, or of an entry."""


class FinalReader:
    """Reads it; ``places`` has what it names, in order."""

    def __init__(self, names: Names, threads: list[Thread], text: str) -> None:
        self.names, self.threads = names, threads
        self.tokens = [match[0].strip() for match in TOKEN.finditer(text) if match[0].strip()]
        self.at = 0
        self.places: list[tuple[Place, str]] = []

    def peek(self) -> str:
        """The next token."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def eat(self, *wanted: str) -> bool:
        """Takes one of these, if it is next."""
        found = self.peek() in wanted
        self.at += found
        return found

    def next(self) -> str:
        """Takes the next token."""
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def read(self) -> tuple[str, Formula, Formula | None]:
        """Quantifier, condition, filter."""
        if self.eat("locations"):
            self.next()
            while not self.eat("]"):
                if self.peek().lower() == "fault":
                    self.fault()
                elif not self.eat(";"):
                    self.place()
                    while self.peek() not in (";", "]"):
                        self.next()
        keep = self.formula() if self.eat("filter") else None
        if not self.peek():
            return "forall", lambda _: True, keep
        negated = self.eat("~")
        quantifier = self.next()
        if quantifier not in ("exists", "forall"):
            raise Malformed(f"{quantifier!r} is no quantifier")
        return ("~" if negated else "") + quantifier, self.formula(), keep

    def formula(self) -> Formula:
        """An implication."""
        left = self.either()
        if self.eat("=>"):
            right = self.formula()
            return lambda outcome: not left(outcome) or right(outcome)
        return left

    def either(self) -> Formula:
        """A disjunction."""
        parts = [self.both()]
        while self.eat("\\/", "|", "||"):
            parts.append(self.both())
        return lambda outcome: any(part(outcome) for part in parts)

    def both(self) -> Formula:
        """A conjunction."""
        parts = [self.atom()]
        while self.eat("/\\", "&", "&&"):
            parts.append(self.atom())
        return lambda outcome: all(part(outcome) for part in parts)

    def atom(self) -> Formula:
        """A comparison, a fault, or something in parentheses."""
        if self.eat("~", "not"):
            inner = self.atom()
            return lambda outcome: not inner(outcome)
        if self.eat("("):
            inner = self.formula()
            self.next()
            return inner
        if self.peek() in ("true", "false"):
            result = self.next() == "true"
            return lambda _: result
        if self.peek().lower() == "fault":
            return self.fault()
        at, own = self.place()
        differs = self.eat("!=")
        if not differs and not self.eat("=", "=="):
            raise Malformed(f"expected a comparison, found {self.peek()!r}")
        value = self.names.value(self.until(), own)
        # A negative number also stands for itself in 32 bits.
        mask = 0xFFFF_FFFF if value >> 31 == 0x1_FFFF_FFFF else 0xFFFF_FFFF_FFFF_FFFF
        return lambda outcome: (outcome.values[at] & mask == value & mask) != differs

    def until(self) -> str:
        """The text up to the end of a value."""
        text, depth = "", 0
        while self.peek() and (
            depth or self.peek() not in ("/\\", "\\/", ")", "=>", "&", "|", "&&", "||", ";", "with")
        ):
            token = self.next()
            depth += (token == "(") - (token == ")")
            text += token
        return text

    def place(self) -> tuple[int, int | None]:
        """A place by its number; for an entry, the page it maps where nothing else is said."""
        text, depth = "", 0
        while self.peek() and (depth or self.peek() not in ("=", "!=", "==", ";", "]")):
            token = self.next()
            depth += (token in ("[", "(")) - (token in ("]", ")"))
            text += token
        place = self.names.place(text)
        if place[0] == "register":
            if str(place[2]) not in self.register_names(place[1]):  # type: ignore[misc]
                raise Malformed(f"thread {place[1]} has no register {place[2]}")  # type: ignore[misc]
            name = f"{place[1]}:{place[2]}"  # type: ignore[misc]
        else:
            name = text
        known = [known for known, _ in self.places]
        if place not in known:
            self.places.append((place, name))
            known.append(place)
        own = None
        if place[0] == "memory" and 0x4000_0000 <= place[1] < 0x4000_1000:
            own = 0x1_0000_0000 + ((place[1] - 0x4000_0000) // 8 << 12)
        return known.index(place), own

    def register_names(self, thread: int) -> set[str]:
        """Registers that the thread has."""
        found = set(self.threads[thread].registers)
        for line in self.threads[thread].code:
            for value in vars(line.instruction).values():
                for name in (value, *(vars(value).values() if hasattr(value, "__dict__") else ())):
                    if isinstance(name, str):
                        found.add(name)
        return found

    def fault(self) -> Formula:
        """``fault(P0:L0,x,MMU:Translation)``."""
        self.next()
        self.next()
        parts, depth = [""], 1
        while depth:
            token = self.next()
            depth += (token == "(") - (token == ")")
            if token == "," and depth == 1:
                parts.append("")
            elif depth:
                parts[-1] += token
        thread, _, label = parts[0].removeprefix("P").partition(":")
        number = int(thread)
        if label:
            self.threads[number].place(label)
        kind: str | None = None
        address: int | None = None
        for part in parts[1:]:
            if ":" in part or part in ("SupervisorCall", "UndefinedInstruction"):
                kind = part.removeprefix("D-")
            else:
                address = self.names.address(part)

        def holds(outcome: Outcome) -> bool:
            for fault in outcome.faults:
                labels = self.threads[fault.thread].code[fault.at].labels
                same = fault.thread == number and (not label or label in labels)
                near = address is None or (fault.address is not None and self.near(fault.address, address))
                if same and near and kind in (None, fault.kind):
                    return True
            return False

        return holds

    near: Callable[[int, int], bool] = staticmethod(
        lambda a, b: a == b or (a >> 12 == b >> 12 and not 0x4000_0000 <= a < 0x4000_1000)
    )
