//! loongarch64: a store of a global entry is followed by DBAR, at once and always; nothing is deferred.
//!
//! `arch/loongarch/{mm/{pgtable,tlb,fault}.c,kernel/smp.c,include/asm/pgtable.h}` of 6.12. PGDL and PGDH are separate roots.
//!
//! Not modelled: refill by software on CPUs without a page-table walker (the tables are the same, but faults would write TLB
//! entries: `__update_tlb`), `spurious_fault`, which tries an access again whose entry is there (here it has always been
//! seen), CPUs with other address widths than 47-bit halves, kernels for one CPU, large leaves with two levels.

mod user;

use std::hash::Hasher;

use super::{Backend, Info, Naming, Registration, add_mm, alloc_root, new_root};
use crate::check::Laws;
use crate::descriptor::Format;
use crate::descriptor::loongarch::{GLOBAL, Loongarch};
use crate::event::codes::{Access, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{Stale, huge_helpers};
use user::Contexts;

pub static REGISTRATION: Registration = Registration::of::<LoongarchBackend>();

/// An eighth of the TLB of an LA464 (2048 + 64 entries), each of which maps two pages.
const FLUSH_ALL_ABOVE: u64 = 264;

/// `BAR` with this: DBAR 0b11000.
const DBAR: u32 = 1;

/// The loongarch64 backend.
#[derive(Clone, Debug)]
pub struct LoongarchBackend {
    format: Loongarch,
    contexts: Contexts,
}

impl Backend for LoongarchBackend {
    type Format = Loongarch;
    const INFO: Info = Info {
        name: "loongarch64",
        about: "every store of a global entry is completed by DBAR at once",
        order: 110,
        geometries: &["loongarch64-16k-3level", "loongarch64-4k-4level", "loongarch64-64k-2level"],
        machines: &["loongarch64"],
        shown: &["barriers", "tlbi", "ipis"],
        // TLBI is INVTLB for two pages.
        weights: &[
            ("stores", 1.0),
            ("barriers", 15.0),
            ("tlbi", 30.0),
            ("tlbi_all", 200.0),
            ("ipis", 1500.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, _options: &Options, _cpus: usize) -> LoongarchBackend {
        LoongarchBackend { format: Loongarch { page_shift: geometry.page_shift }, contexts: Contexts::default() }
    }

    fn format(&self) -> Loongarch {
        self.format
    }

    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        Ok(())
    }

    /// What lies above the user's entries is copied, though PGDL is never asked for it.
    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        let Some(root) = alloc_root(k)? else { return Ok(None) };
        let kernel = k.open_root(INIT_MM);
        let user = (k.geometry().layout.task_size >> k.geometry().shift(root.level)) as usize;
        for index in user..root.len() {
            root.set(index, kernel.get(index));
        }
        add_mm(k, &root, false).map(Some)
    }

    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)?;
        if W::WATCHES && word & GLOBAL != 0 { k.emit(Event::of(Kind::BAR).aux(DBAR)) } else { Ok(()) }
    }

    /// G stays, so that the neighbour in the same TLB entry goes on having it.
    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        Self::set_pte(k, entry, entry.word() & GLOBAL, Store::Clear)
    }

    /// The generic one: read, then `pte_clear`.
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let old = entry.word();
        Self::set_pte(k, entry, old & GLOBAL, Store::GetAndClear)?;
        Ok(old)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    /// On every CPU; page pairs one by one up to an eighth of the TLB.
    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        let others = k.machine.cpus.len() - 1;
        if others > 0 {
            k.emit(Event::of(Kind::IPI).aux(others as u32))?;
        }
        let page = k.geometry().page_size();
        let pairs = end.wrapping_sub(start).div_ceil(page).div_ceil(2);
        let (count, code) = if pairs <= FLUSH_ALL_ABOVE {
            let last = end.wrapping_add(2 * page - 1) & !(2 * page - 1);
            (last.wrapping_sub(start & !(2 * page - 1)) / (2 * page), Tlbi::Invtlb)
        } else {
            (1, Tlbi::InvtlbAll)
        };
        k.emit(Event { old: count, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
    }

    /// Kernel addresses are looked up through PGDH, which is always init_mm's; a kernel thread that borrows no address space
    /// has `invalid_pg_dir` in PGDL.
    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
    }

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        Laws { needs_barrier: true, ..Laws::coherent(k) }
    }

    fn booted<W: Watch>(k: &mut Kernel<Self, W>) {
        user::booted(k);
    }

    fn switch_in<W: Watch>(k: &mut Kernel<Self, W>, next: TaskId) -> Step {
        let (mm, cpu) = (k.machine.task(next).mm, k.cpu());
        k.backend.contexts.enter(mm, cpu);
        Ok(())
    }

    fn walker_updates<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64, access: Access) -> Step {
        user::walker_updates(k, mm, va, access)
    }

    fn user_huge<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.geometry().levels > 2
    }

    fn ptep_clear_flush<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        user::ptep_clear_flush(k, entry)
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        user::set_access_flags(k, entry, word)
    }

    fn flush_tlb_fix_spurious_fault<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        super::generic::flush_page(k, entry)
    }

    fn clear_flush_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        user::clear_flush_young(k, entry)
    }

    fn set_pmd_at<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, word, Store::Huge)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry)
    }

    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, k.format().wrprotect_huge(word), Store::Protect)
    }

    fn pmdp_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        let format = k.format();
        user::set_pmd_at(k, entry, huge_helpers(&format).mkold(word), Store::Young)
    }

    fn frees_tables_by_rcu<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }

    fn frees_upper_tables_at_once() -> bool {
        true
    }

    fn splits_pmd_locks() -> bool {
        false
    }

    fn merges_vmas() -> bool {
        true
    }

    fn moves_tables<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        _level: Option<Level>,
    ) -> Step {
        user::flush_tlb_range(k, mm, (start, end))
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush_tlb_mm(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush(k, stale)
    }

    fn digest(&self, h: &mut dyn Hasher, _names: &dyn Naming) {
        self.contexts.digest(h);
    }
}
