"""isla's page-table set-up language, stage 1, and its expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lazymmu.reference.litmus.program import Malformed, Unsupported

VIRTUAL, PHYSICAL = 0x80_0020_0000, 0x1_0000_0000
DEFAULT_TABLE, DEFAULT_BASE = "page_table_base", 0x1000_0000
DEFAULT_ATTRIBUTES = 1 << 10 | 1 << 6
CODE_ATTRIBUTES = 1 << 10 | 3 << 6
ADDRESS = 0x0000_FFFF_FFFF_F000
FIELDS = {"ap": (6, 2), "af": (10, 1), "ng": (11, 1), "sh": (8, 2), "ns": (5, 1), "attrindx": (2, 3), "uxn": (54, 1)}
FIELDS |= {"pxn": (53, 1), "contiguous": (52, 1), "dbm": (51, 1)}
TOKEN = re.compile(r"\|->|\?->|\.\.|==|!=|&&|\|\||0[xX][0-9a-fA-F_]+|0b[01_]+|\d+|[A-Za-z_][\w.]*|[^\s\w]")


def with_fields(word: int, fields: Mapping[str, int]) -> int:
    """A word with some of its fields changed."""
    for name, value in fields.items():
        if name.lower() not in FIELDS:
            raise Malformed(f"{name!r} is no field of an entry")
        at, width = FIELDS[name.lower()]
        mask = (1 << width) - 1 << at
        word = word & ~mask | value << at & mask
    return word


class Setup:
    """What the set-up says."""

    def __init__(self, symbolic: Sequence[str]) -> None:
        self.virtuals: dict[str, int] = {}
        self.physicals: dict[str, int] = {}
        self.roots = {DEFAULT_TABLE: DEFAULT_BASE}
        self.ends = {DEFAULT_TABLE: DEFAULT_BASE + 0x1000}
        self.entries: dict[int, int] = {}
        self.entry_names: dict[int, str] = {}
        self.memory: dict[int, int] = {}
        self.mapped: set[str] = set()
        self.next = {"virtual": VIRTUAL, "physical": PHYSICAL}
        self.tokens: list[str] = []
        self.at = 0
        self.labels: Mapping[str, int] = {}
        for name in symbolic:
            self.declare("virtual", name)

    def declare(self, kind: str, name: str, align: int = 0x1000) -> None:
        """Gives a name its page; an aligned declaration moves a virtual one."""
        known = self.virtuals if kind == "virtual" else self.physicals
        if name not in known or (kind == "virtual" and align > 0x1000):
            known[name] = -(-self.next[kind] // align) * align
            self.next[kind] = known[name] + align

    def unmapped(self) -> list[tuple[str, int]]:
        """Variables that no table maps: they are their own physical pages."""
        return [(name, at) for name, at in self.virtuals.items() if name not in self.mapped]

    # Tables

    def cell(self, table: str, va: int, level: int) -> int:
        """The cell of an entry, by the tables as they are."""
        at = self.roots[table]
        for upper in range(level):
            word = self.entries.get(at + 8 * (va >> (12 + 9 * (3 - upper)) & 0x1FF), 0)
            if word & 3 != 3:
                raise Malformed(f"no level {level} entry of {va:#x} in {table}")
            at = word & ADDRESS
        return at + 8 * (va >> (12 + 9 * (3 - level)) & 0x1FF)

    def map(self, table: str, va: int, level: int, word: int) -> int:
        """Writes an entry, with the tables above it."""
        for upper in range(level):
            cell = self.cell(table, va, upper)
            if self.entries.get(cell, 0) & 3 != 3:
                self.entries[cell] = self.ends[table] | 3
                self.ends[table] += 0x1000
        cell = self.cell(table, va, level)
        self.entries[cell] = word
        return cell

    def physical_of(self, va: int) -> int:
        """The physical address of a variable at the start; other addresses stand for themselves."""
        if va & ~0xFFF not in self.virtuals.values():
            return va
        for table in self.roots:
            try:
                word = self.entries.get(self.cell(table, va, 3), 0)
            except Malformed:
                continue
            if word & 3 == 3:
                return word & ADDRESS | va & 0xFFF
        return va

    # Tokens

    def peek(self, ahead: int = 0) -> str:
        """A token to come."""
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self) -> str:
        """The next token."""
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def eat(self, token: str) -> bool:
        """Takes a token that may be there."""
        found = self.peek() == token
        self.at += found
        return found

    # Expressions

    def value(self, text: str, labels: Mapping[str, int] | None = None) -> int:
        """Evaluates one expression."""
        saved = self.tokens, self.at, self.labels
        self.tokens, self.at, self.labels = TOKEN.findall(text), 0, labels or {}
        result = self.expression()
        if self.peek() == ":":
            self.take()
        if self.peek():
            raise Malformed(f"{text!r}: expected the end, found {self.peek()!r}")
        self.tokens, self.at, self.labels = saved
        return result

    def expression(self) -> int:
        """One term, or two joined."""
        result = self.term()
        if self.peek() in ("|", "+") and self.peek(1)[:1].isdigit():
            joined = self.take()
            other = self.term()
            return result | other if joined == "|" else result + other
        return result

    def term(self) -> int:
        """A number, a name, a function."""
        token = self.take()
        if token[:1].isdigit():
            return int(token.replace("_", ""), 0)
        if token == "(":
            result = self.expression()
            self.take()
            return result
        if self.peek() == "(":
            return self.function(token)
        for known in (self.virtuals, self.physicals, self.roots, self.labels):
            if token in known:
                return known[token]
        if "s2_page_table" in token or "stage2" in token:
            raise Unsupported("stage 2 translation")
        raise Malformed(f"{token!r} is not defined")

    def function(self, name: str) -> int:
        """A function of page tables."""
        if name.startswith("s2"):
            raise Unsupported("stage 2 translation")
        places: list[int] = []
        named: dict[str, int] = {}
        table = ""
        self.take()
        while not self.eat(")"):
            if self.peek(1) == "=":
                key = self.take()
                self.take()
                named[key] = self.expression()
            else:
                table = self.peek() if self.peek() in self.roots else table
                places.append(self.expression())
            self.eat(",")
        if match := re.fullmatch(r"(pte|desc)([0-3])", name):
            cell = self.cell(table, places[0], int(match[2]))
            return cell if match[1] == "pte" else self.entries.get(cell, 0)
        if match := re.fullmatch(r"mkdesc([0-3])", name):
            if "table" in named:
                return named["table"] & ADDRESS | 3
            address = named.pop("oa") & ADDRESS
            return with_fields(address | (3 if match[1] == "3" else 1) | DEFAULT_ATTRIBUTES, named)
        match name:
            case "extz":
                return places[0] & (1 << places[1]) - 1
            case "exts":
                width = places[0].bit_length()
                negative = width and width % 8 == 0
                return (places[0] - (1 << width) if negative else places[0]) & (1 << places[1]) - 1
            case "page":
                return places[0] >> 12
            case "asid":
                return places[0] << 48
            case "ttbr":
                if "vmid" in named:
                    raise Unsupported("stage 2 translation")
                return named["base"] | named.get("asid", 0) << 48
            case "offset":
                return (named["va"] >> (12 + 9 * (3 - named["level"])) & 0x1FF) * 8
            case "bvor" | "bvand" | "bvxor":
                a, b = places
                return a | b if name == "bvor" else a & b if name == "bvand" else a ^ b
            case "bvadd" | "bvsub":
                return (places[0] + (places[1] if name == "bvadd" else -places[1])) & 0xFFFF_FFFF_FFFF_FFFF
            case "bvlshr":
                return places[0] >> places[1]
            case "bvshl":
                return places[0] << places[1] & 0xFFFF_FFFF_FFFF_FFFF
            case _ if re.fullmatch(r"(pa|va|ipa)_to_(pa|va|ipa)", name):
                return places[0]
        raise Unsupported(f"the function {name}")

    # Statements

    def read(self, text: str) -> None:
        """Reads a set-up."""
        clean = "\n".join(line.partition("//")[0].partition("#")[0] for line in text.splitlines())
        if any(len(word) > 18 for word in re.findall(r"0x[0-9a-fA-F]+", clean)):
            raise Unsupported("a value wider than 64 bits")
        self.tokens, self.at = TOKEN.findall(clean), 0
        while self.peek():
            self.statement(DEFAULT_TABLE)

    def statement(self, table: str) -> None:
        """One statement, within a table."""
        if self.eat(";"):
            return
        if self.eat("*"):
            address = self.physical_of(self.expression())
            self.take()
            self.memory[address] = self.expression()
            return
        align = 0x1000
        if self.eat("aligned"):
            align = int(self.take())
        match self.peek():
            case "option" | "assert":
                while self.peek() not in (";", ""):
                    self.take()
            case "virtual" | "physical" | "intermediate" as kind:
                self.take()
                while re.match(r"[A-Za-z_]", self.peek()):
                    self.declare("virtual" if kind == "virtual" else "physical", self.take(), align)
            case "let" | "s2table":
                raise Unsupported(f"{self.peek()} in a set-up")
            case "identity":
                self.take()
                address = self.expression()
                attributes, level = self.attributes()
                self.map(table, address, level, address & ~0xFFF | attributes | 3)
            case "s1table":
                self.take()
                name = self.take()
                if self.peek()[:1].isdigit():
                    self.roots[name] = self.expression()
                    self.ends[name] = self.roots[name] + 0x1000
                if self.eat("{"):
                    while not self.eat("}"):
                        self.statement(name)
            case _:
                self.mapping(table)

    def mapping(self, table: str) -> None:
        """``x |-> pa1 with ... at level 3``; what it may become says nothing about the start."""
        name = self.peek() if self.peek(1) != "(" else ""
        if name and name not in self.virtuals and name not in self.physicals:
            self.declare("virtual", name)
        source = self.expression()
        certain = self.take() == "|->"
        kind = self.peek() if self.peek() in ("invalid", "table", "raw") else "page"
        target = 0
        if kind == "invalid":
            self.take()
        elif kind == "page":
            if re.match(r"[A-Za-z_]", self.peek()) and self.peek(1) != "(" and self.peek() not in self.virtuals:
                self.declare("physical", self.peek())
            target = self.expression()
        else:
            self.take()
            target = self.term()
        attributes, level = self.attributes()
        if name in self.physicals and name not in self.virtuals:
            # Stage 2 that never changes: both addresses are the same.
            if kind != "page" or not certain or table != DEFAULT_TABLE:
                raise Unsupported("stage 2 translation")
            self.physicals[name] = target
            return
        if not certain:
            return
        size = (1 << (12 + 9 * (3 - level))) - 1
        page = target & ~size | attributes | (3 if level == 3 else 1)
        word = {"invalid": 0, "raw": target, "table": target | 3, "page": page}[kind]
        cell = self.map(table, source, level, word)
        if name:
            self.mapped.add(name)
            self.entry_names[cell] = f"pte{level}({name if table == DEFAULT_TABLE else f'{name}, {table}'})"

    def attributes(self) -> tuple[int, int]:
        """``with [AP = 0b11] and default at level 2``; what follows "and" is of stage 2."""
        result, level, first = DEFAULT_ATTRIBUTES, 3, True
        while self.peek() in ("with", "and", "at", "as"):
            match self.take():
                case "at":
                    self.take()
                    level = int(self.take())
                case "as":
                    self.take()
                case _:
                    fields: dict[str, int] = {}
                    if self.eat("["):
                        while not self.eat("]"):
                            key = self.take()
                            self.take()
                            fields[key] = self.expression()
                            self.eat(",")
                        if first:
                            result = with_fields(result, fields)
                    elif self.take() == "code" and first:
                        result = CODE_ATTRIBUTES
                    first = False
        return result, level
