//! User mappings with the radix MMU: invalidations by process identifier, on this CPU alone where nobody else can have
//! entries of the process (`arch/powerpc/mm/book3s64/{radix_tlb,pgtable}.c` of 6.12).

use super::PowerPcRadix;
use crate::backend::generic;
use crate::backend::powerpc::ptesync;
use crate::event::codes::Tlbi;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::stop::{Run, Step};
use crate::walk::Stale;

type K<W> = Kernel<PowerPcRadix, W>;

/// `tlb_single_page_flush_ceiling`, `tlb_local_single_page_flush_ceiling`.
const CEILING: u64 = 33;
const LOCAL_CEILING: u64 = 256;

/// `enum tlb_flush_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    None,
    Local,
    Global,
}

impl Reach {
    const fn ceiling(self) -> u64 {
        if matches!(self, Reach::Global) { CEILING } else { LOCAL_CEILING }
    }

    const fn pid(self) -> Tlbi {
        if matches!(self, Reach::Global) { Tlbi::TlbiePid } else { Tlbi::TlbielPid }
    }

    const fn va(self) -> Tlbi {
        if matches!(self, Reach::Global) { Tlbi::Tlbie } else { Tlbi::Tlbiel }
    }
}

/// `exit_flush_lazy_tlbs`: other CPUs forget the process, and leave its mask unless they run it.
fn exit_flush_lazy_tlbs<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    let here = 1_u64 << k.cpu().0;
    let others = k.backend.footmarks.of(&k.machine, mm) & !here;
    if others == 0 {
        return Ok(());
    }
    k.emit(Event { mm: mm.0, ..Event::of(Kind::IPI).aux(others.count_ones()) })?;
    k.backend.footmarks.forget(mm, others);
    // A kernel thread that borrowed the address space goes on with the kernel's own.
    for n in (0..k.machine.cpus.len()).filter(|n| others >> n & 1 != 0) {
        let cpu = &k.machine.cpus[n];
        if cpu.active_mm == mm && k.machine.task(cpu.current).mm != mm {
            k.machine.cpus[n].active_mm = INIT_MM;
        }
    }
    Ok(())
}

/// `flush_type_needed`.
fn reach<W: Watch>(k: &mut K<W>, mm: MmId, full: bool) -> Run<Reach> {
    let cpus = k.backend.footmarks.of(&k.machine, mm);
    if cpus == 0 {
        return Ok(Reach::None);
    }
    if cpus == 1 << k.cpu().0 {
        return Ok(Reach::Local);
    }
    let current = k.machine.task(k.current()).mm;
    let users = k.machine.tasks.iter().filter(|task| task.mm == mm && !task.dead).count();
    if !full && users <= 1 && current == mm {
        exit_flush_lazy_tlbs(k, mm)?;
        return Ok(Reach::Local);
    }
    Ok(Reach::Global)
}

/// All of the process; with `walks` what the page-walk cache has too (`RIC_FLUSH_ALL`).
fn flush_pid<W: Watch>(k: &mut K<W>, mm: MmId, range: (u64, u64), reach: Reach, walks: bool) -> Step {
    ptesync(k)?;
    k.user_tlbi(mm, range, 1, !walks, reach.pid())?;
    ptesync(k)
}

fn flush_mm<W: Watch>(k: &mut K<W>, mm: MmId, full: bool, walks: bool) -> Step {
    match reach(k, mm, full)? {
        Reach::None => Ok(()),
        reach => flush_pid(k, mm, (0, u64::MAX), reach, walks),
    }
}

/// `radix__flush_tlb_mm`.
pub(super) fn flush_tlb_mm<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    flush_mm(k, mm, false, false)
}

/// `__radix__flush_tlb_range_psize`.
fn flush_range_psize<W: Watch>(k: &mut K<W>, mm: MmId, (start, end): (u64, u64), level: Level, walks: bool) -> Step {
    let reach = reach(k, mm, false)?;
    if reach == Reach::None {
        return Ok(());
    }
    let size = k.geometry().size(level);
    if (end - start) / size > reach.ceiling() {
        return flush_pid(k, mm, (start, end), reach, walks);
    }
    ptesync(k)?;
    k.user_tlbi(mm, (start, end), (end - start).div_ceil(size), !walks, reach.va())?;
    ptesync(k)
}

/// `__radix__flush_tlb_range`: small pages; where a whole table fits, large ones and the page-walk cache too.
fn flush_range<W: Watch>(k: &mut K<W>, mm: MmId, (start, end): (u64, u64)) -> Step {
    let reach = reach(k, mm, false)?;
    if reach == Reach::None {
        return Ok(());
    }
    let (page, large) = (k.geometry().page_size(), k.geometry().size(Level::Pmd));
    let pages = (end - start) / page;
    if pages > reach.ceiling() {
        return flush_pid(k, mm, (start, end), reach, true);
    }
    let walks = end - start >= large;
    ptesync(k)?;
    k.user_tlbi(mm, (start, end), pages, !walks, reach.va())?;
    let (first, last) = (start.next_multiple_of(large), end & !(large - 1));
    if first < last {
        k.user_tlbi(mm, (first, last), (last - first) / large, true, reach.va())?;
    }
    ptesync(k)
}

/// `flush_tlb_page`, `flush_tlb_range`, `flush_pmd_tlb_range`.
pub(super) fn flush_tlb_range<W: Watch>(k: &mut K<W>, mm: MmId, range: (u64, u64), level: Option<Level>) -> Step {
    match level {
        Some(level) => flush_range_psize(k, mm, range, level, false),
        None => flush_range(k, mm, range),
    }
}

/// `radix__tlb_flush`. A gather that only freed tables has no page size.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>, stale: &Stale) -> Step {
    if stale.full {
        // CONFIG_MMU_LAZY_TLB_SHOOTDOWN: everybody is interrupted soon anyway.
        exit_flush_lazy_tlbs(k, stale.mm)?;
        return flush_mm(k, stale.mm, true, true);
    }
    match stale.page {
        None => flush_mm(k, stale.mm, false, stale.freed_tables),
        Some(level) => flush_range_psize(k, stale.mm, (stale.start, stale.end), level, stale.freed_tables),
    }
}

/// `pmdp_invalidate`, which `pmdp_invalidate_ad` is too.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let old = generic::pmdp_establish_invalid(k, entry)?;
    flush_pmd(k, entry)?;
    Ok(old)
}

/// `flush_pmd_tlb_range` of one entry.
pub(super) fn flush_pmd<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Step {
    let size = k.geometry().size(Level::Pmd);
    let start = entry.va & !(size - 1);
    flush_range_psize(k, entry.mm, (start, start + size), Level::Pmd, false)
}
