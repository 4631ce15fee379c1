#!/usr/bin/env python3
"""Records what a real Linux kernel does to its page tables, under QEMU.

    python tools/recorder/record.py --source LINUX --work BUILDS --config arm64-4k39 --out FOLDER

Builds the kernel of a configuration with a small driver linked in, boots it once to learn its addresses, once to carry
out a script of commands, and writes a recording that ``lazymmu conform`` and ``lazymmu walk`` read.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kernel
from commands import Script
from configurations import ALL, Configuration
from guest import Answers, Guest, archive, build_init
from image import table_image
from readme import readme
from sequence import SequenceError, Symbols, build_plugin, plugin_option, sequences


@dataclass(frozen=True)
class Places:
    """Where things are."""

    source: Path
    build: Path
    out: Path


def say(text: str) -> None:
    """Tells how far it is."""
    sys.stderr.write(text + "\n")


@dataclass(frozen=True)
class Kernel:
    """What a guest is booted from."""

    image: Path
    init: Path
    folder: Path
    """For what the guest needs and leaves."""
    seconds: float
    """How long it may take."""


def boot(configuration: Configuration, kernel: Kernel, script: list[str], *, plugin: str = "") -> tuple[Guest, Answers]:
    """Runs a script in a guest, which then stands still."""
    initrd = kernel.folder / "initrd"
    initrd.write_bytes(archive(kernel.init, "\n".join(script) + "\n"))
    guest = Guest(configuration, kernel.image, initrd, kernel.folder, plugin=plugin)
    try:
        return guest, guest.answers(kernel.seconds)
    except BaseException:
        guest.stop()
        raise


def script_of(configuration: Configuration, info: Mapping[str, Any], operations: int, seed: int) -> list[str]:
    """Everything that the guest does."""
    page, pmd = 1 << info["page_shift"], (1 << info["page_shift"]) * info["ptrs_per_pte"]
    large = int(pmd <= 1 << 25 and "nothp" not in configuration.features)
    blocks = int(page < 1 << 16 and "nothp" not in configuration.features)
    return [
        "info",
        *Script(configuration, info, operations, seed).everything(),
        # The kernel leaves it off where there is little memory.
        "set /sys/kernel/mm/transparent_hugepage/enabled madvise",
        f"steps {configuration.user_window} {page} {pmd} {large} {blocks}",
        "probes 0",
        "info",
        "purge",
        # The second time, for the first may have needed memory.
        *[f"cat /sys/kernel/debug/{name}" for name in configuration.ptdump] * 2,
        "image",
    ]


def _lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def _write(folder: Path, name: str, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    if len(data) > 2000 and not name.endswith(".md"):
        (folder / f"{name}.xz").write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    else:
        (folder / name).write_bytes(data)


def save(configuration: Configuration, places: Places, guest: Guest, answers: Answers, script: list[str]) -> None:
    """Writes the recording."""
    out = places.out
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    infos = [r for r in answers.records if r["cmd"] == "info"]
    user = [r for r in answers.records if r["cmd"] == "user"]
    probes = [r for r in answers.records if r["cmd"] == "probes"]
    last = max(n for n, r in enumerate(answers.records) if r["cmd"] == "info")
    apart = ("info", "user")
    ops = [infos[0], *(r for r in answers.records[:last] if r["cmd"] not in apart)]
    commands = (line for line in script if not line.startswith(("cat", "set /", "steps", "image")))
    _write(out, "ops.txt", "\n".join(commands) + "\n")
    _write(out, "ops.jsonl", _lines(ops))
    _write(out, "user.jsonl", _lines([probes[0], *user, probes[-1]]))
    info = infos[-1]
    (out / "info.json").write_text(json.dumps(info, separators=(",", ":")) + "\n")
    _write(out, "tables.ptimg", table_image(configuration, info, answers.records[-1], guest))
    for name, lines in answers.files.items():
        plain = name.removeprefix("/sys/kernel/debug/").removeprefix("page_tables/")
        _write(out, f"ptdump_{plain}.txt", "\n".join(lines) + "\n")
    _write(out, "kernel.config", (places.build / ".config").read_text())
    (out / "cmdline").write_text(guest.command_line + "\n")
    _write(out, "README.md", readme(configuration, info, ops, user, guest))


def _build(configuration: Configuration, places: Places, arguments: argparse.Namespace) -> Kernel:
    image = places.build / configuration.image
    include = places.build / "usr" / "include"
    if not arguments.as_built:
        tree = kernel.overlay(places.source, places.build.parent / "overlay")
        missing = kernel.configure(configuration, tree, places.build)
        say(f"{configuration.key}: not in .config: {' '.join(missing) or 'nothing'}")
        image = kernel.compile_kernel(configuration, tree, places.build, arguments.jobs)
        include = kernel.headers(configuration, tree, places.build)
    folder = (arguments.guests or places.build) / f"guest-{configuration.name}"
    folder.mkdir(exist_ok=True, parents=True)
    init = build_init(configuration, places.source, include, folder / "init")
    return Kernel(image, init, folder, arguments.seconds)


def _record_sequences(configuration: Configuration, places: Places, built: Kernel, script: list[str]) -> None:
    """Boots with the plugin, and adds what the CPU executed to the recording."""
    symbols = Symbols((places.build / "System.map").read_text())
    trace = built.folder / "trace"
    plugin = plugin_option(configuration, build_plugin(built.folder), symbols, trace)
    steps = next(n for n, line in enumerate(script) if line.startswith("steps "))
    told = [line for line in script[: steps + 1] if not line.startswith("probes ")]
    guest, answers = boot(configuration, built, told, plugin=plugin)
    guest.stop()
    if answers.refused:
        raise SequenceError(f"refused: {answers.refused}")
    lines = list(sequences(configuration, answers.records, trace, symbols))
    trace.unlink()
    first, *rest = answers.records
    _write(places.out, "hwseq.jsonl", _lines(lines))
    _write(places.out, "ops_hw.jsonl", _lines([first, *(r for r in rest if r["cmd"] not in ("info", "user"))]))
    _write(places.out, "user_hw.jsonl", _lines(r for r in rest if r["cmd"] == "user"))
    text = places.out / "README.md"
    kept = [line for line in text.read_text().splitlines() if not line.startswith("* instructions:")]
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line["counts"])
    found = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    kept.append(f"* instructions: another boot of the same kernel, on one CPU, no probes, `--what sequences`: {found}")
    text.write_text("\n".join(kept) + "\n")
    say(f"{places.out}: sequences of {len(lines)} records")


def record(configuration: Configuration, places: Places, arguments: argparse.Namespace) -> None:
    """Builds, boots twice or three times, and writes."""
    built = _build(configuration, places, arguments)
    operations = configuration.operations if arguments.operations is None else arguments.operations
    guest, first = boot(configuration, built, ["info"])
    guest.stop()
    script = script_of(configuration, first.records[0], operations, arguments.seed)
    if arguments.what != "sequences":
        guest, answers = boot(configuration, built, script)
        try:
            if answers.refused:
                say(f"{configuration.key}: refused: {answers.refused}")
            save(configuration, places, guest, answers, script)
        finally:
            guest.stop()
        say(f"{places.out}: {len(answers.records)} records")
    if arguments.what != "tables":
        _record_sequences(configuration, places, built, script)
    size = sum(file.stat().st_size for file in places.out.iterdir())
    say(f"{places.out}: {size // 1000} kB")


def main() -> None:
    """The command line."""
    known = {configuration.key: configuration for configuration in ALL}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="an unpacked Linux source")
    parser.add_argument("--work", type=Path, required=True, help="where kernels are built")
    parser.add_argument("--config", choices=list(known), action="append", required=True)
    parser.add_argument("--out", type=Path, required=True, help="where recordings go, a folder each")
    parser.add_argument("--operations", type=int, help="random commands besides the fixed ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600, help="how long a guest may take")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--what",
        choices=("tables", "sequences", "both"),
        default="tables",
        help="sequences: what the CPU executed, added to a recording that is there",
    )
    parser.add_argument("--as-built", action="store_true", help="take the kernel as it lies in BUILDS")
    parser.add_argument("--guests", type=Path, help="where guests leave their files (default: in BUILDS)")
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    for key in arguments.config:
        configuration = known[key]
        name = f"{configuration.image_arch}-{kernel.release(source)}-{configuration.name}"
        places = Places(source, arguments.work.resolve() / configuration.folder, arguments.out.resolve() / name)
        record(configuration, places, arguments)


if __name__ == "__main__":
    main()
