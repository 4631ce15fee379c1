"""Builds a kernel with the driver linked in, out of tree: the source stays as it is."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from configurations import COMMON, Configuration

HERE = Path(__file__).parent
SEEN = (
    "inline-functions-called-once",
    "ipa-sra",
    "ipa-cp",
    "partial-inlining",
    "inline-small-functions",
    "inline-functions",
)
"""What the compiler must not do to functions that are to be seen by probes."""

KEPT = {
    "vmalloc": (
        "vmap_range_noflush",
        "vmap_p4d_range",
        "vmap_pte_range",
        "vmap_small_pages_range_noflush",
        "vmap_pages_p4d_range",
        "vmap_pages_pte_range",
        "vunmap_p4d_range",
        "vunmap_pte_range",
        "__purge_vmap_area_lazy",
    ),
    "memory": ("__apply_to_page_range", "apply_to_p4d_range", "apply_to_pte_range"),
}
"""Static functions whose arguments are told, by file.

Their addresses are taken: of other functions clang drops the arguments that nobody needs.
"""


def release(source: Path) -> str:
    """Version of a kernel source."""
    text = (source / "Makefile").read_text()
    found = [re.search(rf"^{name} = (\d*)", text, re.M) for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(match[1] for match in found if match)


def overlay(source: Path, at: Path) -> Path:
    """A tree of links to the source, in which ``mm`` has one folder, and its Makefile and two files some lines more."""
    (at / "mm" / "recorder").mkdir(parents=True, exist_ok=True)
    own = ("Makefile", *(f"{name}.c" for name in KEPT))
    links = [(at / entry.name, entry) for entry in source.iterdir() if entry.name != "mm"]
    links += [(at / "mm" / entry.name, entry) for entry in (source / "mm").iterdir() if entry.name not in own]
    links += [(at / "mm" / "recorder" / entry.name, entry) for entry in (HERE / "driver").resolve().iterdir()]
    for link, target in links:
        if link.is_symlink() and link.readlink() != target:
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(target)
    flags = " ".join(f"$(call cc-option,-fno-{name})" for name in SEEN)
    more = ["", "obj-y += recorder/", *(f"CFLAGS_{name}.o += {flags}" for name in KEPT), ""]
    for name, functions in KEPT.items():
        table = f"void *const recorder_keeps_{name}[] __used = {{ {', '.join(functions)} }};"
        _write(at / "mm" / f"{name}.c", f'#include "{source / "mm" / name}.c"\n{table}\n')
    _write(at / "mm" / "Makefile", (source / "mm" / "Makefile").read_text() + "\n".join(more))
    return at


def _write(path: Path, text: str) -> None:
    """Writes only what differs, for the sake of the next build."""
    if path.is_symlink():
        path.unlink()
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def _setting(option: str) -> str:
    if option.startswith("-"):
        return f"# CONFIG_{option[1:]} is not set"
    name, _, value = option.partition("=")
    return f"CONFIG_{name}={value or 'y'}"


def _make(configuration: Configuration, tree: Path, build: Path, *targets: str, jobs: int, **environment: str) -> None:
    command = ["make", "-s", "-C", str(tree), f"O={build}", f"ARCH={configuration.arch}", f"-j{jobs}"]
    if configuration.cross:
        command.append(f"CROSS_COMPILE={configuration.cross}")
    # Builds repeat: no date, no name of a machine.
    fixed = {"KBUILD_BUILD_TIMESTAMP": "1970-01-01", "KBUILD_BUILD_USER": "recorder", "KBUILD_BUILD_HOST": "recorder"}
    subprocess.run([*command, *configuration.make, *targets], check=True, env={**os.environ, **fixed, **environment})


def configure(configuration: Configuration, tree: Path, build: Path) -> Sequence[str]:
    """Writes ``.config``; returns the wanted options that it does not have."""
    build.mkdir(parents=True, exist_ok=True)
    # Of two settings the last counts.
    wanted = {option.lstrip("-").partition("=")[0]: option for option in (*COMMON, *configuration.options)}
    fragment = build / "wanted.config"
    text = "\n".join(_setting(option) for option in wanted.values()) + "\n"
    if not fragment.is_file() or fragment.read_text() != text or not (build / ".config").is_file():
        fragment.write_text(text)
        _make(configuration, tree, build, "allnoconfig", jobs=1, KCONFIG_ALLCONFIG=str(fragment))
    lines = set((build / ".config").read_text().splitlines())
    return [o for o in wanted.values() if not o.startswith("-") and _setting(o) not in lines]


def compile_kernel(configuration: Configuration, tree: Path, build: Path, jobs: int) -> Path:
    """Builds the image that QEMU loads."""
    target = Path(configuration.image).name
    _make(configuration, tree, build, target, jobs=jobs)
    return build / configuration.image


def headers(configuration: Configuration, tree: Path, build: Path) -> Path:
    """The kernel's headers for programs."""
    _make(configuration, tree, build, "headers", jobs=2)
    return build / "usr" / "include"
