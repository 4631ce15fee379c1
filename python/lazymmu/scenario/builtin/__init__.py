"""The scenarios that come with the package.

``*.lmmu.toml`` files beside this one, and the workloads of ``test_vmalloc``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from lazymmu.errors import ConfigError
from lazymmu.scenario.builtin import test_vmalloc
from lazymmu.scenario.files import parse_toml
from lazymmu.scenario.model import Scenario

SUFFIX = ".lmmu.toml"
SUITE = "test_vmalloc"


class Known(NamedTuple):
    """A built-in scenario: its name, what it is, and the parameters it takes."""

    name: str
    about: str
    parameters: tuple[str, ...] = ()


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name.endswith(SUFFIX):
            yield prefix + item.name.removesuffix(SUFFIX), item
        elif item.is_dir() and not item.name.startswith("__"):
            yield from _files(item, f"{prefix}{item.name}/")


def _toml() -> dict[str, Traversable]:
    return dict(_files(resources.files(__package__)))


def _parse(name: str, file: Traversable) -> Scenario:
    return parse_toml(file.read_text(encoding="utf-8"), f"built-in {name}")


def known() -> list[Known]:
    """Every built-in scenario; a suite such as ``seed`` is the name before the slash."""
    files = [Known(name, _parse(name, file).about) for name, file in _toml().items()]
    names = tuple(f.name for f in fields(test_vmalloc.Parameters))
    tests = [Known(t.__name__, " ".join((t.__doc__ or "").split()), names) for t in test_vmalloc.TESTS]
    return files + tests


def _parameters(name: str, text: str) -> test_vmalloc.Parameters:
    names = [f.name for f in fields(test_vmalloc.Parameters)]
    values: dict[str, int] = {}
    for part in text.split(",") if text else []:
        key, _, value = part.partition("=")
        if key not in names:
            raise ConfigError(f"{name}: unknown parameter {key!r}: expected one of {', '.join(names)}")
        try:
            values[key] = int(value, 0)
        except ValueError:
            raise ConfigError(f"{name}: {key}={value!r}: expected a number") from None
        low = 0 if key in ("use_huge", "seed") else 1
        if not low <= values[key] <= (16 if key == "cpus" else 1_000_000):
            raise ConfigError(f"{name}: {key}={value}: expected {low} to {16 if key == 'cpus' else 1_000_000}")
    return test_vmalloc.Parameters(**values)


def load(name: str) -> list[Scenario] | None:
    """The scenarios of a name: one, or all of a suite; None if there is none.

    Workloads of ``test_vmalloc`` take parameters: ``fix_size_alloc_test:nr_pages=4,use_huge=1``.

    Raises `lazymmu.ConfigError` for a parameter that makes no sense.
    """
    name, _, text = name.partition(":")
    tests = {test.__name__: test for test in test_vmalloc.TESTS}
    if name == SUITE or name in tests:
        make = partial(test_vmalloc.make, parameters=_parameters(name, text))
        return [make(test) for test in (tests.values() if name == SUITE else [tests[name]])]
    files = _toml()
    found = [n for n in files if n == name or n.startswith(f"{name}/")]
    if found and text:
        raise ConfigError(f"{name} takes no parameters, but {text!r} is given")
    return [_parse(n, files[n]) for n in found] or None
