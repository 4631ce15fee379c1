"""INPUT on the command line: a recording, a scenario file, or the name of a built-in scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lazymmu.compare.workload import ScenarioWorkload, Workload
from lazymmu.errors import ConfigError
from lazymmu.scenario import builtin, files


def load(text: str) -> Sequence[Workload]:
    """The workloads of an input: one of a scenario, several of a suite, a script, or a recording with several traces.

    A built-in name comes before a file of the same name (write ``./seed`` for that).

    Raises `lazymmu.ConfigError` where there is neither, `lazymmu.InputError` where a file makes no sense.
    """
    scenarios = builtin.load(text)
    if scenarios is None and (path := Path(text)).exists():
        if path.suffix not in (".toml", ".json", ".py"):
            from lazymmu.replay import workloads

            return workloads(path)
        scenarios = files.read(path)
    if scenarios is None:
        names = sorted({known.name.partition("/")[0] for known in builtin.known()})
        raise ConfigError(f"unknown input {text!r}: neither a file nor a built-in scenario ({', '.join(names)})")
    return [ScenarioWorkload(scenario, text) for scenario in scenarios]
