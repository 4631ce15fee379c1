//! User mappings of a Xen PV guest (`arch/x86/xen/mmu_pv.c` of 6.12): some helpers are paravirtualised, others trap.

use super::XenPv;
use super::hypercall::{emulate, enqueue, issue, queue_update};
use super::multicall::Queued;
use crate::backend::{Backend, generic, x86};
use crate::descriptor::Format;
use crate::event::codes::Store;
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step};
use crate::walk::helpers;

/// `flush_tlb_mm_range` of a guest: page by page up to the ceiling, each its own call; for other CPUs the hypervisor is asked
/// once (`xen_flush_tlb_multi`).
pub(super) fn flush<W: Watch>(k: &mut Kernel<XenPv, W>, mm: MmId, range: Option<(u64, u64)>) -> Step {
    let page = k.geometry().page_size();
    let (here, others) = k.runs_mm(mm);
    if others == 0 && !here {
        return Ok(());
    }
    let few = range.filter(|(start, end)| (end - start) / page <= x86::SINGLE_PAGE_FLUSH_CEILING);
    if others > 0 {
        let one = few.filter(|(start, end)| end - start <= page);
        let (start, end) = range.unwrap_or((0, u64::MAX));
        let item = if one.is_some() { Queued::Invlpg { start, end, mm } } else { Queued::FlushAll { start, end, mm } };
        enqueue(k, item)?;
        return issue(k);
    }
    let Some((start, end)) = few else {
        enqueue(k, Queued::FlushAll { start: 0, end: u64::MAX, mm })?;
        return issue(k);
    };
    let mut at = start;
    while at < end {
        enqueue(k, Queued::Invlpg { start: at, end: at + page, mm })?;
        issue(k)?;
        at += page;
    }
    Ok(())
}

/// `xen_ptep_modify_prot_start`: the entry stays as it is.
pub(super) fn modify_prot_start<W: Watch>(k: &mut Kernel<XenPv, W>, first: Entry<'_>, count: u64) -> Run<u64> {
    let format = k.format();
    let mut word = 0;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = XenPv::ptep_get(k, at)?;
        word = if n == 0 { old } else { generic::collect(helpers(&format), word, old) };
    }
    Ok(word)
}

/// `xen_ptep_modify_prot_commit`: the hypervisor keeps what the CPU has set meanwhile.
pub(super) fn modify_prot_commit<W: Watch>(k: &mut Kernel<XenPv, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
    let format = k.format();
    let page = k.geometry().page_size();
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let word = k.backend.leaf_word(helpers(&format).advance(word, n * page));
        queue_update(k, at, word, Store::Protect, true)?;
        issue(k)?;
    }
    Ok(())
}

/// A locked instruction, trapped and emulated, as for the other read-modify-write helpers.
pub(super) fn wrprotect_ptes<W: Watch>(k: &mut Kernel<XenPv, W>, first: Entry<'_>, count: u64) -> Step {
    for n in 0..count {
        let at = k.entry_behind(first, n);
        k.read(at)?;
        let format = k.format();
        emulate(k, at, Store::Protect, |old| Some(format.wrprotect(old)))?;
    }
    Ok(())
}

pub(super) fn test_and_clear_young<W: Watch>(k: &mut Kernel<XenPv, W>, entry: Entry<'_>) -> Run<bool> {
    let format = k.format();
    let word = k.read(entry)?;
    let young = helpers(&format).young(word);
    if young {
        emulate(k, entry, Store::Young, |old| Some(helpers(&format).mkold(old)))?;
    }
    Ok(young)
}

/// `xen_release_ptpage`.
pub(super) fn table_unlinked<W: Watch>(k: &mut Kernel<XenPv, W>, level: Level) -> Step {
    if level == Level::Pte {
        enqueue(k, Queued::Pin)?;
    }
    enqueue(k, Queued::Protect)?;
    issue(k)
}
