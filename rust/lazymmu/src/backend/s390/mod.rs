//! s390: an entry that hardware may use is not overwritten. IPTE makes it invalid and takes it out of the TLBs, of every CPU or
//! of this one; then the new word is stored. What was invalid is stored over.
//!
//! `arch/s390/{mm/pgtable.c,mm/pgalloc.c,include/asm/{pgtable,pgalloc,tlbflush}.h}` of 6.12. Up to 7.3 there is no lazy mode; with
//! `s390_pte_batch` there is the one that was posted in April 2026: the section's entries are kept in a cache of the CPU, and
//! at its end one IPTE makes as many neighbours invalid as there are.
//!
//! Not modelled: storage keys, guests (PGSTE, gmap, notification by IPTE), protected memory; CSP and CSPG where IDTE is missing,
//! CPUs without local TLB clearing, NX or EDAT-2, large leaves of kernel addresses; soft-dirty bits; upgrades from three levels to four
//! and five (each geometry has its own), two levels of 31-bit processes; user addresses at and above the vmalloc space (users'
//! and the kernel's spaces overlap on s390, the model tells them apart by address); `ioremap` of PCI memory without MIO.

mod pageattr;
mod user;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::{Backend, Info, Naming, PteRange, Registration, add_mm, alloc_root, new_root};
use crate::descriptor::Format;
use crate::descriptor::s390::{INVALID, PRESENT, S390};
use crate::event::codes::{FlushReason, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{SetMemory, Stale};
use user::{Contexts, exchange_direct, exchange_lazy, only_here};

pub static REGISTRATION: Registration = Registration::of::<S390Backend>();

/// `_PAGE_UNUSED`: not of a page that is set.
const UNUSED: u64 = 1 << 7;

/// What a CPU keeps of a section's entries, by place in the table.
#[derive(Clone, Debug, Hash)]
struct Cache {
    range: PteRange,
    words: BTreeMap<usize, u64>,
}

impl Cache {
    fn covers(&self, entry: &Entry<'_>) -> bool {
        let behind = entry.index.wrapping_sub(self.range.index);
        entry.level() == Level::Pte && entry.table.id == self.range.table && behind < self.range.count
    }
}

/// The s390 backend.
#[derive(Clone, Debug)]
pub struct S390Backend {
    format: S390,
    caches: Vec<Option<Cache>>,
    /// What the next section of a task is about.
    declared: BTreeMap<TaskId, PteRange>,
    contexts: Contexts,
}

type K<W> = Kernel<S390Backend, W>;

fn cache<W: Watch>(k: &mut K<W>) -> &mut Option<Cache> {
    let cpu = usize::from(k.cpu().0);
    &mut k.backend.caches[cpu]
}

/// This CPU's cache, if it is for the entry; `is_lazy_mmu_mode_active` says no in interrupts.
fn cache_for<'k, W: Watch>(k: &'k mut K<W>, entry: &Entry<'_>) -> Option<&'k mut Cache> {
    if k.in_interrupt() {
        return None;
    }
    cache(k).as_mut().filter(|cache| cache.covers(entry))
}

/// `ptep_get`.
fn get<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> u64 {
    let cached = cache_for(k, &entry).and_then(|cache| cache.words.get(&entry.index).copied());
    cached.unwrap_or_else(|| entry.word())
}

/// Whether the word went to the cache.
fn put<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Run<bool> {
    let Some(cache) = cache_for(k, &entry) else { return Ok(false) };
    cache.words.insert(entry.index, word);
    let event = k.about(Kind::QUEUE, &entry).change(entry.word(), word).aux(why as u32);
    k.emit(event)?;
    Ok(true)
}

/// IPTE of neighbours that are valid.
fn ipte<W: Watch>(k: &mut K<W>, first: Entry<'_>, count: usize, local: bool) -> Step {
    for n in 0..count {
        let entry = k.entry_behind(first, n as u64);
        k.store(entry, entry.word() | INVALID, Store::Invalidate)?;
    }
    let code = match (count, local) {
        (1, false) => Tlbi::Ipte,
        (1, true) => Tlbi::IpteLocal,
        (_, false) => Tlbi::IpteRange,
        (_, true) => Tlbi::IpteRangeLocal,
    };
    let end = first.va.wrapping_add(count as u64 * k.geometry().page_size());
    let event = Event::of(Kind::TLBI).range(first.va, end).aux(code as u32);
    k.emit(Event { old: 1, mm: first.mm.0, level: u8::from(first.mm != INIT_MM), ..event })
}

/// Writes the cache to the table, in runs of entries that were all valid or all invalid.
fn write_back<W: Watch>(k: &mut K<W>, reason: FlushReason) -> Step {
    let Some(cache) = cache(k).as_mut() else { return Ok(()) };
    let range = cache.range;
    let words: Vec<_> = std::mem::take(&mut cache.words).into_iter().collect();
    if words.is_empty() {
        return Ok(());
    }
    let table = k.machine.memory.open(range.table);
    let page = k.geometry().page_size();
    let entry = |index: usize| {
        let va = range.start.wrapping_add((index - range.index) as u64 * page);
        Entry::new(table.view(), index, va, range.mm)
    };
    let alike =
        |a: &(usize, u64), b: &(usize, u64)| a.0 + 1 == b.0 && (entry(a.0).word() ^ entry(b.0).word()) & INVALID == 0;
    let runs: Vec<_> = words.chunk_by(alike).map(|run| (run, entry(run[0].0).word() & INVALID == 0)).collect();
    let valid = runs.iter().filter(|(_, valid)| *valid).count() as u64;
    let event = Event::of(Kind::FLUSH).change(words.len() as u64, valid).aux(reason as u32);
    k.emit(Event { mm: range.mm.0, ..event })?;
    for (run, valid) in runs {
        if valid {
            let local = only_here(k, range.mm);
            ipte(k, entry(run[0].0), run.len(), local)?;
        }
        for (index, word) in run {
            k.store(entry(*index), *word, Store::Drain)?;
        }
    }
    Ok(())
}

impl Backend for S390Backend {
    type Format = S390;
    const INFO: Info = Info {
        name: "s390",
        about: "entries in use are taken out of all TLBs before they change, one by one or, with a cache, many at once",
        order: 100,
        geometries: &["s390-3level", "s390-4level", "s390-5level"],
        machines: &["s390x"],
        shown: &["queued", "tlbi", "flushes"],
        // TLBI is an IPTE: every CPU of the machine pauses.
        weights: &[
            ("stores", 1.0),
            ("queued", 2.0),
            ("tlbi", 1000.0),
            ("tlbi_all", 2000.0),
            ("flushes", 20.0),
            ("allocs", 500.0),
            ("frees", 150.0),
            ("switches", 800.0),
        ],
    };
    const TAKES_RANGES: bool = true;

    fn new(_geometry: &Geometry, options: &Options, cpus: usize) -> S390Backend {
        let format = S390::new(options.s390_present_bits);
        S390Backend {
            format,
            caches: vec![None; cpus.max(1)],
            declared: BTreeMap::new(),
            contexts: Contexts::default(),
        }
    }

    fn format(&self) -> S390 {
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

    #[inline]
    fn read<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        Ok(get(k, entry))
    }

    /// `set_ptes` does not look at what is there: it must not be in use.
    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let word = if word & PRESENT != 0 { word & !UNUSED } else { word };
        if put(k, entry, word, why)? { Ok(()) } else { k.store(entry, word, why) }
    }

    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        Self::set_pte(k, entry, INVALID, Store::Clear)
    }

    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        exchange_lazy(k, entry, INVALID, Store::GetAndClear)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        if !k.format().none(Level::Pte, get(k, entry)) {
            return Ok(false);
        }
        Self::set_pte(k, entry, word, Store::TrySet)?;
        Ok(true)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn has_lazy_mode<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.options.s390_pte_batch
    }

    /// Whether the CPU has a range.
    fn lazy_state<W: Watch>(k: &Kernel<Self, W>) -> u64 {
        u64::from(k.backend.caches[usize::from(k.cpu().0)].is_some())
    }

    fn declare_range<W: Watch>(k: &mut Kernel<Self, W>, range: Option<PteRange>) -> Option<PteRange> {
        let task = k.current();
        match range {
            Some(range) => k.backend.declared.insert(task, range),
            None => k.backend.declared.remove(&task),
        }
    }

    /// Nothing unless the section said what it is about; then `get_cpu_var`, and so no preemption.
    fn lazy_enter<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        let task = k.current();
        let Some(range) = k.backend.declared.get(&task).copied() else { return Ok(()) };
        if cache(k).is_none() {
            *cache(k) = Some(Cache { range, words: BTreeMap::new() });
            k.machine.task_mut(task).locks += 1;
        }
        Ok(())
    }

    fn lazy_leave<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        write_back(k, FlushReason::Leave)?;
        if cache(k).take().is_some() {
            k.preempt_enable();
        }
        Ok(())
    }

    /// Left and entered again.
    fn lazy_flush<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        write_back(k, FlushReason::Hook)
    }

    fn sets_memory<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn set_memory<W: Watch>(k: &mut Kernel<Self, W>, request: &SetMemory) -> Run<i64> {
        pageattr::set_memory(k, request)
    }

    /// `__tlb_flush_kernel`: everything that was made from init_mm's tables, on every CPU.
    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        k.emit(Event { old: 1, ..Event::of(Kind::TLBI).range(start, end).aux(Tlbi::Idte as u32) })
    }

    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
    }

    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        user::leave(k);
        Ok(())
    }

    /// `finish_arch_post_lock_switch`.
    fn switch_in<W: Watch>(k: &mut Kernel<Self, W>, next: TaskId) -> Step {
        let mm = k.machine.task(next).mm;
        user::tlb_flush_mm_lazy(k, mm)
    }

    fn user_huge<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn get_and_clear_full_ptes<W: Watch>(
        k: &mut Kernel<Self, W>,
        first: Entry<'_>,
        count: u64,
        full: bool,
    ) -> Run<u64> {
        user::get_and_clear_full_ptes(k, first, count, full)
    }

    fn ptep_clear_flush<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        exchange_direct(k, entry, INVALID, Store::GetAndClear)?;
        Ok(())
    }

    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        user::wrprotect_ptes(k, first, count)
    }

    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        user::test_and_clear_young(k, entry)
    }

    fn modify_prot_start<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        user::modify_prot_start(k, first, count)
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        user::set_access_flags(k, entry, word)
    }

    fn flush_tlb_fix_spurious_fault<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        user::fix_spurious_fault(k, entry)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry)
    }

    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::pmdp_set_wrprotect(k, entry, word)
    }

    fn pmdp_huge_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        user::pmdp_get_and_clear(k, entry)
    }

    fn pmdp_huge_get_and_clear_full<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, full: bool) -> Run<u64> {
        user::pmdp_get_and_clear_full(k, entry, full)
    }

    fn pmdp_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        user::pmdp_clear_young(k, entry, word)
    }

    fn table_unlinked<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, _level: Level, _pa: u64) -> Step {
        user::table_unlinked(k, mm);
        Ok(())
    }

    fn frees_tables_by_rcu<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn thp_migration() -> bool {
        false
    }

    /// Entries leave the TLBs before they change, so pages need not wait.
    fn gathers_pages() -> bool {
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
        _start: u64,
        _end: u64,
        _level: Option<Level>,
    ) -> Step {
        user::tlb_flush_mm_lazy(k, mm)
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::tlb_flush_mm_lazy(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush_mm_lazy(k, stale.mm)
    }

    fn digest(&self, mut h: &mut dyn Hasher, names: &dyn Naming) {
        self.contexts.digest(h);
        for cache in &self.caches {
            cache.is_some().hash(&mut h);
            let Some(cache) = cache else { continue };
            let PteRange { pa, mm, start, index, count, .. } = cache.range;
            (names.frame(pa), mm, start, index, count, cache.words.len()).hash(&mut h);
            for (index, word) in &cache.words {
                (index, names.word(*word)).hash(&mut h);
            }
        }
        for (task, range) in &self.declared {
            (task, names.frame(range.pa), range.mm, range.start, range.count).hash(&mut h);
        }
    }
}
