//! User mappings on s390 (`arch/s390/mm/pgtable.c`, `include/asm/{pgtable,tlb,tlbflush,mmu_context}.h` of 6.12).
//!
//! Where only this CPU is attached to an address space, its entries are made invalid by a store, and the TLB is flushed of
//! everything at the end: before a gather frees, at `flush_tlb_mm` and `flush_tlb_range`, or when a task of it comes in.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use super::{S390Backend, ipte, put};
use crate::backend::generic::{self, Footmarks};
use crate::descriptor::Format;
use crate::descriptor::s390::{ENTRY_INVALID, INVALID, PROTECT, WRITE};
use crate::event::codes::{Store, Tlbi};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, Machine, MmId};
use crate::stop::{Run, Step};
use crate::walk::helpers;

type K<W> = Kernel<S390Backend, W>;

/// What is known of address spaces (`mm_context_t`).
#[derive(Clone, Debug, Default)]
pub(super) struct Contexts {
    /// `mm_cpumask`: CPUs whose TLB may hold entries.
    footmarks: Footmarks,
    /// `flush_mm`: entries were made invalid without a flush.
    unflushed: BTreeSet<MmId>,
}

impl Contexts {
    pub(super) fn digest(&self, mut h: &mut dyn Hasher) {
        self.unflushed.hash(&mut h);
        self.footmarks.digest(h);
    }
}

/// Whether `mm_cpumask` is this CPU.
pub(super) fn only_here<W: Watch>(k: &K<W>, mm: MmId) -> bool {
    let cpus = |machine: &Machine| k.backend.contexts.footmarks.of(machine, mm);
    mm != INIT_MM && cpus(&k.machine) == 1 << k.cpu().0
}

/// Whether `cpu_attach_mask` is this CPU.
fn attached_here<W: Watch>(k: &K<W>, mm: MmId) -> bool {
    mm != INIT_MM && k.runs_mm(mm) == (true, 0)
}

/// The CPU may go on to another address space.
pub(super) fn leave<W: Watch>(k: &mut K<W>) {
    let (cpu, loaded) = (k.cpu(), k.machine.cpu(k.cpu()).active_mm);
    k.backend.contexts.footmarks.leave(loaded, cpu);
}

/// `__tlb_flush_mm_lazy`: IDTE of everything that came from the address space.
pub(super) fn tlb_flush_mm_lazy<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    if !k.backend.contexts.unflushed.remove(&mm) {
        return Ok(());
    }
    // mm_cpumask becomes cpu_attach_mask.
    k.backend.contexts.footmarks.forget(mm, u64::MAX);
    k.user_tlbi(mm, (0, u64::MAX), 1, false, Tlbi::Idte)
}

/// `pte_free_tlb` and its kin: what hardware keeps of the way to a table goes with all the rest.
pub(super) fn table_unlinked<W: Watch>(k: &mut K<W>, mm: MmId) {
    k.backend.contexts.unflushed.insert(mm);
}

/// `ptep_flush_lazy` of an entry that is valid.
fn flush_lazy<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Step {
    if !attached_here(k, entry.mm) {
        return ipte(k, entry, 1, false);
    }
    k.store(entry, entry.word() | INVALID, Store::Invalidate)?;
    k.backend.contexts.unflushed.insert(entry.mm);
    Ok(())
}

/// `ptep_xchg_lazy`.
pub(super) fn exchange_lazy<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Run<u64> {
    let old = k.read(entry)?;
    if put(k, entry, word, why)? {
        return Ok(old);
    }
    if old & INVALID == 0 {
        flush_lazy(k, entry)?;
    }
    k.store(entry, word, why)?;
    Ok(old)
}

/// `ptep_xchg_direct`.
pub(super) fn exchange_direct<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Run<u64> {
    let old = k.read(entry)?;
    if put(k, entry, word, why)? {
        return Ok(old);
    }
    if old & INVALID == 0 {
        let local = only_here(k, entry.mm);
        ipte(k, entry, 1, local)?;
    }
    k.store(entry, word, why)?;
    Ok(old)
}

/// `ptep_get_and_clear_full` of each: what nobody runs any more needs no flush.
pub(super) fn get_and_clear_full_ptes<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64, full: bool) -> Run<u64> {
    if !full {
        return generic::get_and_clear_ptes(k, first, count);
    }
    collected(k, first, count, |k, at| {
        let old = k.read(at)?;
        if !put(k, at, INVALID, Store::GetAndClear)? {
            k.store(at, INVALID, Store::GetAndClear)?;
        }
        Ok(old)
    })
}

/// `ptep_modify_prot_start` of each: the entry stays, but is invalid.
pub(super) fn modify_prot_start<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64) -> Run<u64> {
    collected(k, first, count, |k, at| {
        let old = k.read(at)?;
        if !put(k, at, INVALID, Store::GetAndClear)? && old & INVALID == 0 {
            flush_lazy(k, at)?;
        }
        Ok(old)
    })
}

/// The first word of a run, with what was young or dirty in any.
fn collected<W: Watch>(
    k: &mut K<W>,
    first: Entry<'_>,
    count: u64,
    mut each: impl FnMut(&mut K<W>, Entry<'_>) -> Run<u64>,
) -> Run<u64> {
    let format = k.format();
    let mut word = 0;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = each(k, at)?;
        word = if n == 0 { old } else { generic::collect(helpers(&format), word, old) };
    }
    Ok(word)
}

/// `ptep_set_wrprotect` of each.
pub(super) fn wrprotect_ptes<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: u64) -> Step {
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = k.read(at)?;
        if old & WRITE != 0 {
            exchange_lazy(k, at, k.format().wrprotect(old), Store::Protect)?;
        }
    }
    Ok(())
}

/// `ptep_test_and_clear_young`: an old entry is written, too.
pub(super) fn test_and_clear_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<bool> {
    let format = k.format();
    let word = k.read(entry)?;
    exchange_direct(k, entry, helpers(&format).mkold(word), Store::Young)?;
    Ok(helpers(&format).young(word))
}

/// `pte_allow_rdp`: only the protection is taken away, and software's bits change.
const fn allow_rdp(old: u64, new: u64) -> bool {
    old & PROTECT != 0 && new & PROTECT == 0 && (old ^ new) & !(PROTECT | 0xff) == 0
}

fn rdp<W: Watch>(k: &mut K<W>, entry: Entry<'_>, local: bool) -> Step {
    let page = k.geometry().page_size();
    let start = entry.va & !(page - 1);
    let code = if local { Tlbi::RdpLocal } else { Tlbi::Rdp };
    k.user_tlbi(entry.mm, (start, start + page), 1, true, code)
}

/// `ptep_set_access_flags`. With RDP an entry may stay valid while it loses its protection.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let old = k.read(entry)?;
    if old == word {
        return Ok(false);
    }
    if k.options.s390_rdp && allow_rdp(old, word) {
        k.store(entry, entry.word() & !PROTECT, Store::Flags)?;
        let local = only_here(k, entry.mm);
        rdp(k, entry, local)?;
        k.store(entry, word, Store::Flags)?;
    } else {
        exchange_direct(k, entry, word, Store::Flags)?;
    }
    Ok(true)
}

/// `flush_tlb_fix_spurious_fault`: RDP elsewhere may not have reached this CPU.
pub(super) fn fix_spurious_fault<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Step {
    let protected = k.read(entry)? & PROTECT != 0;
    if k.options.s390_rdp && !protected { rdp(k, entry, true) } else { Ok(()) }
}

/// `pmdp_xchg_direct`, `pmdp_xchg_lazy`.
fn exchange_pmd<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store, lazy: bool) -> Run<u64> {
    let old = k.look(entry);
    if old & ENTRY_INVALID == 0 {
        k.store(entry, entry.word() | ENTRY_INVALID, Store::Invalidate)?;
        if lazy && attached_here(k, entry.mm) {
            k.backend.contexts.unflushed.insert(entry.mm);
        } else {
            let local = !lazy && only_here(k, entry.mm);
            let size = k.geometry().size(Level::Pmd);
            let start = entry.va & !(size - 1);
            let code = if local { Tlbi::IdteSegmentLocal } else { Tlbi::IdteSegment };
            k.user_tlbi(entry.mm, (start, start + size), 1, false, code)?;
        }
    }
    k.store(entry, word, why)?;
    Ok(old)
}

/// `pmdp_huge_get_and_clear`.
pub(super) fn pmdp_get_and_clear<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    exchange_pmd(k, entry, ENTRY_INVALID, Store::GetAndClear, false)
}

/// `pmdp_huge_get_and_clear_full`.
pub(super) fn pmdp_get_and_clear_full<W: Watch>(k: &mut K<W>, entry: Entry<'_>, full: bool) -> Run<u64> {
    if full {
        generic::pmdp_get_and_clear(k, entry)
    } else {
        exchange_pmd(k, entry, ENTRY_INVALID, Store::GetAndClear, true)
    }
}

/// `pmdp_invalidate`, which `pmdp_invalidate_ad` is too.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let word = k.read(entry)?;
    exchange_pmd(k, entry, word | ENTRY_INVALID, Store::Invalidate, false)
}

/// `pmdp_set_wrprotect`.
pub(super) fn pmdp_set_wrprotect<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Step {
    if word & k.format().segment.write != 0 {
        exchange_pmd(k, entry, k.format().wrprotect_huge(word), Store::Protect, true)?;
    }
    Ok(())
}

/// `pmdp_test_and_clear_young`.
pub(super) fn pmdp_clear_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Step {
    use crate::descriptor::user::UserFormat;
    exchange_pmd(k, entry, k.format().segment.mkold(word), Store::Young, false)?;
    Ok(())
}
