//! User mappings on arm (`arch/arm/{include/asm/{pgtable*,tlbflush,tlb,pgalloc}.h,kernel/smp_tlb.c,mm/{tlb-v7.S,mmu.c}}` of
//! 6.12). Invalidations are broadcast by hardware, and nobody asks which CPUs have run the address space.

use super::{ArmBackend, DSB_ISH, DSB_ISHST, dsb};
use crate::backend::generic;
use crate::event::codes::{Store, Tlbi};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step};
use crate::walk::{Stale, helpers};

type K<W> = Kernel<ArmBackend, W>;

/// `PAGE_SIZE * 2`: the vectors of CPUs that have them at address 0.
pub(super) const FIRST_USER_ADDRESS: u64 = 0x2000;
const SZ_1M: u64 = 1 << 20;

/// The generic `ptep_set_access_flags`; a CPU may hold the entry as it was.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let changed = !k.format().pte_same(k.read(entry)?, word);
    if changed {
        k.set_pte(entry, word, Store::Flags)?;
        flush_tlb_page(k, entry.mm, entry.va)?;
    }
    Ok(changed)
}

/// The generic `ptep_clear_flush_young`.
pub(super) fn clear_flush_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<bool> {
    let young = generic::test_and_clear_young_anew(k, entry)?;
    if young {
        flush_tlb_page(k, entry.mm, entry.va)?;
    }
    Ok(young)
}

/// `set_pmd_at` of a large leaf (LPAE).
pub(super) fn set_pmd_at<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
    k.store(entry, k.format().stored_pmd(word), why)?;
    dsb(k, DSB_ISHST)
}

/// The generic `pmdp_invalidate` with the generic `pmdp_establish`, which `pmdp_invalidate_ad` is too.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let format = k.format();
    let old = k.read(entry)?;
    set_pmd_at(k, entry, helpers(&format).mkinvalid(old), Store::Invalidate)?;
    let size = k.geometry().size(Level::Pmd);
    let start = entry.va & !(size - 1);
    flush_range(k, entry.mm, start, start + size)?;
    Ok(old)
}

/// `__pte_free_tlb`: the two halves of a classic pmd pair meet in the middle, and the flush reaches both.
pub(super) fn freed_leaf_table<W: Watch>(k: &K<W>, va: u64) -> Option<(u64, u64)> {
    let page = k.geometry().page_size();
    let middle = (va & !(k.geometry().size(Level::Pmd) - 1)) + SZ_1M;
    (!k.format().lpae).then_some((middle - page, 2 * page))
}

/// `__flush_tlb_page`.
pub(super) fn flush_tlb_page<W: Watch>(k: &mut K<W>, mm: MmId, va: u64) -> Step {
    let page = k.geometry().page_size();
    let start = va & !(page - 1);
    dsb(k, DSB_ISHST)?;
    k.user_tlbi(mm, (start, start + page), 1, false, Tlbi::Tlbimva)?;
    dsb(k, DSB_ISH)
}

/// `v7wbi_flush_user_tlb_range`: page by page, however many; large leaves too.
fn flush_range<W: Watch>(k: &mut K<W>, mm: MmId, start: u64, end: u64) -> Step {
    let pages = ((end - start) / k.geometry().page_size()).max(1);
    dsb(k, DSB_ISH)?;
    k.user_tlbi(mm, (start, end), pages, false, Tlbi::Tlbimva)?;
    dsb(k, DSB_ISH)
}

/// `flush_tlb_page` where the level is that of a page; `flush_tlb_range`, which `flush_pmd_tlb_range` is too.
pub(super) fn flush_tlb_range<W: Watch>(
    k: &mut K<W>,
    mm: MmId,
    (start, end): (u64, u64),
    level: Option<Level>,
) -> Step {
    if level == Some(Level::Pte) { flush_tlb_page(k, mm, start) } else { flush_range(k, mm, start, end) }
}

/// `__flush_tlb_mm`.
pub(super) fn flush_tlb_mm<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    dsb(k, DSB_ISHST)?;
    k.user_tlbi(mm, (0, u64::MAX), 1, false, Tlbi::Tlbiasid)?;
    dsb(k, DSB_ISH)
}

/// The generic `tlb_flush`.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>, stale: &Stale) -> Step {
    if stale.full { flush_tlb_mm(k, stale.mm) } else { flush_range(k, stale.mm, stale.start, stale.end) }
}
