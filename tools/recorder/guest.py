"""Boots a recorded kernel: its only program, the archive it is in, QEMU, and what comes over the console."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configurations import Configuration

HERE = Path(__file__).parent


class GuestError(RuntimeError):
    """The guest did not come to its end."""


def build_init(configuration: Configuration, source: Path, include: Path, out: Path) -> Path:
    """The guest's program, on the small library that the kernel's source brings."""
    sources = [str(HERE / "guest" / name) for name in ("init.c", "steps.c")]
    command = [f"{configuration.cross}gcc"]
    if any(option.startswith("LLVM=") for option in configuration.make):
        triple = {"loongarch": "loongarch64-linux-gnu", "riscv": "riscv32-linux-gnu"}[configuration.arch]
        command = ["clang-19", f"--target={triple}", "-fuse-ld=lld-19"]
    small = source / "tools" / "include" / "nolibc" / "nolibc.h"
    if configuration.arch == "sparc64":
        small = HERE / "guest" / "sparc64.h"
        sources.append(str(HERE / "guest" / "sparc64.c"))
    command += [
        "-Os",
        "-static",
        "-nostdlib",
        "-nostdinc",
        "-fno-builtin",
        "-fno-stack-protector",
        "-fno-asynchronous-unwind-tables",
    ]
    command += ["-include", str(small), "-isystem", str(include), *configuration.user_flags]
    # 32-bit arm divides by a function.
    library = ["-lgcc"] if configuration.arch == "arm" else []
    subprocess.run([*command, "-o", str(out), *sources, *library], check=True)
    return out


def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def archive(init: Path, script: str) -> bytes:
    """An initial file system (cpio, ``newc``)."""
    parts = [_entry(name, 0o040755) for name in ("dev", "proc", "sys")]
    parts += [
        _entry("dev/console", 0o020600, device=(5, 1)),
        _entry("init", 0o100755, init.read_bytes()),
        _entry("script", 0o100644, script.encode()),
        _entry("TRAILER!!!", 0),
    ]
    return b"".join(parts)


@dataclass
class Answers:
    """What a guest printed: records, and files by name."""

    records: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Guest:
    """A running machine."""

    def __init__(
        self, configuration: Configuration, kernel: Path, initrd: Path, folder: Path, *, plugin: str = ""
    ) -> None:
        self.folder = folder
        self.monitor_path = folder / "monitor"
        self.monitor_path.unlink(missing_ok=True)
        line = f"console={configuration.console} nokaslr loglevel=3 panic=-1 rdinit=/init {configuration.command_line}"
        self.command_line = line.strip()
        cpus = 1 if plugin else configuration.cpus
        self.command = [
            *configuration.qemu, "-accel", "tcg", "-smp", str(cpus), "-m", str(configuration.memory),
            "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-monitor", f"unix:{self.monitor_path},server,nowait",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", self.command_line,
        ]  # fmt: skip
        if plugin:
            self.command += ["-plugin", plugin]
        if configuration.arch == "s390":
            at = self.command.index("-serial")
            self.command[at : at + 2] = ["-chardev", "stdio,id=con", "-device", "sclpconsole,chardev=con"]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def lines(self, seconds: float) -> Iterator[str]:
        """What it prints, until it has said all."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(seconds, self.process.kill)
        watchdog.start()
        with (self.folder / "serial.txt").open("w") as log:
            for raw in self.process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                log.write(line + "\n")
                log.flush()
                yield line
                # Not every machine ends where its kernel does.
                if "Kernel panic" in line:
                    break
                if line.startswith("@D"):
                    watchdog.cancel()
                    return
        watchdog.cancel()
        raise GuestError(f"the guest stopped early; see {self.folder / 'serial.txt'}")

    def answers(self, seconds: float) -> Answers:
        """Everything that it answers."""
        found = Answers()
        name, piece = "", ""
        for line in self.lines(seconds):
            mark, text = line[:3], line[3:]
            if mark == "@F ":
                name = text
                found.files[name] = []
            elif line == "@G":
                name = ""
            elif mark == "@R ":
                piece += text
            elif mark == "@E ":
                whole, piece = piece + text, ""
                if name:
                    found.files[name].append(whole)
                elif whole:
                    found.records.append(json.loads(whole))
            elif mark == "@X ":
                found.refused.append(text)
        return found

    def monitor(self, *commands: str) -> str:
        """What QEMU's monitor answers."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.monitor_path))
            out = self._prompt(channel)
            out = ""
            for command in commands:
                channel.sendall(command.encode() + b"\n")
                out += self._prompt(channel)
        return out

    @staticmethod
    def _prompt(channel: socket.socket) -> str:
        data = b""
        while not data.endswith(b"(qemu) "):
            more = channel.recv(1 << 16)
            if not more:
                break
            data += more
        return data.decode("utf-8", "replace")

    def memory(self, pages: Sequence[int], page: int) -> dict[int, bytes]:
        """The contents of physical pages."""
        out: dict[int, bytes] = {}
        runs: list[tuple[int, int]] = []
        for pa in pages:
            if runs and pa - runs[-1][1] <= 1 << 20:
                runs[-1] = runs[-1][0], pa + page
            else:
                runs.append((pa, pa + page))
        dump = self.folder / "dump"
        for start, end in runs:
            dump.unlink(missing_ok=True)
            self.monitor(f'pmemsave {start:#x} {end - start:#x} "{dump}"')
            data = dump.read_bytes()
            out.update({pa: data[pa - start : pa - start + page] for pa in pages if start <= pa < end})
        dump.unlink(missing_ok=True)
        return out

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
