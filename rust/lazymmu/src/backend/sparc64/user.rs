//! User mappings on sparc64 (`arch/sparc/{mm/tlb.c,include/asm/{pgtable_64,tlb_64,tlbflush_64,pgalloc_64}.h}` of 6.12).
//!
//! Flushes of ranges do nothing: an entry that is changed takes its TSB and TLB entries with it, at once or by the batch.

use super::{Sparc, batch_add, flush_pending};
use crate::descriptor::Format;
use crate::descriptor::sparc64::VALID;
use crate::event::codes::{FlushReason, Store};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Translation, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::stop::{Run, Step};
use crate::walk::helpers;

type K<W> = Kernel<Sparc, W>;

/// `REAL_HPAGE_SHIFT`: a large leaf of 8 MiB is two entries of 4 MiB for the TLB.
const REAL_HPAGE_SHIFT: u32 = 22;

/// The generic `ptep_set_access_flags`: reads too.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let changed = k.read(entry)? != word;
    if changed {
        k.set_pte(entry, word, Store::Flags)?;
    }
    Ok(changed)
}

/// `set_pmd_at`, and `pmdp_establish`: the word before.
pub(super) fn set_pmd_at<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Run<u64> {
    let old = k.look(entry);
    k.store(entry, word, why)?;
    set_pmd_acct(k, entry, old)?;
    Ok(old)
}

/// `__set_pmd_acct`: both halves of a large leaf that was there, valid or not; of a table its pages.
fn set_pmd_acct<W: Watch>(k: &mut K<W>, entry: Entry<'_>, old: u64) -> Step {
    if entry.mm == INIT_MM || old == 0 {
        return Ok(());
    }
    let va = entry.va & !(k.geometry().size(Level::Pmd) - 1);
    if !k.format().trans_huge(old) {
        return batch_pmd_scan(k, entry, va, old);
    }
    let exec = k.format().exec(old);
    batch_add(k, entry.mm, va, exec, REAL_HPAGE_SHIFT)?;
    batch_add(k, entry.mm, va + (1 << REAL_HPAGE_SHIFT), exec, REAL_HPAGE_SHIFT)
}

/// `tlb_batch_pmd_scan` of a table that is no longer linked.
fn batch_pmd_scan<W: Watch>(k: &mut K<W>, entry: Entry<'_>, va: u64, old: u64) -> Step {
    if k.format().bad(Level::Pmd, old) {
        return Ok(());
    }
    let Some(id) = k.machine.memory.at(k.format().address(Level::Pmd, old)) else { return Ok(()) };
    let table = k.machine.memory.open(id);
    if table.level != Level::Pte {
        return Ok(());
    }
    let shift = k.geometry().page_shift;
    let first = Entry::new(table.view(), 0, va, entry.mm);
    for n in 0..k.geometry().entries(Level::Pte) as u64 {
        let at = k.entry_behind(first, n);
        let word = k.look(at);
        if word & VALID != 0 {
            batch_add(k, at.mm, at.va, k.format().exec(word), shift)?;
        }
    }
    Ok(())
}

/// `pmdp_invalidate`, which `pmdp_invalidate_ad` is too. The flush of the range behind it is empty.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let format = k.format();
    let word = k.read(entry)?;
    set_pmd_at(k, entry, helpers(&format).mkinvalid(word), Store::Invalidate)
}

/// `pte_clear_not_present_full`: where everything goes nothing is left to be found in a TLB.
pub(super) fn pte_clear_not_present<W: Watch>(k: &mut K<W>, entry: Entry<'_>, full: bool) -> Step {
    if full { k.store(entry, 0, Store::Clear) } else { k.pte_clear(entry) }
}

/// `update_mmu_cache_range`: what is valid is put into the TSB before it is missed. Entries of huge pages have a TSB of their
/// own, which the first miss makes.
pub(super) fn update_mmu_cache<W: Watch>(k: &mut K<W>, mm: MmId, va: u64, pages: u64) -> Step {
    let Translation::Leaf { level: Level::Pte, .. } = k.translate(mm, va) else { return Ok(()) };
    let page = k.geometry().page_size();
    let start = va & !(page - 1);
    let event = Event::of(Kind::TSB_INSERT).range(start, start + pages * page);
    k.emit(Event { old: pages, mm: mm.0, ..event })
}

/// `tlb_flush`: whatever the gather holds, what waits on this CPU.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>) -> Step {
    flush_pending(k, FlushReason::Issue)
}
