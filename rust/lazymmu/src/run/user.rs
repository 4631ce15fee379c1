//! Operations on user mappings: from their description to the walkers.

use super::execute::limits::{aligned, canonical, known_mm, physical, prot_of};
use super::execute::{Executed, OpError, address, void, walked};
use super::full::Drive;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;
use crate::kernel::Kernel;
use crate::machine::{INIT_MM, MmId};
use crate::scenario::{Addr, AdviceKind, Op, ProtSpec, VmaSpec};
use crate::walk::{Advice, NewPage, Protection, Vma, WriteFault, helpers};

/// The code of the first operation of this kind.
pub(super) const FIRST: u32 = 60;

/// Runs an operation on user mappings.
pub(super) fn execute<B: Backend, W: Drive>(k: &mut Kernel<B, W>, op: &Op) -> Executed {
    if k.format().user().is_none() {
        return Err(OpError::Unmodelled { what: "user mappings", backend: B::INFO.name });
    }
    match op {
        Op::DoAnonymousPage { mm, va, pa, pages, write, prot } => {
            let (pages, write) = if *write { (*pages, true) } else { (1, false) };
            let new = NewPage { pa: *pa, pages, prot: 0, write, file: false, zero: !write };
            map(k, *mm, *va, new, prot)
        }
        Op::FinishFault { mm, va, pa, pages, write, prot } => {
            let new = NewPage { pa: *pa, pages: *pages, prot: 0, write: *write, file: true, zero: false };
            map(k, *mm, *va, new, prot)
        }
        Op::DoHugePmdAnonymousPage { mm, va, pa, write, prot } => {
            if !B::user_huge(k) {
                return Err(OpError::Unmodelled { what: "large leaves of user mappings", backend: B::INFO.name });
            }
            let size = k.geometry().size(Level::Pmd);
            let (mm, va) = page_of(k, *mm, *va)?;
            inside(k, va & !(size - 1), size)?;
            aligned("physical address", *pa, size)?;
            let (pa, prot) = (physical(k, *pa, size)?, vm_page_prot(k, prot)?);
            walked(k.do_huge_pmd_anonymous_page(mm, va, pa, prot, *write))
        }
        Op::DoWpPage { mm, va, pa, prot } => {
            let (mm, va) = page_of(k, *mm, *va)?;
            let how = match pa {
                Some(pa) => WriteFault::Copy { pa: physical(k, *pa, 1)?, prot: vm_page_prot(k, prot)? },
                None => WriteFault::Reuse,
            };
            walked(k.do_wp_page(mm, va, how))
        }
        Op::HandlePteFault { mm, va, write } => {
            let (mm, va) = page_of(k, *mm, *va)?;
            walked(k.handle_pte_fault(mm, va, *write))
        }
        Op::CopyPageRange { mm, to, va, size, shared } => {
            let (from, start, end) = range(k, *mm, *va, *size)?;
            let to = user_mm(k, *to)?;
            if from == to {
                return Err(OpError::Unknown { what: "other mm", index: u64::from(to.0), limit: 0 });
            }
            walked(k.copy_page_range(from, to, start, end, *shared))
        }
        Op::FlushTlbMm { mm } => {
            let mm = user_mm(k, *mm)?;
            void(k.flush_user_tlb(mm))
        }
        Op::ZapPageRange { mm, va, size } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            void(k.zap_page_range(mm, start, end))
        }
        Op::UnmapRegion { mm, vmas, floor, ceiling } => {
            let mm = user_mm(k, *mm)?;
            let vmas = areas(k, vmas)?;
            void(k.unmap_region(mm, &vmas, *floor, *ceiling))
        }
        Op::ExitMmap { mm, vmas } => {
            let mm = user_mm(k, *mm)?;
            let vmas = areas(k, vmas)?;
            void(k.exit_mmap(mm, &vmas))
        }
        Op::ChangeProtection { mm, va, size, prot, try_writable, shared } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            let to = Protection { prot: vm_page_prot(k, prot)?, try_writable: *try_writable, shared: *shared };
            walked(k.change_protection(mm, start, end, to))
        }
        Op::MovePageTables { mm, va, to, size } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            aligned("address", *to, k.geometry().page_size())?;
            inside(k, *to, *size)?;
            if *to < end && start < to + size {
                return Err(OpError::Range { va: *to, size: *size });
            }
            walked(k.move_page_tables(mm, start, *to, *size))
        }
        Op::RemapPfnRange { mm, va, size, pa, prot } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            let (pa, prot) = (physical(k, *pa, *size)?, vm_page_prot(k, prot)?);
            walked(k.remap_pfn_range(mm, start, end, pa, prot))
        }
        Op::Madvise { mm, va, size, advice } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            let advice = match advice {
                AdviceKind::Cold => Advice::Cold,
                AdviceKind::Free => Advice::Free,
            };
            void(k.madvise(mm, start, end, advice))
        }
        Op::WalkPteRange { mm, va, size } => {
            let (mm, start, end) = range(k, *mm, *va, *size)?;
            walked(k.walk_young(mm, start, end))
        }
        Op::PtepClearFlushYoung { mm, va } => {
            let (mm, va) = page_of(k, *mm, *va)?;
            walked(k.clear_flush_young(mm, va))
        }
        Op::SplitHugePmd { mm, va, prot } => {
            let (mm, va) = page_of(k, *mm, *va)?;
            let prot = vm_page_prot(k, prot)?;
            void(k.split_huge_pmd_at(mm, va, prot))
        }
        _ => void(Ok(())),
    }
}

/// The range that an `OP` event shows.
pub(super) fn range_of<B: Backend, W: Drive>(k: &mut Kernel<B, W>, op: &Op) -> (u64, u64) {
    let page = k.geometry().page_size();
    let (va, size) = match op {
        Op::CopyPageRange { va, size, .. }
        | Op::ZapPageRange { va, size, .. }
        | Op::ChangeProtection { va, size, .. }
        | Op::MovePageTables { va, size, .. }
        | Op::RemapPfnRange { va, size, .. }
        | Op::Madvise { va, size, .. }
        | Op::WalkPteRange { va, size, .. } => (*va, *size),
        Op::DoAnonymousPage { va, .. }
        | Op::FinishFault { va, .. }
        | Op::DoHugePmdAnonymousPage { va, .. }
        | Op::DoWpPage { va, .. }
        | Op::HandlePteFault { va, .. }
        | Op::PtepClearFlushYoung { va, .. }
        | Op::SplitHugePmd { va, .. } => (*va, page),
        Op::UnmapRegion { vmas, .. } | Op::ExitMmap { vmas, .. } => {
            return (vmas.first().map_or(0, |v| v.start), vmas.last().map_or(0, |v| v.end));
        }
        _ => return (0, 0),
    };
    address(k, va).map_or((0, 0), |va| (va, va.wrapping_add(size)))
}

/// `vm_page_prot` of an area.
fn vm_page_prot<B: Backend, W: Drive>(k: &Kernel<B, W>, prot: &ProtSpec) -> Result<Prot, OpError> {
    let format = k.format();
    Ok(helpers(&format).vm_page_prot(prot_of(k, prot)?))
}

fn user_mm<B: Backend, W: Drive>(k: &Kernel<B, W>, mm: u16) -> Result<MmId, OpError> {
    match known_mm(k, mm)? {
        INIT_MM => Err(OpError::Half { va: 0, half: "user" }),
        mm => Ok(mm),
    }
}

/// A range of user addresses.
fn inside<B: Backend, W: Drive>(k: &Kernel<B, W>, va: u64, size: u64) -> Result<(), OpError> {
    let top = k.geometry().layout.task_size;
    if size == 0 {
        return Err(OpError::Range { va, size });
    }
    if k.geometry().is_kernel(va) || va >= top || size > top - va {
        return Err(OpError::Half { va, half: "user" });
    }
    Ok(())
}

fn range<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    mm: u16,
    va: Addr,
    size: u64,
) -> Result<(MmId, u64, u64), OpError> {
    let mm = user_mm(k, mm)?;
    let va = canonical(k, va)?;
    let page = k.geometry().page_size();
    aligned("address", va, page)?;
    aligned("size", size, page)?;
    inside(k, va, size)?;
    Ok((mm, va, va + size))
}

fn page_of<B: Backend, W: Drive>(k: &mut Kernel<B, W>, mm: u16, va: Addr) -> Result<(MmId, u64), OpError> {
    let page = k.geometry().page_size();
    let (mm, va, _) = range(k, mm, va, page)?;
    Ok((mm, va))
}

fn areas<B: Backend, W: Drive>(k: &Kernel<B, W>, vmas: &[VmaSpec]) -> Result<Vec<Vma>, OpError> {
    let page = k.geometry().page_size();
    let mut out: Vec<Vma> = Vec::with_capacity(vmas.len());
    for vma in vmas {
        aligned("address", vma.start, page)?;
        aligned("address", vma.end, page)?;
        inside(k, vma.start, vma.end.saturating_sub(vma.start))?;
        if out.last().is_some_and(|before| before.end > vma.start) {
            return Err(OpError::AreaOrder { va: vma.start });
        }
        out.push(Vma { start: vma.start, end: vma.end, pfnmap: vma.pfnmap });
    }
    Ok(out)
}

fn map<B: Backend, W: Drive>(k: &mut Kernel<B, W>, mm: u16, va: Addr, new: NewPage, prot: &ProtSpec) -> Executed {
    let (mm, va) = page_of(k, mm, va)?;
    let page = k.geometry().page_size();
    let entries = k.geometry().entries(Level::Pte) as u64;
    if !new.pages.is_power_of_two() || new.pages > entries {
        return Err(OpError::PageCount { count: new.pages, expected: new.pages.next_power_of_two().min(entries) });
    }
    let bytes = new.pages * page;
    aligned("physical address", new.pa, bytes)?;
    inside(k, va & !(bytes - 1), bytes)?;
    let new = NewPage { pa: physical(k, new.pa, bytes)?, prot: vm_page_prot(k, prot)?, ..new };
    walked(k.map_new_page(mm, va, new))
}
