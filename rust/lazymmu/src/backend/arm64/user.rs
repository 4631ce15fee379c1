//! TLB invalidation of user addresses on arm64 (`arch/arm64/include/asm/{tlb,tlbflush}.h` of 6.12): by ASID, broadcast,
//! without ISB, for the return to user space is one.

use super::Arm64Backend;
use super::tlb::{DSB_ISH, DSB_ISHST, MAX_RANGE_PAGES, range_operations};
use crate::backend::generic;
use crate::event::codes::Tlbi;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Kernel, Watch};
use crate::machine::MmId;
use crate::stop::Step;
use crate::walk::Stale;

type K<W> = Kernel<Arm64Backend, W>;

const DSB_NSHST: u32 = 3;
const DSB_NSH: u32 = 4;

fn dsb<W: Watch>(k: &mut K<W>, kind: u32) -> Step {
    k.emit(Event::of(Kind::DSB).aux(kind))
}

/// `flush_tlb_mm`.
pub(super) fn flush_tlb_mm<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    dsb(k, DSB_ISHST)?;
    k.user_tlbi(mm, (0, u64::MAX), 1, false, Tlbi::Aside1is)?;
    dsb(k, DSB_ISH)
}

/// `flush_tlb_page_nosync`.
pub(super) fn flush_tlb_page_nosync<W: Watch>(k: &mut K<W>, mm: MmId, va: u64) -> Step {
    let end = va + k.geometry().page_size();
    dsb(k, DSB_ISHST)?;
    k.user_tlbi(mm, (va, end), 1, true, Tlbi::Vale1is)
}

/// `flush_tlb_page`.
pub(super) fn flush_tlb_page<W: Watch>(k: &mut K<W>, mm: MmId, va: u64) -> Step {
    flush_tlb_page_nosync(k, mm, va)?;
    dsb(k, DSB_ISH)
}

/// A fault made an entry more permissive: another CPU that has the old one faults, too, and finds the new one.
pub(super) fn flush_relaxed<W: Watch>(k: &mut K<W>, mm: MmId, range: (u64, u64)) -> Step {
    if !k.options.arm64_flush_relaxed_local {
        return flush_range(k, mm, range, None, true);
    }
    let pages = (range.1 - range.0) / k.geometry().page_size();
    dsb(k, DSB_NSHST)?;
    k.user_tlbi(mm, range, pages, true, Tlbi::Vale1)?;
    dsb(k, DSB_NSH)
}

/// `__flush_tlb_range_nosync`: entries of this level, walk caches too unless `last_level`.
pub(super) fn flush_range_nosync<W: Watch>(
    k: &mut K<W>,
    mm: MmId,
    (start, end): (u64, u64),
    level: Option<Level>,
    last_level: bool,
) -> Step {
    let stride = generic::stride(k, level);
    let (start, end) = (start & !(stride - 1), end.next_multiple_of(stride));
    let pages = (end - start) / k.geometry().page_size();
    let ranges = k.options.arm64_range_tlbi;
    let limit = k.geometry().entries(Level::Pte) as u64 * stride;
    if (!ranges && end - start >= limit) || pages > MAX_RANGE_PAGES {
        return flush_tlb_mm(k, mm);
    }
    dsb(k, DSB_ISHST)?;
    let (count, code) = match (ranges, last_level) {
        (true, true) => (range_operations(k, start, pages), Tlbi::Rvale1is),
        (true, false) => (range_operations(k, start, pages), Tlbi::Rvae1is),
        (false, true) => ((end - start) / stride, Tlbi::Vale1is),
        (false, false) => ((end - start) / stride, Tlbi::Vae1is),
    };
    k.user_tlbi(mm, (start, end), count, last_level, code)
}

/// `__flush_tlb_range`.
pub(super) fn flush_range<W: Watch>(
    k: &mut K<W>,
    mm: MmId,
    range: (u64, u64),
    level: Option<Level>,
    last_level: bool,
) -> Step {
    flush_range_nosync(k, mm, range, level, last_level)?;
    dsb(k, DSB_ISH)
}

/// `tlb_flush`. Of an address space that goes away only walk caches matter: its ASID is not used again before everything
/// is invalidated.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>, stale: &Stale) -> Step {
    let last_level = !stale.freed_tables;
    if stale.full {
        return if last_level { Ok(()) } else { flush_tlb_mm(k, stale.mm) };
    }
    flush_range(k, stale.mm, (stale.start, stale.end), Some(stale.level()), last_level)
}
