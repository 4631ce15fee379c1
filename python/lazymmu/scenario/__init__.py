"""Scenarios: what people write, in Python or TOML, with names instead of numbers.

>>> from lazymmu.scenario import Scenario
>>> scenario = Scenario(name="hello", about="map two pages and use the second")
>>> area = scenario.vmalloc("area", size="2 * PAGE_SIZE")
>>> used = scenario.access(area + "PAGE_SIZE")
>>> scenario.expect(ok=True, returns={"1": "ok"}).ok
True
"""

from __future__ import annotations

from lazymmu.scenario.concurrent import Interrupt, Thread
from lazymmu.scenario.files import parse_toml, read, to_script, to_toml
from lazymmu.scenario.model import Expectation, Injection, Point, Scenario, Translation
from lazymmu.scenario.operations import Block, Step
from lazymmu.scenario.read import from_data
from lazymmu.scenario.resolve import Resolved, resolve
from lazymmu.scenario.schema import schema
from lazymmu.scenario.write import to_data

__all__ = [
    "Block",
    "Expectation",
    "Injection",
    "Interrupt",
    "Point",
    "Resolved",
    "Scenario",
    "Step",
    "Thread",
    "Translation",
    "from_data",
    "parse_toml",
    "read",
    "resolve",
    "schema",
    "to_data",
    "to_script",
    "to_toml",
]
