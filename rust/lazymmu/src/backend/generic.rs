//! What architectures without an own version do: loops over user leaves (`include/linux/pgtable.h`), room for a large leaf.

use std::hash::Hasher;

use super::Backend;
use crate::descriptor::Format;
use crate::event::codes::Store;
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{CpuId, INIT_MM, Machine, MmId};
use crate::stop::{Run, Step};
use crate::walk::{helpers, huge_helpers};

/// `mm_cpumask` where CPUs stay in it when they go on to another address space.
#[derive(Clone, Debug, Default)]
pub(super) struct Footmarks {
    /// By address space a bit for each CPU that ran it once.
    left: Vec<u64>,
}

impl Footmarks {
    /// CPUs that run an address space or ran it and may still have entries of it.
    pub(super) fn of(&self, machine: &Machine, mm: MmId) -> u64 {
        let left = self.left.get(usize::from(mm.0)).copied().unwrap_or(0);
        let running = machine.cpus.iter().enumerate().filter(|(_, cpu)| cpu.active_mm == mm);
        running.fold(left, |mask, (n, _)| mask | 1 << n)
    }

    /// A CPU may load another root now, and keeps what its TLB holds of this one.
    pub(super) fn leave(&mut self, mm: MmId, cpu: CpuId) {
        if mm != INIT_MM {
            let slot = usize::from(mm.0);
            self.left.resize(self.left.len().max(slot + 1), 0);
            self.left[slot] |= 1 << cpu.0;
        }
    }

    /// CPUs have invalidated all that they had.
    pub(super) fn forget(&mut self, mm: MmId, cpus: u64) {
        if let Some(left) = self.left.get_mut(usize::from(mm.0)) {
            *left &= !cpus;
        }
    }

    pub(super) fn digest(&self, h: &mut dyn Hasher) {
        self.left.iter().for_each(|mask| h.write_u64(*mask));
    }
}

/// `pmd_free_pte_page`, `pud_free_pmd_page`: clears the entry, flushes all that it covers, frees what was below.
pub(super) fn free_below<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>, va: u64) -> Run<bool> {
    let table = k.open_below(entry)?;
    let size = k.geometry().size(entry.level());
    k.set_entry(entry, 0, Store::Clear)?;
    k.flush_tlb_kernel_range(va, va.wrapping_add(size))?;
    if entry.level() == Level::Pud {
        for index in 0..table.len() {
            let at = va + index as u64 * k.geometry().size(Level::Pmd);
            let word = k.look(Entry::new(table.view(), index, at, entry.mm));
            // Linux would take a leaf for a table here.
            if !k.format().none(Level::Pmd, word) && !k.format().leaf(Level::Pmd, word) {
                let below = k.format().address(Level::Pmd, word);
                k.free_table(below, at, entry.mm)?;
            }
        }
    }
    k.free_table(table.pa, va, entry.mm)?;
    Ok(true)
}

pub(super) fn set_ptes<B: Backend, W: Watch>(k: &mut Kernel<B, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
    let format = k.format();
    let page = k.geometry().page_size();
    for n in 0..count {
        let at = k.entry_behind(first, n);
        k.set_pte(at, helpers(&format).advance(word, n * page), Store::Set)?;
    }
    Ok(())
}

pub(super) fn get_and_clear_ptes<B: Backend, W: Watch>(k: &mut Kernel<B, W>, first: Entry<'_>, count: u64) -> Run<u64> {
    let format = k.format();
    let user = helpers(&format);
    let mut word = 0;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = k.ptep_get_and_clear(at)?;
        word = if n == 0 { old } else { collect(user, word, old) };
    }
    Ok(word)
}

/// The word with what another one of its run has seen.
pub(super) fn collect(user: &dyn crate::descriptor::user::UserFormat, word: u64, other: u64) -> u64 {
    let word = if user.dirty(other) { user.mkdirty(word) } else { word };
    if user.young(other) { user.mkyoung(word) } else { word }
}

/// A user page that hardware may have is flushed.
pub(super) fn ptep_clear_flush<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Step {
    let old = B::get_and_clear_ptes(k, entry, 1)?;
    if k.format().valid(old) { flush_page(k, entry) } else { Ok(()) }
}

/// `flush_tlb_page` of an entry's address.
pub(super) fn flush_page<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Step {
    let page = k.geometry().page_size();
    let start = entry.va & !(page - 1);
    B::flush_tlb_range(k, entry.mm, start, start + page, Some(Level::Pte))
}

pub(super) fn pmdp_get_and_clear<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Run<u64> {
    let old = k.look(entry);
    k.store(entry, k.format().empty(Level::Pmd), Store::GetAndClear)?;
    Ok(old)
}

pub(super) fn pmdp_clear_young<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>, word: u64) -> Step {
    let format = k.format();
    k.store(entry, huge_helpers(&format).mkold(word), Store::Young)
}

/// A compare-and-exchange for each.
pub(super) fn wrprotect_ptes<B: Backend, W: Watch>(k: &mut Kernel<B, W>, first: Entry<'_>, count: u64) -> Step {
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = at.word();
        k.store(at, k.format().wrprotect(old), Store::Protect)?;
    }
    Ok(())
}

/// `ptep_set_wrprotect` of each: read, `set_pte_at`.
pub(super) fn wrprotect_ptes_anew<B: Backend, W: Watch>(k: &mut Kernel<B, W>, first: Entry<'_>, count: u64) -> Step {
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let word = k.format().wrprotect(at.word());
        k.set_pte(at, word, Store::Protect)?;
    }
    Ok(())
}

/// `ptep_test_and_clear_young` by `set_pte_at`.
pub(super) fn test_and_clear_young_anew<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Run<bool> {
    let format = k.format();
    let word = k.read(entry)?;
    let young = helpers(&format).young(word);
    if young {
        k.set_pte(entry, helpers(&format).mkold(word), Store::Young)?;
    }
    Ok(young)
}

pub(super) fn test_and_clear_young<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Run<bool> {
    let format = k.format();
    let word = k.read(entry)?;
    let young = helpers(&format).young(word);
    if young {
        k.store(entry, helpers(&format).mkold(entry.word()), Store::Young)?;
    }
    Ok(young)
}

pub(super) fn clear_young_dirty<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    first: Entry<'_>,
    count: u64,
    dirty: bool,
) -> Step {
    let format = k.format();
    for n in 0..count {
        let at = k.entry_behind(first, n);
        if dirty {
            let old = B::get_and_clear_ptes(k, at, 1)?;
            k.set_pte(at, helpers(&format).mkclean(helpers(&format).mkold(old)), Store::Set)?;
        } else {
            B::test_and_clear_young(k, at)?;
        }
    }
    Ok(())
}

pub(super) fn set_access_flags<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    write: bool,
) -> Run<bool> {
    let changed = B::ptep_get(k, entry)? != word;
    if changed && write {
        k.set_pte(entry, word, Store::Flags)?;
    }
    Ok(changed)
}

/// `pmdp_establish` of the invalid form: one exchange.
pub(super) fn pmdp_establish_invalid<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>) -> Run<u64> {
    let format = k.format();
    let old = k.read(entry)?;
    k.store(entry, huge_helpers(&format).mkinvalid(old), Store::Invalidate)?;
    Ok(old)
}

/// The size that entries of a level map.
pub(super) fn stride<B: Backend, W: Watch>(k: &Kernel<B, W>, level: Option<Level>) -> u64 {
    k.geometry().size(level.unwrap_or(Level::Pte))
}
