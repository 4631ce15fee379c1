//! User mappings on x86 (`arch/x86/mm/{tlb,pgtable}.c`, `arch/x86/include/asm/{tlb,tlbflush}.h` of 6.12).

use crate::backend::{Backend, generic, x86};
use crate::descriptor::x86::{Width, X86};
use crate::event::Event;
use crate::event::Kind;
use crate::event::codes::{Store, Tlbi};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step};
use crate::walk::{Stale, helpers};

/// `flush_tlb_mm_range`: on the CPUs that run the address space. `None`: all of it.
fn flush_tlb_mm_range<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    mm: MmId,
    range: Option<(u64, u64)>,
    stride: u64,
) -> Step {
    let (here, others) = k.runs_mm(mm);
    if others > 0 {
        k.emit(Event { mm: mm.0, ..Event::of(Kind::IPI).aux(others) })?;
    } else if !here {
        return Ok(());
    }
    match range {
        Some((start, end)) if (end - start) / stride <= x86::SINGLE_PAGE_FLUSH_CEILING => {
            k.user_tlbi(mm, (start, end), (end - start).div_ceil(stride), false, Tlbi::Invlpg)
        }
        _ => k.user_tlbi(mm, (0, u64::MAX), 1, false, Tlbi::Cr3),
    }
}

pub(in crate::backend) fn flush_tlb_range<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    mm: MmId,
    start: u64,
    end: u64,
) -> Step {
    let page = k.geometry().page_size();
    flush_tlb_mm_range(k, mm, Some((start, end)), page)
}

pub(in crate::backend) fn flush_tlb_mm<B: Backend, W: Watch>(k: &mut Kernel<B, W>, mm: MmId) -> Step {
    let page = k.geometry().page_size();
    flush_tlb_mm_range(k, mm, None, page)
}

pub(in crate::backend) fn tlb_flush<B: Backend, W: Watch>(k: &mut Kernel<B, W>, stale: &Stale) -> Step {
    let range = (!stale.full).then_some((stale.start, stale.end));
    let stride = generic::stride(k, Some(stale.level()));
    flush_tlb_mm_range(k, stale.mm, range, stride)
}

/// `pmdp_establish`: PAE changes the half that holds P first. Only `pmdp_invalidate` flushes: the accessed and dirty bits
/// of an invalid entry cannot change.
pub(in crate::backend) fn pmdp_invalidate<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    ad: bool,
) -> Run<u64> {
    let format = k.format();
    let old = if format.width == Width::Pae {
        let old = k.read(entry)?;
        let word = helpers(&format).mkinvalid(old);
        k.store(entry, (old & !x86::LOW) | (word & x86::LOW), Store::Invalidate)?;
        k.store(entry, word, Store::Invalidate)?;
        old
    } else {
        generic::pmdp_establish_invalid(k, entry)?
    };
    if !ad {
        let size = k.geometry().size(Level::Pmd);
        let start = entry.va & !(size - 1);
        flush_tlb_range(k, entry.mm, start, start + size)?;
    }
    Ok(old)
}

/// `pud_populate` of PAE: CPUs keep the four root entries since they loaded CR3.
pub(in crate::backend) fn user_populated<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
) -> Step {
    if k.format().width == Width::Pae && entry.level() == Level::Pud { flush_tlb_mm(k, entry.mm) } else { Ok(()) }
}
