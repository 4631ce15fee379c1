//! Contiguous groups of user entries on arm64 (`arch/arm64/mm/contpte.c` of 6.12): folded when the last entry of a block
//! of one folio is set, unfolded before a part of a group changes.

use super::Arm64Backend;
use super::user;
use crate::backend::generic;
use crate::descriptor::Format;
use crate::descriptor::arm64::{AF, Arm64, DIRTY, RDONLY, VALID, WRITE};
use crate::event::codes::Store;
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::INIT_MM;
use crate::stop::{Run, Step};
use crate::walk::helpers;

type K<W> = Kernel<Arm64Backend, W>;

/// `__ptep_set_access_flags` takes only these from the word it is given.
const ACCESS_FLAGS: u64 = RDONLY | AF | WRITE | DIRTY;

/// Pages of a group in this address space, if groups are made in it.
fn group<W: Watch>(k: &K<W>, entry: Entry<'_>) -> Option<u64> {
    if entry.mm == INIT_MM || !k.options.arm64_contpte {
        return None;
    }
    k.geometry().cont_pte_size().map(|size| size / k.geometry().page_size())
}

/// `contpte_align_down`.
fn align_down<'t, W: Watch>(k: &K<W>, entry: Entry<'t>, pages: u64) -> Entry<'t> {
    let offset = entry.index as u64 % pages;
    let va = entry.va - offset * k.geometry().page_size();
    Entry::new(entry.table, entry.index - offset as usize, va, entry.mm)
}

/// `contpte_convert`: break, invalidate, make. With BBML3 TLBs may have both sizes at once, and nothing is invalidated.
fn convert<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, pages: u64) -> Step {
    let format = k.format();
    let page = k.geometry().page_size();
    let first = align_down(k, entry, pages);
    let base = format.address(Level::Pte, word) & !(pages * page - 1);
    let mut word = format.pte(base, word & !format.encode_address(u64::MAX));
    for n in 0..pages {
        let at = k.entry_behind(first, n);
        let old = k.look(at);
        k.store(at, 0, Store::Convert)?;
        word = generic::collect(helpers(&format), word, old);
    }
    if !k.options.arm64_bbml3 {
        user::flush_range(k, entry.mm, (first.va, first.va + pages * page), Some(Level::Pte), true)?;
    }
    for n in 0..pages {
        let at = k.entry_behind(first, n);
        k.store(at, helpers(&format).advance(word, n * page), Store::Convert)?;
    }
    Ok(())
}

/// `contpte_try_unfold`.
pub(super) fn try_unfold<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Step {
    let word = k.look(entry);
    match group(k, entry) {
        Some(pages) if Arm64::valid_cont(word) => {
            let word = helpers(&k.format()).mknoncont(word);
            convert(k, entry, word, pages)
        }
        _ => Ok(()),
    }
}

/// `contpte_try_unfold_partial`: groups that the run covers only in part, at both ends.
fn try_unfold_partial<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64) -> Step {
    let Some(pages) = group(k, first) else { return Ok(()) };
    if !(first.index as u64).is_multiple_of(pages) || count < pages {
        try_unfold(k, first)?;
    }
    if !(first.index as u64 + count).is_multiple_of(pages) {
        let last = k.entry_behind(first, count - 1);
        try_unfold(k, last)?;
    }
    Ok(())
}

/// `contpte_try_fold`: the last entry of a block was set.
fn try_fold<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Step {
    let Some(pages) = group(k, entry) else { return Ok(()) };
    let format = k.format();
    let helpers = helpers(&format);
    let page = k.geometry().page_size();
    let frame = format.address(Level::Pte, word);
    let last = pages - 1;
    let aligned = entry.index as u64 % pages == last && frame / page % pages == last;
    if !aligned || word & VALID == 0 || Arm64::valid_cont(word) || helpers.special(word) {
        return Ok(());
    }
    let base = frame & !(pages * page - 1);
    let covered = |f: crate::machine::Folio| f.start <= base && f.start + f.bytes >= base + pages * page;
    if !k.machine.folios.at(frame).is_some_and(covered) {
        return Ok(());
    }
    let first = align_down(k, entry, pages);
    let plain = |word: u64| helpers.mkold(helpers.mkclean(word));
    let expected = format.pte(base, plain(word) & !format.encode_address(u64::MAX));
    for n in 0..pages {
        let at = k.entry_behind(first, n);
        if plain(k.look(at)) != helpers.advance(expected, n * page) {
            return Ok(());
        }
    }
    convert(k, entry, Arm64::mkcont(word), pages)
}

/// `ptep_get`: what any entry of a group has seen counts for all.
pub(super) fn ptep_get<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let word = k.look(entry);
    let Some(pages) = group(k, entry).filter(|_| Arm64::valid_cont(word)) else {
        return Ok(word);
    };
    let format = k.format();
    let first = align_down(k, entry, pages);
    let mut all = word;
    for n in 0..pages {
        let at = k.entry_behind(first, n);
        all = generic::collect(helpers(&format), all, k.look(at));
    }
    Ok(all)
}

/// `set_ptes`. One entry: what was there is unfolded, and the block folded if it became complete. Several: blocks that are
/// complete are made contiguous at once.
pub(super) fn set_ptes<W: Watch>(k: &mut K<W>, first: Entry<'_>, word: u64, count: u64, why: Store) -> Step {
    let format = k.format();
    let word = helpers(&format).mknoncont(word);
    let page = k.geometry().page_size();
    let Some(pages) = group(k, first).filter(|_| count == 1 || word & VALID != 0) else {
        return (0..count).try_for_each(|n| {
            let at = k.entry_behind(first, n);
            k.store(at, helpers(&format).advance(word, n * page), why)
        });
    };
    if count == 1 {
        try_unfold(k, first)?;
        k.store(first, word, why)?;
        return try_fold(k, first, word);
    }
    let mut n = 0;
    while n < count {
        let at = k.entry_behind(first, n);
        let left = (pages - at.index as u64 % pages).min(count - n);
        let word = helpers(&format).advance(word, n * page);
        let whole = left == pages && format.address(Level::Pte, word).is_multiple_of(pages * page);
        let word = if whole { Arm64::mkcont(word) } else { word };
        for m in 0..left {
            let at = k.entry_behind(at, m);
            k.store(at, helpers(&format).advance(word, m * page), why)?;
        }
        n += left;
    }
    Ok(())
}

/// `get_and_clear_full_ptes`, `ptep_get_and_clear`.
pub(super) fn get_and_clear_ptes<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64) -> Run<u64> {
    try_unfold_partial(k, first, count)?;
    let format = k.format();
    let mut word = 0;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = at.word();
        k.store(at, 0, Store::GetAndClear)?;
        word = if n == 0 { old } else { generic::collect(helpers(&format), word, old) };
    }
    Ok(word)
}

/// `wrprotect_ptes`: a whole group may be protected as it is, for the flush comes later.
pub(super) fn wrprotect_ptes<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64) -> Step {
    try_unfold_partial(k, first, count)?;
    generic::wrprotect_ptes(k, first, count)
}

/// The run of entries that has to be treated as one: the group, or the entry alone.
fn whole<'t, W: Watch>(k: &mut K<W>, entry: Entry<'t>) -> (Entry<'t>, u64) {
    match group(k, entry) {
        Some(pages) if Arm64::valid_cont(k.look(entry)) => (align_down(k, entry, pages), pages),
        _ => (entry, 1),
    }
}

/// `ptep_test_and_clear_young`: of a group all entries. A compare-and-exchange, whatever was there.
pub(super) fn test_and_clear_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<bool> {
    let format = k.format();
    let (first, count) = whole(k, entry);
    let mut young = false;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        young |= helpers(&format).young(at.word());
        k.store(at, helpers(&format).mkold(at.word()), Store::Young)?;
    }
    Ok(young)
}

/// `ptep_clear_flush_young`: the final DSB is left out.
pub(super) fn clear_flush_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<bool> {
    let young = test_and_clear_young(k, entry)?;
    if young {
        let (first, count) = whole(k, entry);
        let page = k.geometry().page_size();
        if count == 1 {
            user::flush_tlb_page_nosync(k, entry.mm, entry.va)?;
        } else {
            let range = (first.va, first.va + count * page);
            user::flush_range_nosync(k, entry.mm, range, Some(Level::Pte), true)?;
        }
    }
    Ok(young)
}

/// `clear_young_dirty_ptes`: groups at both ends are treated as wholes.
pub(super) fn clear_young_dirty<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64, dirty: bool) -> Step {
    let format = k.format();
    let (start, _) = whole(k, first);
    let last = k.entry_behind(first, count - 1);
    let (last, more) = whole(k, last);
    let end = last.index as u64 + more;
    for n in 0..end - start.index as u64 {
        let at = k.entry_behind(start, n);
        let old = helpers(&format).mkold(at.word());
        let word = if dirty { helpers(&format).mkclean(old) } else { old };
        k.store(at, word, Store::Young)?;
    }
    Ok(())
}

/// `__ptep_set_access_flags`: only more is granted; hardware may change the flags at the same time.
fn set_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let old = k.look(entry);
    if old == word {
        return Ok(false);
    }
    let new = ((old ^ RDONLY) | ((word & ACCESS_FLAGS) ^ RDONLY)) ^ RDONLY;
    k.store(entry, new, Store::Flags)?;
    Ok(true)
}

/// `ptep_set_access_flags`: a group is unfolded only if the permission to write changes.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, write: bool) -> Run<bool> {
    let page = k.geometry().page_size();
    let word = helpers(&k.format()).mknoncont(word);
    let (first, count) = whole(k, entry);
    if count == 1 {
        let changed = set_flags(k, entry, word)?;
        if changed && write {
            user::flush_relaxed(k, entry.mm, (entry.va, entry.va + page))?;
        }
        return Ok(changed);
    }
    let same = |k: &mut K<W>, n| {
        let at = k.entry_behind(first, n);
        (k.look(at) ^ word) & ACCESS_FLAGS == 0
    };
    if (0..count).all(|n| same(k, n)) {
        return Ok(false);
    }
    if (k.look(entry) ^ word) & WRITE == 0 {
        for n in 0..count {
            let at = k.entry_behind(first, n);
            set_flags(k, at, word)?;
        }
        if write {
            user::flush_relaxed(k, entry.mm, (first.va, first.va + count * page))?;
        }
        return Ok(true);
    }
    try_unfold(k, entry)?;
    set_flags(k, entry, word)?;
    if write {
        user::flush_relaxed(k, entry.mm, (entry.va, entry.va + page))?;
    }
    Ok(true)
}
