"""Says of a recording where it comes from, and what is in it."""

from __future__ import annotations

import datetime
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from configurations import Configuration
from guest import Guest


def _version(command: Sequence[str]) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def readme(
    configuration: Configuration,
    info: Mapping[str, Any],
    ops: Sequence[Mapping[str, Any]],
    user: Sequence[Mapping[str, Any]],
    guest: Guest,
) -> str:
    """The text."""
    kinds = Counter(str(record["cmd"]).split()[0] for record in ops)
    errors = Counter(f"{str(r['cmd']).split()[0]} {r['ret']}" for r in ops if r.get("ret"))
    probes: list[str] = next((r["on"] for r in ops if r["cmd"] == "probes"), [])
    changed = sum(r.get("nchg", 0) for r in ops)
    series = ".".join(str(info["release"]).split(".")[:2])
    options = " ".join(option for option in configuration.options)
    command = f"python tools/recorder/record.py --source LINUX --work BUILDS --config {configuration.key} --out FOLDER"
    lines = [
        f"# {guest_name(configuration, info)}",
        "",
        f"Linux {info['release']} (Debian's `linux-source-{series}`), {info['machine']}, recorded by `tools/recorder`",
        f"on {datetime.date.today().isoformat()} under {_version(configuration.qemu[:1])}, TCG.",
        "No model produced any of it.",
        "",
        f"* made with: `{command}`",
        f"* machine: `{' '.join(configuration.qemu)} -smp {configuration.cpus} -m {configuration.memory}`",
        f"* command line: `{guest.command_line}`",
        f"* options besides those of every recording: `{options}`",
        f"* commands: {', '.join(f'{kind} {n}' for kind, n in kinds.most_common())}",
        f"* with an error: {', '.join(f'{kind} ({n})' for kind, n in errors.items()) or 'none'}",
        f"* descriptors changed: {changed}; steps of a user program: {len(user)}",
        f"* functions that probes saw: {len(probes) or 'none'}",
        "",
    ]
    return "\n".join(lines)


def guest_name(configuration: Configuration, info: Mapping[str, Any]) -> str:
    """The recording's name."""
    return f"{configuration.image_arch}-{info['release']}-{configuration.name}"
