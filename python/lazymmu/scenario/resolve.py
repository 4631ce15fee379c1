"""From a scenario to a program: names become the numbers of one geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazymmu.scenario import concurrent, expressions
from lazymmu.scenario.model import Injection, Scenario
from lazymmu.scenario.operations import Argument, Block, Step, operations
from lazymmu.scenario.read import Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Resolved:
    """A program, and what its numbers were called."""

    program: dict[str, Any]
    slots: dict[str, int]
    symbols: dict[str, int]


class _Resolver:
    def __init__(self, geometry: Mapping[str, Any]) -> None:
        self.symbols = expressions.symbols(geometry)
        self.long_mask = (1 << geometry["long_bits"]) - 1
        self.slots: dict[str, int] = {}

    def value(self, text: int | str, path: Path) -> expressions.Value:
        try:
            return expressions.evaluate(text, self.symbols, self.slots)
        except expressions.ExpressionError as error:
            raise Problem(path, str(error)) from None

    def number(self, text: int | str, path: Path) -> int:
        value = self.value(text, path)
        if value.slot is not None:
            raise Problem(path, f"slot {value.slot!r} is an address; a number is expected")
        return value.number & expressions.MAX

    def size(self, text: int | str, path: Path) -> int:
        value = self.value(text, path)
        if value.slot is not None or value.number < 0:
            raise Problem(path, f"expected a number from 0 up, got {text!r}")
        return value.number

    def address(self, text: int | str, path: Path) -> int | dict[str, int]:
        value = self.value(text, path)
        if value.slot is None:
            return value.number & expressions.MAX
        if value.number < 0:
            raise Problem(path, f"{text!r} lies before the area")
        place = {"slot": self.slots[value.slot]}
        if value.number:
            place["offset"] = value.number
        return place

    def pages(self, data: Any, path: Path) -> dict[str, Any]:
        table = dict(data) if isinstance(data, Mapping) else {"count": data}
        out: dict[str, Any] = {}
        if "list" in table:
            out["list"] = [self.number(v, (*path, "list", n)) for n, v in enumerate(table.pop("list"))]
            table.setdefault("count", len(out["list"]))
        else:
            table.setdefault("start", "RAM")
        return {**out, **{key: self.number(value, (*path, key)) for key, value in table.items()}}

    def callback(self, data: Any, path: Path) -> dict[str, Any]:
        table = dict(data) if isinstance(data, Mapping) else {"kind": data}
        out: dict[str, Any] = {"kind": table.pop("kind")}
        for key, value in table.items():
            match key:
                case "prot":
                    out[key] = value
                case "error":
                    out[key] = self.value(value, (*path, key)).number
                case _:
                    out[key] = self.number(value, (*path, key))
        if out["kind"] in ("set", "pause-set", "nested-set", "try-set", "set-read-back"):
            out.setdefault("pa", self.symbols["RAM"])
        return out

    def area(self, data: Mapping[str, Any], path: Path) -> dict[str, Any]:
        return {key: v if key == "pfnmap" else self.number(v, (*path, key)) for key, v in data.items()}

    def argument(self, argument: Argument, data: Any, path: Path) -> Any:
        match argument.type:
            case "address":
                return self.address(data, path)
            case "number":
                return self.size(data, path) if argument.name == "size" else self.number(data, path)
            case "slot":
                return self.slots.setdefault(data, len(self.slots))
            case "pages":
                return self.pages(data, path)
            case "callback":
                return self.callback(data, path)
            case "areas":
                return [self.area(item, (*path, n)) for n, item in enumerate(data)]
            case "linear":
                return {key: self.number(value, (*path, key)) for key, value in data.items()}
            case "ops":
                return self.block(data, path)
            case _:
                return data

    def operation(self, step: Step, path: Path) -> dict[str, Any]:
        wanted = operations()[step.name].arguments
        at = (*path, step.name)
        return {step.name: {key: self.argument(wanted[key], v, (*at, key)) for key, v in step.args.items()}}

    def block(self, block: Block, path: Path) -> list[dict[str, Any]]:
        return [self.operation(step, (*path, n)) for n, step in enumerate(block.steps)]

    def step(self, step: Step, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {"op": self.operation(step, path)}
        if step.task:
            out["task"] = step.task
        if step.fail_alloc is not None:
            out["fail_alloc"] = step.fail_alloc
        return out

    def injection(self, injection: Injection, op: int, path: Path) -> dict[str, Any]:
        after: dict[str, Any] = {"op": op}
        for key in ("event", "kind"):
            if (value := getattr(injection.after, key)) is not None:
                after[key] = value
        if injection.after.nth:
            after["nth"] = injection.after.nth
        out: dict[str, Any] = {"at": after}
        for key, value in (("irq", injection.interrupt), ("task", injection.task), ("cpu", injection.cpu)):
            if value is not None:
                out[key] = value
        return {**out, "ops": self.block(injection, (*path, "ops"))}


def resolve(scenario: Scenario, geometry: Mapping[str, Any]) -> Resolved:
    """The program of a scenario in a geometry, as `lazymmu.Machine.geometry` describes it.

    Raises `lazymmu.scenario.read.Problem` where an expression has no value there.
    """
    resolver = _Resolver(geometry)
    program: dict[str, Any] = {"cpus": scenario.cpus, "mms": scenario.mms}
    if scenario.tasks:
        program["tasks"] = scenario.tasks
    program["ops"] = [resolver.step(step, ("ops", n)) for n, step in enumerate(scenario.steps)]
    injections = []
    for n, injection in enumerate(scenario.injections):
        op = scenario.index_of(injection.after.op)
        if op is None:
            raise Problem(("injections", n, "after", "op"), f"no step {injection.after.op!r}")
        injections.append(resolver.injection(injection, op, ("injections", n)))
    if injections:
        program["injections"] = injections
    if together := concurrent.resolved(scenario, resolver.step, resolver.block, Problem):
        program["concurrent"] = together
    return Resolved(program, resolver.slots, resolver.symbols)
