"""The workloads of the kernel's ``lib/test_vmalloc.c`` (6.12), under its names and parameters.

Each follows the body of one test: the same allocations, sizes, alignments and order. Random numbers come from
``seed``, not from the kernel's generator, and loop counts default to something that runs in a moment.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from lazymmu.scenario.model import Scenario


@dataclass(frozen=True)
class Parameters:
    """The module's parameters, and where randomness starts."""

    nr_pages: int = 1
    use_huge: int = 0
    test_loop_count: int = 10
    cpus: int = 1
    seed: int = 1


Test = Callable[[Scenario, Parameters], None]


def _size(pages: int) -> str:
    return f"{pages} * PAGE_SIZE" if pages != 1 else "PAGE_SIZE"


def fix_size_alloc_test(s: Scenario, p: Parameters) -> None:
    """Allocate nr_pages, write a byte, free."""
    for _ in range(p.test_loop_count):
        area = s.vmalloc("p", size=_size(p.nr_pages), huge=bool(p.use_huge) or None)
        s.access(area, "write")
        s.free(area)


def full_fit_alloc_test(s: Scenario, p: Parameters) -> None:
    """Fill the space with single pages, free every other one, then allocate and free single pages in the gaps."""
    junk = p.cpus.bit_length() * (32 << 20) >> 12
    for n in range(junk):
        s.vmalloc(f"junk{n}", size="PAGE_SIZE")
    for n in range(0, junk, 2):
        s.free(f"junk{n}")
    for _ in range(p.test_loop_count):
        area = s.vmalloc("tmp", size="PAGE_SIZE")
        s.access(area, "write")
        s.free(area)
    for n in range(1, junk, 2):
        s.free(f"junk{n}")


def long_busy_list_alloc_test(s: Scenario, p: Parameters) -> None:
    """15000 live areas of one page; behind them 100 pages and one page, again and again."""
    for n in range(15000):
        s.vmalloc(f"p{n}", size="PAGE_SIZE")
    for _ in range(p.test_loop_count):
        large = s.vmalloc("large", size="100 * PAGE_SIZE")
        small = s.vmalloc("small", size="PAGE_SIZE")
        s.access(large, "write")
        s.access(small, "write")
        s.free(large)
        s.free(small)
    for n in range(15000):
        s.free(f"p{n}")


def random_size_alloc_test(s: Scenario, p: Parameters) -> None:
    """1 to 100 pages."""
    numbers = random.Random(p.seed)
    for _ in range(p.test_loop_count):
        area = s.vmalloc("p", size=_size(numbers.randint(1, 100)))
        s.access(area, "write")
        s.free(area)


def fix_align_alloc_test(s: Scenario, p: Parameters) -> None:
    """5 pages, aligned to twice THREAD_ALIGN (64 KiB on arm64 with 16 KiB stacks, as recorded)."""
    for _ in range(p.test_loop_count):
        area = s.vmalloc("p", size="5 * PAGE_SIZE", align=65536)
        s.access(area, "write")
        s.free(area)


def random_size_align_alloc_test(s: Scenario, p: Parameters) -> None:
    """1 to 10 pages, aligned to a random power of two up to 4 MiB."""
    numbers = random.Random(p.seed)
    for _ in range(p.test_loop_count):
        area = s.vmalloc("p", size=_size(numbers.randint(1, 10)), align=1 << numbers.randrange(23))
        s.access(area, "write")
        s.free(area)


def align_shift_alloc_test(s: Scenario, p: Parameters) -> None:
    """One page at every power of two as alignment, until none fits: the kernel's test is expected to fail, too."""
    del p
    for shift in range(32):
        s.vmalloc(f"p{shift}", size="PAGE_SIZE", align=1 << shift)


def pcpu_alloc_test(s: Scenario, p: Parameters) -> None:
    """35000 per-CPU objects of 1 to PAGE_SIZE / 4 bytes: a chunk is populated one page a CPU at a time.

    Recorded on arm64 6.12: units of 96 KiB; the allocator itself is not modelled, objects are packed.
    """
    numbers = random.Random(p.seed)
    unit = 24
    pages = -(-sum(numbers.randint(1, 1024) for _ in range(35000)) // 4096)
    for chunk in range(-(-pages // unit)):
        area = s.area(f"chunk{chunk}", size=_size(unit * p.cpus), kind="alloc")
        for page in range(min(unit, pages - chunk * unit)):
            for cpu in range(p.cpus):
                s.vmap_pages_range(area + f"{cpu * unit + page} * PAGE_SIZE", pages=1, noflush=True)


def _kvfree_rcu(s: Scenario, p: Parameters) -> None:
    for n in range(p.test_loop_count):
        area = s.vmalloc(f"p{n}", size="PAGE_SIZE")
        s.access(area, "write")
    for n in range(p.test_loop_count):
        s.free(f"p{n}")


def kvfree_rcu_1_arg_vmalloc_test(s: Scenario, p: Parameters) -> None:
    """One page each, freed behind a grace period."""
    _kvfree_rcu(s, p)


def kvfree_rcu_2_arg_vmalloc_test(s: Scenario, p: Parameters) -> None:
    """One page each, freed behind a grace period; to page tables the same as the other."""
    _kvfree_rcu(s, p)


def vm_map_ram_test(s: Scenario, p: Parameters) -> None:
    """Map nr_pages existing pages for a moment."""
    for _ in range(p.test_loop_count):
        area = s.vm_map_ram("p", pages=p.nr_pages)
        s.access(area, "write")
        s.free(area)
        s.purge()


TESTS: tuple[Test, ...] = (
    fix_size_alloc_test,
    full_fit_alloc_test,
    long_busy_list_alloc_test,
    random_size_alloc_test,
    fix_align_alloc_test,
    random_size_align_alloc_test,
    align_shift_alloc_test,
    pcpu_alloc_test,
    kvfree_rcu_1_arg_vmalloc_test,
    kvfree_rcu_2_arg_vmalloc_test,
    vm_map_ram_test,
)


def make(test: Test, parameters: Parameters) -> Scenario:
    """The scenario of one test."""
    about = " ".join((test.__doc__ or "").split()).rstrip(".")
    scenario = Scenario(name=test.__name__, about=about, cpus=parameters.cpus)
    test(scenario, parameters)
    return scenario
