//! sparc64: software fills TSB and TLB from the tables, so a new mapping needs nothing. A user mapping that goes is removed from
//! both at once, in lazy mode by batches of 192; kernel mappings are flushed by range.
//!
//! `arch/sparc/{mm/{tlb,tsb,init_64}.c,mm/ultra.S,include/asm/{pgtable_64,tlbflush_64}.h}` of 6.12. In 7.x the
//! task's counters are the mode, and a flush in the middle of a section works.
//!
//! User mappings: `sparc64_user.rs`.
//!
//! Not modelled: what the TSBs hold, how they grow, and that of large leaves (`update_mmu_cache_pmd`); TLB contents;
//! the D-cache flush of aliasing CPUs; ADI tags; user addresses at and above 4 GiB (users' and the kernel's
//! spaces overlap on sparc64, the model tells them apart by address); contexts that run out; the firmware's mappings, which a
//! kernel range leaves out; `ioremap`, which needs no mapping there.

mod user;

use std::hash::{Hash, Hasher};

use super::generic::Footmarks;
use super::{Backend, Info, Naming, Registration, add_mm, alloc_root, generic, new_root};
use crate::descriptor::Format;
use crate::descriptor::sparc64::{Sparc64, VALID};
use crate::event::codes::{FlushReason, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::Geometry;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::scheme::{LazyApi, Options};
use crate::stop::{Run, Step};
use crate::walk::{Stale, helpers};

pub static REGISTRATION: Registration = Registration::of::<Sparc>();

/// `TLB_BATCH_NR`.
const BATCH: u64 = 192;
/// `__hypervisor_flush_tlb_kernel_range`: ranges of so many bytes and more are flushed whole.
const FLUSH_ALL_SHIFT: u32 = 18;

/// `struct tlb_batch` of a CPU.
#[derive(Clone, Copy, Debug, Hash)]
struct Batch {
    active: bool,
    nr: u64,
    mm: MmId,
    /// `hugepage_shift`: what its entries map.
    shift: u32,
    low: u64,
    end: u64,
}

impl Batch {
    const EMPTY: Batch = Batch { active: false, nr: 0, mm: INIT_MM, shift: 0, low: 0, end: 0 };
}

/// The sparc64 backend.
#[derive(Clone, Debug)]
pub struct Sparc {
    format: Sparc64,
    batches: Vec<Batch>,
    /// A CPU stays in `mm_cpumask` as long as the context lives.
    footmarks: Footmarks,
}

fn batch<W: Watch>(k: &mut Kernel<Sparc, W>) -> &mut Batch {
    let cpu = usize::from(k.cpu().0);
    &mut k.backend.batches[cpu]
}

fn counted<W: Watch>(k: &Kernel<Sparc, W>) -> bool {
    k.options.lazy_api == LazyApi::Counted
}

fn invalidate<W: Watch>(k: &mut Kernel<Sparc, W>, mm: MmId, start: u64, end: u64, count: u64, code: Tlbi) -> Step {
    k.emit(Event { old: count, mm: mm.0, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
}

/// TSB and TLB of this CPU, and the TLBs of the others that have run the address space (`smp_cross_call_masked`).
fn invalidate_user<W: Watch>(k: &mut Kernel<Sparc, W>, mm: MmId, start: u64, end: u64, count: u64) -> Step {
    let others = k.backend.footmarks.of(&k.machine, mm) & !(1 << k.cpu().0);
    if others != 0 {
        k.emit(Event { mm: mm.0, ..Event::of(Kind::IPI).aux(others.count_ones()) })?;
    }
    invalidate(k, mm, start, end, count, Tlbi::TsbTlb)
}

/// `flush_tlb_pending`. An address space that has run nowhere has no context: only its TSB is looked at.
fn flush_pending<W: Watch>(k: &mut Kernel<Sparc, W>, reason: FlushReason) -> Step {
    let Batch { nr, mm, low, end, .. } = *batch(k);
    if nr == 0 {
        return Ok(());
    }
    batch(k).nr = 0;
    k.emit(Event { mm: mm.0, ..Event::of(Kind::FLUSH).change(nr, 1).aux(reason as u32) })?;
    if k.backend.footmarks.of(&k.machine, mm) == 0 {
        return invalidate(k, mm, low, end, nr, Tlbi::Tsb);
    }
    invalidate_user(k, mm, low, end, nr)
}

/// `tlb_batch_add_one`. An executable page is marked in bit 0 of its address.
fn batch_add<W: Watch>(k: &mut Kernel<Sparc, W>, mm: MmId, va: u64, exec: bool, shift: u32) -> Step {
    let start = va & !(k.geometry().page_size() - 1);
    let end = start.wrapping_add(1 << shift);
    if batch(k).mm != mm {
        flush_pending(k, FlushReason::Other)?;
    }
    let active = if counted(k) { k.lazy_active() } else { batch(k).active };
    if !active {
        return invalidate_user(k, mm, start, end, 1);
    }
    if batch(k).shift != shift {
        flush_pending(k, FlushReason::Other)?;
    }
    let batch = batch(k);
    if batch.nr == 0 {
        *batch = Batch { mm, shift, low: start, end, ..*batch };
    }
    batch.nr += 1;
    batch.low = batch.low.min(start);
    batch.end = batch.end.max(end);
    let nr = batch.nr;
    let event = Event::of(Kind::DEFER_TLBI).range(start, end).aux(u32::from(exec));
    k.emit(Event { old: nr, mm: mm.0, ..event })?;
    if self::batch(k).nr >= BATCH { flush_pending(k, FlushReason::Full) } else { Ok(()) }
}

impl Backend for Sparc {
    type Format = Sparc64;
    const INFO: Info = Info {
        name: "sparc64",
        about: "TSB and TLB entries of users' pages are removed at once, in lazy sections in batches of 192",
        order: 90,
        geometries: &["sparc64-8k", "sparc64-8k-sun4u"],
        machines: &["sparc64"],
        shown: &["tlbi", "flushes", "ipis"],
        // TLBI is a demap of one page by the hypervisor.
        weights: &[
            ("stores", 1.0),
            ("tlbi", 150.0),
            ("tlbi_all", 500.0),
            ("flushes", 50.0),
            ("ipis", 2000.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("switches", 900.0),
        ],
    };

    fn new(geometry: &Geometry, _options: &Options, cpus: usize) -> Sparc {
        Sparc {
            format: Sparc64::new(geometry),
            batches: vec![Batch::EMPTY; cpus.max(1)],
            footmarks: Footmarks::default(),
        }
    }

    fn format(&self) -> Sparc64 {
        self.format
    }

    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        Ok(())
    }

    /// Empty: kernel addresses are looked up in init_mm's tables.
    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        let Some(root) = alloc_root(k)? else { return Ok(None) };
        add_mm(k, &root, false).map(Some)
    }

    /// `__set_pte_at`, which every change of a leaf entry goes through.
    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let old = entry.word();
        k.store(entry, word, why)?;
        if entry.mm != INIT_MM && old & VALID != 0 {
            let (shift, exec) = (k.geometry().page_shift, k.format().exec(old));
            return batch_add(k, entry.mm, entry.va, exec, shift);
        }
        Ok(())
    }

    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        Self::set_pte(k, entry, 0, Store::Clear)
    }

    /// The generic one: read, then `pte_clear`.
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let old = entry.word();
        Self::set_pte(k, entry, 0, Store::GetAndClear)?;
        Ok(old)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn has_lazy_mode<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn lazy_state<W: Watch>(k: &Kernel<Self, W>) -> u64 {
        u64::from(!counted(k) && k.backend.batches[usize::from(k.cpu().0)].active)
    }

    /// `preempt_disable`, and up to v6.19 the CPU's batch is active.
    fn lazy_enter<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        k.preempt_disable();
        if !counted(k) {
            batch(k).active = true;
        }
        Ok(())
    }

    fn lazy_leave<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        flush_pending(k, FlushReason::Leave)?;
        batch(k).active = false;
        k.preempt_enable();
        Ok(())
    }

    fn lazy_flush<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if counted(k) { flush_pending(k, FlushReason::Hook) } else { Ok(()) }
    }

    /// TSB and TLB of every CPU.
    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        let bytes = end.wrapping_sub(start);
        let pages = bytes.div_ceil(k.geometry().page_size()).max(1);
        let whole = bytes >> FLUSH_ALL_SHIFT != 0;
        let (count, code) = if whole { (1, Tlbi::DemapAll) } else { (pages, Tlbi::DemapRange) };
        let others = k.machine.cpus.len() - 1;
        if others > 0 {
            k.emit(Event::of(Kind::IPI).aux(others as u32))?;
        }
        invalidate(k, INIT_MM, start, end, count, code)
    }

    /// A CPU that leaves an address space stays in its `mm_cpumask`.
    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        let (cpu, loaded) = (k.cpu(), k.machine.cpu(k.cpu()).active_mm);
        k.backend.footmarks.leave(loaded, cpu);
        Ok(())
    }

    fn user_huge<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        generic::wrprotect_ptes_anew(k, first, count)
    }

    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        generic::test_and_clear_young_anew(k, entry)
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        user::set_access_flags(k, entry, word)
    }

    fn update_mmu_cache<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64, pages: u64) -> Step {
        user::update_mmu_cache(k, mm, va, pages)
    }

    fn update_mmu_tlb<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _va: u64, _pages: u64) -> Step {
        Ok(())
    }

    fn update_mmu_cache_pmd<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _va: u64) -> Step {
        Ok(())
    }

    fn set_pmd_at<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, word, Store::Huge).map(|_| ())
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry)
    }

    fn pmdp_huge_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        user::set_pmd_at(k, entry, 0, Store::GetAndClear)
    }

    fn pmdp_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, helpers(&k.format()).mkold(word), Store::Young).map(|_| ())
    }

    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, k.format().wrprotect(word), Store::Protect).map(|_| ())
    }

    fn pte_clear_not_present<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, full: bool) -> Step {
        user::pte_clear_not_present(k, entry, full)
    }

    fn splits_pmd_locks() -> bool {
        false
    }

    fn thp_migration() -> bool {
        false
    }

    fn merges_vmas() -> bool {
        true
    }

    /// No hardware walks the tables.
    fn needs_table_invalidate() -> bool {
        false
    }

    /// Neither `HAVE_MOVE_PMD` nor `HAVE_MOVE_PUD`.
    fn moves_tables<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, _stale: &Stale) -> Step {
        user::tlb_flush(k)
    }

    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
    }

    /// An empty batch remembers nothing.
    fn digest(&self, mut h: &mut dyn Hasher, _names: &dyn Naming) {
        for batch in &self.batches {
            batch.active.hash(&mut h);
            (batch.nr > 0).then_some(batch).hash(&mut h);
        }
        self.footmarks.digest(h);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::digest_of;
    use crate::geometry::sparc64::SPARC64_8K;

    fn sparc() -> Sparc {
        Sparc::new(&SPARC64_8K, &Options::BASE, 2)
    }

    #[test]
    fn what_waits_in_a_batch_is_part_of_a_state() {
        let with = |batch: Batch| digest_of(&Sparc { batches: vec![Batch::EMPTY, batch], ..sparc() });
        let one = Batch { active: true, nr: 1, mm: MmId(1), shift: 13, low: 0x1_0000, end: 0x2_0000 };
        let others = [
            Batch { active: false, ..one },
            Batch { nr: 2, ..one },
            Batch { mm: MmId(2), ..one },
            Batch { shift: 22, ..one },
            Batch { low: 0, ..one },
            Batch { end: 0x3_0000, ..one },
        ];
        for other in others {
            assert_ne!(with(one), with(other), "{other:?}");
        }
        // What is left of one that was flushed is read by nobody.
        assert_eq!(with(Batch { nr: 0, ..one }), with(Batch { active: true, ..Batch::EMPTY }));
    }

    #[test]
    fn who_ran_an_address_space_is_part_of_a_state() {
        let ran = |cpu| {
            let mut footmarks = Footmarks::default();
            footmarks.leave(MmId(1), crate::machine::CpuId(cpu));
            digest_of(&Sparc { footmarks, ..sparc() })
        };
        assert_ne!(ran(0), ran(1));
    }
}
