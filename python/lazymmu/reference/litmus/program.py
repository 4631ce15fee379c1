"""A litmus test in the form all front ends share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lazymmu.reference.visibility import Fence, Profile

Operand = str | int
"""A register by name, or a number."""

WIDTHS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
"""What a value of so many bytes keeps."""


class Unsupported(Exception):
    """A test that asks for something that is not modelled."""


class Malformed(Exception):
    """A test that makes no sense."""


@dataclass(frozen=True)
class Address:
    """Base, index with its extension, offset."""

    base: Operand
    index: str | None = None
    extend: tuple[str, int] = ("lsl", 0)
    offset: int = 0


@dataclass(frozen=True)
class Nop:
    """Does nothing."""


@dataclass(frozen=True)
class Stop:
    """The end of a column."""


@dataclass(frozen=True)
class Compute:
    """``to = op(a, b)``; ``extend`` is of b."""

    op: str
    to: str | None
    a: Operand
    b: Operand
    extend: tuple[str, int] = ("lsl", 0)
    width: int = 8
    flags: bool = False


@dataclass(frozen=True)
class Select:
    """A conditional select; ``change`` of what the condition does not choose."""

    to: str
    condition: int
    yes: Operand
    no: Operand
    change: str
    width: int


@dataclass(frozen=True)
class Load:
    """A load, exclusive or not."""

    to: str | None
    address: Address
    width: int
    signed: bool = False
    strength: str = ""
    exclusive: bool = False


@dataclass(frozen=True)
class Store:
    """A store; exclusive where it has a status register, or says so."""

    value: Operand
    address: Address
    width: int
    strength: str = ""
    exclusive: bool = False
    status: str | None = None


@dataclass(frozen=True)
class Atomic:
    """An atomic read-modify-write."""

    op: str
    to: str | None
    operand: Operand
    address: Address
    width: int
    acquire: bool
    release: bool


@dataclass(frozen=True)
class CompareSwap:
    """A compare-and-swap."""

    expected: str
    new: Operand
    address: Address
    width: int
    acquire: bool
    release: bool


@dataclass(frozen=True)
class Barrier:
    """A fence."""

    fence: Fence


@dataclass(frozen=True)
class Synchronise:
    """Context synchronisation."""


@dataclass(frozen=True)
class Invalidate:
    """An invalidation; ``packed`` is Arm's register with page and ASID."""

    packed: Operand | None = None
    address: Operand | None = None
    asid: Operand | None = None
    by_asid: bool = False
    by_page: bool = False
    last_level: bool = False
    global_too: bool = True
    broadcast: bool = False
    remote: int | None = None
    immediate: bool = False
    all_tables: bool = False


@dataclass(frozen=True)
class Branch:
    """To a label where the test says so: a name of a test and its operands."""

    test: tuple[str, *tuple[Operand, ...]]
    label: str


@dataclass(frozen=True)
class LabelAddress:
    """A register gets the address of a label."""

    to: str
    label: str


@dataclass(frozen=True)
class Return:
    """From an exception, or from a call."""

    exception: bool


@dataclass(frozen=True)
class Call:
    """SVC or HVC."""

    hypervisor: bool
    number: int


@dataclass(frozen=True)
class Undefined:
    """UDF."""


@dataclass(frozen=True)
class SetRoot:
    """A write of a translation root."""

    value: Operand
    hypervisor: bool


Instruction = (
    Nop | Stop | Compute | Select | Load | Store | Atomic | CompareSwap | Barrier | Synchronise | Invalidate | Branch
    | LabelAddress | Return | Call | Undefined | SetRoot
)  # fmt: skip

Access = Load | Store | Atomic | CompareSwap


@dataclass(frozen=True)
class Line:
    """An instruction where it stands."""

    instruction: Instruction
    labels: tuple[str, ...]
    address: int
    handler: bool


@dataclass
class Thread:
    """One thread: ``handler`` is herd's ``Pn.F`` column, ``vectors`` Arm's vector bases by exception level."""

    code: list[Line] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=dict)
    handler: int | None = None
    vectors: dict[int, int] = field(default_factory=dict)
    levels: bool = False
    level: int = 0
    own_stack: bool = False
    user: bool = False
    hardware_access: bool = False
    hardware_dirty: bool = False
    roots: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0), (0, 0)])

    def at_address(self, address: int) -> int | None:
        """The instruction at a code address."""
        return next((i for i, line in enumerate(self.code) if line.address == address), None)

    def place(self, label: str) -> int:
        """The instruction at a label."""
        for i, line in enumerate(self.code):
            if label in line.labels:
                return i
        raise Malformed(f"no label {label!r}")


@dataclass(frozen=True)
class Fault:
    """A fault taken, as conditions and states know it."""

    thread: int
    at: int
    address: int | None
    kind: str


Place = tuple[str, int, str] | tuple[str, int]
"""``("register", thread, name)`` or ``("memory", cell)``."""


@dataclass(frozen=True)
class Outcome:
    """A final state: what is observed, and the faults."""

    values: tuple[int, ...]
    faults: tuple[Fault, ...]


Formula = Callable[[Outcome], bool]


@dataclass
class Names:
    """What pages, cells, entries and code addresses are called."""

    pages: dict[int, str] = field(default_factory=dict)
    physical: dict[int, str] = field(default_factory=dict)
    entries: dict[int, str] = field(default_factory=dict)
    code: dict[int, str] = field(default_factory=dict)


@dataclass
class Litmus:
    """A whole test."""

    name: str
    profile: Profile
    threads: list[Thread]
    initial: dict[int, int]
    direct: list[tuple[int, int]]
    root_level: int
    on_fault: str
    quantifier: str
    formula: Formula
    places: list[tuple[Place, str]]
    names: Names
    filter: Formula | None = None
    managed: list[int] = field(default_factory=list)

    def is_direct(self, address: int) -> bool:
        """Whether a virtual address is also the physical one."""
        return any(start <= address < end for start, end in self.direct)
