"""The published schema of scenario files, made from the signatures of the operations."""

from __future__ import annotations

from typing import Any, get_args

from lazymmu import _native
from lazymmu.scenario import concurrent
from lazymmu.scenario.model import FORMAT
from lazymmu.scenario.operations import Argument, CallbackKind, IrqKind, operations
from lazymmu.scenario.read import COUNTS, LEVELS

_INDEX = {"type": "integer", "minimum": 0, "maximum": 65535}
_NUMBER = {"$ref": "#/$defs/number"}


def _table(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    table: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": required} if required else table


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _argument(argument: Argument) -> dict[str, Any]:
    match argument.type:
        case "number" | "address":
            return _NUMBER
        case "slot":
            return {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
        case "pages":
            return {"$ref": "#/$defs/pages"}
        case "callback":
            return {"$ref": "#/$defs/callback"}
        case "areas":
            return _list({"$ref": "#/$defs/area"})
        case "linear":
            return {"$ref": "#/$defs/linear"}
        case "prot":
            return {"$ref": "#/$defs/prot"}
        case "flag":
            return {"type": "boolean"}
        case "index":
            return _INDEX
        case "choice":
            return {"enum": list(argument.choices)}
        case _:
            return _list({"$ref": "#/$defs/operation"})


def _operations() -> dict[str, Any]:
    found = {}
    for operation in operations().values():
        arguments = {name: _argument(a) for name, a in operation.arguments.items()}
        required = [a.name for a in operation.arguments.values() if a.required]
        found[operation.name] = {**_table(arguments, required), "description": operation.about}
    return found


def _one_of_operations(extras: dict[str, Any]) -> dict[str, Any]:
    named = _operations()
    return {**_table({**extras, **named}), "oneOf": [{"required": [name]} for name in named]}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a scenario."""
    kinds = [name for _, name, _ in _native.event_kinds()]
    codes = {"enum": [code for code, *_ in _native.hazards()]}
    options = {name: {"enum": [*values, *_truth(values)]} for name, _, values, _ in _native.options("v6.12")}
    texts = {"anyOf": [{"type": "string"}, _list({"type": "string"})]}
    pages = {"count": _NUMBER, "start": _NUMBER, "step": _NUMBER, "list": _list(_NUMBER)}
    point = {"op": {"type": ["string", "integer"]}, "event": {"type": "integer", "minimum": 0}}
    callback = {"kind": {"enum": list(get_args(CallbackKind))}, "prot": {"$ref": "#/$defs/prot"}}
    numbers = dict.fromkeys(("pa", "set", "clear", "fail_at", "error"), _NUMBER)
    extras = {"label": {"type": "string"}, "task": _INDEX, "fail_alloc": {"type": "integer", "minimum": 0}}
    translation = {
        "va": _NUMBER,
        "mm": _INDEX,
        "mapped": {"type": "boolean"},
        "pa": _NUMBER,
        "level": {"enum": list(LEVELS)},
    }
    expect = {
        "when": _table(dict.fromkeys(("backend", "geometry", "scheme"), texts)),
        "ok": {"type": "boolean"},
        "hazards": _list(codes),
        "breaks": _list(codes),
        "costs": _list(codes),
        "returns": {"type": "object"},
        "translations": _list(_table(translation, ["va"])),
        "counts": _table({name: {"type": ["integer", "string"]} for name in COUNTS}),
    }
    injection = {
        "after": _table({**point, "kind": {"enum": kinds}, "nth": {"type": "integer", "minimum": 0}}, ["op"]),
        "irq": {"enum": list(get_args(IrqKind))},
        "task": _INDEX,
        "cpu": {"type": "integer", "minimum": 0, "maximum": 15},
        "ops": _list({"$ref": "#/$defs/operation"}),
    }
    properties = {
        "lazymmu": {"const": FORMAT},
        "name": {"type": "string"},
        "about": {"type": "string"},
        "cpus": {"type": "integer", "minimum": 1, "maximum": 16},
        "mms": {"type": "integer", "minimum": 0, "maximum": 4096},
        "tasks": _list(_table({"mm": _INDEX, "cpu": _INDEX})),
        "backends": _list({"enum": [name for name, *_ in _native.backends()]}),
        "geometries": _list({"enum": list(_native.geometries())}),
        "schemes": _list({"type": "string"}),
        "options": _table(options),
        "ops": _list({"$ref": "#/$defs/step"}),
        "injections": _list(_table(injection, ["after", "ops"])),
        "expect": _list(_table(expect)),
        **concurrent.schema({"$ref": "#/$defs/step"}, {"$ref": "#/$defs/operation"}, kinds, _table),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lazymmu scenario",
        **_table(properties),
        "anyOf": [{"required": ["ops"]}, {"required": ["threads"]}],
        "$defs": {
            "number": {
                "description": "a number, or an expression of names and slots",
                "anyOf": [{"type": "integer"}, {"type": "string"}],
            },
            "prot": {
                "description": "a protection's name in the backend's format, or its bits",
                "type": ["integer", "string"],
            },
            "pages": {"anyOf": [_NUMBER, _table({**pages, "null_at": _NUMBER, "invalid_at": _NUMBER})]},
            "area": _table({"start": _NUMBER, "end": _NUMBER, "pfnmap": {"type": "boolean"}}, ["start", "end"]),
            "linear": _table({"start": _NUMBER, "end": _NUMBER, "pa": _NUMBER}, ["start", "end"]),
            "callback": {
                "anyOf": [
                    callback["kind"],
                    _table({**callback, **numbers}, ["kind"]),
                ]
            },
            "operation": _one_of_operations({}),
            "step": _one_of_operations(extras),
        },
    }


def _truth(values: list[str]) -> list[bool]:
    return [True, False] if "true" in values else []
