//! What all x86 backends share: store order, TLB maintenance, table freeing and the two sync functions.

pub mod cpa;
pub mod pti;
pub mod user;

use super::Backend;
use crate::check::Laws;
use crate::descriptor::x86::{Width, X86};
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::scheme::Options;
use crate::stop::{Run, Step};

pub(super) const LOW: u64 = 0xffff_ffff;

/// `tlb_single_page_flush_ceiling`.
pub(super) const SINGLE_PAGE_FLUSH_CEILING: u64 = 33;

pub(super) fn format(geometry: &Geometry, options: &Options) -> X86 {
    let width = match (geometry.long_bits, geometry.entry_bytes) {
        (64, _) => Width::Long,
        (_, 8) => Width::Pae,
        _ => Width::TwoLevel,
    };
    let pti = options.x86_pti && width != Width::TwoLevel;
    X86 { width, global: options.x86_global && !pti, five_level: geometry.levels == 5, pti_config: true }
}

/// `native_set_pte`. PAE writes the high half first, so that P never meets a wrong address.
#[inline]
pub(super) fn native_set_pte<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    why: Store,
) -> Step {
    if k.format().width == Width::Pae {
        k.store(entry, (entry.word() & LOW) | (word & !LOW), why)?;
    }
    k.store(entry, word, why)
}

/// `native_pte_clear` and `native_pmd_clear`. PAE clears the low half, which holds P, first.
#[inline]
pub(super) fn native_clear<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    why: Store,
) -> Step {
    if k.format().width == Width::Pae {
        k.store(entry, entry.word() & !LOW, why)?;
    }
    k.store(entry, 0, why)
}

/// `native_set_pmd` and above: one store, or one atomic exchange.
pub(super) fn native_set_entry<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    why: Store,
) -> Step {
    match why {
        // pXd_set_huge goes through set_pte.
        Store::Huge => native_set_pte(k, entry, word, why),
        Store::Clear | Store::ClearBad if entry.level() == Level::Pmd => native_clear(k, entry, why),
        _ => k.store(entry, word, why),
    }
}

/// `flush_tlb_kernel_range`: INVLPG page by page up to a ceiling, then everything, on all CPUs.
pub(super) fn flush_tlb_kernel_range<B: Backend, W: Watch>(k: &mut Kernel<B, W>, start: u64, end: u64) -> Step {
    let page = k.geometry().page_size();
    let event = if end - start > SINGLE_PAGE_FLUSH_CEILING * page {
        Event { old: 1, ..Event::of(Kind::TLBI).range(start, end).aux(Tlbi::InvlpgAll as u32) }
    } else {
        let pages = (end - start).div_ceil(page);
        Event { old: pages, ..Event::of(Kind::TLBI).range(start, end).aux(Tlbi::Invlpg as u32) }
    };
    send_ipis(k)?;
    k.emit(event)
}

/// The other CPUs are interrupted to run the same invalidation.
pub(super) fn send_ipis<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Step {
    let others = k.machine.cpus.len() as u32 - 1;
    if others > 0 { k.emit(Event::of(Kind::IPI).aux(others)) } else { Ok(()) }
}

/// `flush_tlb_one_kernel` on this CPU.
pub(super) fn flush_tlb_one<B: Backend, W: Watch>(k: &mut Kernel<B, W>, va: u64) -> Step {
    let end = va + k.geometry().page_size();
    k.emit(Event { old: 1, ..Event::of(Kind::TLBI).range(va, end).aux(Tlbi::Invlpg as u32) })
}

/// `pmd_set_huge`, `pud_set_huge`: a linked table is not overwritten.
pub(super) fn set_huge<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    pa: u64,
    prot: Prot,
) -> Run<bool> {
    let level = entry.level();
    let old = k.read(entry)?;
    if k.format().present(level, old) && !k.format().leaf(level, old) {
        return Ok(false);
    }
    let word = k.format().huge(level, pa, prot);
    k.set_entry(entry, word, Store::Huge)?;
    Ok(true)
}

/// `pmd_free_pte_page` and `pud_free_pmd_page` of x86-64: clear, INVLPG (paging-structure caches go with it), free.
pub(super) fn free_below<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    va: u64,
) -> Run<bool> {
    let table = k.open_below(entry)?;
    let lower = |k: &mut Kernel<B, W>, table: &crate::memory::Table| -> Run<Vec<(usize, u64)>> {
        let mut found = Vec::new();
        for index in 0..table.len() {
            let word = k.read(Entry::new(table.view(), index, va, entry.mm))?;
            if !k.format().none(Level::Pmd, word) {
                found.push((index, word));
            }
        }
        Ok(found)
    };
    let mut children = Vec::new();
    let mut scratch = None;
    if entry.level() == Level::Pud {
        if k.options.x86_pud_free_scratch {
            match k.alloc_page()? {
                Some(pa) => scratch = Some(pa),
                None => return Ok(false),
            }
            children = lower(k, &table)?;
            for &(index, _) in &children {
                let at = va + (index as u64) * k.geometry().size(Level::Pmd);
                k.set_entry(Entry::new(table.view(), index, at, entry.mm), 0, Store::Clear)?;
            }
        } else {
            children = lower(k, &table)?;
        }
    }
    k.set_entry(entry, 0, Store::Clear)?;
    let end = va + k.geometry().page_size() - 1;
    B::flush_tlb_kernel_range(k, va, end)?;
    for (index, word) in children {
        let at = va + (index as u64) * k.geometry().size(Level::Pmd);
        k.free_table(B::table_pa(k, Level::Pmd, word), at, entry.mm)?;
    }
    if let Some(pa) = scratch {
        k.machine.frames.free(pa);
        k.emit(Event { addr: pa, ..Event::of(Kind::FREE) })?;
    }
    k.free_table(table.pa, va, entry.mm)?;
    Ok(true)
}

/// A visit to one root by a sync function.
fn report_one<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    reference: u64,
    copied: bool,
) -> Step {
    let root = k.machine.mm(entry.mm).root_pa;
    let event = Event::of(Kind::SYNC_ONE).at(entry.level(), entry.va, root).change(word, reference);
    k.emit(Event { mm: entry.mm.0, ..event.aux(u32::from(copied)) })
}

/// `sync_global_pgds`: copies root entries that a process lacks. The end is included; nothing is ever removed.
pub(super) fn sync_global_pgds<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    start: u64,
    end: u64,
) -> Run<u64> {
    let root_level = k.geometry().root();
    let size = k.geometry().size(root_level);
    let mut copied = 0;
    let mut addr = start;
    while addr <= end {
        let reference_table = k.open_root(INIT_MM);
        let index = k.geometry().index(root_level, addr);
        let reference = k.read(Entry::new(reference_table.view(), index, addr, INIT_MM))?;
        if !k.format().none(root_level, reference) {
            for mm in k.machine.pgd_list.clone() {
                let table = k.open_root(mm);
                let entry = Entry::new(table.view(), index, addr, mm);
                let word = k.read(entry)?;
                let empty = k.format().none(root_level, word);
                if !empty && B::table_pa(k, root_level, word) != B::table_pa(k, root_level, reference) {
                    return k.bug(BugCode::SyncMismatch, addr);
                }
                if empty {
                    k.set_entry(entry, reference, Store::Sync)?;
                    copied += 1;
                }
                report_one(k, entry, word, reference, empty)?;
            }
        }
        // ALIGN(addr + 1, PGDIR_SIZE), which wraps at the top.
        match (addr + 1).checked_next_multiple_of(size) {
            Some(next) => addr = next,
            None => break,
        }
    }
    Ok(copied)
}

/// `vmalloc_sync_one`: makes the pmd entry of one root like init_mm's, in both directions.
pub(super) fn vmalloc_sync_one<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    mm: MmId,
    addr: u64,
) -> Run<u64> {
    let (mut reference_table, mut table) = (k.open_root(INIT_MM), k.open_root(mm));
    while reference_table.level != Level::Pmd {
        let level = reference_table.level;
        let index = k.geometry().index(level, addr);
        let upper = Entry::new(reference_table.view(), index, addr, INIT_MM);
        let word = k.read(upper)?;
        if !k.format().present(level, word) {
            return Ok(0);
        }
        let below = k.open_below(upper)?;
        table = k.open_below(Entry::new(table.view(), index, addr, mm))?;
        reference_table = below;
    }
    let index = k.geometry().index(Level::Pmd, addr);
    let reference = k.read(Entry::new(reference_table.view(), index, addr, INIT_MM))?;
    let entry = Entry::new(table.view(), index, addr, mm);
    let word = k.read(entry)?;
    let present = k.format().present(Level::Pmd, reference);
    let differ = k.format().present(Level::Pmd, word) != present;
    if differ {
        k.set_entry(entry, reference, Store::Sync)?;
    }
    report_one(k, entry, word, reference, differ)?;
    if present {
        let now = k.read(entry)?;
        if k.format().address(Level::Pmd, now) != k.format().address(Level::Pmd, reference) {
            return k.bug(BugCode::SyncMismatch, addr);
        }
    }
    Ok(u64::from(differ))
}

/// `vmalloc_fault`: syncs the loaded root, then looks whether there is a mapping now.
pub(super) fn vmalloc_fault<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, va: u64) -> Step {
    let mm = k.machine.cpu(k.cpu()).active_mm;
    vmalloc_sync_one(k, mm, va)?;
    let mut table = k.open_root(INIT_MM);
    while table.level != Level::Pmd {
        let index = k.geometry().index(table.level, va);
        let upper = Entry::new(table.view(), index, va, INIT_MM);
        let word = k.look(upper);
        match k.machine.memory.at(B::table_pa(k, table.level, word)) {
            Some(below) if k.format().present(table.level, word) => table = k.machine.memory.open(below),
            _ => return Ok(()),
        }
    }
    let index = k.geometry().index(Level::Pmd, va);
    let pmd = Entry::new(table.view(), index, va, INIT_MM);
    if !k.format().present(Level::Pmd, k.look(pmd)) {
        return Ok(());
    }
    let word = k.read(pmd)?;
    if k.format().leaf(Level::Pmd, word) {
        return Ok(());
    }
    let table = k.open_below(pmd)?;
    let index = k.geometry().index(Level::Pte, va);
    k.read(Entry::new(table.view(), index, va, INIT_MM)).map(|_| ())
}

/// `arch_sync_kernel_mappings` of x86-32: from `start` to the end of the vmalloc space, whatever `end` says.
pub(super) fn sync_pmds<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, start: u64) -> Run<u64> {
    let size = k.geometry().size(Level::Pmd);
    let layout = k.geometry().layout;
    let mut copied = 0;
    let mut addr = start & !(size - 1);
    while addr >= layout.task_size && addr < layout.vmalloc_end {
        for mm in k.machine.pgd_list.clone() {
            copied += vmalloc_sync_one(k, mm, addr)?;
        }
        addr += size;
    }
    Ok(copied)
}

/// The laws of 32-bit x86: a fault in the vmalloc area copies what is missing.
pub(super) fn laws_32<B: Backend<Format = X86>, W: Watch>(k: &Kernel<B, W>) -> Laws {
    Laws { fault_repairs: true, sync_to_end: true, ..Laws::coherent(k) }
}
