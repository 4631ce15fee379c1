//! x86-32, PAE and two levels, with highmem: every process has its own copy of the kernel's pmd entries.
//!
//! Not modelled: the LDT mapping, MTRRs that forbid a huge leaf.

use std::hash::Hasher;

use super::x86::{cpa, pti, user};
use super::{Backend, Info, Naming, Registration, x86};
use crate::check::Laws;
use crate::descriptor::Prot;
use crate::descriptor::x86::X86;
use crate::event::codes::{Handler, Store};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::memory::{FrameError, Table, Zone};
use crate::modmask::ModMask;
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{SetMemory, Stale};

pub static REGISTRATION: Registration = Registration::of::<X86_32>();

/// The native x86-32 backend.
#[derive(Clone, Debug)]
pub struct X86_32 {
    format: X86,
}

/// Allocates a table outside of any walk.
fn table<B: Backend, W: Watch>(k: &mut Kernel<B, W>, level: Level, va: u64, mm: MmId) -> Run<Option<Table>> {
    let pa = match k.alloc_frame(level, va, Zone::Low)? {
        Ok(pa) => pa,
        Err(error) => {
            let injected = u32::from(error == FrameError::Injected);
            k.emit(Event { mm: mm.0, ..Event::of(Kind::ALLOC_FAIL).at(level, va, 0).aux(injected) })?;
            return Ok(None);
        }
    };
    let table = k.insert_table(pa, level, false);
    k.emit(Event { mm: mm.0, ..Event::of(Kind::ALLOC).at(level, va, pa) })?;
    Ok(Some(table))
}

/// init_mm with its kernel pmds and the leaf table of the fixmap, where kmap slots live.
pub(super) fn boot<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, pti: bool) -> Step {
    pti::boot_roots(k, pti)?;
    let top = k.geometry().layout.fixaddr_top;
    k.early_tables(top, Level::Pte);
    Ok(())
}

/// `pgd_alloc`: PAE preallocates all pmd pages, because the CPU caches the four root entries.
pub(super) fn pgd_alloc<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, pti: bool) -> Run<Option<MmId>> {
    let Some((root, user)) = pti::alloc_roots(k, pti)? else { return Ok(None) };
    let kernel = k.open_root(INIT_MM);
    let shared = shares_kernel_pmd(k.geometry(), &k.options);
    let boundary = k.geometry().index(root.level, k.geometry().layout.kernel_start);
    for index in boundary..root.len() {
        root.set(index, kernel.get(index));
    }
    if root.level == Level::Pud {
        let own = if shared { boundary } else { root.len() };
        if !prepopulate_pmds(k, &root, user.as_ref(), own, boundary)? {
            pti::free_roots(k, &root, user.as_ref());
            return Ok(None);
        }
    }
    pti::add_mm(k, &root, user.as_ref(), !shared).map(Some)
}

/// `preallocate_pmds`: pages for pmds of these root entries. It tries all of them even when one failed, and then gives back
/// those that it got.
fn preallocate_pmds<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    indices: std::ops::Range<usize>,
) -> Run<Option<Vec<(u64, Table)>>> {
    let mm = MmId(k.machine.mms.len() as u16);
    let (wanted, size) = (indices.len(), k.geometry().size(Level::Pud));
    let mut pmds: Vec<(u64, Table)> = Vec::new();
    for index in indices {
        let va = index as u64 * size;
        pmds.extend(table(k, Level::Pmd, va, mm)?.map(|pmd| (va, pmd)));
    }
    if pmds.len() < wanted {
        free_pmds(k, pmds, mm)?;
        return Ok(None);
    }
    Ok(Some(pmds))
}

fn free_pmds<B: Backend, W: Watch>(k: &mut Kernel<B, W>, pmds: Vec<(u64, Table)>, mm: MmId) -> Step {
    for (va, pmd) in pmds {
        k.free_table(pmd.pa, va, mm)?;
    }
    Ok(())
}

/// `pgd_prepopulate_pmd`: the process's own pmd pages; those of the kernel half start as copies of init_mm's. With page-table
/// isolation user mode has the same ones in the user half, and in the kernel half pmd pages of its own
/// (`pgd_prepopulate_user_pmd`).
fn prepopulate_pmds<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    root: &Table,
    user: Option<&Table>,
    own: usize,
    boundary: usize,
) -> Run<bool> {
    let Some(pmds) = preallocate_pmds(k, 0..own)? else { return Ok(false) };
    let users = if user.is_some() { boundary..root.len() } else { 0..0 };
    let Some(user_pmds) = preallocate_pmds(k, users)? else {
        let mm = MmId(k.machine.mms.len() as u16);
        free_pmds(k, pmds, mm)?;
        return Ok(false);
    };
    for (index, (_, pmd)) in pmds.iter().enumerate() {
        if index >= boundary
            && let Some(kernel) = k.machine.memory.at(B::table_pa(k, Level::Pud, root.get(index)))
        {
            for n in 0..pmd.len() {
                pmd.set(n, k.machine.memory.word(kernel, n));
            }
        }
        let link = B::table_word(k, Level::Pud, pmd.pa, false);
        root.set(index, link);
        if let Some(user) = user.filter(|_| index < boundary) {
            user.set(index, link);
        }
    }
    for (n, (_, pmd)) in user_pmds.iter().enumerate() {
        if let Some(user) = user {
            user.set(boundary + n, B::table_word(k, Level::Pud, pmd.pa, false));
        }
    }
    Ok(true)
}

/// `SHARED_KERNEL_PMD`.
pub(super) fn shares_kernel_pmd(geometry: &Geometry, options: &Options) -> bool {
    geometry.levels == 3 && options.x86_shared_kernel_pmd
}

pub(super) fn sync_mask(geometry: &Geometry, options: &Options) -> ModMask {
    if shares_kernel_pmd(geometry, options) { ModMask::NONE } else { ModMask::PMD }
}

/// `vmalloc_fault` looks after the vmalloc area only.
pub(super) fn fault_handler(geometry: &Geometry, va: u64) -> Handler {
    if geometry.in_vmalloc(va) { Handler::VmallocFault } else { Handler::Nobody }
}

impl Backend for X86_32 {
    type Format = X86;
    const INFO: Info = Info {
        name: "x86-32",
        about: "highmem; kernel pmd entries are copied to every process",
        order: 30,
        geometries: &["x86-32-pae", "x86-32-2level"],
        machines: &["i686", "i586"],
        shown: &["tlbi", "ipis", "syncs", "synced", "kmaps"],
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
            ("kmaps", 40.0),
            ("repairs", 1000.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, options: &Options, _cpus: usize) -> X86_32 {
        X86_32 { format: x86::format(geometry, options) }
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

    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        x86::native_set_pte(k, entry, word, why)
    }

    #[inline]
    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        x86::native_clear(k, entry, Store::Clear)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let word = pti::set_user_pgtbl(k, entry, word)?;
        x86::native_set_entry(k, entry, word, why)
    }

    fn huge_vmap<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.geometry().levels == 3
    }

    fn ioremap_max_order<W: Watch>(k: &Kernel<Self, W>) -> u32 {
        k.geometry().shift(Level::Pmd)
    }

    fn vmap_supported<W: Watch>(k: &Kernel<Self, W>, level: Level) -> bool {
        // CONFIG_HAVE_ARCH_HUGE_VMAP: 64 bits or PAE.
        level == Level::Pmd && k.geometry().levels == 3 && k.options.x86_pse
    }

    fn set_huge<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot) -> Run<bool> {
        x86::set_huge(k, entry, pa, prot)
    }

    /// Tables are never freed here: other roots hold copies of the entry.
    fn free_below<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _va: u64) -> Run<bool> {
        k.entry_none(entry)
    }

    fn sync_mask<W: Watch>(k: &Kernel<Self, W>) -> ModMask {
        sync_mask(k.geometry(), &k.options)
    }

    fn sync_kernel_mappings<W: Watch>(k: &mut Kernel<Self, W>, start: u64, _end: u64) -> Run<u64> {
        x86::sync_pmds(k, start)
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

    fn kmap_post_unmap<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        x86::flush_tlb_one(k, va)
    }

    fn highpte<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.options.highpte
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry, ad)
    }

    fn user_populated<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        user::user_populated(k, entry)
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

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        x86::laws_32(k)
    }

    fn kernel_fault_handler<W: Watch>(k: &Kernel<Self, W>, va: u64) -> Handler {
        fault_handler(k.geometry(), va)
    }

    fn repair_kernel_fault<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        x86::vmalloc_fault(k, va)
    }

    /// Nothing is kept.
    fn digest(&self, _h: &mut dyn Hasher, _names: &dyn Naming) {}
}
