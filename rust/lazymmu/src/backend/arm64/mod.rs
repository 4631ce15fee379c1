//! arm64: stores reach memory at once, hardware walkers see them after DSB ISHST, the storing CPU after ISB.
//!
//! `arch/arm64/include/asm/{pgtable,tlbflush}.h`, `arch/arm64/mm/mmu.c` of 6.12 and 7.3. User and kernel have separate
//! roots; nothing is synchronised between processes.
//!
//! Not modelled: KPTI, MTE tags, cache maintenance of executable pages, errata that repeat TLBI, kpkeys.

mod barrier;
mod contpte;
mod tlb;
mod user;

use std::hash::Hasher;
use std::sync::atomic::AtomicU64;

use barrier::{complete, emit_pte_barriers, flags, flush_pending, ignores_irq, queue_barrier, records};
use tlb::{DSB_ISH, MAX_RANGE_PAGES, range_operations, tlbi_sequence};

use super::{Backend, Info, Naming, Registration, generic, new_root};
use crate::check::Laws;
use crate::descriptor::arm64::{Arm64, TABLE_PXN, TABLE_UXN, TYPE_MASK, TYPE_TABLE, VALID};
use crate::descriptor::{Format, Prot};
use crate::event::codes::{Access, Store, Tlbi, Warning};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Barrier, Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId, ThreadFlags};
use crate::memory::{TableId, TableView};
use crate::modmask::ModMask;
use crate::scheme::{Arm64Barriers, LazyIrq, Options, Walk};
use crate::stop::{Run, Step};
use crate::walk::Stale;

pub static REGISTRATION: Registration = Registration::of::<Arm64Backend>();

/// The arm64 backend.
#[derive(Clone, Debug)]
pub struct Arm64Backend {
    format: Arm64,
}

/// The entry comes in pieces, so that a loop that never calls this can keep it in registers.
#[cold]
#[inline(never)]
fn set_user_pte<W: Watch>(
    k: &mut Kernel<Arm64Backend, W>,
    cells: &[AtomicU64],
    (id, level): (TableId, Level),
    (pa, index): (u64, usize),
    (va, mm): (u64, MmId),
    word: u64,
    why: Store,
) -> Step {
    let entry = Entry::new(TableView::new(id, pa, level, cells), index, va, mm);
    contpte::set_ptes(k, entry, word, 1, why)
}

/// As above.
#[cold]
#[inline(never)]
fn clear_user_pte<W: Watch>(
    k: &mut Kernel<Arm64Backend, W>,
    cells: &[AtomicU64],
    (id, level): (TableId, Level),
    (pa, index): (u64, usize),
    (va, mm): (u64, MmId),
) -> Run<u64> {
    contpte::get_and_clear_ptes(k, Entry::new(TableView::new(id, pa, level, cells), index, va, mm), 1)
}

/// `set_swapper_pgd`: the root of init_mm is read-only and written through a fixmap alias (`__set_fixmap`). The alias is
/// a kernel mapping like any other: its barrier is queued as the scheme has it, and it is used at once.
fn set_swapper_pgd<W: Watch>(k: &mut Kernel<Arm64Backend, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
    if !k.options.arm64_root_fixmap {
        k.store(entry, word, why)?;
        return emit_pte_barriers(k);
    }
    let va = fix_pgd(k.geometry());
    let (table, index) = k.kernel_pte(va)?;
    let alias = Entry::new(table.view(), index, va, INIT_MM);
    let prot = k.format().prot("PAGE_KERNEL").unwrap_or_default();
    let page = k.format().pte(entry.table.pa, prot);
    k.set_pte(alias, page, Store::Fixmap)?;
    k.touch(va, Access::Write)?;
    k.store(entry, word, why)?;
    k.pte_clear(alias)?;
    let size = k.geometry().page_size();
    k.flush_tlb_kernel_range(va, va + size)
}

/// The address of `FIX_PGD`.
fn fix_pgd(geometry: &Geometry) -> u64 {
    geometry.layout.fixaddr_top - 16 * geometry.page_size()
}

impl Backend for Arm64Backend {
    type Format = Arm64;
    const INFO: Info = Info {
        name: "arm64",
        about: "walkers need DSB ISHST, the storing CPU ISB; barriers are what is deferred",
        order: 10,
        geometries: &[
            "arm64-4k-48",
            "arm64-4k-39",
            "arm64-4k-52",
            "arm64-4k-52-on-48",
            "arm64-16k-36",
            "arm64-16k-47",
            "arm64-16k-48",
            "arm64-16k-52",
            "arm64-16k-52-on-47",
            "arm64-64k-42",
            "arm64-64k-48",
            "arm64-64k-52",
        ],
        machines: &["aarch64"],
        shown: &["barriers", "dsb", "tlbi"],
        // A barrier is DSB ISHST and ISB; TLBI is broadcast; an allocation clears its page.
        weights: &[
            ("stores", 1.0),
            ("barriers", 25.0),
            ("dsb", 20.0),
            ("isb", 10.0),
            ("tlbi", 60.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, options: &Options, _cpus: usize) -> Arm64Backend {
        let format = Arm64::new(geometry.page_shift, geometry.pa_bits, geometry.levels, options.arm64_table_af);
        Arm64Backend { format }
    }

    fn format(&self) -> Arm64 {
        self.format
    }

    /// init_mm has its fixmap, and the root slot in which the kernel image lies, where vmalloc begins.
    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        let image = k.geometry().layout.vmalloc_start;
        let below_root = k.geometry().root().below();
        k.early_tables(image, below_root);
        let fixmap = fix_pgd(k.geometry());
        k.early_tables(fixmap, Level::Pte);
        Ok(())
    }

    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        new_root(k)
    }

    #[inline(always)]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        if entry.mm != INIT_MM {
            let (t, at) = (entry.table, (entry.va, entry.mm));
            return set_user_pte(k, t.all(), (t.id, t.level), (t.pa, entry.index), at, word, why);
        }
        k.store(entry, word, why)?;
        complete(k, word)
    }

    #[inline(always)]
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        if entry.mm != INIT_MM {
            let (t, at) = (entry.table, (entry.va, entry.mm));
            return clear_user_pte(k, t.all(), (t.id, t.level), (t.pa, entry.index), at);
        }
        let old = entry.word();
        k.store(entry, 0, Store::GetAndClear)?;
        Ok(old)
    }

    /// The barrier is immediate, whatever section the task is in (7.3).
    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        if entry.word() != 0 {
            return Ok(false);
        }
        k.store(entry, word, Store::TrySet)?;
        emit_pte_barriers(k)?;
        Ok(true)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        if entry.mm == INIT_MM && entry.table.pa == k.machine.mm(INIT_MM).root_pa {
            return set_swapper_pgd(k, entry, word, why);
        }
        k.store(entry, word, why)?;
        let complete = if k.options.arm64_barriers == Arm64Barriers::BeginEnd {
            // pmd_valid_not_user of the posted series, wrapped by all levels above.
            if word & TYPE_MASK == TYPE_TABLE {
                word & (TABLE_PXN | TABLE_UXN) != TABLE_PXN
            } else {
                k.backend.format.valid_not_user(word)
            }
        } else {
            // p4d and pgd are completed even when cleared.
            entry.level() >= Level::P4d || word & VALID != 0
        };
        if complete { queue_barrier(k) } else { Ok(()) }
    }

    fn huge_vmap<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn huge_vmalloc<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn vmap_supported<W: Watch>(k: &Kernel<Self, W>, level: Level) -> bool {
        match level {
            Level::Pmd => k.options.arm64_block_vmap,
            Level::Pud => k.options.arm64_block_vmap && k.geometry().page_shift == 12,
            _ => false,
        }
    }

    fn set_huge<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot) -> Run<bool> {
        let word = k.format().huge(entry.level(), pa, prot);
        let old = k.read(entry)?;
        if !k.format().change_is_safe(old, word) {
            return Ok(false);
        }
        k.set_entry(entry, word, Store::Huge)?;
        Ok(true)
    }

    fn free_below<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, va: u64) -> Run<bool> {
        let word = k.read(entry)?;
        if word & TYPE_MASK != TYPE_TABLE {
            k.warn(Warning::FreeNotTable, va)?;
            return Ok(true);
        }
        let table = k.open_below(entry)?;
        if entry.level() == Level::Pud {
            for index in 0..table.len() {
                let at = va + index as u64 * k.geometry().size(Level::Pmd);
                let lower = Entry::new(table.view(), index, at, entry.mm);
                let word = k.read(lower)?;
                if k.format().present(Level::Pmd, word) {
                    Self::free_below(k, lower, at)?;
                }
            }
        }
        k.set_entry(entry, 0, Store::Clear)?;
        // __flush_tlb_kernel_pgtable: walk caches too.
        let end = va + k.geometry().page_size();
        tlbi_sequence(k, va, end, 1, Tlbi::Vaae1is)?;
        k.free_table(table.pa, va, entry.mm)?;
        Ok(true)
    }

    fn vmap_group<W: Watch>(k: &Kernel<Self, W>, max_shift: u32) -> Option<u64> {
        let size = k.geometry().cont_pte_size()?;
        let fits = max_shift >= size.trailing_zeros();
        (k.options.arm64_cont_vmap && k.options.hugetlb && fits).then_some(size)
    }

    /// One barrier check behind the last store; a live group is broken first.
    fn set_huge_ptes<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot, size: u64) -> Step {
        let page = k.geometry().page_size();
        let mut last = 0;
        for n in 0..(size / page) as usize {
            let at = Entry::new(entry.table, entry.index + n, entry.va + n as u64 * page, entry.mm);
            last = Arm64::mkcont(k.format().pte(pa + n as u64 * page, prot));
            k.store(at, last, Store::Huge)?;
        }
        complete(k, last)
    }

    #[inline]
    fn vmap_unmap_size<W: Watch>(k: &Kernel<Self, W>, word: u64) -> Option<u64> {
        if k.options.arm64_cont_vmap && k.options.hugetlb && Arm64::valid_cont(word) {
            k.geometry().cont_pte_size()
        } else {
            None
        }
    }

    fn vmap_pte_supported_shift<W: Watch>(k: &Kernel<Self, W>, size: u64) -> u32 {
        match k.geometry().cont_pte_size() {
            Some(group) if k.options.arm64_cont_vmap && size >= group => group.trailing_zeros(),
            _ => k.geometry().page_shift,
        }
    }

    fn begin<W: Watch>(k: &mut Kernel<Self, W>, _walk: Walk) -> Step {
        if k.options.arm64_barriers == Arm64Barriers::BeginEnd {
            let flags = flags(k);
            k.set_flags(ThreadFlags { lazy: true, ..flags });
            return Ok(());
        }
        k.default_begin()
    }

    /// The override never syncs: `ARCH_PAGE_TABLE_SYNC_MASK` is 0 here.
    fn end<W: Watch>(k: &mut Kernel<Self, W>, walk: Walk, mask: ModMask) -> Step {
        if k.options.arm64_barriers != Arm64Barriers::BeginEnd {
            return k.default_end(walk, mask);
        }
        let flags = flags(k);
        k.set_flags(ThreadFlags { lazy: false, ..flags });
        if k.options.begin_end_pending { flush_pending(k) } else { emit_pte_barriers(k) }
    }

    fn barrier<W: Watch>(k: &Kernel<Self, W>) -> Barrier {
        let flags = flags(k);
        let irq = k.in_interrupt();
        let later = match k.options.arm64_barriers {
            Arm64Barriers::EachStore => false,
            Arm64Barriers::BeginEnd => flags.lazy,
            Arm64Barriers::LazyFlag => flags.lazy && !(irq && k.options.lazy_irq == LazyIrq::Ignored),
            Arm64Barriers::LazyActive => k.lazy_active(),
        };
        match (later, !irq && (flags.pending || !records(k))) {
            (false, _) => Barrier::Now,
            (true, false) => Barrier::Later,
            (true, true) => Barrier::Noted,
        }
    }

    #[inline]
    fn has_lazy_mode<W: Watch>(k: &Kernel<Self, W>) -> bool {
        matches!(k.options.arm64_barriers, Arm64Barriers::LazyFlag | Arm64Barriers::LazyActive)
    }

    fn lazy_enter<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if k.options.arm64_barriers == Arm64Barriers::LazyFlag && !ignores_irq(k) {
            if flags(k).lazy && k.options.lazy_irq == LazyIrq::Acts {
                k.warn(Warning::LazyNested, 0)?;
            }
            // An interrupt in the warning may have changed the others.
            let now = flags(k);
            k.set_flags(ThreadFlags { lazy: true, ..now });
        }
        Ok(())
    }

    fn lazy_leave<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if !ignores_irq(k) {
            flush_pending(k)?;
            if k.options.arm64_barriers == Arm64Barriers::LazyFlag {
                let flags = flags(k);
                k.set_flags(ThreadFlags { lazy: false, ..flags });
            }
        }
        Ok(())
    }

    fn lazy_flush<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if ignores_irq(k) { Ok(()) } else { flush_pending(k) }
    }

    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        let page = k.geometry().page_size();
        let limit = k.geometry().entries(Level::Pte) as u64;
        let (start, end) = if k.options.arm64_tlbi_all_at_limit {
            (start & !(page - 1), end.next_multiple_of(page))
        } else {
            (start, end)
        };
        let pages = (end - start).div_ceil(page);
        let all = if k.options.arm64_range_tlbi {
            pages > MAX_RANGE_PAGES
        } else if k.options.arm64_tlbi_all_at_limit {
            pages >= limit
        } else {
            end - start > limit * page
        };
        match (all, k.options.arm64_range_tlbi) {
            (true, _) => tlbi_sequence(k, start, end, 1, Tlbi::Vmalle1is),
            (false, true) => tlbi_sequence(k, start, end, range_operations(k, start, pages), Tlbi::Rvaale1is),
            (false, false) => tlbi_sequence(k, start, end, pages, Tlbi::Vaale1is),
        }
    }

    /// `__switch_to` completes all stores before the task can run elsewhere.
    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        k.emit(Event::of(Kind::DSB).aux(DSB_ISH))
    }

    fn user_huge<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    #[inline]
    fn ptep_get<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        contpte::ptep_get(k, entry)
    }

    fn set_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
        contpte::set_ptes(k, first, word, count, Store::Set)
    }

    fn get_and_clear_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        contpte::get_and_clear_ptes(k, first, count)
    }

    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        contpte::wrprotect_ptes(k, first, count)
    }

    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        contpte::test_and_clear_young(k, entry)
    }

    fn clear_young_dirty<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64, dirty: bool) -> Step {
        contpte::clear_young_dirty(k, first, count, dirty)
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, write: bool) -> Run<bool> {
        contpte::set_access_flags(k, entry, word, write)
    }

    fn clear_flush_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        contpte::clear_flush_young(k, entry)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        let old = generic::pmdp_establish_invalid(k, entry)?;
        let size = k.geometry().size(Level::Pmd);
        let start = entry.va & !(size - 1);
        user::flush_range(k, entry.mm, (start, start + size), Some(Level::Pmd), false)?;
        Ok(old)
    }

    fn pmd_on_stack<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        queue_barrier(k)
    }

    fn needs_flush<W: Watch>(k: &Kernel<Self, W>, old: u64, _new: u64) -> bool {
        !k.options.arm64_flush_valid_only || old & VALID != 0
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        level: Option<Level>,
    ) -> Step {
        if level == Some(Level::Pte) && end - start == k.geometry().page_size() {
            return user::flush_tlb_page(k, mm, start);
        }
        user::flush_range(k, mm, (start, end), level.filter(|l| *l == Level::Pmd), false)
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush_tlb_mm(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush(k, stale)
    }

    /// Kernel addresses are looked up in init_mm's tables (TTBR1), others in the process's; a kernel thread that borrows
    /// none has the empty `reserved_pg_dir` loaded.
    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
    }

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        let scope_batches = k.options.arm64_barriers == Arm64Barriers::BeginEnd;
        Laws { needs_barrier: true, scope_batches, ..Laws::coherent(k) }
    }

    fn valid_kernel<W: Watch>(k: &Kernel<Self, W>, word: u64) -> bool {
        k.backend.format.valid_not_user(word)
    }

    /// Nothing is kept.
    fn digest(&self, _h: &mut dyn Hasher, _names: &dyn Naming) {}
}
