"""Laws of what the loops over user mappings ask of a leaf, and that it is what the other helpers say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.user.leaf import Leaf
from lazymmu.reference.user.leaves import large_leaf_of, leaf_of

from .test_laws import LEAVES, Where, wrprotect
from .test_laws import leaf_of as words

SOFT_DIRTY = {"x86-64": 1 << 11, "x86-32": 1 << 11, "xen-pv": 1 << 11}
"""The other helpers have it; kernels of the loops do not."""
NO_LARGE = ("xen-pv", "powerpc-hash")
SEMANTICS = settings(max_examples=60, deadline=None, database=None)


def user_leaf(where: Where) -> Leaf | None:
    leaf = leaf_of(where.format)
    return leaf if leaf is None or where.level == PTE else large_leaf_of(where.format, leaf)


USERS = [
    where
    for where in LEAVES
    if where.level <= PMD and user_leaf(where) is not None and (where.level == PTE or where.backend not in NO_LARGE)
]


def at(where: Where) -> Leaf:
    leaf = user_leaf(where)
    assert leaf is not None
    return leaf


@pytest.mark.parametrize("where", USERS, ids=str)
def test_the_helpers_agree(where: Where) -> None:
    leaf, helpers = at(where), where.helpers
    plain = ~SOFT_DIRTY.get(where.backend, 0)

    @SEMANTICS
    @given(word=words(where))
    def check(word: int) -> None:
        assert leaf.young(word) == helpers.young(word)
        assert leaf.dirty(word) == helpers.dirty(word)
        assert leaf.write(word) == helpers.write(word)
        assert leaf.protnone(helpers.mkyoung(word)) == helpers.protnone(helpers.mkyoung(word))
        for name in ("mkyoung", "mkold", "mkdirty", "mkclean", "mkwrite"):
            assert getattr(leaf, name)(word) & plain == getattr(helpers, name)(word) & plain, name

    check()


@pytest.mark.parametrize("where", USERS, ids=str)
def test_another_protection_keeps_page_and_state(where: Where) -> None:
    leaf = at(where)
    prots = [
        name for name in ("PAGE_READONLY", "PAGE_READONLY_EXEC", "PAGE_SHARED") if name in where.format.protections
    ]

    @SEMANTICS
    @given(word=words(where), prot=st.sampled_from(prots))
    def check(word: int, prot: str) -> None:
        word = leaf.mkyoung(wrprotect(where)(word))
        new = leaf.modify(where.level, word, leaf.vm_page_prot(where.format.protections[prot]))
        assert leaf.frame(where.level, new) == leaf.frame(where.level, word)
        assert leaf.young(new) and leaf.dirty(new) == leaf.dirty(word)
        assert leaf.write(new) == (prot == "PAGE_SHARED")
        assert where.format.present(where.level, new) and not leaf.protnone(new)
        hidden = leaf.modify(where.level, new, leaf.vm_page_prot(where.format.protections["PAGE_NONE"]))
        assert leaf.protnone(hidden) and leaf.dirty(hidden) == leaf.dirty(word)
        assert where.format.present(where.level, hidden) and not where.format.none(where.level, hidden)
        assert leaf.modify(where.level, hidden, leaf.vm_page_prot(where.format.protections[prot])) in (
            new,
            leaf.mkold(new),
        )

    check()


@pytest.mark.parametrize("where", [w for w in USERS if w.level == PMD], ids=str)
def test_an_invalid_large_leaf_is_a_leaf_for_software_alone(where: Where) -> None:
    leaf = at(where)

    @SEMANTICS
    @given(word=words(where))
    def check(word: int) -> None:
        invalid = leaf.mkinvalid(leaf.mkyoung(word))
        assert not where.format.usable(PMD, invalid)
        assert where.format.leaf(PMD, invalid) and not where.format.none(PMD, invalid)
        assert leaf.frame(PMD, invalid) == leaf.frame(PMD, word)

    check()


@pytest.mark.parametrize("where", [w for w in USERS if w.level == PTE], ids=str)
def test_the_next_page(where: Where) -> None:
    leaf, page = at(where), where.format.geometry.page_size

    @SEMANTICS
    @given(word=words(where), count=st.integers(0, 15))
    def check(word: int, count: int) -> None:
        base = leaf.frame(PTE, word) & -16 * page
        word = where.format.page(base, where.format.protections["PAGE_READONLY"])
        assert leaf.frame(PTE, leaf.advance(word, count * page)) == base + count * page

    check()
