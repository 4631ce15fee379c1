"""Scenarios from plain data, which TOML, JSON and Python scripts share.

A `Problem` says exactly what is wrong, and where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast, get_args

from lazymmu import _native
from lazymmu.scenario import concurrent, expressions
from lazymmu.scenario.concurrent import Interrupt, Preemption, Thread
from lazymmu.scenario.model import FORMAT, Expectation, Injection, Point, Scenario, Translation
from lazymmu.scenario.operations import Argument, Block, CallbackKind, IrqKind, Step, operations

Path = tuple[str | int, ...]
LEVELS = ("pte", "pmd", "pud", "p4d", "pgd")
PAGES = ("count", "start", "step", "list", "null_at", "invalid_at")
CALLBACK = ("kind", "pa", "prot", "set", "clear", "fail_at", "error")
AREA = ("start", "end", "pfnmap")
WHEN = ("backend", "geometry", "scheme")
COUNTS = (
    "stores",
    "queued",
    "flushes",
    "hypercalls",
    "traps",
    "barriers",
    "dsb",
    "isb",
    "tlbi",
    "tlbi_all",
    "ipis",
    "syncs",
    "synced",
    "copied",
    "allocs",
    "frees",
    "kmaps",
    "enters",
    "repairs",
    "switches",
)

KEYS = (
    "lazymmu",
    "name",
    "about",
    "cpus",
    "mms",
    "tasks",
    "backends",
    "geometries",
    "schemes",
    "options",
    "ops",
    "injections",
    "expect",
    *concurrent.KEYS,
)


class Problem(ValueError):
    """Something wrong at a place in the data."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {message}" if path else message)
        self.path = path
        self.message = message


def _expected(names: Sequence[str] | Mapping[str, Any]) -> str:
    return f"expected one of {', '.join(names)}"


def _keys(data: object, path: Path, known: Sequence[str], required: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise Problem(path, f"expected a table, got {data!r}")
    for key in data:
        if key not in known:
            raise Problem((*path, key), f"unknown key {key!r}: {_expected(known)}")
    for key in required:
        if key not in data:
            raise Problem(path, f"missing key {key!r}")
    return dict(data)


def _integer(data: object, path: Path, low: int = 0, high: int = expressions.MAX) -> int:
    if not isinstance(data, int) or isinstance(data, bool):
        raise Problem(path, f"expected an integer, got {data!r}")
    if not low <= data <= high:
        raise Problem(path, f"{data} is not between {low} and {high}")
    return data


def _text(data: object, path: Path) -> str:
    if not isinstance(data, str):
        raise Problem(path, f"expected a text, got {data!r}")
    return data


def _choice(data: object, path: Path, choices: Sequence[str]) -> str:
    if data not in choices:
        raise Problem(path, f"{data!r} is not known: {_expected(choices)}")
    return str(data)


def _flag(data: object, path: Path) -> bool:
    if not isinstance(data, bool):
        raise Problem(path, f"expected true or false, got {data!r}")
    return data


def _list(data: object, path: Path) -> list[Any]:
    if not isinstance(data, list):
        raise Problem(path, f"expected a list, got {data!r}")
    return data


def _names(data: object, path: Path, known: Sequence[str] | None = None) -> list[str]:
    items = [data] if isinstance(data, str) else _list(data, path)
    return [_choice(n, (*path, i), known) if known else _text(n, (*path, i)) for i, n in enumerate(items)]


class _Reader:
    """Reads one scenario; knows the slots that its steps make."""

    def __init__(self) -> None:
        self.slots: list[str] = []

    def number(self, data: object, path: Path, *, slots: bool = False) -> int | str:
        """A number or an expression, of names that are known here."""
        if isinstance(data, str):
            try:
                used = expressions.names(data)
            except expressions.ExpressionError as error:
                raise Problem(path, str(error)) from None
            known = [*(self.slots if slots else ()), *expressions.ABOUT]
            for name in sorted(used):
                if name not in known:
                    raise Problem(path, f"unknown name {name!r} in {data!r}: {_expected(known)}")
            return data
        return _integer(data, path, low=-expressions.MAX)

    def slot(self, data: object, path: Path) -> str:
        name = _text(data, path)
        if not name.isidentifier() or name in expressions.ABOUT:
            raise Problem(path, f"{name!r} cannot name a slot: expected an identifier that means nothing else")
        if name not in self.slots:
            self.slots.append(name)
        return name

    def pages(self, data: object, path: Path) -> int | str | dict[str, Any]:
        if not isinstance(data, Mapping):
            return self.number(data, path)
        table = _keys(data, path, PAGES)
        if "count" not in table and "list" not in table:
            raise Problem(path, "missing key 'count'")
        for key, value in table.items():
            if key == "list":
                table[key] = [self.number(v, (*path, key, i)) for i, v in enumerate(_list(value, (*path, key)))]
            else:
                self.number(value, (*path, key))
        return table

    def callback(self, data: object, path: Path) -> str | dict[str, Any]:
        kinds = get_args(CallbackKind)
        if isinstance(data, str):
            return _choice(data, path, kinds)
        table = _keys(data, path, CALLBACK, ["kind"])
        _choice(table["kind"], (*path, "kind"), kinds)
        for key, value in table.items():
            if key == "prot":
                self.prot(value, (*path, key))
            elif key != "kind":
                self.number(value, (*path, key))
        return table

    def area(self, data: object, path: Path) -> dict[str, Any]:
        table = _keys(data, path, AREA, ["start", "end"])
        for key, value in table.items():
            if key == "pfnmap":
                _flag(value, (*path, key))
            else:
                self.number(value, (*path, key))
        return table

    def prot(self, data: object, path: Path) -> int | str:
        return data if isinstance(data, str) else _integer(data, path)

    def argument(self, argument: Argument, data: object, path: Path) -> Any:
        match argument.type:
            case "address":
                return self.number(data, path, slots=True)
            case "number":
                return self.number(data, path)
            case "slot":
                return self.slot(data, path)
            case "pages":
                return self.pages(data, path)
            case "callback":
                return self.callback(data, path)
            case "areas":
                return [self.area(item, (*path, n)) for n, item in enumerate(_list(data, path))]
            case "linear":
                table = _keys(data, path, ["start", "end", "pa"], ["start", "end"])
                return {key: self.number(value, (*path, key)) for key, value in table.items()}
            case "prot":
                return self.prot(data, path)
            case "flag":
                return _flag(data, path)
            case "index":
                return _integer(data, path, high=0xFFFF)
            case "choice":
                return _choice(data, path, argument.choices)
            case _:
                return self.block(data, path)

    def step(self, data: object, path: Path, extras: Sequence[str]) -> Step:
        table = operations()
        known = [*extras, *table]
        step = _keys(data, path, known)
        named = [key for key in step if key in table]
        if len(named) != 1:
            what = f"{len(named)} operations ({', '.join(named)})" if named else "no operation"
            raise Problem(path, f"expected one operation, got {what}")
        name = named[0]
        wanted = table[name].arguments
        required = [a.name for a in wanted.values() if a.required]
        args = _keys(step[name], (*path, name), list(wanted), required)
        values = {key: self.argument(wanted[key], value, (*path, name, key)) for key, value in args.items()}
        label = _text(step["label"], (*path, "label")) if "label" in step else None
        fail = _integer(step["fail_alloc"], (*path, "fail_alloc")) if "fail_alloc" in step else None
        task = _integer(step.get("task", 0), (*path, "task"), high=0xFFFF)
        return Step(name, values, label=label, task=task, fail_alloc=fail)

    def block(self, data: object, path: Path) -> Block:
        return Block([self.step(item, (*path, n), ()) for n, item in enumerate(_list(data, path))])

    def injection(self, data: object, path: Path) -> Injection:
        table = _keys(data, path, ["after", "irq", "task", "cpu", "ops"], ["after", "ops"])
        after = _keys(table["after"], (*path, "after"), ["op", "event", "kind", "nth"], ["op"])
        kinds = [name for _, name, _ in _native.event_kinds()]
        at = (*path, "after")
        op = after["op"]
        point = Point(
            op if isinstance(op, str) else _integer(op, (*at, "op")),
            _integer(after["event"], (*at, "event")) if "event" in after else None,
            _choice(after["kind"], (*at, "kind"), kinds) if "kind" in after else None,
            _integer(after.get("nth", 0), (*at, "nth")),
        )
        if point.event is not None and point.kind is not None:
            raise Problem(at, "expected an event's index or its kind, got both")
        irq = _choice(table["irq"], (*path, "irq"), get_args(IrqKind)) if "irq" in table else None
        task = _integer(table["task"], (*path, "task"), high=0xFFFF) if "task" in table else None
        cpu = _integer(table["cpu"], (*path, "cpu"), high=15) if "cpu" in table else None
        return Injection(self.block(table["ops"], (*path, "ops")).steps, point, cast(IrqKind | None, irq), task, cpu)

    def labelled(self, scenario: Scenario, steps: list[Step], data: object, path: Path) -> None:
        """Steps that may have labels, which are the scenario's."""
        for n, item in enumerate(_list(data, path)):
            step = self.step(item, (*path, n), ["label", "task", "fail_alloc"])
            if step.label is not None and scenario.index_of(step.label) is not None:
                raise Problem((*path, n, "label"), f"label {step.label!r} is taken")
            steps.append(step)

    def concurrent(self, scenario: Scenario, table: Mapping[str, Any]) -> None:
        """What runs at the same time."""
        for n, item in enumerate(_list(table.get("threads", []), ("threads",))):
            path: Path = ("threads", n)
            keys = _keys(item, path, concurrent.THREAD, ["ops"])
            cpu = _integer(keys["cpu"], (*path, "cpu"), high=scenario.cpus - 1) if "cpu" in keys else None
            task = _integer(keys["task"], (*path, "task"), high=0xFFFF) if "task" in keys else None
            thread = Thread(cpu=cpu, task=task)
            scenario.threads.append(thread)
            self.labelled(scenario, thread.steps, keys["ops"], (*path, "ops"))
        for n, item in enumerate(_list(table.get("interrupts", []), ("interrupts",))):
            scenario.interrupts.append(self.interrupt(scenario, item, ("interrupts", n)))
        for n, item in enumerate(_list(table.get("migrations", []), ("migrations",))):
            path = ("migrations", n)
            keys = _keys(item, path, concurrent.MIGRATION, concurrent.MIGRATION)
            thread_number = _integer(keys["thread"], (*path, "thread"), high=len(scenario.threads) - 1)
            to = _integer(keys["to"], (*path, "to"), high=scenario.cpus - 1)
            scenario.migrations.append({"thread": thread_number, "to": to})
        how = _choice(table.get("preemption", "full"), ("preemption",), get_args(Preemption))
        scenario.preemption = cast(Preemption, how)
        scenario.may_fail_alloc = _flag(table.get("may_fail_alloc", False), ("may_fail_alloc",))
        for n, item in enumerate(_list(table.get("schedule", []), ("schedule",))):
            path = ("schedule", n)
            entry = _keys(item, path, concurrent.DECISION, ["at"])
            for key, value in entry.items():
                if key == "fail":
                    _flag(value, (*path, key))
                else:
                    _integer(value, (*path, key), high=0xFFFF_FFFF if key == "at" else 0xFFFF)
            scenario.schedule.append(entry)

    def interrupt(self, scenario: Scenario, data: object, path: Path) -> Interrupt:
        keys = _keys(data, path, concurrent.INTERRUPT, ["ops"])
        given = keys.get("at", [])
        places = [] if given == concurrent.ANYWHERE else given if isinstance(given, list) else [given]
        for place in places:
            if not isinstance(place, (str, int)) or isinstance(place, bool) or scenario.index_of(place) is None:
                known = [concurrent.ANYWHERE, *_places(scenario)]
                raise Problem((*path, "at"), f"no step {place!r}: {_expected(known)}")
        kinds = [name for _, name, _ in _native.event_kinds()]
        irq = _choice(keys["irq"], (*path, "irq"), get_args(IrqKind)) if "irq" in keys else None
        cpus = {key: _integer(keys[key], (*path, key), high=scenario.cpus - 1) for key in ("cpu", "on") if key in keys}
        return Interrupt(
            self.block(keys["ops"], (*path, "ops")).steps,
            interrupt=cast(IrqKind | None, irq),
            cpu=cpus.get("cpu"),
            task=_integer(keys["task"], (*path, "task"), high=0xFFFF) if "task" in keys else None,
            on=cpus.get("on"),
            at=places,
            kind=_choice(keys["kind"], (*path, "kind"), kinds) if "kind" in keys else None,
            times=_integer(keys.get("times", 1), (*path, "times"), 1, 0xFFFF),
        )

    def expectation(self, data: object, path: Path) -> Expectation:
        table = _keys(data, path, [f.name for f in fields(Expectation)])
        out = Expectation()
        if "when" in table:
            when = _keys(table["when"], (*path, "when"), WHEN)
            out.when = {key: _names(value, (*path, "when", key)) for key, value in when.items()}
        if "ok" in table:
            out.ok = _flag(table["ok"], (*path, "ok"))
        codes = [code for code, *_ in _native.hazards()]
        for key in ("hazards", "breaks", "costs"):
            if key in table:
                setattr(out, key, _names(table[key], (*path, key), codes))
        if "returns" in table:
            out.returns = _keys(table["returns"], (*path, "returns"), list(table["returns"]))
        if "translations" in table:
            items = _list(table["translations"], (*path, "translations"))
            out.translations = [self.translation(item, (*path, "translations", n)) for n, item in enumerate(items)]
        if "counts" in table:
            out.counts = self.counts(table["counts"], (*path, "counts"))
        return out

    def translation(self, data: object, path: Path) -> Translation:
        table = _keys(data, path, [f.name for f in fields(Translation)], ["va"])
        return Translation(
            self.number(table["va"], (*path, "va"), slots=True),
            _integer(table.get("mm", 0), (*path, "mm"), high=0xFFFF),
            _flag(table.get("mapped", True), (*path, "mapped")),
            self.number(table["pa"], (*path, "pa")) if "pa" in table else None,
            _choice(table["level"], (*path, "level"), LEVELS) if "level" in table else None,
        )

    def counts(self, data: object, path: Path) -> dict[str, int | str]:
        table = _keys(data, path, COUNTS)
        for key, value in table.items():
            text = str(value).lstrip("<>=! ") if isinstance(value, str) else value
            self.number(text, (*path, key))
        return table


def _places(scenario: Scenario) -> list[str]:
    labels = [step.label for step in scenario.all_steps if step.label]
    return [*labels, f"0 to {len(scenario.all_steps) - 1}"]


def from_data(data: object) -> Scenario:
    """The scenario that plain data describes.

    Raises `Problem`, which says where and what.
    """
    table = _keys(data, (), KEYS)
    if "ops" not in table and "threads" not in table:
        raise Problem((), "missing key 'ops' (or 'threads')")
    if (version := table.get("lazymmu", FORMAT)) != FORMAT:
        raise Problem(("lazymmu",), f"format {version!r} is not known: expected {FORMAT}")
    reader = _Reader()
    scenario = Scenario(
        name=_text(table.get("name", "scenario"), ("name",)),
        about=_text(table.get("about", ""), ("about",)),
        cpus=_integer(table.get("cpus", 1), ("cpus",), 1, 16),
        mms=_integer(table.get("mms", 0), ("mms",), high=4096),
        backends=_names(table.get("backends", []), ("backends",), [name for name, *_ in _native.backends()]),
        geometries=_names(table.get("geometries", []), ("geometries",), list(_native.geometries())),
        schemes=_names(table.get("schemes", []), ("schemes",)),
    )
    for n, task in enumerate(_list(table.get("tasks", []), ("tasks",))):
        keys = _keys(task, ("tasks", n), ["mm", "cpu"])
        scenario.tasks.append({key: _integer(value, ("tasks", n, key), high=0xFFFF) for key, value in keys.items()})
    options = {name: values for name, _, values, _ in _native.options("v6.12")}
    for name, value in _keys(table.get("options", {}), ("options",), list(options)).items():
        shown = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        _choice(shown, ("options", name), options[name])
        scenario.options[name] = value
    reader.labelled(scenario, scenario.steps, table.get("ops", []), ("ops",))
    reader.concurrent(scenario, table)
    for n, item in enumerate(_list(table.get("injections", []), ("injections",))):
        injection = reader.injection(item, ("injections", n))
        if scenario.index_of(injection.after.op) is None:
            known = _places(scenario)
            raise Problem(("injections", n, "after", "op"), f"no step {injection.after.op!r}: {_expected(known)}")
        scenario.injections.append(injection)
    for n, item in enumerate(_list(table.get("expect", []), ("expect",))):
        expectation = reader.expectation(item, ("expect", n))
        for key in expectation.returns:
            if scenario.index_of(key) is None:
                raise Problem(("expect", n, "returns", key), f"no step {key!r}")
        scenario.expectations.append(expectation)
    return scenario
