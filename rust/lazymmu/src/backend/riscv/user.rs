//! User mappings on riscv (`arch/riscv/mm/{tlbflush,pgtable,context}.c`, `include/asm/{tlb,pgtable}.h` of 6.12).

use super::{FLUSH_ALL_THRESHOLD, RiscvBackend};
use crate::backend::generic;
use crate::event::codes::{Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step};
use crate::walk::Stale;

type K<W> = Kernel<RiscvBackend, W>;

/// `FLUSH_TLB_MAX_SIZE`, from address 0.
const EVERYTHING: (u64, u64) = (0, u64::MAX);

/// `__flush_tlb_range`: on the CPUs of `mm_cpumask`. With ASIDs those are all that ever ran the address space.
fn flush<W: Watch>(k: &mut K<W>, mm: MmId, (start, end): (u64, u64), stride: u64) -> Step {
    let cpus = k.backend.footmarks.of(&k.machine, mm);
    let here = 1_u64 << k.cpu().0;
    let others = (cpus & !here).count_ones();
    if others > 0 {
        k.emit(Event { mm: mm.0, ..Event::of(Kind::IPI).aux(others) })?;
    } else if cpus == 0 {
        return Ok(());
    }
    let size = end - start;
    let strides = size.div_ceil(stride).max(1);
    let all = (start, end) == EVERYTHING || strides > FLUSH_ALL_THRESHOLD;
    let (count, code) = if all { (1, Tlbi::SfenceAll) } else { (strides, Tlbi::Sfence) };
    k.user_tlbi(mm, (start, end), count, false, code)
}

/// `flush_tlb_range`, `flush_tlb_page`: page by page; `flush_pmd_tlb_range`.
pub(super) fn flush_tlb_range<W: Watch>(k: &mut K<W>, mm: MmId, range: (u64, u64), level: Option<Level>) -> Step {
    let stride = generic::stride(k, level);
    flush(k, mm, range, stride)
}

/// `flush_tlb_mm`.
pub(super) fn flush_tlb_mm<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    let page = k.geometry().page_size();
    flush(k, mm, EVERYTHING, page)
}

/// `tlb_flush`. A fence with an address reaches leaves only, so freed tables need one without.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>, stale: &Stale) -> Step {
    if stale.full || stale.freed_tables {
        return flush_tlb_mm(k, stale.mm);
    }
    flush_tlb_range(k, stale.mm, (stale.start, stale.end), Some(stale.level()))
}

/// `update_mmu_cache_range`: this CPU may remember that the entries were invalid, and would fault once more. With Svvptc it
/// forgets by itself.
pub(super) fn update_mmu_cache<W: Watch>(k: &mut K<W>, mm: MmId, va: u64, pages: u64) -> Step {
    if k.options.riscv_svvptc {
        return Ok(());
    }
    let page = k.geometry().page_size();
    let start = va & !(page - 1);
    k.user_tlbi(mm, (start, start + pages * page), pages, false, Tlbi::Sfence)
}

/// `ptep_set_access_flags`: reads count as writes. Without Svvptc it says that something changed, so that the caller fences
/// in any case.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let changed = k.read(entry)? != word;
    if changed {
        k.store(entry, word, Store::Flags)?;
    }
    if changed && k.options.riscv_svvptc {
        let page = k.geometry().page_size();
        let start = entry.va & !(page - 1);
        flush(k, entry.mm, (start, start + page), page)?;
    }
    Ok(changed || !k.options.riscv_svvptc)
}

/// `pmdp_invalidate`, which `pmdp_invalidate_ad` is too.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let old = generic::pmdp_establish_invalid(k, entry)?;
    let size = k.geometry().size(Level::Pmd);
    let start = entry.va & !(size - 1);
    flush_tlb_range(k, entry.mm, (start, start + size), Some(Level::Pmd))?;
    Ok(old)
}
