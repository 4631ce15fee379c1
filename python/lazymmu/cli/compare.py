"""``lazymmu compare``: backends by schemes."""

from __future__ import annotations

from lazymmu.cli import common
from lazymmu.compare import Matrix, compare
from lazymmu.errors import ConfigError
from lazymmu.inputs import load
from lazymmu.report import plain, text


@common.command
def main(
    inputs: common.Inputs,
    backend: common.Backends = "",
    geometry: common.Geometries = "",
    scheme: common.Schemes = "",
    strict: common.Strict = False,
    json: common.Json = False,
    costs: common.Costs = None,
) -> bool:
    """Run inputs on backends x schemes: hazards, the costs that matter, and the shortest failing runs."""
    schemes = common.schemes(scheme)
    backends, geometries = common.split(backend), common.split(geometry)
    table = common.cost_table(costs)
    found: list[tuple[str, Matrix]] = []
    console = common.console()
    for source in inputs:
        workloads = load(source)
        before = len(found)
        for workload in workloads:
            result = compare(workload, schemes, backends, geometries, strict=strict, costs=table)
            if result.rows:
                found.append((source, result))
                if not json:
                    text.matrix(console, result)
        if len(found) == before:
            asked = ", ".join([*backends, *geometries]) or "any backend"
            raise ConfigError(f"{source} does not apply to {asked}")
    well = all(result.ok(strict=strict) for _, result in found)
    if json:
        matrices = [plain.matrix(result, source, strict=strict) for source, result in found]
        common.print_json({"ok": well, "matrices": matrices, "summary": plain.summary([m for _, m in found])})
    else:
        if len(found) > 1:
            text.summary(console, [result for _, result in found])
        text.shortest_runs(console, [result for _, result in found])
    return well
