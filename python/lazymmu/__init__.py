"""An executable model of how the Linux kernel changes page tables, and a checker of its deferrals.

>>> import lazymmu
>>> run = lazymmu.run([{"vmalloc": {"slot": 0, "size": 8192}}], backend="arm64", scheme="v7.0")
>>> run.results[0].summary()
'0xffff800080000000'
>>> run.ok, run.counts["barriers"]
(True, 3)
"""

from __future__ import annotations

import warnings

from lazymmu._native import Program, build_profile, version
from lazymmu.errors import (
    ConfigError,
    CostTableError,
    DescriptorError,
    ImageError,
    InputError,
    KernelStopped,
    LazymmuError,
    ProgramError,
    RecordingError,
    RunError,
    ScenarioError,
)
from lazymmu.explore import Exploration, Outcome, explore
from lazymmu.hooks import Hooks, Scheme
from lazymmu.machine import Machine, Table, Translation, events_of, load_program, run
from lazymmu.results import Hazard, Result, Run

__version__ = version()

if build_profile() == "debug":
    warnings.warn("lazymmu is a debug build: everything is correct, and slow", RuntimeWarning, stacklevel=2)

__all__ = [
    "ConfigError",
    "CostTableError",
    "DescriptorError",
    "Exploration",
    "Hazard",
    "Hooks",
    "ImageError",
    "InputError",
    "KernelStopped",
    "LazymmuError",
    "Machine",
    "Outcome",
    "Program",
    "ProgramError",
    "RecordingError",
    "Result",
    "Run",
    "RunError",
    "ScenarioError",
    "Scheme",
    "Table",
    "Translation",
    "__version__",
    "events_of",
    "explore",
    "load_program",
    "run",
]
