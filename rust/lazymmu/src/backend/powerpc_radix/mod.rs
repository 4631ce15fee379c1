//! powerpc with the radix MMU: stores are plain, one ptesync in `flush_cache_vmap` completes what was mapped, and any kernel
//! range is flushed by one tlbie of everything that process 0, the kernel, has.
//!
//! `arch/powerpc/{mm/book3s64/radix_{pgtable,tlb}.c,include/asm/{cacheflush,vmalloc}.h,include/asm/book3s/64/*}` of 6.12.
//! The lazy MMU calls are compiled in, and return at once.
//!
//! Not modelled: flushing by `H_RPT_INVALIDATE` (a guest without GTSE) or by tlbiel on every CPU; ptesync inside
//! `__map_kernel_page`, which maps what is not vmalloc; fragments of pages as tables (each table has pages of its own);
//! protection keys; KASAN's and the vmemmap's mappings.

mod user;

use std::hash::Hasher;

use super::generic::Footmarks;
use super::{Backend, Info, Naming, Registration, new_root, powerpc};
use crate::check::Laws;
use crate::descriptor::powerpc::{INVALID, PRESENT, PowerPc, WRITE};
use crate::event::codes::{Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{MmId, TaskId};
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::Stale;

pub static REGISTRATION: Registration = Registration::of::<PowerPcRadix>();

/// The radix backend.
#[derive(Clone, Debug)]
pub struct PowerPcRadix {
    format: PowerPc,
    footmarks: Footmarks,
}

impl Backend for PowerPcRadix {
    type Format = PowerPc;
    const INFO: Info = Info {
        name: "powerpc-radix",
        about: "a ptesync in flush_cache_vmap completes what was mapped; lazy mode does nothing",
        order: 70,
        geometries: &["powerpc-radix-64k", "powerpc-radix-4k"],
        machines: &["ppc64le", "ppc64"],
        shown: &["dsb", "tlbi_all"],
        // DSB is ptesync; TLBI is tlbie with its eieio and tlbsync.
        weights: &[
            ("stores", 1.0),
            ("dsb", 100.0),
            ("tlbi", 300.0),
            ("tlbi_all", 500.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("switches", 900.0),
        ],
    };

    fn new(geometry: &Geometry, _options: &Options, _cpus: usize) -> PowerPcRadix {
        PowerPcRadix { format: PowerPc::new(geometry, true), footmarks: Footmarks::default() }
    }

    fn format(&self) -> PowerPc {
        self.format
    }

    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        Ok(())
    }

    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        powerpc::pgd_alloc(k)
    }

    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        powerpc::set_pte(k, entry, word, why)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn huge_vmap<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn huge_vmalloc<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn vmap_supported<W: Watch>(_k: &Kernel<Self, W>, level: Level) -> bool {
        matches!(level, Level::Pmd | Level::Pud)
    }

    fn ioremap_max_order<W: Watch>(k: &Kernel<Self, W>) -> u32 {
        k.geometry().shift(Level::Pud)
    }

    fn has_lazy_mode<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    /// `_tlbie_pid(0, RIC_FLUSH_ALL)`: ptesync, tlbie, eieio, tlbsync, ptesync.
    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        powerpc::ptesync(k)?;
        k.emit(Event { old: 1, ..Event::of(Kind::TLBI).range(start, end).aux(Tlbi::TlbiePid as u32) })?;
        powerpc::ptesync(k)
    }

    fn flush_cache_vmap<W: Watch>(k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Step {
        powerpc::ptesync(k)
    }

    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        powerpc::root_for(k, mm, va)
    }

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        Laws { needs_barrier: true, dsb_completes: true, ..Laws::coherent(k) }
    }

    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        let (cpu, loaded) = (k.cpu(), k.machine.cpu(k.cpu()).active_mm);
        k.backend.footmarks.leave(loaded, cpu);
        Ok(())
    }

    fn user_huge<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    /// `ptep_set_wrprotect` of each.
    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        for n in 0..count {
            let at = k.entry_behind(first, n);
            if at.word() & WRITE != 0 {
                k.store(at, at.word() & !WRITE, Store::Protect)?;
            }
        }
        Ok(())
    }

    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        if word & WRITE != 0 { k.store(entry, word & !WRITE, Store::Protect) } else { Ok(()) }
    }

    fn modify_prot_start<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        powerpc::modify_prot_start(k, first, count, |k, at| {
            let old = at.word();
            k.store(at, (old & !PRESENT) | INVALID, Store::Invalidate)?;
            Ok(old)
        })
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        powerpc::set_access_flags(k, entry, word, 0)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry)
    }

    /// Flushed at once, for a fault may put a table there.
    fn pmd_zapped<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, full: bool) -> Step {
        if full { Ok(()) } else { user::flush_pmd(k, entry) }
    }

    fn gathers_one_size() -> bool {
        true
    }

    fn merges_vmas() -> bool {
        true
    }

    fn needs_flush<W: Watch>(k: &Kernel<Self, W>, old: u64, new: u64) -> bool {
        k.format().needs_flush(old, new)
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        level: Option<Level>,
    ) -> Step {
        user::flush_tlb_range(k, mm, (start, end), level)
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush_tlb_mm(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush(k, stale)
    }

    fn digest(&self, h: &mut dyn Hasher, _names: &dyn Naming) {
        self.footmarks.digest(h);
    }
}
