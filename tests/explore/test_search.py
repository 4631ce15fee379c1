"""What an exploration reports, and that nothing about how it is done changes that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lazymmu
from lazymmu.compare import Configuration
from lazymmu.explore.reduce import reduce
from lazymmu.explore.search import _workload
from lazymmu.scenario import Scenario, from_data, parse_toml, to_data, to_toml

from ..cli.test_json import lazymmu as command


def facts(found: lazymmu.Exploration) -> object:
    return (
        found.states,
        found.steps,
        found.depth,
        [(o.returns, o.codes(), o.schedule, o.final) for o in found.outcomes],
    )


def ends(found: lazymmu.Exploration) -> set[str]:
    return {repr((o.returns, o.codes(), o.codes("contract"), o.final, o.interrupts)) for o in found.outcomes}


def test_threads_make_no_difference() -> None:
    one = lazymmu.explore("explore/neighbours", "x86-32", threads=1)
    for threads in (2, 5):
        assert facts(lazymmu.explore("explore/neighbours", "x86-32", threads=threads)) == facts(one)


@pytest.mark.parametrize("backend", ["arm64", "xen-pv"])
@pytest.mark.parametrize("name", ["explore/neighbours", "explore/error-path", "explore/pagealloc"])
def test_reductions_reach_the_same_outcomes(name: str, backend: str) -> None:
    plain = lazymmu.explore(name, backend, partial_order=False, symmetry=False)
    for partial_order, symmetry in ((True, False), (False, True), (True, True)):
        reduced = lazymmu.explore(name, backend, partial_order=partial_order, symmetry=symmetry)
        assert ends(reduced) == ends(plain)
        assert reduced.states <= plain.states
    small = lazymmu.explore(name, backend, fingerprint=True)
    assert ends(small) == ends(plain)
    assert 0 < small.error_probability < 1e-9


def test_every_outcome_replays(tmp_path: Path) -> None:
    found = lazymmu.explore("explore/interrupt", "arm64", scheme="begin-end")
    for n, outcome in enumerate(found.outcomes):
        assert isinstance(outcome.replay, Scenario)
        path = tmp_path / f"{n}.lmmu.toml"
        path.write_text(to_toml(outcome.replay), encoding="utf-8")
        done = command("run", str(path), "--backend", "arm64", "--scheme", "begin-end", "--json")
        assert done.returncode == int(not outcome.ok()), done
        data = json.loads(done.stdout)
        assert [h["code"] for h in data["hazards"]] == [h.code for h in outcome.hazards]
        assert data["returns"] == outcome.returns
        # The same as data, and as a script.
        path = tmp_path / f"{n}.json"
        path.write_text(json.dumps(to_data(outcome.replay)), encoding="utf-8")
        again = command("run", str(path), "--backend", "arm64", "--scheme", "begin-end", "--json")
        assert again.stdout == done.stdout
        script = command("convert", str(path), str(tmp_path / f"{n}.py"))
        assert script.returncode == 0, script
        again = command("run", str(tmp_path / f"{n}.py"), "--backend", "arm64", "--scheme", "begin-end", "--json")
        assert again.stdout == done.stdout


def test_a_bound_is_never_silent() -> None:
    found = lazymmu.explore("explore/neighbours", "arm64", max_states=100)
    assert not found.complete
    assert found.bound == "100 states"
    assert "bounded by 100 states" in found.verdict()
    assert lazymmu.explore("explore/neighbours", "arm64", max_depth=5).bound == "depth 5"
    assert lazymmu.explore("explore/neighbours", "arm64", max_seconds=0).bound == "0 s"
    assert lazymmu.explore("explore/neighbours", "arm64", max_outcomes=1).bound == "1 outcomes"
    assert lazymmu.explore("explore/neighbours", "arm64", progress=lambda _: False).bound == "an interruption"


def test_progress_and_its_errors() -> None:
    seen: list[lazymmu.explore.Progress] = []  # type: ignore[name-defined]
    lazymmu.explore("explore/neighbours", "x86-32", progress=seen.append)
    assert seen
    assert seen[-1].states >= seen[0].states > 0
    assert seen[-1].frontier == 0

    def fails(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lazymmu.explore("explore/neighbours", "x86-32", progress=fails)


def test_swarm_samples_and_an_executor_make_one_result() -> None:
    alone = lazymmu.explore("explore/neighbours", "arm64", swarm=3, width=5)
    assert alone.bound == "3 samples of 5 states a depth"
    with ThreadPoolExecutor(2) as executor:
        spread = lazymmu.explore("explore/neighbours", "arm64", swarm=3, width=5, executor=executor)
        whole = lazymmu.explore("explore/neighbours", "arm64", executor=executor)
    assert ends(spread) == ends(alone)
    assert ends(alone) <= ends(whole)
    assert spread.bound == alone.bound
    assert facts(whole) == facts(lazymmu.explore("explore/neighbours", "arm64"))


EXPLORE = ["explore", "explore/sync-window", "--backend", "arm64", "--scheme", "v7.0", "--json", "--no-shorten"]


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    whole = json.loads(command(*EXPLORE).stdout)
    path = tmp_path / "search.checkpoint"
    code = (
        "import lazymmu; lazymmu.explore('explore/sync-window', 'arm64', scheme='v7.0', threads=1, checkpoint_every=0,"
        f" checkpoint={str(path)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert path.exists()
    done = command(*EXPLORE, "--checkpoint", str(path), "--resume")
    assert done.returncode == 0, done.stderr
    resumed = json.loads(done.stdout)
    assert resumed["explored"] == whole["explored"]
    assert resumed["outcomes"] == whole["outcomes"]
    other = command(*EXPLORE[:3], "arm64", "--scheme", "v6.12", "--checkpoint", str(path), "--resume")
    assert other.returncode == 2
    assert "another search" in other.stderr


def test_what_breaks_is_reduced_and_told() -> None:
    found = lazymmu.explore("explore/error-path", "arm64", scheme="v6.16-rc1")
    workload = _workload("explore/error-path")
    small = reduce(workload, Configuration("arm64", found.geometry, "v6.16-rc1"), found)
    assert {r.code for r in small} == {"H1", "H7"}
    for reduced in small:
        program = reduced.outcome.replay
        assert isinstance(program, dict)
        assert len(program["concurrent"]["threads"]) == 1, "the other CPU has nothing to do with it"
        assert reduced.outcome.schedule == []
        again = lazymmu.run(program, "arm64", found.geometry, "v6.16-rc1")
        assert reduced.code in {h.code for h in again.hazards if h.severity == "breaks"}
    story = next(r for r in small if r.code == "H1").outcome.story("H1")
    assert "CPU 0" in story
    assert "=> H1" in story
    assert "a walker may still see" in story


def test_outcomes_render() -> None:
    found = lazymmu.explore("explore/interrupt", "arm64", scheme="begin-end")
    html = found._repr_html_()
    assert html.count("<pre>") == len(found.outcomes)
    assert "H15" in html
    assert "IRQ_IN" in html


THREADS = {
    "cpus": 2,
    "threads": [
        {"ops": [{"label": "a", "vmap_page_range": {"va": "vmalloc", "size": "PAGE_SIZE", "pa": "RAM"}}]},
        {"cpu": 1, "ops": [{"access": {"va": "user"}}]},
    ],
}


def test_threads_that_share_a_cpu_and_migrate() -> None:
    map_page = {"vmap_page_range": {"va": "vmalloc", "size": "PAGE_SIZE", "pa": "RAM"}}
    ops = [{"ops": [map_page]}, {"ops": [{"nop": {}}]}]
    data = {"cpus": 2, "tasks": [{}, {}], "threads": ops}
    free = lazymmu.explore(from_data(data), "arm64")
    polite = lazymmu.explore(from_data({**data, "preemption": "voluntary"}), "arm64")
    never = lazymmu.explore(from_data({**data, "preemption": "none"}), "arm64")
    assert never.states < polite.states < free.states
    assert free.complete
    few = {**data, "threads": [{"ops": [{"bh_disable": {}}, {"bh_enable": {}}, {"nop": {}}]}, ops[1]]}
    moved = lazymmu.explore(from_data({**few, "migrations": [{"thread": 0, "to": 1}]}), "arm64")
    assert moved.complete
    assert moved.states > lazymmu.explore(from_data(few), "arm64").states


def test_interrupts_where_they_are_allowed() -> None:
    def states(**more: object) -> int:
        interrupt = {"irq": "hard", "ops": [{"nop": {}}], **more}
        return lazymmu.explore(from_data({**THREADS, "interrupts": [interrupt]}), "arm64").states

    everywhere = states(at="anywhere")
    assert states(at="a") < everywhere
    assert states(cpu=1) < everywhere
    assert states(kind="STORE") < states(cpu=0)
    assert states(times=2) > everywhere


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": [{"cpu": 5, "ops": []}]}, ["threads.0.cpu", "5", "between 0 and 1"]),
        ({"threads": [{"opps": []}]}, ["opps", "cpu, task, ops"]),
        ({"interrupts": [{"irq": "hrad", "ops": []}]}, ["interrupts.0.irq", "hrad", "hard"]),
        ({"interrupts": [{"at": "b", "ops": []}]}, ["interrupts.0.at", "'b'", "anywhere", "a"]),
        ({"interrupts": [{"kind": "STOER", "ops": []}]}, ["STOER", "STORE"]),
        ({"interrupts": [{"times": 0, "ops": []}]}, ["times", "0"]),
        ({"migrations": [{"thread": 7, "to": 1}]}, ["migrations.0.thread", "7"]),
        ({"preemption": "always"}, ["always", "voluntary"]),
        ({"may_fail_alloc": 1}, ["may_fail_alloc", "true or false"]),
        ({"schedule": [{"at": "now"}]}, ["schedule.0.at", "now"]),
        ({"schedule": [{"thread": 1}]}, ["schedule.0", "missing key 'at'"]),
    ],
)
def test_scenarios_that_make_no_sense(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        from_data({**THREADS, **change})
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_states": 0}, ["max_states", "0"]),
        ({"max_states": -3}, ["max_states", "-3"]),
        ({"max_seconds": float("nan")}, ["max_seconds", "nan"]),
        ({"threads": 100_000}, ["threads"]),
        ({"resume": True}, ["resume", "checkpoint"]),
        ({"swarm": 2, "width": 0}, ["width", "0"]),
        ({"swarm": 2, "checkpoint": "x"}, ["swarm", "checkpoint"]),
    ],
)
def test_bounds_that_cannot_be_met(arguments: dict[str, object], words: list[str]) -> None:
    with pytest.raises(lazymmu.ConfigError) as error:
        lazymmu.explore("explore/interrupt", "arm64", **arguments)  # type: ignore[arg-type]
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], ["nowhere", "explore"]),
        (["explore/interrupt", "--max-states", "0"], ["max_states", "0"]),
        (["explore/interrupt", "--backend", "arm63"], ["arm63", "arm64"]),
        (["explore/interrupt", "--scheme", "v6.13"], ["v6.13"]),
        (["explore/interrupt", "--resume"], ["checkpoint"]),
        (["explore/interrupt", "--swarm", "-1"], ["swarm", "-1"]),
        (["explore/interrupt", "--backend", "arm64", "--checkpoint", "/nowhere/at/all"], ["/nowhere/at/all"]),
    ],
)
def test_the_command_refuses_nonsense(args: list[str], words: list[str]) -> None:
    done = command("explore", *args)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_programs_and_their_errors() -> None:
    program = {"ops": [], "concurrent": {"threads": [{"ops": [{"op": {"access": {"va": {"slot": 3}}}}]}]}}
    with pytest.raises(lazymmu.RunError, match="slot 3 holds no address"):
        lazymmu.explore(program, "arm64")
    with pytest.raises(lazymmu.RunError, match="without threads"):
        lazymmu.run({"ops": [], "concurrent": {"schedule": [{"at": 0}]}}, "arm64")
    threads: list[dict[str, object]] = [{"ops": [{"op": {"nop": {}}}]}]
    with pytest.raises(lazymmu.RunError, match="schedule entry 0"):
        lazymmu.run({"ops": [], "concurrent": {"threads": threads, "schedule": [{"at": 99}]}}, "arm64")


def test_toml_of_threads_reads_back() -> None:
    scenario = from_data(
        {
            **THREADS,
            "interrupts": [{"irq": "soft", "at": ["a"], "cpu": 0, "kind": "STORE", "times": 3, "ops": [{"nop": {}}]}],
            "migrations": [{"thread": 0, "to": 1}],
            "preemption": "voluntary",
            "may_fail_alloc": True,
            "schedule": [{"at": 3, "thread": 1}],
        }
    )
    assert to_data(parse_toml(to_toml(scenario))) == to_data(scenario)
