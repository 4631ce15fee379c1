"""What loops over user mappings take for granted of an architecture's helpers, as properties.

Any page of the format's user protections, in any state that helpers lead to, as it is when software reads it back: with
what the store has made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymmu import descriptor
from lazymmu.reference.backend.registry import BACKENDS
from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor.arm import ArmFormat
from lazymmu.reference.descriptor.base import Format
from lazymmu.reference.descriptor.helpers import helpers_of
from lazymmu.reference.geometry import geometry_named
from lazymmu.reference.options import Options
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.leaf_arm import ArmLeaf
from lazymmu.reference.user.leaves import large_leaf_of, leaf_of

USER = ("PAGE_READONLY", "PAGE_SHARED", "PAGE_READONLY_EXEC", "PAGE_SHARED_EXEC")
LARGE = {
    "x86-64": ("x86-64-4level", "x86-64-5level"),
    "x86-32": ("x86-32-pae",),
    "arm64": tuple(BACKENDS["arm64"].geometries),
    "riscv": ("riscv-sv39", "riscv-sv48", "riscv-sv57"),
    "powerpc-radix": tuple(BACKENDS["powerpc-radix"].geometries),
    "arm": ("arm-lpae",),
    "sparc64": tuple(BACKENDS["sparc64"].geometries),
    "s390": tuple(BACKENDS["s390"].geometries),
    "loongarch64": ("loongarch64-16k-3level", "loongarch64-4k-4level"),
}
"""Where user mappings have large leaves."""
UNLIKE_PROTNONE = ("arm", "sparc64")
"""``pte_protnone`` is always false there; the model tells such pages from others all the same."""


@dataclass(frozen=True)
class Where:
    backend: str
    geometry: str
    level: int

    @property
    def format(self) -> Format:
        return BACKENDS[self.backend].entry_format(geometry_named(self.geometry), Options())

    @property
    def leaf(self) -> Leaf:
        leaf = leaf_of(self.format)
        assert leaf is not None
        return leaf if self.level == PTE else large_leaf_of(self.format, leaf)

    @property
    def size(self) -> int:
        return geometry_named(self.geometry).size(self.level)

    def prot(self, name: str) -> int:
        leaf = leaf_of(self.format)
        assert leaf is not None
        return leaf.vm_page_prot(self.format.protections[name])

    @property
    def wrprotect(self) -> Callable[[int], int]:
        return self.format.wrprotect if self.level == PTE else self.format.wrprotect_huge

    def made(self, pa: int, prot: int) -> int:
        """``mk_pte``, ``mk_huge_pmd``."""
        return self.format.page(pa, prot) if self.level == PTE else self.format.block(self.level, pa, prot)

    def stored(self, word: int) -> int:
        """What a store leaves in the entry that software reads."""
        here, leaf = self.format, self.leaf
        if not isinstance(here, ArmFormat) or not isinstance(leaf, ArmLeaf):
            return word
        return here.stored(word, here.valid_user(word))[0] if self.level == PTE else leaf.stored_pmd(word)

    def __str__(self) -> str:
        return f"{self.geometry}-{descriptor.LEVELS[self.level - 1]}"


PLACES = [
    Where(backend, geometry, level)
    for backend, kind in BACKENDS.items()
    for geometry in kind.geometries
    for level in (PTE, PMD)
    if leaf_of(kind.entry_format(geometry_named(geometry), Options())) is not None
    and (level == PTE or geometry in LARGE.get(backend, ()))
]


def words(where: Where) -> st.SearchStrategy[int]:
    leaf, bits = where.leaf, 30 if geometry_named(where.geometry).va_bits == 32 else 38
    steps = (leaf.mkyoung, leaf.mkold, leaf.mkdirty, leaf.mkclean, leaf.mkwrite, where.wrprotect, where.stored)

    def make(frame: int, name: str, path: list[Callable[[int], int]]) -> int:
        word = where.made(frame * where.size, where.prot(name))
        for step in path:
            word = step(word)
        return where.stored(word)

    frames = st.integers(1, (1 << bits) // where.size - 2)
    return st.builds(make, frames, st.sampled_from(USER), st.lists(st.sampled_from(steps), max_size=4))


def laws(where: Where, word: int) -> dict[str, bool]:
    """Each law, and whether it holds for this word."""
    here, leaf = where.format, where.leaf
    read_only, none = where.prot("PAGE_READONLY"), where.prot("PAGE_NONE")
    frame = leaf.frame(where.level, word)
    changed = where.stored(leaf.modify(where.level, word, read_only))
    absent = where.stored(leaf.modify(where.level, word, none))
    back = where.stored(leaf.modify(where.level, absent, read_only))
    found = {
        "mprotect keeps the frame": leaf.frame(where.level, changed) == frame == leaf.frame(where.level, absent),
        "mprotect keeps dirt": leaf.dirty(changed) == leaf.dirty(word) == leaf.dirty(back),
        "what was young is so behind mprotect": not leaf.young(word) or (leaf.young(changed) and leaf.young(back)),
        "mprotect takes the right to write": not leaf.write(changed) and not leaf.write(back),
        "PROT_NONE is told from other pages": leaf.protnone(absent) and not leaf.protnone(leaf.mkyoung(back)),
        "PROT_NONE grants nothing": not here.usable(where.level, absent)
        or not any(here.permits(absent, access, False) for access in range(3)),
        "what was seen is collected": leaf.young(leaf.collect(leaf.mkold(word), leaf.mkyoung(word)))
        and leaf.dirty(leaf.collect(leaf.mkclean(word), leaf.mkdirty(word))),
        "a store changes no answer": leaf.same(where.stored(word), word),
    }
    if where.level == PTE:
        further = leaf.advance(word, where.size)
        found["the next page"] = leaf.frame(PTE, further) == frame + where.size
        found["and back"] = leaf.advance(further, -where.size) == word
        found["present"] = here.present(PTE, absent) and here.present(PTE, word)
        found["special"] = leaf.special(leaf.mkspecial(word)) == leaf.marks_special()
    else:
        invalid = where.stored(leaf.mkinvalid(word))
        found["a leaf that is split is still one"] = here.trans_huge(invalid) and here.trans_huge(absent)
        found["hardware does not use it"] = not here.usable(PMD, invalid)
        found["its frame stays"] = leaf.frame(PMD, invalid) == frame
        fresh = where.stored(where.made(frame, read_only))
        found["the area's protection is known from it"] = leaf.huge_prot(leaf.mkdirty(leaf.mkwrite(fresh))) == read_only
        found["a table is no leaf"] = not here.trans_huge(here.link(PMD, frame, kernel=False))
    return found


@pytest.mark.parametrize("where", PLACES, ids=str)
def test_laws_of_user_leaves(where: Where) -> None:
    @settings(max_examples=60, deadline=None, database=None)
    @given(word=words(where))
    def check(word: int) -> None:
        broken = [law for law, holds in laws(where, word).items() if not holds]
        assert not broken, hex(word)

    check()


@pytest.mark.parametrize("where", PLACES, ids=str)
def test_both_sets_of_helpers_agree(where: Where) -> None:
    """Those that ``mm/debug_vm_pgtable.c`` checks, and those that the loops use."""
    leaf, helpers = where.leaf, helpers_of(where.format, where.level)

    @settings(max_examples=40, deadline=None, database=None)
    @given(word=words(where))
    def check(word: int) -> None:
        assert leaf.young(word) == helpers.young(word) and leaf.dirty(word) == helpers.dirty(word)
        assert leaf.write(word) == helpers.write(word)
        assert leaf.mkold(word) == helpers.mkold(word) and leaf.mkyoung(word) == helpers.mkyoung(word)
        if where.backend not in UNLIKE_PROTNONE:
            assert leaf.protnone(word) == helpers.protnone(word)

    check()
