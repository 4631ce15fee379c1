//! 32-bit arm, LPAE and classic: walkers see a leaf after the DSB of `flush_cache_vmap`, upper entries have one of their own;
//! classic kernels with stacks in the vmalloc space count changes of kernel pmds, and processes catch up when they run.
//!
//! `arch/arm/{include/asm/{pgtable*,pgalloc,tlbflush,cacheflush,mmu_context},mm/{fault,ioremap,pgd},kernel/traps}.*` of 6.12.
//!
//! User mappings: `arm_user.rs`.
//!
//! Not modelled: CPUs before v7 and kernels for one CPU (cleaning of entries, VIVT caches), domains, the two halves of a
//! classic pmd pair read one by one, TTBR1, sections, cache maintenance of executable pages, pkmap, how ASIDs are handed
//! out and run out, `pgd_free`.

mod user;

use std::hash::{Hash, Hasher};

use super::{Backend, Info, Naming, Registration, add_mm, alloc_root, generic, new_root};
use crate::check::Laws;
use crate::descriptor::Format;
use crate::descriptor::arm::Arm;
use crate::event::codes::{Handler, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Translation, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::memory::Zone;
use crate::modmask::ModMask;
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{Stale, helpers};

pub static REGISTRATION: Registration = Registration::of::<ArmBackend>();

const DSB_ISHST: u32 = 1;
const DSB_ISH: u32 = 2;
const DSB_NSHST: u32 = 3;
const DSB_NSH: u32 = 4;

/// The arm backend.
#[derive(Clone, Debug)]
pub struct ArmBackend {
    format: Arm,
    /// `vmalloc_seq` of init_mm, and of the others.
    seq: u64,
    mm_seq: Vec<u64>,
}

fn dsb<W: Watch>(k: &mut Kernel<ArmBackend, W>, domain: u32) -> Step {
    k.emit(Event::of(Kind::DSB).aux(domain))
}

/// `set_pte_ext`: with short descriptors Linux's word, then the hardware's.
fn set_pte_ext<W: Watch>(k: &mut Kernel<ArmBackend, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
    let format = k.backend.format;
    let user = entry.va < k.geometry().layout.task_size && format.valid_user(word);
    let (first, second) = format.stored(word, user);
    k.store(entry, first, why)?;
    if format.lpae {
        return Ok(());
    }
    let behind = k.geometry().entries(Level::Pte);
    k.store(Entry::new(entry.table, entry.index + behind, entry.va, entry.mm), second, why)
}

/// One entry of the root or of a pmd table: with short descriptors the two halves one after the other. Only what is made is
/// waited for.
fn set_upper<W: Watch>(k: &mut Kernel<ArmBackend, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
    if !k.backend.format.lpae {
        let low = (entry.word() & !0xffff_ffff) | (word & 0xffff_ffff);
        k.store(entry, low, why)?;
    }
    k.store(entry, word, why)?;
    if word == 0 { Ok(()) } else { dsb(k, DSB_ISHST) }
}

/// `local_flush_tlb_kernel_page`.
fn flush_local_page<W: Watch>(k: &mut Kernel<ArmBackend, W>, va: u64) -> Step {
    let end = va + k.geometry().page_size();
    dsb(k, DSB_NSHST)?;
    k.emit(Event { old: 1, ..Event::of(Kind::TLBI).range(va, end).aux(Tlbi::TlbimvaLocal as u32) })?;
    dsb(k, DSB_NSH)?;
    k.emit(Event::of(Kind::ISB))
}

/// DSB; TLBI of each page; DSB; ISB. There is no limit above which everything is flushed.
fn tlbi<W: Watch>(k: &mut Kernel<ArmBackend, W>, start: u64, end: u64) -> Step {
    let page = k.geometry().page_size();
    let pages = ((end & !(page - 1)).saturating_sub(start & !(page - 1)) / page).max(1);
    dsb(k, DSB_ISH)?;
    k.emit(Event { old: pages, ..Event::of(Kind::TLBI).range(start, end).aux(Tlbi::Tlbimva as u32) })?;
    dsb(k, DSB_ISH)?;
    k.emit(Event::of(Kind::ISB))
}

/// `check_vmalloc_seq`: the kernel's entries of the vmalloc space are copied if any has changed since the last time.
fn check_vmalloc_seq<W: Watch>(k: &mut Kernel<ArmBackend, W>, mm: MmId) -> Step {
    let number = usize::from(mm.0);
    if k.backend.format.lpae || mm == INIT_MM || k.backend.mm_seq.get(number).copied().unwrap_or(0) == k.backend.seq {
        return Ok(());
    }
    let (kernel, root) = (k.open_root(INIT_MM), k.open_root(mm));
    let layout = k.geometry().layout;
    let size = k.geometry().size(root.level);
    for index in
        k.geometry().index(root.level, layout.vmalloc_start)..=k.geometry().index(root.level, layout.vmalloc_end - 1)
    {
        let va = index as u64 * size;
        let (from, to) = (Entry::new(kernel.view(), index, va, INIT_MM), Entry::new(root.view(), index, va, mm));
        let word = k.look(from);
        if word != k.look(to) {
            k.store(to, word, Store::Sync)?;
        }
    }
    if k.backend.mm_seq.len() <= number {
        k.backend.mm_seq.resize(number + 1, 0);
    }
    k.backend.mm_seq[number] = k.backend.seq;
    Ok(())
}

/// `do_translation_fault` of a kernel address: one entry is copied from init_mm.
fn translation_fault<W: Watch>(k: &mut Kernel<ArmBackend, W>, va: u64) -> Step {
    let loaded = k.machine.cpu(k.cpu()).active_mm;
    let (mut reference, mut table) = (k.open_root(INIT_MM), k.open_root(loaded));
    if reference.level != Level::Pmd {
        let index = k.geometry().index(reference.level, va);
        let word = k.look(Entry::new(reference.view(), index, va, INIT_MM));
        if word == 0 {
            return Ok(());
        }
        let entry = Entry::new(table.view(), index, va, loaded);
        if k.look(entry) == 0 {
            k.set_entry(entry, word, Store::Sync)?;
        }
        let upper = Entry::new(reference.view(), index, va, INIT_MM);
        let below = k.open_below(upper)?;
        table = k.open_below(Entry::new(table.view(), index, va, loaded))?;
        reference = below;
    }
    let index = k.geometry().index(Level::Pmd, va);
    let word = k.look(Entry::new(reference.view(), index, va, INIT_MM));
    if k.format().none(Level::Pmd, word) {
        return Ok(());
    }
    k.set_entry(Entry::new(table.view(), index, va, loaded), word, Store::Sync)
}

impl Backend for ArmBackend {
    type Format = Arm;
    const INFO: Info = Info {
        name: "arm",
        about: "a DSB in flush_cache_vmap completes what was mapped; processes catch up by a sequence number",
        order: 50,
        geometries: &["arm-lpae", "arm-classic"],
        machines: &["armv7l", "armv8l"],
        shown: &["dsb", "tlbi", "syncs", "copied", "kmaps"],
        weights: &[
            ("stores", 1.0),
            ("dsb", 20.0),
            ("isb", 10.0),
            ("tlbi", 60.0),
            ("tlbi_all", 60.0),
            ("syncs", 10.0),
            ("copied", 2.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("kmaps", 60.0),
            ("repairs", 800.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, _options: &Options, _cpus: usize) -> ArmBackend {
        ArmBackend { format: Arm { lpae: geometry.entry_bytes == 8 }, seq: 0, mm_seq: Vec::new() }
    }

    fn format(&self) -> Arm {
        self.format
    }

    /// The fixmap, where kmap slots live.
    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        let top = k.geometry().layout.fixaddr_top;
        k.early_tables(top, Level::Pte);
        Ok(())
    }

    /// The kernel's entries are copied; with LPAE the process gets a pmd table of its own for the modules' gigabyte.
    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        let Some(root) = alloc_root(k)? else { return Ok(None) };
        let kernel = k.open_root(INIT_MM);
        let modules = k.geometry().layout.task_size;
        let first = k.geometry().index(root.level, modules);
        let lpae = k.backend.format.lpae;
        for index in first + usize::from(lpae)..root.len() {
            root.set(index, kernel.get(index));
        }
        if lpae {
            let mm = MmId(k.machine.mms.len() as u16);
            if !k.alloc_below(Entry::new(root.view(), first, modules, mm), Zone::Low)? {
                k.machine.memory.remove(root.id);
                k.machine.frames.free(root.pa);
                return Ok(None);
            }
        }
        add_mm(k, &root, false).map(Some)
    }

    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        set_pte_ext(k, entry, word, why)
    }

    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        set_pte_ext(k, entry, 0, Store::Clear)
    }

    /// The generic one: read, then `pte_clear`.
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let old = entry.word();
        set_pte_ext(k, entry, 0, Store::GetAndClear)?;
        Ok(old)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        if entry.word() != 0 {
            return Ok(false);
        }
        set_pte_ext(k, entry, word, Store::TrySet)?;
        Ok(true)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        set_upper(k, entry, word, why)
    }

    /// `CONFIG_VMAP_STACK` without LPAE.
    fn sync_mask<W: Watch>(k: &Kernel<Self, W>) -> ModMask {
        if k.backend.format.lpae { ModMask::NONE } else { ModMask::PMD }
    }

    /// Counts, and leaves the copying to whoever runs next.
    fn sync_kernel_mappings<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Run<u64> {
        let layout = k.geometry().layout;
        if start < layout.vmalloc_end && end > layout.vmalloc_start {
            k.backend.seq += 1;
        }
        Ok(0)
    }

    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        tlbi(k, start, end)
    }

    fn flush_cache_vmap<W: Watch>(k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Step {
        dsb(k, DSB_ISHST)
    }

    fn kmap_post_map<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        flush_local_page(k, va)
    }

    fn kmap_post_unmap<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        flush_local_page(k, va)
    }

    fn highpte<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.options.highpte
    }

    /// `check_and_switch_context`.
    fn switch_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        check_vmalloc_seq(k, mm)
    }

    /// `enter_lazy_tlb`: a kernel thread goes on with the address space that is loaded.
    fn switch_in<W: Watch>(k: &mut Kernel<Self, W>, next: TaskId) -> Step {
        if k.machine.task(next).mm == INIT_MM {
            let loaded = k.machine.cpu(k.cpu()).active_mm;
            check_vmalloc_seq(k, loaded)?;
        }
        Ok(())
    }

    /// A fault above the leaf table.
    fn kernel_fault_handler<W: Watch>(k: &Kernel<Self, W>, va: u64) -> Handler {
        let loaded = k.machine.cpu(k.cpu()).active_mm;
        match k.translate(loaded, va) {
            Translation::Fault { level, .. } if level != Level::Pte => Handler::TranslationFault,
            _ => Handler::Nobody,
        }
    }

    fn repair_kernel_fault<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        translation_fault(k, va)
    }

    /// `HAVE_ARCH_TRANSPARENT_HUGEPAGE` of LPAE.
    fn user_huge<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.backend.format.lpae
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

    fn flush_tlb_fix_spurious_fault<W: Watch>(k: &mut Kernel<Self, W>, Entry { mm, va, .. }: Entry<'_>) -> Step {
        user::flush_tlb_page(k, mm, va)
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

    fn pmdp_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, helpers(&k.format()).mkold(word), Store::Young)
    }

    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::set_pmd_at(k, entry, k.format().wrprotect(word), Store::Protect)
    }

    /// `flush_pmd_entry` of a variable.
    fn pmd_on_stack<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        dsb(k, DSB_ISHST)
    }

    fn splits_pmd_locks() -> bool {
        false
    }

    fn thp_migration() -> bool {
        false
    }

    /// LPAE alone selects it.
    fn frees_tables_by_rcu<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.backend.format.lpae && k.options.rcu_table_free
    }

    fn freed_leaf_table<W: Watch>(k: &Kernel<Self, W>, va: u64) -> Option<(u64, u64)> {
        user::freed_leaf_table(k, va)
    }

    fn first_user_address<W: Watch>(_k: &Kernel<Self, W>) -> u64 {
        user::FIRST_USER_ADDRESS
    }

    /// With LPAE the pmd table of the highest gigabyte of user space has the modules, too.
    fn user_pgtables_ceiling<W: Watch>(k: &Kernel<Self, W>) -> u64 {
        if k.backend.format.lpae { k.geometry().layout.task_size } else { 0 }
    }

    /// Neither `HAVE_MOVE_PMD` nor `HAVE_MOVE_PUD`.
    fn moves_tables<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
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

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        Laws { needs_barrier: true, dsb_completes: true, fault_repairs: true, sync_to_end: true, ..Laws::coherent(k) }
    }

    /// Numbers are only ever compared with init_mm's: who has caught up, and whether a new process has.
    fn digest(&self, mut h: &mut dyn Hasher, _names: &dyn Naming) {
        (self.seq == 0).hash(&mut h);
        let current = self.mm_seq.iter().enumerate().filter(|(_, seq)| **seq == self.seq);
        current.for_each(|(mm, _)| mm.hash(&mut h));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::digest_of;

    #[test]
    fn who_has_caught_up_is_part_of_a_state_and_how_often_is_not() {
        let with = |seq, mm_seq| digest_of(&ArmBackend { format: Arm { lpae: false }, seq, mm_seq });
        assert_ne!(with(2, vec![0, 2]), with(2, vec![0, 1]));
        assert_ne!(with(0, vec![]), with(2, vec![]));
        assert_eq!(with(2, vec![0, 2]), with(5, vec![0, 5]));
        assert_eq!(with(5, vec![0, 1]), with(5, vec![0, 4]));
    }
}
