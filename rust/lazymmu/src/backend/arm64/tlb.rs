//! TLB invalidation with the barriers around it (`asm/tlbflush.h` of 6.12 and 7.3).

use super::Arm64Backend;
use crate::event::codes::Tlbi;
use crate::event::{Event, Kind};
use crate::kernel::{Kernel, Watch};
use crate::stop::Step;

pub(super) const DSB_ISHST: u32 = 1;
pub(super) const DSB_ISH: u32 = 2;

/// `MAX_TLBI_RANGE_PAGES`: what four range operations of FEAT_TLBIRANGE can cover.
pub(super) const MAX_RANGE_PAGES: u64 = 1 << 21;

pub(super) fn tlbi<W: Watch>(k: &mut Kernel<Arm64Backend, W>, start: u64, end: u64, count: u64, code: Tlbi) -> Step {
    let level = u8::from(code == Tlbi::Vaale1is || code == Tlbi::Rvaale1is);
    k.emit(Event { level, old: count, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
}

/// DSB ISHST; TLBI; DSB ISH; ISB.
pub(super) fn tlbi_sequence<W: Watch>(
    k: &mut Kernel<Arm64Backend, W>,
    start: u64,
    end: u64,
    count: u64,
    code: Tlbi,
) -> Step {
    k.emit(Event::of(Kind::DSB).aux(DSB_ISHST))?;
    tlbi(k, start, end, count, code)?;
    k.emit(Event::of(Kind::DSB).aux(DSB_ISH))?;
    k.emit(Event::of(Kind::ISB))
}

/// How many range operations cover this many pages, from the largest scale down (`__flush_tlb_range_op`).
/// With LPA2 a range begins at a multiple of 64 KiB, so the pages in front of that go one by one.
pub(super) fn range_operations<W: Watch>(k: &Kernel<Arm64Backend, W>, start: u64, pages: u64) -> u64 {
    let mut left = pages;
    let mut operations = 0;
    if k.backend.format.lpa2() {
        operations = (start.wrapping_neg() % (64 << 10) / k.geometry().page_size()).min(pages);
        left -= operations;
    }
    for scale in (0..=3).rev() {
        let unit = 1 << (5 * scale + 1);
        if left >= unit {
            operations += 1;
            left -= (left / unit).min(32) * unit;
        }
    }
    operations + left
}
