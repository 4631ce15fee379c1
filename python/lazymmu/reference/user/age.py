"""Who used what: ``MADV_COLD``, ``MADV_FREE`` (``mm/madvise.c``), and the walks that clear the accessed bit."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE, Site
from lazymmu.reference.context import cond_resched
from lazymmu.reference.memory import Entry
from lazymmu.reference.user.gather import Gather
from lazymmu.reference.user.huge import Huge
from lazymmu.reference.user.process import Process


def madvise(process: Process, huge: Huge, mm: int, start: int, end: int, *, free: bool) -> None:
    """``madvise_cold``, ``madvise_free_single_vma``."""
    gather = Gather(process, mm, full=False)
    for pmd, following in process.each_pmd(mm, start, end):
        found = process.look(pmd)
        if found == "none":
            continue
        if found == "table":
            _ptes(process, gather, pmd, following, free=free)
        elif following - pmd.va == process.k.geometry.size(PMD):
            huge.age(gather, pmd, free=free)
        else:
            gather.leaves(PMD)
        cond_resched(process.k)
    gather.end_area(pfnmap=False)
    gather.finish()


def _ptes(process: Process, gather: Gather, pmd: Entry, end: int, *, free: bool) -> None:
    """``madvise_cold_or_pageout_pte_range``, ``madvise_free_pte_range``."""
    gather.leaves(PTE)
    addr = pmd.va
    while addr != end:
        addr = _some(process, gather, pmd, addr, end, free=free)
        if addr != end:
            cond_resched(process.k)


SWAP_CLUSTER_MAX = 32


def _some(process: Process, gather: Gather, pmd: Entry, addr: int, end: int, *, free: bool) -> int:
    """From one entry on, until another task waits, which ``MADV_COLD`` asks at times: how far it came."""
    table = process.k.descend(pmd)
    page = process.k.geometry.page_size
    batch = 0
    site = Site.MADVISE_FREE_PTE if free else Site.MADVISE_COLD_PTE
    with process.pte_lock(table), process.lazy_section(site, table, addr, end):
        while addr != end:
            pte = table.at(addr)
            word = process.arch.ptep_get(pte)
            batch = 0 if batch + 1 == SWAP_CLUSTER_MAX else batch + 1
            if batch == 0 and not free and process.k.task().need_resched:
                break
            count = 1
            if process.present(word):
                count = _present(process, gather, pte, word, (end - addr) // page, free=free)
            addr += count * page
    return addr


def _present(process: Process, gather: Gather, pte: Entry, word: int, limit: int, *, free: bool) -> int:
    """A folio that the range covers in part, or that others map, is left alone."""
    page, leaf = process.k.geometry.page_size, process.leaf
    folio = process.folio(PTE, word)
    if folio is None:
        return 1
    count, words = process.batch(folio, pte, word, limit, write=True, dirty=True)
    pages = folio.size // page
    if count < pages or folio.refs != pages + (not folio.anon):
        return count
    if any(leaf.young(w) or (free and leaf.dirty(w)) for w in words):
        process.arch.clear_young_dirty(pte, count, dirty=free)
        gather.note(PTE, pte.va, count * page)
    return count


def walk_young(process: Process, mm: int, start: int, end: int) -> int:
    """``walk_pte_range`` (``mm/vmscan.c``): how many were young. Nothing is flushed."""
    young = 0
    for pmd, following in process.each_pmd(mm, start, end):
        if process.look(pmd) != "table":
            continue
        table = process.k.descend(pmd)
        with process.pte_lock(table), process.lazy_section(Site.WALK_PTE):
            for pte, _, _ in process.k.entries(table, pmd.va, following):
                word = process.arch.ptep_get(pte)
                if process.present(word) and process.leaf.young(word) and not process.special(word):
                    young += process.arch.test_and_clear_young(pte)
    return young


def clear_flush_young(process: Process, mm: int, va: int) -> bool:
    """``ptep_clear_flush_young`` of one page."""
    table = process.leaf_table(mm, va)
    young = False
    if table is not None:
        with process.pte_lock(table):
            pte = table.at(va)
            young = process.present(process.arch.ptep_get(pte)) and process.arch.clear_flush_young(pte)
    return young
