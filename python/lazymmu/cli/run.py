"""``lazymmu run``: one input on one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from lazymmu.cli import common
from lazymmu.compare import Configuration, execute
from lazymmu.compare.matrix import rows
from lazymmu.errors import ConfigError
from lazymmu.inputs import load
from lazymmu.report import plain, text

Events = Annotated[Path | None, typer.Option("--events", metavar="FILE.npy", help="Keep the event stream.")]


@common.command
def main(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A recording, a scenario file or a built-in name.")],
    backend: Annotated[str, typer.Option("--backend", metavar="B", help="The backend.")],
    scheme: Annotated[str, typer.Option("--scheme", metavar="S", help="The scheme; also FILE.py:CLASS.")],
    geometry: Annotated[str, typer.Option("--geometry", metavar="G", help="The geometry; the backend's default.")] = "",
    strict: common.Strict = False,
    json: common.Json = False,
    events: Events = None,
    costs: common.Costs = None,
) -> bool:
    """Run one input, and say what it did. Exit status 0: as expected; 1: not."""
    schemes = common.schemes(scheme)
    if len(schemes) != 1:
        raise ConfigError(f"expected one scheme, got {scheme!r}")
    workloads = load(source)
    if len(workloads) != 1:
        names = ", ".join(w.name for w in workloads)
        raise ConfigError(f"{source} is {len(workloads)} inputs, expected one of: {names}")
    workload = workloads[0]
    name = Configuration("", "", schemes[0]).scheme_name
    found = rows(workload, [backend], [geometry] if geometry else [], [name])
    if not found:
        raise ConfigError(f"{source} does not apply to {backend} {geometry} under {name}")
    configuration = Configuration(*found[0], schemes[0])
    outcome = execute(workload, configuration, log=events is not None)
    cost = common.cost_table(costs).cost(backend, outcome.run.counts)
    well = outcome.ok(strict=strict)
    if events is not None:
        with common.whole_file(events) as file:
            np.save(file, outcome.run.events)
    if json:
        where = configuration.where()
        common.print_json(plain.run(outcome.run, where, cost, list(outcome.failures), ok=well))
    else:
        given = workload.prepare(configuration).program
        text.run(common.console(), given, outcome.run, backend, cost, outcome.failures)
    return well
