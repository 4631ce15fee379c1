//! User mappings on loongarch64 (`arch/loongarch/{kernel/smp.c,mm/{tlb,pgtable}.c,include/asm/{mmu_context,tlb}.h}` of 6.12): by
//! address-space number (ASID) on the CPUs of `mm_cpumask`, or by a new number, which old entries do not have.
//!
//! Not modelled: the end of the numbers, when every TLB is flushed and all begin anew.

use std::hash::{Hash, Hasher};

use super::{FLUSH_ALL_ABOVE, LoongarchBackend};
use crate::backend::generic;
use crate::descriptor::Format;
use crate::descriptor::loongarch::{DIRTY, PRESENT, VALID, WRITE};
use crate::event::codes::{Access, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{CpuId, INIT_MM, MmId};
use crate::stop::{Run, Step};
use crate::walk::Stale;

type K<W> = Kernel<LoongarchBackend, W>;

/// Which CPUs know an address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Known {
    /// `mm_cpumask`.
    cpus: u64,
    /// CPUs on which it has an ASID that is valid (`cpu_context`).
    asids: u64,
}

/// By address space.
#[derive(Clone, Debug, Default)]
pub(super) struct Contexts(Vec<Known>);

impl Contexts {
    fn of(&mut self, mm: MmId) -> &mut Known {
        let slot = usize::from(mm.0);
        self.0.resize(self.0.len().max(slot + 1), Known::default());
        &mut self.0[slot]
    }

    /// `switch_mm_irqs_off`.
    pub(super) fn enter(&mut self, mm: MmId, cpu: CpuId) {
        if mm != INIT_MM {
            let known = self.of(mm);
            known.cpus |= 1 << cpu.0;
            known.asids |= 1 << cpu.0;
        }
    }

    pub(super) fn digest(&self, mut h: &mut dyn Hasher) {
        for (mm, known) in self.0.iter().enumerate().filter(|(_, known)| **known != Known::default()) {
            (mm, known).hash(&mut h);
        }
    }
}

/// The machine has booted: who has what loaded.
pub(super) fn booted<W: Watch>(k: &mut K<W>) {
    for n in 0..k.machine.cpus.len() {
        let mm = k.machine.cpus[n].active_mm;
        k.backend.contexts.enter(mm, CpuId(n as u8));
    }
}

/// `drop_mmu_context`: where the address space is loaded it gets another ASID at once, elsewhere when it comes back.
fn drop_contexts<W: Watch>(k: &mut K<W>, mm: MmId, cpus: u64) {
    let loaded = k.machine.cpus.iter().enumerate().filter(|(_, cpu)| cpu.active_mm == mm);
    let loaded = loaded.fold(0_u64, |mask, (n, _)| mask | 1 << n);
    let known = k.backend.contexts.of(mm);
    known.asids &= !(cpus & !loaded);
    known.cpus &= !(cpus & !loaded);
}

/// `flush_tlb_mm`, `flush_tlb_range` and `flush_tlb_page`: `pairs` of pages, or everything.
fn flush<W: Watch>(k: &mut K<W>, mm: MmId, range: (u64, u64), pairs: Option<u64>) -> Step {
    let here = 1_u64 << k.cpu().0;
    let users = k.machine.tasks.iter().filter(|task| task.mm == mm && !task.dead).count();
    let mut cpus = k.backend.contexts.of(mm).cpus;
    if users == 1 && k.machine.task(k.current()).mm == mm {
        // Nobody else can be running it: other CPUs take a new ASID when they do.
        k.backend.contexts.of(mm).asids &= here;
        cpus = here;
    } else if cpus & !here != 0 {
        k.emit(Event { mm: mm.0, ..Event::of(Kind::IPI).aux((cpus & !here).count_ones()) })?;
    }
    let known = k.backend.contexts.of(mm);
    let valid = cpus & known.asids;
    known.cpus &= !(cpus & !valid);
    if valid == 0 {
        return Ok(());
    }
    match pairs {
        Some(pairs) if pairs <= FLUSH_ALL_ABOVE => k.user_tlbi(mm, range, pairs, false, Tlbi::InvtlbAsid),
        _ => {
            drop_contexts(k, mm, valid);
            k.user_tlbi(mm, range, 1, false, Tlbi::NewAsid)
        }
    }
}

/// `flush_tlb_range`, `flush_tlb_page`. An entry of the TLB maps a pair of pages.
pub(super) fn flush_tlb_range<W: Watch>(k: &mut K<W>, mm: MmId, (start, end): (u64, u64)) -> Step {
    let pair = 2 * k.geometry().page_size();
    flush(k, mm, (start, end), Some((end.next_multiple_of(pair) - (start & !(pair - 1))) / pair))
}

/// `flush_tlb_mm`. What nobody uses is not worth it: its ASIDs are not taken again.
pub(super) fn flush_tlb_mm<W: Watch>(k: &mut K<W>, mm: MmId) -> Step {
    if k.machine.tasks.iter().any(|task| task.mm == mm && !task.dead) {
        flush(k, mm, (0, u64::MAX), None)
    } else {
        Ok(())
    }
}

/// `tlb_flush`. The whole address space goes when it has no user any more.
pub(super) fn tlb_flush<W: Watch>(k: &mut K<W>, stale: &Stale) -> Step {
    if stale.full { Ok(()) } else { flush_tlb_range(k, stale.mm, (stale.start, stale.end)) }
}

/// `flush_tlb_all`.
fn flush_tlb_all<W: Watch>(k: &mut K<W>) -> Step {
    let others = k.machine.cpus.len() - 1;
    if others > 0 {
        k.emit(Event::of(Kind::IPI).aux(others as u32))?;
    }
    k.user_tlbi(INIT_MM, (0, u64::MAX), 1, false, Tlbi::InvtlbCurrent)
}

/// `ptep_clear_flush`: flushed if `pte_accessible`.
pub(super) fn ptep_clear_flush<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Step {
    let old = k.ptep_get_and_clear(entry)?;
    if old & PRESENT != 0 { generic::flush_page(k, entry) } else { Ok(()) }
}

/// `ptep_set_access_flags`: reads count as writes; this page is flushed.
pub(super) fn set_access_flags<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    let changed = k.read(entry)? != word;
    if changed {
        k.set_pte(entry, word, Store::Flags)?;
        generic::flush_page(k, entry)?;
    }
    Ok(changed)
}

/// `ptep_clear_flush_young`.
pub(super) fn clear_flush_young<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<bool> {
    let young = generic::test_and_clear_young(k, entry)?;
    if young {
        generic::flush_page(k, entry)?;
    }
    Ok(young)
}

/// `set_pmd_at`, whatever for: all TLBs are emptied.
pub(super) fn set_pmd_at<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
    k.store(entry, word, why)?;
    flush_tlb_all(k)
}

/// `pmdp_invalidate`, which `pmdp_invalidate_ad` is too.
pub(super) fn pmdp_invalidate<W: Watch>(k: &mut K<W>, entry: Entry<'_>) -> Run<u64> {
    let old = generic::pmdp_establish_invalid(k, entry)?;
    flush_tlb_all(k)?;
    let size = k.geometry().size(Level::Pmd);
    let start = entry.va & !(size - 1);
    flush_tlb_range(k, entry.mm, (start, start + size))?;
    Ok(old)
}

/// The page-table walker finds a page that is present: it becomes valid, and by a store that is allowed dirty.
pub(super) fn walker_updates<W: Watch>(k: &mut K<W>, mm: MmId, va: u64, access: Access) -> Step {
    let geometry = *k.geometry();
    if !geometry.accepts(va) || (mm == INIT_MM && !geometry.is_kernel(va)) {
        return Ok(());
    }
    let mut table = k.open_root(mm);
    loop {
        let entry = Entry::new(table.view(), geometry.index(table.level, va), va, mm);
        let word = entry.word();
        if k.format().leaf(table.level, word) || table.level == Level::Pte {
            let dirty = if access == Access::Write && word & WRITE != 0 { DIRTY } else { 0 };
            let used = word | VALID | dirty;
            return if word & PRESENT != 0 && used != word { k.store(entry, used, Store::Flags) } else { Ok(()) };
        }
        let below = k.format().address(table.level, word);
        match k.machine.memory.at(below) {
            Some(id) if k.format().walkable(table.level, word) => table = k.machine.memory.open(id),
            _ => return Ok(()),
        }
    }
}
