"""Programs: reading, and refusing what cannot be read (docs/model/program.md).

Whether an address makes sense is known when the operation runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lazymmu.reference.codes import ACCESSES, INTERRUPTS
from lazymmu.reference.errors import ProgramError
from lazymmu.reference.events import KINDS
from lazymmu.reference.set_memory import CHANGES, LinearMap
from lazymmu.reference.walk.vmap_pages import Pages

MAX_CPUS: Final = 16
_U64: Final = 1 << 64


@dataclass(frozen=True)
class SlotAddress:
    """What an earlier operation returned, plus an offset."""

    slot: int
    offset: int


@dataclass(frozen=True)
class Callback:
    """What ``apply_to_page_range`` does with each PTE."""

    kind: str
    pa: int
    prot: int | str
    set: int
    clear: int
    fail_at: int
    error: int


@dataclass(frozen=True)
class Operation:
    """One operation: its name, and its arguments with defaults filled in."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """An operation by a task."""

    task: int
    op: Operation
    fail_alloc: int | None


@dataclass(frozen=True)
class Injection:
    """Operations that happen in the middle of another one."""

    op: int
    event: int | None
    kind: int | None
    nth: int
    irq: str | None
    task: int | None
    cpu: int | None
    ops: tuple[Operation, ...]


@dataclass(frozen=True)
class TaskSetup:
    """A task that exists from the beginning."""

    mm: int
    cpu: int


@dataclass(frozen=True)
class Program:
    """Operations in order, and what the machine must have for them."""

    cpus: int
    mms: int
    tasks: tuple[TaskSetup, ...]
    ops: tuple[Step, ...]
    injections: tuple[Injection, ...]


Reader = Callable[[Any, str], Any]

_REQUIRED: Final = object()


def _integer(low: int, high: int) -> Reader:
    def read(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ProgramError(f"{where}: expected a number, found {value!r}")
        if not low <= value < high:
            raise ProgramError(f"{where}: {value} is out of range")
        return value

    return read


_number = _integer(0, _U64)
_signed = _integer(-(1 << 63), 1 << 63)
_index = _integer(0, 1 << 32)


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ProgramError(f"{where}: expected true or false, found {value!r}")
    return value


def _choice(*names: str) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in names or not isinstance(value, str):
            raise ProgramError(f"{where}: {value!r} is none of {', '.join(names)}")
        return value

    return read


def _optional(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        return None if value is None else reader(value, where)

    return read


def _fields(given: Any, where: str, fields: Mapping[str, tuple[Reader, Any]]) -> dict[str, Any]:
    """A mapping with these keys and no others."""
    if not isinstance(given, Mapping):
        raise ProgramError(f"{where}: expected a mapping, found {given!r}")
    unknown = [repr(key) for key in given if key not in fields]
    if unknown:
        raise ProgramError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(fields)}")
    read = {}
    for name, (reader, default) in fields.items():
        if name in given:
            read[name] = reader(given[name], f"{where}.{name}")
        elif default is _REQUIRED:
            raise ProgramError(f"{where}: {name} is missing")
        else:
            read[name] = default
    return read


def _items(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        raise ProgramError(f"{where}: expected a list, found {given!r}")
    return list(given)


def _address(value: Any, where: str) -> int | SlotAddress:
    if isinstance(value, Mapping):
        read = _fields(value, where, {"slot": (_number, _REQUIRED), "offset": (_signed, 0)})
        return SlotAddress(read["slot"], read["offset"])
    return int(_number(value, where))


def _prot(value: Any, where: str) -> int | str:
    return value if isinstance(value, str) else int(_number(value, where))


def _addresses(value: Any, where: str) -> tuple[int, ...]:
    return tuple(_number(item, f"{where}[{index}]") for index, item in enumerate(_items(value, where)))


def _pages(value: Any, where: str) -> Pages:
    fields = {
        "count": (_index, _REQUIRED),
        "start": (_number, 0),
        "step": (_number, 0),
        "list": (_addresses, ()),
        "null_at": (_optional(_index), None),
        "invalid_at": (_optional(_index), None),
    }
    return Pages(**_fields(value, where, fields))


CALLBACKS: Final = (
    "count",
    "set",
    "clear",
    "wrprotect",
    "get-and-clear",
    "pause-set",
    "nested-set",
    "try-set",
    "protect",
    "set-read-back",
    "user",
)


def _callback(value: Any, where: str) -> Callback:
    fields = {
        "kind": (_choice(*CALLBACKS), _REQUIRED),
        "pa": (_number, 0),
        "prot": (_prot, "PAGE_KERNEL"),
        "set": (_number, 0),
        "clear": (_number, 0),
        "fail_at": (_index, 0),
        "error": (_signed, 0),
    }
    return Callback(**_fields(value, where, fields))


def _operations(value: Any, where: str) -> tuple[Operation, ...]:
    return tuple(_operation(item, f"{where}[{index}]") for index, item in enumerate(_items(value, where)))


_VA: Final = (_address, _REQUIRED)
_SIZE: Final = (_number, _REQUIRED)
_PA: Final = (_number, _REQUIRED)
_SLOT: Final = (_number, _REQUIRED)


def _linear_map(value: Any, where: str) -> LinearMap:
    fields = {"start": (_number, _REQUIRED), "end": (_number, _REQUIRED), "pa": (_number, 0)}
    return LinearMap(**_fields(value, where, fields))


_AT: Final = (_optional(_number), None)
_PAGES: Final = (_pages, _REQUIRED)
_KERNEL_PROT: Final = (_prot, "PAGE_KERNEL")
_NO: Final = (_boolean, False)

OPERATIONS: Final[dict[str, dict[str, tuple[Reader, Any]]]] = {
    "nop": {},
    "vmap_page_range": {"va": _VA, "size": _SIZE, "pa": _PA, "prot": _KERNEL_PROT},
    "vmap_range_noflush": {"va": _VA, "size": _SIZE, "pa": _PA, "prot": _KERNEL_PROT, "max_shift": (_index, _REQUIRED)},
    "ioremap_page_range": {"va": _VA, "size": _SIZE, "pa": _PA, "prot": _KERNEL_PROT},
    "vmap_pages_range": {
        "va": _VA,
        "pages": _PAGES,
        "prot": _KERNEL_PROT,
        "page_shift": (_integer(0, 64), 0),
        "noflush": _NO,
    },
    "vunmap_range": {"va": _VA, "size": _SIZE, "noflush": _NO},
    "apply_to_page_range": {
        "mm": (_index, 0),
        "va": _VA,
        "size": _SIZE,
        "callback": (_optional(_callback), None),
        "create": (_boolean, True),
    },
    "vmalloc": {
        "slot": _SLOT,
        "size": _SIZE,
        "at": _AT,
        "align": (_number, 0),
        "huge": _NO,
        "pages": (_optional(_pages), None),
        "prot": (_optional(_prot), None),
    },
    "vmap": {"slot": _SLOT, "pages": _PAGES, "at": _AT, "prot": _KERNEL_PROT},
    "vm_map_ram": {"slot": _SLOT, "pages": _PAGES, "at": _AT},
    "ioremap": {"slot": _SLOT, "pa": _PA, "size": _SIZE, "at": _AT, "prot": (_optional(_prot), None)},
    "free": {"va": _VA},
    "purge": {},
    "area": {"slot": _SLOT, "size": _SIZE, "at": _AT, "kind": (_choice("map", "ioremap", "alloc"), "map")},
    "access": {"va": _VA, "kind": (_choice(*ACCESSES), "read")},
    "pte": {
        "mm": (_index, 0),
        "va": _VA,
        "step": (_choice("set", "clear", "wrprotect", "try-set", "get-and-clear", "read"), _REQUIRED),
        "word": (_number, 0),
        "pa": (_optional(_number), None),
        "prot": _KERNEL_PROT,
    },
    "lazy_enable": {},
    "lazy_disable": {},
    "lazy_pause": {},
    "lazy_resume": {},
    "lazy_flush": {},
    "bh_disable": {},
    "bh_enable": {},
    "sleep": {},
    "cond_resched": {},
    "might_sleep": {},
    "switch": {"to": (_index, _REQUIRED)},
    "migrate": {"to": (_index, _REQUIRED)},
    "fork": {"mm": (_optional(_index), None)},
    "irq": {"kind": (_choice(*INTERRUPTS), "hard"), "ops": (_operations, _REQUIRED)},
    "new_mm": {},
    "flush_tlb_kernel_range": {"va": _VA, "size": _SIZE},
    "populate_kernel": {"va": _VA, "sync": _NO},
    "kmap_local": {"slot": _SLOT, "page": _PA},
    "kunmap_local": {"slot": _SLOT},
    "ptdump": {"running": (_boolean, _REQUIRED)},
    "populate_user": {"mm": (_index, _REQUIRED), "va": _VA},
    "set_memory": {
        "va": _VA,
        "pages": (_number, 1),
        "change": (_choice(*CHANGES), _REQUIRED),
        "linear": (_optional(_linear_map), None),
    },
    "flush_cache_vmap": {"va": _VA, "size": _SIZE},
    "need_resched": {},
}
"""Arguments of each operation; the position is the operation's code."""


def _areas(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    fields = {"start": (_number, _REQUIRED), "end": (_number, _REQUIRED), "pfnmap": _NO}
    return tuple(_fields(item, f"{where}[{index}]", fields) for index, item in enumerate(_items(value, where)))


_MM: Final = (_index, _REQUIRED)
_PRIVATE: Final = (_prot, "PAGE_READONLY")
_SHARED: Final = (_prot, "PAGE_SHARED")
_YES: Final = (_boolean, True)
_ONE: Final = (_number, 1)
_NOWHERE: Final = (_number, 0)
_AREAS: Final = (_areas, _REQUIRED)

USER_OPERATIONS: Final[dict[str, dict[str, tuple[Reader, Any]]]] = {
    "do_anonymous_page": {"mm": _MM, "va": _VA, "pa": _PA, "pages": _ONE, "write": _YES, "prot": _PRIVATE},
    "finish_fault": {"mm": _MM, "va": _VA, "pa": _PA, "pages": _ONE, "write": _NO, "prot": _SHARED},
    "do_huge_pmd_anonymous_page": {"mm": _MM, "va": _VA, "pa": _PA, "write": _YES, "prot": _PRIVATE},
    "do_wp_page": {"mm": _MM, "va": _VA, "pa": (_optional(_number), None), "prot": _PRIVATE},
    "handle_pte_fault": {"mm": _MM, "va": _VA, "write": _NO},
    "copy_page_range": {"mm": _MM, "to": _MM, "va": _VA, "size": _SIZE, "shared": _NO},
    "flush_tlb_mm": {"mm": _MM},
    "zap_page_range": {"mm": _MM, "va": _VA, "size": _SIZE},
    "unmap_region": {"mm": _MM, "vmas": _AREAS, "floor": _NOWHERE, "ceiling": _NOWHERE},
    "exit_mmap": {"mm": _MM, "vmas": _AREAS},
    "change_protection": {
        "mm": _MM,
        "va": _VA,
        "size": _SIZE,
        "prot": (_prot, _REQUIRED),
        "try_writable": _NO,
        "shared": _NO,
    },
    "move_page_tables": {"mm": _MM, "va": _VA, "to": (_number, _REQUIRED), "size": _SIZE},
    "remap_pfn_range": {"mm": _MM, "va": _VA, "size": _SIZE, "pa": _PA, "prot": _SHARED},
    "madvise": {"mm": _MM, "va": _VA, "size": _SIZE, "advice": (_choice("cold", "free"), _REQUIRED)},
    "walk_pte_range": {"mm": _MM, "va": _VA, "size": _SIZE},
    "ptep_clear_flush_young": {"mm": _MM, "va": _VA},
    "split_huge_pmd": {"mm": _MM, "va": _VA, "prot": _PRIVATE},
}
"""The same of operations on user mappings; codes begin at 60."""

FIRST_USER_CODE: Final = 60

CODES: Final = {name: code for code, name in enumerate(OPERATIONS)} | {
    name: code for code, name in enumerate(USER_OPERATIONS, FIRST_USER_CODE)
}


def _operation(value: Any, where: str) -> Operation:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ProgramError(f"{where}: an operation has one key, its name; found {value!r}")
    name, args = next(iter(value.items()))
    known = OPERATIONS | USER_OPERATIONS
    if name not in known:
        raise ProgramError(f"{where}: unknown operation {name!r}; known: {', '.join(known)}")
    return Operation(name, _fields(args, f"{where}.{name}", known[name]))


def _step(value: Any, where: str) -> Step:
    fields = {"task": (_index, 0), "op": (_operation, _REQUIRED), "fail_alloc": (_optional(_index), None)}
    return Step(**_fields(value, where, fields))


def _kind(value: Any, where: str) -> int:
    if value not in KINDS:
        raise ProgramError(f"{where}: unknown kind of event {value!r}; known: {', '.join(KINDS)}")
    return KINDS[value]


def _injection(value: Any, where: str) -> Injection:
    point = {
        "op": (_index, _REQUIRED),
        "event": (_optional(_index), None),
        "kind": (_optional(_kind), None),
        "nth": (_index, 0),
    }
    fields: dict[str, tuple[Reader, Any]] = {
        "at": (lambda at, place: _fields(at, place, point), _REQUIRED),
        "irq": (_optional(_choice(*INTERRUPTS)), None),
        "task": (_optional(_index), None),
        "cpu": (_optional(_index), None),
        "ops": (_operations, _REQUIRED),
    }
    read = _fields(value, where, fields)
    return Injection(**read.pop("at"), **read)


def _task(value: Any, where: str) -> TaskSetup:
    return TaskSetup(**_fields(value, where, {"mm": (_index, 0), "cpu": (_index, 0)}))


def _list_of(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        return tuple(reader(item, f"{where}[{index}]") for index, item in enumerate(_items(value, where)))

    return read


def parse(program: Mapping[str, Any] | str) -> Program:
    """A program from JSON text, or from the same as Python objects."""
    given: Any = program
    if isinstance(program, str):
        try:
            given = json.loads(program)
        except json.JSONDecodeError as error:
            raise ProgramError(f"not JSON: {error}") from error
    fields = {
        "cpus": (_integer(1, MAX_CPUS + 1), 1),
        "mms": (_index, 0),
        "tasks": (_list_of(_task), ()),
        "ops": (_list_of(_step), _REQUIRED),
        "injections": (_list_of(_injection), ()),
    }
    return Program(**_fields(given, "program", fields))
