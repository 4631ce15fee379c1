"""Unicorn, which is QEMU's MMU, walks tables that the model's walkers built: same physical address, same fault.

What is known to be wrong with the emulator is in `KNOWN`, case by case, with a link.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

unicorn = pytest.importorskip("unicorn", reason="the witness extra is not installed: unicorn")

import lazymmu  # noqa: E402
from tests.witness import guests  # noqa: E402

RAM = range(0x5000_0000, 0x5100_0000)
TEXT = range(0x6000_0000, 0x6002_0000)
KINDS = ("read", "write", "exec")
PROBES = 1400
"""Addresses in each half of each case; each one is read, written and executed."""

BASE = "the base is QEMU 5.0.1, https://github.com/unicorn-engine/unicorn/issues/1996"
KNOWN = {
    "arm64-4k-52": f"{BASE}, and FEAT_LPA2 came in 7.0",
    "arm64-16k-52": f"{BASE}, and FEAT_LPA2 came in 7.0",
    "arm64-64k-52": f"{BASE}; FEAT_LPA came in 7.0, https://github.com/hermit-os/loader/issues/99",
    "riscv-sv57": f"{BASE}, and satp.MODE 10 came in 7.0",
}
"""Geometries that the emulator cannot walk, and why."""


@dataclass(frozen=True)
class Case:
    backend: str
    geometry: str
    guest: type[guests.Guest]
    high: int = 0
    """A second window of RAM, above 4 GiB."""
    user_text: str | int = "PAGE_READONLY"
    """Protection of a user's code."""


X86_CODE = 0x25  # P, US, A
CASES = [
    Case("x86-64", "x86-64-4level", guests.X86, 0x8_1234_5000 & ~0xFFFFF, X86_CODE),
    Case("x86-64", "x86-64-5level", guests.X86La57, 0x8_1230_0000, X86_CODE),
    Case("x86-32", "x86-32-pae", guests.X86Pae, 0x8_1230_0000, X86_CODE),
    Case("x86-32", "x86-32-2level", guests.X86TwoLevel, 0, X86_CODE),
    *(
        Case("arm64", geometry, guests.Arm64, 0x8_1230_0000, 0x0020_0000_0000_0FC3)
        for geometry in (
            "arm64-4k-39",
            "arm64-4k-48",
            "arm64-4k-52-on-48",
            "arm64-16k-36",
            "arm64-16k-47",
            "arm64-16k-52-on-47",
            "arm64-16k-48",
            "arm64-64k-42",
            "arm64-64k-48",
        )
    ),
    *(Case("riscv", geometry, guests.Riscv, 0x8_1230_0000, 0x5B) for geometry in ("riscv-sv39", "riscv-sv48")),
    Case("riscv", "riscv-sv32", guests.Riscv32, 0, 0x5B),
    Case("arm", "arm-classic", guests.ArmClassic, 0, 0x51F | 0x80),
    Case("arm", "arm-lpae", guests.ArmLpae, 0x8_1230_0000, 0x0420_0000_0000_075F),
]


class World:
    """A machine with mappings of every sort, and the addresses worth asking about."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = random.Random(case.geometry)
        self.machine = lazymmu.Machine(case.backend, case.geometry, mms=1, tasks=[(1, 0)])
        g = self.machine.geometry
        self.page, self.start = 1 << g["page_shift"], g["vmalloc_start"]
        shifts = {name: shift for _, name, shift, _ in g["levels"]}
        self.huge = 1 << shifts["pmd"]
        self.ranges: list[tuple[int, int]] = []
        self.ops: list[dict[str, object]] = []
        self.entry = self.at(0)
        # The stub, and behind it a page for whatever the CPU needs to enter user mode.
        self.pages(self.entry, TEXT.start, 1, "PAGE_KERNEL_EXEC")
        self.desk = TEXT.start + self.page if self.page > 0x1000 else TEXT.start + 0x1000
        self.pages(self.entry + self.page, self.desk, 1, "PAGE_KERNEL")
        near_end = self.at(7) + self.huge - 3 * self.page
        pool = RAM.start
        for number, prot in enumerate(("PAGE_KERNEL", "PAGE_KERNEL_RO", "PAGE_KERNEL", "PAGE_KERNEL_RO")):
            count = min(7, len(RAM) // 8 // self.page)
            self.pages(near_end + number * 16 * self.page, pool + number * count * self.page, count, prot)
        for number, prot in enumerate(("PAGE_KERNEL_EXEC", "PAGE_KERNEL_ROX", "PAGE_KERNEL")):
            self.pages(
                self.at(1) + number * 16 * self.page,
                TEXT.start,
                2 if self.page > 0x4000 else 8 // max(1, self.page >> 12),
                prot,
            )
        if self.huge <= len(RAM):
            base = -(-self.at(3) // self.huge) * self.huge
            size = min(2, len(RAM) // self.huge) * self.huge
            self.map(base, RAM.start, size, "PAGE_KERNEL")
        if case.high:
            self.map(self.at(5), case.high, 4 * self.page, "PAGE_KERNEL")
        self.user(0x40_0000, TEXT.start, 1, case.user_text)
        self.user(0x40_0000 + 8 * self.page, TEXT.start, 2, case.user_text)
        self.user(0x40_0000 + 16 * self.page, RAM.start, 5, "PAGE_SHARED")
        self.user(0x40_0000 + 32 * self.page, RAM.start + 8 * self.page, 5, "PAGE_READONLY")
        self.user(0x40_0000 + 48 * self.page, RAM.start, 3, "PAGE_NONE")
        top = g["task_size"] & ~(self.page - 1)
        self.user(top - 2 * self.page, RAM.start, 2, "PAGE_SHARED")
        # Some of it goes away again.
        self.ops.append({"vunmap_range": {"va": near_end + self.page, "size": 2 * self.page}})
        self.ops.append({"access": {"va": self.entry}})
        run = self.machine.run(self.ops)
        assert not any(result.ret for result in run.results), [r.summary() for r in list(run.results)]

    def at(self, number: int) -> int:
        return self.start + number * 2 * max(self.huge, 64 * self.page)

    def pages(self, va: int, pa: int, count: int, prot: str) -> None:
        self.ops.append({"vmap_pages_range": {"va": va, "pages": {"start": pa, "count": count}, "prot": prot}})
        self.ranges.append((va, va + count * self.page))

    def map(self, va: int, pa: int, size: int, prot: str) -> None:
        self.ops.append({"vmap_page_range": {"va": va, "size": size, "pa": pa, "prot": prot}})
        self.ranges.append((va, va + size))

    def user(self, va: int, pa: int, count: int, prot: str | int) -> None:
        callback = {"kind": "set", "pa": pa, "prot": prot}
        self.ops.append({"apply_to_page_range": {"mm": 1, "va": va, "size": count * self.page, "callback": callback}})
        self.ranges.append((va, va + count * self.page))

    def addresses(self, user: bool, count: int) -> list[int]:
        """Every edge of every range, then random ones: inside, around, and anywhere in the half."""
        g = self.machine.geometry
        kernel_start, limit = g["kernel_start"], (1 << g["long_bits"]) - 8
        out: list[int] = []
        chosen = [(a, b) for a, b in self.ranges if (a < kernel_start) == user]
        for start, end in chosen:
            for edge in {start, end, start + self.page, end - self.page}:
                out += [edge - 8, edge]
        while len(out) < count:
            start, end = self.rng.choice(chosen)
            spread = self.rng.choice([end - start, 4 * (end - start), 64 * self.page, self.huge])
            va = start + self.rng.randrange(-spread // 2, spread) & ~7
            if self.rng.random() < 0.1:
                low, high = (0, g["task_size"]) if user else (g["vmalloc_start"], g["vmalloc_end"])
                va = self.rng.randrange(low, high) & ~7
            out.append(va)
        lowest, highest = (0, g["task_size"] - 8) if user else (kernel_start, limit)
        return [va for va in out if lowest <= va <= highest]

    def expected(self, vas: list[int]) -> dict[tuple[int, str], tuple[str, int]]:
        """Outcome and physical address of every access, from the model."""
        asked = [(va, kind) for va in vas for kind in KINDS]
        run = self.machine.run([{"access": {"va": va, "kind": kind}} for va, kind in asked])
        # Where the kernel copies a missing root entry on a fault, the emulator sees the tables after that.
        outcomes = ("ok" if result.outcome == "repaired" else result.outcome for result in run.results)
        pas = (result.pa for result in run.results)
        return dict(zip(asked, zip(outcomes, pas, strict=True), strict=True))

    def guest(self, user: bool) -> guests.Guest:
        ram = [RAM] + ([range(self.case.high, self.case.high + 0x10_0000)] if self.case.high else [])
        kind = self.case.guest
        if issubclass(kind, guests.X86):
            kind = type(kind.__name__, (kind,), {"entry_kernel": self.entry, "desk": self.desk})
        entry = 0x40_0000 if user and not issubclass(kind, guests.Arm64) else self.entry
        return kind(self.machine, ram, TEXT, entry, user)


def in_text(pa: int) -> bool:
    return pa in TEXT


@pytest.mark.parametrize("user", [False, True], ids=["kernel", "user"])
@pytest.mark.parametrize("case", CASES, ids=[case.geometry for case in CASES])
def test_same_translation(case: Case, user: bool) -> None:
    world = World(case)
    vas = world.addresses(user, PROBES)
    expected = world.expected(vas)
    guest = world.guest(user)
    counts = {"ok": 0, "not-present": 0, "permission": 0}
    for (va, kind), (outcome, pa) in expected.items():
        counts[outcome] += 1
        text = in_text(pa)
        if kind == "read":
            found = guest.read(va)
            wanted = pa & ((1 << 8 * guest.word) - 1)
            # Text holds instructions, not addresses; on arm64 AT gives the address even there.
            same = found is not None if text and not (user and guest.faults_known) else found == wanted
        elif kind == "write":
            if outcome == "ok" and (text or pa == world.desk):
                continue
            found = guest.write(va, pa & ((1 << 8 * guest.word) - 1))
            same = found
        else:
            if outcome == "ok" and (not text or pa & ~0xFFF in (TEXT.start, world.desk)):
                continue  # no code of ours
            found = guest.fetch(va)
            same = found == guest.marked(pa >> 12)
        agrees = same if outcome == "ok" else found in (None, False)
        assert agrees, f"{kind} of {va:#x}: the model says {outcome} {pa:#x}, the emulator {found!r}"
    assert guest.intact(), "a store went elsewhere"
    assert min(counts.values()) > 20, counts


@pytest.mark.parametrize("case", [c for c in CASES if c.guest.faults_known], ids=lambda case: case.geometry)
def test_same_fault(case: Case) -> None:
    """AT tells the kind of fault and its level, which the model knows too."""
    world = World(case)
    guest = world.guest(False)
    assert isinstance(guest, guests.Arm64)
    for user in (False, True):
        vas = world.addresses(user, PROBES)
        expected = world.expected(vas)
        pas, levels, _ = world.machine.translate_many(np.array(vas, np.uint64), 1)
        for va, pa, level in zip(vas, pas.tolist(), levels.tolist(), strict=True):
            for write in (False, True):
                outcome, where = expected[va, "write" if write else "read"]
                found, at, permission = guest.ask(va, write, user)
                if outcome == "ok":
                    assert found == where == pa, hex(va)
                else:
                    assert found is None and permission == (outcome == "permission"), (hex(va), outcome, found, at)
                    if permission:
                        assert at == 4 - level, (hex(va), level, at)


@pytest.mark.parametrize("case", CASES, ids=[case.geometry for case in CASES])
def test_user_code_reaches_nothing_of_the_kernel(case: Case) -> None:
    world = World(case)
    guest = world.guest(True)
    for va in world.addresses(False, 300):
        assert guest.read(va) is None and not guest.write(va, ~0 & 0xFFFF), hex(va)
    assert guest.intact()


def test_what_is_left_out_is_named() -> None:
    covered = {case.geometry for case in CASES} | set(KNOWN)
    witnessed = {case.backend for case in CASES}
    for backend, _, geometries in lazymmu._native.backends():
        if backend in witnessed:
            assert set(geometries) <= covered, sorted(set(geometries) - covered)


def test_how_many() -> None:
    """At least 100,000 translations in the tests above."""
    faults = sum(1 for case in CASES if case.guest.faults_known)
    assert len(CASES) * 2 * PROBES * 3 + faults * 2 * PROBES * 2 >= 100_000
