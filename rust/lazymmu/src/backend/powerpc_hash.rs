//! powerpc with the hash MMU: the tables are software's own, and a fault puts what they say into the hash table. What is
//! removed from the tables has to be removed there too: at once, or in lazy mode by batches of 192.
//!
//! `arch/powerpc/{mm/book3s64/hash_{tlb,4k}.c,include/asm/book3s/64/{hash*,tlbflush-hash}.h}` of 6.12; the context switch
//! follows a description of `__switch_to`, not the source. In 7.x the task's counters are the mode, and a flush in the
//! middle of a section works.
//!
//! Not modelled: the hash table as such, so which slot of which group an entry takes (slot 0 here), eviction from a full
//! group, and stale entries after a plain `set_pte` over a hashed entry; invalidation by this CPU only where an address space
//! never left it; 4K subpages of 64K pages; subpage protection; segments (a segment table miss never fails).

use std::hash::{Hash, Hasher};

use super::{Backend, Info, Naming, Registration, new_root, powerpc};
use crate::descriptor::Format;
use crate::descriptor::powerpc::{ACCESSED, DIRTY, INVALID, PRESENT, PTE, PowerPc, WRITE};
use crate::event::codes::{Access, FlushReason, Handler, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::scheme::{LazyApi, Options};
use crate::stop::{Run, Step};
use crate::walk::Stale;

pub static REGISTRATION: Registration = Registration::of::<PowerPcHash>();

/// `PPC64_TLB_BATCH_NR`.
const BATCH: u64 = 192;
/// User segments are 256 MiB below this address and 1 TiB above it.
const HIGH_USER: u64 = 1 << 40;

/// `struct ppc64_tlb_batch` of a CPU.
#[derive(Clone, Copy, Debug, Hash)]
struct Batch {
    active: bool,
    index: u64,
    mm: MmId,
    /// In segments of 1 TiB.
    large: bool,
    low: u64,
    end: u64,
}

impl Batch {
    const EMPTY: Batch = Batch { active: false, index: 0, mm: INIT_MM, large: false, low: 0, end: 0 };
}

/// The hash backend.
#[derive(Clone, Debug)]
pub struct PowerPcHash {
    format: PowerPc,
    batches: Vec<Batch>,
}

fn batch<W: Watch>(k: &mut Kernel<PowerPcHash, W>) -> &mut Batch {
    let cpu = usize::from(k.cpu().0);
    &mut k.backend.batches[cpu]
}

fn counted<W: Watch>(k: &Kernel<PowerPcHash, W>) -> bool {
    k.options.lazy_api == LazyApi::Counted
}

/// Whether invalidations are collected now.
fn batching<W: Watch>(k: &mut Kernel<PowerPcHash, W>) -> bool {
    if counted(k) { k.lazy_active() } else { batch(k).active }
}

fn invalidate<W: Watch>(
    k: &mut Kernel<PowerPcHash, W>,
    mm: MmId,
    start: u64,
    end: u64,
    count: u64,
    code: Tlbi,
) -> Step {
    k.emit(Event { old: count, mm: mm.0, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
}

/// `__flush_tlb_pending`: one entry by itself, more as a range of the batch.
fn flush<W: Watch>(k: &mut Kernel<PowerPcHash, W>, reason: FlushReason) -> Step {
    let Batch { index, mm, low, end, .. } = *batch(k);
    batch(k).index = 0;
    k.emit(Event { mm: mm.0, ..Event::of(Kind::FLUSH).change(index, 1).aux(reason as u32) })?;
    let code = if index == 1 { Tlbi::Hpte } else { Tlbi::HpteRange };
    invalidate(k, mm, low, end, index, code)
}

fn flush_if_any<W: Watch>(k: &mut Kernel<PowerPcHash, W>, reason: FlushReason) -> Step {
    if batch(k).index > 0 { flush(k, reason) } else { Ok(()) }
}

/// `hpte_need_flush`: the entry had a hash entry.
fn need_flush<W: Watch>(k: &mut Kernel<PowerPcHash, W>, mm: MmId, va: u64) -> Step {
    let page = k.geometry().page_size();
    let start = va & !(page - 1);
    let end = start.wrapping_add(page);
    let large = k.geometry().is_kernel(start) || start >= HIGH_USER;
    if !batching(k) {
        return invalidate(k, mm, start, end, 1, Tlbi::Hpte);
    }
    let now = *batch(k);
    if now.index != 0 && (now.mm != mm || now.large != large) {
        flush(k, FlushReason::Other)?;
    }
    let batch = batch(k);
    if batch.index == 0 {
        *batch = Batch { mm, large, low: start, end, ..*batch };
    }
    batch.index += 1;
    batch.low = batch.low.min(start);
    batch.end = batch.end.max(end);
    let index = batch.index;
    k.emit(Event { old: index, mm: mm.0, ..Event::of(Kind::DEFER_TLBI).range(start, end) })?;
    if self::batch(k).index >= BATCH { flush(k, FlushReason::Full) } else { Ok(()) }
}

/// `pte_update`: an atomic change; what had a hash entry loses it.
fn update<W: Watch>(k: &mut Kernel<PowerPcHash, W>, entry: Entry<'_>, clear: u64, set: u64, why: Store) -> Run<u64> {
    let old = entry.word();
    k.store(entry, (old & !clear) | set, why)?;
    if old & k.backend.format.hashpte() != 0 {
        need_flush(k, entry.mm, entry.va)?;
    }
    Ok(old)
}

impl Backend for PowerPcHash {
    type Format = PowerPc;
    const INFO: Info = Info {
        name: "powerpc-hash",
        about: "hash entries of what is unmapped are invalidated at once, in lazy sections in batches of 192",
        order: 80,
        geometries: &["powerpc-hash-64k", "powerpc-hash-4k"],
        machines: &["ppc64le", "ppc64"],
        shown: &["dsb", "tlbi", "flushes", "repairs"],
        // TLBI is the removal of a hash entry with its tlbie; a repair is a hash fault.
        weights: &[
            ("stores", 2.0),
            ("dsb", 100.0),
            ("tlbi", 400.0),
            ("flushes", 100.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("repairs", 600.0),
            ("switches", 900.0),
        ],
    };

    fn new(geometry: &Geometry, _options: &Options, cpus: usize) -> PowerPcHash {
        PowerPcHash { format: PowerPc::new(geometry, false), batches: vec![Batch::EMPTY; cpus.max(1)] }
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

    /// `set_ptes`: what is set says nothing of a hash entry.
    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let word = word & !k.backend.format.hpteflags();
        powerpc::set_pte(k, entry, word, why)
    }

    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        update(k, entry, u64::MAX, 0, Store::Clear).map(|_| ())
    }

    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        update(k, entry, u64::MAX, 0, Store::GetAndClear)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        let word = word & !k.backend.format.hpteflags();
        super::try_set(k, entry, word | PTE)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    /// Selected for the radix MMU's sake: the hash table has no large pages of the vmalloc space.
    fn huge_vmalloc<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
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
        flush_if_any(k, FlushReason::Leave)?;
        batch(k).active = false;
        k.preempt_enable();
        Ok(())
    }

    fn lazy_flush<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if counted(k) { flush_if_any(k, FlushReason::Hook) } else { Ok(()) }
    }

    /// Nothing: what had a hash entry was invalidated when it was cleared.
    fn flush_tlb_kernel_range<W: Watch>(_k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Step {
        Ok(())
    }

    fn flush_cache_vmap<W: Watch>(k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Step {
        powerpc::ptesync(k)
    }

    /// `__switch_to` up to v6.19: the batch is flushed and put away, and the task remembers that it had one.
    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, prev: TaskId) -> Step {
        if counted(k) || !batch(k).active {
            return Ok(());
        }
        k.machine.task_mut(prev).flags.updates = true;
        flush_if_any(k, FlushReason::Switch)?;
        batch(k).active = false;
        Ok(())
    }

    fn switch_in<W: Watch>(k: &mut Kernel<Self, W>, next: TaskId) -> Step {
        if !counted(k) && std::mem::take(&mut k.machine.task_mut(next).flags.updates) {
            batch(k).active = true;
        }
        Ok(())
    }

    #[inline]
    fn root_for<W: Watch>(k: &Kernel<Self, W>, mm: MmId, va: u64) -> Option<MmId> {
        powerpc::root_for(k, mm, va)
    }

    /// `__hash_page_4K`, `__hash_page_64K`: the first use of a page, or the first write to it, faults.
    fn used<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64, word: u64, access: Access) -> Run<u64> {
        let hashpte = k.backend.format.hashpte();
        let dirty = if access == Access::Write { DIRTY } else { 0 };
        if word & (hashpte | dirty) == hashpte | dirty {
            return Ok(word);
        }
        let event = Event::of(Kind::FAULT).at(Level::Pte, va, 0).aux(access as u32 | (Handler::HashPage as u32) << 8);
        k.emit(Event { mm: mm.0, old: word, ..event })?;
        let mut table = k.open_root(mm);
        while table.level != Level::Pte {
            let index = k.geometry().index(table.level, va);
            table = k.open_below(Entry::new(table.view(), index, va, mm))?;
        }
        let index = k.geometry().index(Level::Pte, va);
        let entry = Entry::new(table.view(), index, va, mm);
        // A compare-and-exchange: what another CPU has changed meanwhile counts.
        let now = entry.word();
        if !Format::walkable(&k.format(), Level::Pte, now) {
            return Ok(now);
        }
        let wanted = now | hashpte | ACCESSED | dirty;
        k.store(entry, wanted, Store::Hash)?;
        Ok(wanted)
    }

    /// `ptep_set_wrprotect` of each.
    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        for n in 0..count {
            let at = k.entry_behind(first, n);
            if at.word() & WRITE != 0 {
                update(k, at, WRITE, 0, Store::Protect)?;
            }
        }
        Ok(())
    }

    /// What is hashed loses its hash entry, young or not.
    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        if k.read(entry)? & (ACCESSED | k.backend.format.hashpte()) == 0 {
            return Ok(false);
        }
        let old = update(k, entry, ACCESSED, 0, Store::Young)?;
        Ok(old & ACCESSED != 0)
    }

    /// Present for software, not for the hash fault.
    fn modify_prot_start<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        powerpc::modify_prot_start(k, first, count, |k, at| update(k, at, PRESENT, INVALID, Store::Invalidate))
    }

    /// `hash__ptep_set_access_flags`: bits are only added, and the next hash fault takes them over.
    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        let ignored = k.backend.format.hpteflags();
        powerpc::set_access_flags(k, entry, word, ignored)
    }

    fn merges_vmas() -> bool {
        true
    }

    /// `arch_supports_page_table_move`: entries of the hash table are found by address.
    fn moves_tables<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }

    /// `tlb_needs_table_invalidate`: no hardware walks the tables.
    fn needs_table_invalidate() -> bool {
        false
    }

    /// `hash__tlb_flush`: all other invalidations are done when entries change.
    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, _stale: &Stale) -> Step {
        flush_if_any(k, FlushReason::Issue)
    }

    /// An empty batch remembers nothing.
    fn digest(&self, mut h: &mut dyn Hasher, _names: &dyn Naming) {
        for batch in &self.batches {
            batch.active.hash(&mut h);
            (batch.index > 0).then_some(batch).hash(&mut h);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::digest_of;

    #[test]
    fn what_waits_in_a_batch_is_part_of_a_state() {
        let format = PowerPc { page_shift: 16, radix: false, index_bits: [8, 10, 10] };
        let with = |batch: Batch| digest_of(&PowerPcHash { format, batches: vec![Batch::EMPTY, batch] });
        let one = Batch { active: true, index: 1, mm: MmId(1), low: 0x1_0000, end: 0x2_0000, large: true };
        let others = [
            Batch { active: false, ..one },
            Batch { index: 2, ..one },
            Batch { mm: MmId(2), ..one },
            Batch { low: 0, ..one },
            Batch { end: 0x3_0000, ..one },
        ];
        for other in others {
            assert_ne!(with(one), with(other), "{other:?}");
        }
        // What is left of one that was flushed is read by nobody.
        assert_eq!(with(Batch { index: 0, ..one }), with(Batch { active: true, ..Batch::EMPTY }));
    }
}
