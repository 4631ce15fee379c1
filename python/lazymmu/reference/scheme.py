"""*Where* hooks are called.

Six schemes; each only places hooks and is read as a change to the one that it inherits from.

| class | places |
|---|---|
| `V6_12` | the sync at the end of the functions that own a mask; lazy mode in ``apply_to_pte_range`` only |
| `BeginEnd` | the seed: begin and end around the outermost walk function, nothing else syncs |
| `V6_16` | as `V6_12`, and lazy mode around all PTE loops |

What a hook does is the backend's; what differs by date inside a function is an option (`lazymmu.reference.options`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from lazymmu.reference import lazy
from lazymmu.reference.codes import INIT_MM, USER_SITES, Site
from lazymmu.reference.errors import ConfigError

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel
    from lazymmu.reference.walk.core import Walk


class Scheme:
    """No hook anywhere."""

    name: ClassVar[str] = ""

    def walk_begin(self, k: Kernel, walk: Walk) -> None:
        """Behind the range check of a walk function."""

    def walk_end(self, k: Kernel, walk: Walk, mask: int) -> None:
        """At the end of a walk function, also after an error."""

    def pte_begin(self, k: Kernel, site: int) -> None:
        """In front of a PTE loop, when its table is at hand."""

    def pte_end(self, k: Kernel, site: int) -> None:
        """Behind a PTE loop."""


class V6_12(Scheme):  # noqa: N801
    """State A of the facts: sync after the walk, on error paths too (2.1, 2.4, 2.5, 2.6)."""

    name = "v6.12"
    syncing: ClassVar[tuple[int, ...]] = (Site.VMAP_RANGE, Site.VMAP_SMALL_PAGES, Site.VUNMAP_RANGE, Site.APPLY)
    lazy_loops: ClassVar[tuple[int, ...]] = (Site.APPLY_PTE, *USER_SITES)

    def walk_end(self, k: Kernel, walk: Walk, mask: int) -> None:  # noqa: D102
        if walk.code in self.syncing:
            k.sync(walk, mask)

    def pte_begin(self, k: Kernel, site: int) -> None:  # noqa: D102
        if site in self.lazy_loops:
            lazy.enable(k)

    def pte_end(self, k: Kernel, site: int) -> None:  # noqa: D102
        if site in self.lazy_loops:
            lazy.disable(k)


class BeginEnd(V6_12):
    """State B: ``arch_update_kernel_mappings_begin/end`` as posted (the seed; facts 2.7). end replaces all syncs."""

    name = "begin-end"
    around: ClassVar[tuple[int, ...]] = (Site.VMAP_PAGE_RANGE, Site.VMAP_PAGES_RANGE, Site.VUNMAP_RANGE, Site.APPLY)

    def _applies(self, k: Kernel, walk: Walk) -> bool:
        return walk.code in self.around and (walk.mm == INIT_MM or not k.options.begin_end_init_mm_only)

    def walk_begin(self, k: Kernel, walk: Walk) -> None:  # noqa: D102
        if self._applies(k, walk):
            k.begin(walk)

    def walk_end(self, k: Kernel, walk: Walk, mask: int) -> None:  # noqa: D102
        if self._applies(k, walk):
            k.end(walk, mask)


class BeginEndLazy(BeginEnd):
    """The same; its default of option ``begin_end_lazy`` makes every lazy backend enter in begin and leave in end."""

    name = "begin-end-lazy"


class V6_16_RC1(V6_12):  # noqa: N801
    """State C: lazy MMU mode around every PTE loop, as first merged (facts 2.7)."""

    name = "v6.16-rc1"
    lazy_loops = (Site.VMAP_PTE, Site.VMAP_PAGES_PTE, Site.VUNMAP_PTE, Site.APPLY_PTE, *USER_SITES)


class V6_16(V6_16_RC1):  # noqa: N801
    """State C': the same places; the fixes are options."""

    name = "v6.16"


class V7_0(V6_16):  # noqa: N801
    """State D: the same places call the counted API (option ``lazy_api``)."""

    name = "v7.0"


SCHEMES: Final[dict[str, type[Scheme]]] = {
    scheme.name: scheme for scheme in (V6_12, BeginEnd, BeginEndLazy, V6_16_RC1, V6_16, V7_0)
}


def scheme_named(name: str) -> Scheme:
    """Looks a scheme up."""
    if name not in SCHEMES:
        raise ConfigError(f"unknown scheme {name!r}; known: {', '.join(SCHEMES)}")
    return SCHEMES[name]()
