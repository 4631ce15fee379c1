"""The laws that ``mm/debug_vm_pgtable.c`` of 6.12 checks at boot for every architecture's helpers, as properties.

There they are checked for one page and sixteen protections. Here they hold for any page, any protection of the format
and any state that helpers lead to, at every level with leaves, for every backend. An exception is an entry of
`EXCEPTIONS` with its source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lazymmu import descriptor
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.codes import PMD, PTE, PUD, Access
from lazymmu.reference.descriptor.base import Format
from lazymmu.reference.descriptor.helpers import Helpers, helpers_of
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import Options

NO_HUGE_VMAP = "does not select HAVE_ARCH_HUGE_VMAP in 6.12 (arch/{}/Kconfig): the generic pmd_clear_huge does nothing"
VALID_PROTNONE = (
    "arch/powerpc/include/asm/book3s/64/pgtable.h: pte_protnone is a valid leaf without read, write and execute"
)
EXCEPTIONS = {
    ("riscv", PUD, "a huge entry is bad"): "arch/riscv/include/asm/pgtable-64.h: pud_bad is !pud_present. The kernel's "
    "check needs CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD, which riscv does not select in 6.12",
    ("arm", PMD, "huge set and clear"): NO_HUGE_VMAP.format("arm"),
    ("loongarch64", PMD, "huge set and clear"): NO_HUGE_VMAP.format("loongarch"),
    ("loongarch64", PUD, "huge set and clear"): NO_HUGE_VMAP.format("loongarch"),
    ("s390", PMD, "huge set and clear"): NO_HUGE_VMAP.format("s390"),
    ("s390", PUD, "huge set and clear"): NO_HUGE_VMAP.format("s390"),
    ("sparc64", PMD, "huge set and clear"): NO_HUGE_VMAP.format("sparc"),
    ("sparc64", PUD, "huge set and clear"): NO_HUGE_VMAP.format("sparc"),
    ("sparc64", PTE, "protnone"): "arch/sparc does not select ARCH_HAS_PTE_PROTNONE: the generic pte_protnone is false",
    ("powerpc-radix", PTE, "hardware finds nothing"): VALID_PROTNONE,
    ("powerpc-hash", PTE, "hardware finds nothing"): VALID_PROTNONE,
    ("arm", PTE, "protnone"): "arch/arm does not select ARCH_HAS_PTE_PROTNONE: the generic pte_protnone is false",
}
"""Where an architecture breaks a law on purpose, and what says so. That it does break it is tested too."""


@dataclass(frozen=True)
class Where:
    backend: str
    geometry: str
    level: int

    @property
    def format(self) -> Format:
        return BACKENDS[self.backend].entry_format(geometry_named(self.geometry), Options())

    def excepted(self, law: str) -> bool:
        return (self.backend, self.level, law) in EXCEPTIONS

    @property
    def helpers(self) -> Helpers:
        return helpers_of(self.format, self.level)

    def __str__(self) -> str:
        return f"{self.backend}-{self.geometry}-{descriptor.LEVELS[self.level - 1]}"


def has_leaves(backend: str, geometry: str, level: int) -> bool:
    """Whether the format has leaves that software knows at this level (arm's short descriptors have no huge pages)."""
    if level == PTE:
        return True
    if geometry in ("arm-classic", "x86-32-pae") and level > PMD:
        return False
    shape = geometry_named(geometry)
    here = Where(backend, geometry, level).format
    if geometry == "arm-classic":
        return False
    leaf = here.block(level, shape.size(level), here.protections["PAGE_KERNEL"])
    return level <= PUD and here.leaf(level, leaf)


LEAVES = [
    Where(backend, geometry, level)
    for backend, kind in BACKENDS.items()
    for geometry in kind.geometries
    for level in range(PTE, min(PUD, geometry_named(geometry).levels) + 1)
    if has_leaves(backend, geometry, level)
]
ENTRIES = [
    Where(backend, geometry, level)
    for backend, kind in BACKENDS.items()
    for geometry in kind.geometries
    for level in range(PTE, geometry_named(geometry).levels + 1)
]

Law = Callable[[Where, int], bool]


def wrprotect(where: Where) -> Callable[[int], int]:
    """``pte_wrprotect`` or ``pmd_wrprotect``."""
    return lambda word: where.helpers.wrprotect(where.format, word)


def leaf_of(where: Where) -> st.SearchStrategy[int]:
    """A leaf with any of the format's protections, through any few helpers."""
    here, helpers = where.format, where.helpers
    shape = here.geometry
    frames = st.integers(0, (1 << min(shape.pa_bits, 40) - shape.shift(where.level)) - 1)
    names = sorted(name for name in here.protections if name.startswith("PAGE_") and name != "PAGE_NONE")
    steps = (
        helpers.mkyoung,
        helpers.mkold,
        helpers.mkdirty,
        helpers.mkclean,
        helpers.mkwrite,
        helpers.mkspecial,
        wrprotect(where),
    )

    def make(frame: int, name: str, path: list[Callable[[int], int]]) -> int:
        pa, prot = frame << shape.shift(where.level), here.protections[name]
        word = here.page(pa, prot) if where.level == PTE else here.block(where.level, pa, prot)
        for step in path:
            word = step(word)
        return word

    return st.builds(make, frames, st.sampled_from(names), st.lists(st.sampled_from(steps), max_size=4))


LAWS: dict[str, Law] = {
    "young after mkyoung(mkold)": lambda w, x: w.helpers.young(w.helpers.mkyoung(w.helpers.mkold(x))),
    "not young after mkold(mkyoung)": lambda w, x: not w.helpers.young(w.helpers.mkold(w.helpers.mkyoung(x))),
    "dirty after mkdirty(mkclean)": lambda w, x: w.helpers.dirty(w.helpers.mkdirty(w.helpers.mkclean(x))),
    "not dirty after mkclean(mkdirty)": lambda w, x: not w.helpers.dirty(w.helpers.mkclean(w.helpers.mkdirty(x))),
    "write after mkwrite(wrprotect)": lambda w, x: w.helpers.write(w.helpers.mkwrite(wrprotect(w)(x))),
    "no write after wrprotect(mkwrite)": lambda w, x: not w.helpers.write(wrprotect(w)(w.helpers.mkwrite(x))),
    "not dirty after wrprotect(mkclean)": lambda w, x: not w.helpers.dirty(wrprotect(w)(w.helpers.mkclean(x))),
    "dirty after wrprotect(mkdirty)": lambda w, x: w.helpers.dirty(wrprotect(w)(w.helpers.mkdirty(x))),
    "special after mkspecial": lambda w, x: w.helpers.special(w.helpers.mkspecial(x)) or w.helpers.special_bit == 0,
    "helpers keep the frame": lambda w, x: all(
        w.format.leaf_address(w.level, step(x)) == w.format.leaf_address(w.level, x)
        or not w.format.usable(w.level, step(x))
        for step in (w.helpers.mkyoung, w.helpers.mkdirty, w.helpers.mkclean, w.helpers.mkwrite, wrprotect(w))
    ),
    "helpers are idempotent": lambda w, x: all(
        step(step(x)) == step(x)
        for step in (
            w.helpers.mkyoung,
            w.helpers.mkold,
            w.helpers.mkdirty,
            w.helpers.mkclean,
            w.helpers.mkwrite,
            wrprotect(w),
        )
    ),
    "present": lambda w, x: w.format.present(w.level, w.helpers.mkyoung(x)),
    "a present entry is not none": lambda w, x: not w.format.none(w.level, w.helpers.mkyoung(x)),
    "no protnone of a page with permissions": lambda w, x: not w.helpers.protnone(w.helpers.mkyoung(x)),
}


@pytest.mark.parametrize("where", LEAVES, ids=str)
def test_laws_of_leaves(where: Where) -> None:
    """``pte_basic_tests``, ``pmd_basic_tests``, ``pud_basic_tests``, ``pte_special_tests``."""

    @settings(max_examples=60, deadline=None, database=None)
    @given(word=leaf_of(where))
    def check(word: int) -> None:
        broken = [law for law, holds in LAWS.items() if not holds(where, word)]
        assert not broken, hex(word)

    check()


@pytest.mark.parametrize("where", [w for w in LEAVES if w.level > PTE], ids=str)
def test_huge_set_and_clear(where: Where) -> None:
    """``pmd_huge_tests``: set_huge writes a leaf, clear_huge takes it for one, and then there is none."""
    here = where.format

    @settings(max_examples=25, deadline=None, database=None)
    @given(word=leaf_of(where))
    def check(word: int) -> None:
        if not here.usable(where.level, word):
            return
        assert here.leaf(where.level, word)
        assert here.clear_huge(where.level, word) != where.excepted("huge set and clear")
        assert not here.none(where.level, word)
        cleared = here.empty(where.level)
        assert here.none(where.level, cleared) and not here.clear_huge(where.level, cleared)

    check()


@pytest.mark.parametrize("where", [w for w in LEAVES if w.level > PTE], ids=str)
def test_a_huge_entry_is_bad(where: Where) -> None:
    """``pmd_basic_tests``: a leaf must not be taken for a table."""
    here = where.format

    @settings(max_examples=25, deadline=None, database=None)
    @given(word=leaf_of(where))
    def check(word: int) -> None:
        huge = where.helpers.mkhuge(word)
        if here.usable(where.level, huge):
            assert here.bad(where.level, huge) != where.excepted("a huge entry is bad"), hex(huge)

    check()


@pytest.mark.parametrize("where", [w for w in ENTRIES if w.level > PTE], ids=str)
def test_clear_and_populate(where: Where) -> None:
    """``pmd_clear_tests``, ``pmd_populate_tests``: none after a clear; a table, not bad, after populate."""
    here, shape = where.format, geometry_named(where.geometry)

    @settings(max_examples=25, deadline=None, database=None)
    @given(frame=st.integers(1, (1 << min(shape.pa_bits, 36) - shape.shifts[0]) - 1), kernel=st.booleans())
    def check(frame: int, kernel: bool) -> None:
        assert here.none(where.level, here.empty(where.level))
        word = here.link(where.level, frame << shape.shifts[0], kernel)
        assume(word != here.empty(where.level))  # loongarch64: the frame of the table in which nothing is mapped
        assert not here.bad(where.level, word), hex(word)
        assert not here.none(where.level, word) and not here.leaf(where.level, word)
        assert here.kind(where.level, word).value == "table"
        assert here.table(word) == frame << shape.shifts[0]

    check()


@pytest.mark.parametrize("where", [w for w in LEAVES if w.level == PTE], ids=str)
def test_protnone(where: Where) -> None:
    """``pte_protnone_tests``: PROT_NONE is present for software, and hardware finds nothing."""
    here, helpers = where.format, where.helpers
    word = here.page(0x1234 << here.geometry.shifts[0], here.protections["PAGE_NONE"])
    assert helpers.protnone(word) != where.excepted("protnone")
    assert here.present(PTE, word) and not here.none(PTE, word)
    if not where.excepted("protnone"):
        assert here.usable(PTE, word) == where.excepted("hardware finds nothing")
        accesses = (Access.READ, Access.WRITE, Access.EXEC)
        assert not here.usable(PTE, word) or not any(here.permits(word, access, False) for access in accesses)


@pytest.mark.parametrize("where", [w for w in LEAVES if w.level == PTE], ids=str)
def test_modify_prot(where: Where) -> None:
    """``ptep_modify_prot_start`` and ``_commit``: what was young and dirty is so afterwards."""
    here, helpers = where.format, where.helpers

    @settings(max_examples=25, deadline=None, database=None)
    @given(word=leaf_of(where))
    def check(word: int) -> None:
        protected = helpers.wrprotect(here, word)
        restored = helpers.mkwrite(protected)
        assert helpers.dirty(restored) == helpers.dirty(word) and helpers.young(restored) == helpers.young(word)
        assert helpers.write(restored) and not helpers.write(protected)

    check()


@pytest.mark.parametrize("where", LEAVES, ids=str)
def test_core_agrees(where: Where) -> None:
    """The core's predicates of the same words, and what its decoder says of them."""
    here, level = where.format, descriptor.LEVELS[where.level - 1]

    @settings(max_examples=25, deadline=None, database=None)
    @given(word=leaf_of(where))
    def check(word: int) -> None:
        entry = descriptor.decode(word, where.geometry, level, backend=where.backend, strict=False)
        if where.geometry == "arm-classic":
            return  # the decoder reads the hardware's word
        assert entry.software["present"] == here.present(where.level, word)
        assert entry.software["none"] == here.none(where.level, word)
        if where.level > PTE:
            assert entry.software["leaf"] == here.leaf(where.level, word)
            assert entry.software["bad"] == here.bad(where.level, word)

    check()
