//! x86-64 without a hypervisor: coherent walkers, no lazy mode, root entries copied to every process.
//!
//! Not modelled: MTRRs that forbid a huge leaf, memory encryption, protection keys, deferred freeing of kernel tables for
//! an IOMMU.

use std::hash::Hasher;

use super::x86::{cpa, pti, user};
use super::{Backend, Info, Naming, Registration, x86};
use crate::descriptor::Prot;
use crate::descriptor::x86::X86;
use crate::event::codes::Store;
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::modmask::ModMask;
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{SetMemory, Stale};

pub static REGISTRATION: Registration = Registration::of::<X86_64>();

/// The native x86-64 backend.
#[derive(Clone, Debug)]
pub struct X86_64 {
    format: X86,
}

/// `preallocate_vmalloc_pages`: every root slot of the vmalloc area gets its table at boot.
pub(super) fn boot<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, pti: bool) -> Step {
    pti::boot_roots(k, pti)?;
    let root = k.geometry().root();
    let size = k.geometry().size(root);
    let layout = k.geometry().layout;
    let mut addr = layout.vmalloc_start;
    while addr < layout.vmalloc_end {
        k.early_tables(addr, root.below());
        match (addr + 1).checked_next_multiple_of(size) {
            Some(next) => addr = next,
            None => break,
        }
    }
    Ok(())
}

/// `pgd_alloc` and `pgd_ctor`: the kernel half is copied, and the root joins `pgd_list`.
pub(super) fn pgd_alloc<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, pti: bool) -> Run<Option<MmId>> {
    let Some((root, user)) = pti::alloc_roots(k, pti)? else {
        return Ok(None);
    };
    let kernel = k.open_root(INIT_MM);
    for index in root.len() / 2..root.len() {
        root.set(index, kernel.get(index));
    }
    pti::add_mm(k, &root, user.as_ref(), true).map(Some)
}

pub(super) fn sync_mask(geometry: &Geometry) -> ModMask {
    if geometry.levels == 5 { ModMask::PGD } else { ModMask::P4D }
}

impl Backend for X86_64 {
    type Format = X86;
    const INFO: Info = Info {
        name: "x86-64",
        about: "coherent walkers; root entries are copied to every process",
        order: 20,
        geometries: &["x86-64-4level", "x86-64-5level"],
        machines: &["x86_64"],
        shown: &["tlbi", "ipis", "syncs", "synced"],
        // TLBI is INVLPG; a full flush counts extra.
        weights: &[
            ("stores", 1.0),
            ("tlbi", 120.0),
            ("tlbi_all", 400.0),
            ("ipis", 1200.0),
            ("syncs", 20.0),
            ("synced", 15.0),
            ("copied", 10.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("repairs", 1000.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, options: &Options, _cpus: usize) -> X86_64 {
        X86_64 { format: x86::format(geometry, options) }
    }

    fn format(&self) -> X86 {
        self.format
    }

    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        let pti = pti::enabled(k);
        boot(k, pti)
    }

    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        let pti = pti::enabled(k);
        pgd_alloc(k, pti)
    }

    #[inline(always)]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let word = pti::set_user_pgtbl(k, entry, word)?;
        k.store(entry, word, why)
    }

    fn huge_vmap<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn huge_vmalloc<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn vmap_supported<W: Watch>(k: &Kernel<Self, W>, level: Level) -> bool {
        match level {
            Level::Pmd => k.options.x86_pse,
            Level::Pud => k.options.x86_gbpages,
            _ => false,
        }
    }

    fn set_huge<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot) -> Run<bool> {
        x86::set_huge(k, entry, pa, prot)
    }

    fn free_below<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, va: u64) -> Run<bool> {
        x86::free_below(k, entry, va)
    }

    fn sync_mask<W: Watch>(k: &Kernel<Self, W>) -> ModMask {
        if k.options.x86_64_sync { sync_mask(k.geometry()) } else { ModMask::NONE }
    }

    fn sync_kernel_mappings<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Run<u64> {
        x86::sync_global_pgds(k, start, end)
    }

    fn sets_memory<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn set_memory<W: Watch>(k: &mut Kernel<Self, W>, request: &SetMemory) -> Run<i64> {
        cpa::set_memory(k, request)
    }

    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        x86::flush_tlb_kernel_range(k, start, end)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry, ad)
    }

    fn needs_flush<W: Watch>(k: &Kernel<Self, W>, old: u64, new: u64) -> bool {
        k.format().needs_flush(old, new)
    }

    fn user_huge<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.options.x86_pse
    }

    fn merges_vmas() -> bool {
        true
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        _level: Option<Level>,
    ) -> Step {
        user::flush_tlb_range(k, mm, start, end)
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush_tlb_mm(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush(k, stale)
    }

    fn switch_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        let root = k.machine.mm(mm).root_pa;
        k.emit(Event { mm: mm.0, addr: root, ..Event::of(Kind::CR3) })
    }

    /// Nothing is kept.
    fn digest(&self, _h: &mut dyn Hasher, _names: &dyn Naming) {}
}
