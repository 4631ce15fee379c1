//! `struct mmu_gather` (`mm/mmu_gather.c`): what was unmapped is invalidated first and freed after that.

use crate::backend::Backend;
use crate::event::codes::Tlbi;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Kernel, Watch};
use crate::machine::{MmId, Unlinked};
use crate::stop::{Run, Step};

/// `MMU_GATHER_BUNDLE`: pages that a gather keeps in itself.
const BUNDLE: u64 = 8;
/// Pages of all batches together, roughly (`MAX_GATHER_BATCH_COUNT`).
const MOST_PAGES: u64 = 10_000;

/// The part of a gather that a flush looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    pub mm: MmId,
    /// The whole address space goes away.
    pub full: bool,
    pub start: u64,
    pub end: u64,
    pub freed_tables: bool,
    /// Levels at which entries were cleared, the lowest first: pte, pmd, pud, p4d.
    pub cleared: [bool; 4],
    /// The level of the leaves it holds, where those of one gather are all alike.
    pub page: Option<Level>,
}

impl Stale {
    /// `tlb_get_unmap_size`: the level whose entries were cleared, the lowest of several.
    #[must_use]
    pub fn level(&self) -> Level {
        let lowest = self.cleared.iter().position(|cleared| *cleared);
        lowest.and_then(|n| Level::from_number(n as u8 + 1)).unwrap_or(Level::Pte)
    }

    fn any(&self) -> bool {
        self.freed_tables || self.cleared != [false; 4]
    }
}

#[derive(Clone, Debug, Default)]
struct Pages {
    /// Folio and number of its references; 0 stands for the next table of those that do not wait for RCU.
    items: Vec<(u64, u64)>,
    used: u64,
    max: u64,
    /// The page that holds the batch.
    page: Option<u64>,
}

/// A gather at work.
#[derive(Clone, Debug)]
pub struct Gather {
    pub(crate) stale: Stale,
    batches: Vec<Pages>,
    active: usize,
    tables: Vec<Unlinked>,
    /// The page that holds the batch of tables.
    table_batch: Option<u64>,
    /// Dirty file pages whose mapping is still counted (`tlb_delay_rmap`).
    delayed_rmap: bool,
}

impl Gather {
    const fn reset(&mut self) {
        let Stale { mm, full, page, .. } = self.stale;
        self.stale = Stale { mm, full, start: u64::MAX, end: 0, freed_tables: false, cleared: [false; 4], page };
    }

    /// `__tlb_adjust_range`.
    fn widen(&mut self, start: u64, bytes: u64) {
        self.stale.start = self.stale.start.min(start);
        self.stale.end = self.stale.end.max(start + bytes);
    }

    /// `__tlb_adjust_range`, and the level.
    pub(crate) fn note(&mut self, level: Level, start: u64, bytes: u64) {
        self.widen(start, bytes);
        let n = usize::from(level.number()) - 1;
        if let Some(cleared) = self.stale.cleared.get_mut(n) {
            *cleared = true;
        }
    }

    /// A dirty file page was unmapped: its mapping is given up only behind the flush.
    pub(super) const fn delay_rmap(&mut self) {
        self.delayed_rmap = true;
    }

    pub(super) const fn rmaps_flushed(&mut self) {
        self.delayed_rmap = false;
    }
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `tlb_gather_mmu`, `tlb_gather_mmu_fullmm`.
    pub(super) fn tlb_gather(&mut self, mm: MmId, full: bool) -> Gather {
        let (start, end, cleared) = (u64::MAX, 0, [false; 4]);
        let stale = Stale { mm, full, start, end, freed_tables: false, cleared, page: None };
        let local = Pages { max: BUNDLE, ..Pages::default() };
        Gather { stale, batches: vec![local], active: 0, tables: Vec::new(), table_batch: None, delayed_rmap: false }
    }

    /// Entries of a page-sized array behind a header of two or three words.
    fn batch_capacity(&self, header: u64) -> u64 {
        let word = u64::from(self.geometry().long_bits) / 8;
        (self.geometry().page_size() - header) / word
    }

    /// `__tlb_remove_folio_pages`. True: there is no room for more, flush now.
    pub(super) fn tlb_remove_pages(&mut self, gather: &mut Gather, folio: u64, refs: u64) -> Run<bool> {
        if !B::gathers_pages() {
            self.put_folio(folio, refs)?;
            return Ok(false);
        }
        let Gather { batches, active, .. } = gather;
        let batch = &mut batches[*active];
        batch.items.push((folio, refs));
        batch.used += if refs > 1 { 2 } else { 1 };
        if batch.used < batch.max - 1 {
            return Ok(false);
        }
        Ok(!self.tlb_next_batch(gather)?)
    }

    fn tlb_next_batch(&mut self, gather: &mut Gather) -> Run<bool> {
        if gather.delayed_rmap && gather.active > 0 {
            return Ok(false);
        }
        if gather.active + 1 < gather.batches.len() {
            gather.active += 1;
            return Ok(true);
        }
        let pointer = u64::from(self.geometry().long_bits) / 8;
        let max = self.batch_capacity(pointer + 8);
        if gather.batches.len() as u64 > MOST_PAGES / max {
            return Ok(false);
        }
        // GFP_NOWAIT, inside the lazy section.
        let Some(page) = self.alloc_page()? else { return Ok(false) };
        gather.batches.push(Pages { max, page: Some(page), ..Pages::default() });
        gather.active += 1;
        Ok(true)
    }

    /// A page that is no table.
    pub(crate) fn alloc_page(&mut self) -> Run<Option<u64>> {
        use crate::memory::{FrameError, Zone};
        // One page, as leaf tables are everywhere; roots may have several.
        match self.alloc_frame(Level::Pte, u64::MAX, Zone::Low)? {
            Ok(pa) => {
                self.emit(Event { addr: pa, ..Event::of(Kind::ALLOC) })?;
                Ok(Some(pa))
            }
            Err(error) => {
                let injected = u32::from(error == FrameError::Injected);
                self.emit(Event::of(Kind::ALLOC_FAIL).aux(injected))?;
                Ok(None)
            }
        }
    }

    fn free_page(&mut self, pa: u64) -> Step {
        self.machine.frames.free(pa);
        self.emit(Event { addr: pa, ..Event::of(Kind::FREE) })
    }

    /// `tlb_end_vma`: at the end of each area, unless the architecture merges them or tears everything down.
    pub(super) fn tlb_end_vma(&mut self, gather: &mut Gather, pfnmap: bool) -> Step {
        if !gather.stale.full && (pfnmap || !B::merges_vmas()) { self.tlb_flush_only(gather) } else { Ok(()) }
    }

    /// `tlb_flush_mmu_tlbonly`.
    pub(super) fn tlb_flush_only(&mut self, gather: &mut Gather) -> Step {
        if gather.stale.any() {
            let stale = gather.stale;
            B::tlb_flush(self, &stale)?;
            gather.reset();
        }
        Ok(())
    }

    /// `tlb_flush_mmu`: invalidate, then hand tables to RCU, then free pages.
    pub(super) fn tlb_flush_mmu(&mut self, gather: &mut Gather) -> Step {
        self.tlb_flush_only(gather)?;
        self.tlb_table_flush(gather)?;
        let mut tables = std::mem::take(&mut gather.tables).into_iter();
        for n in 0..gather.batches.len() {
            let items = std::mem::take(&mut gather.batches[n].items);
            gather.batches[n].used = 0;
            for (folio, refs) in items {
                match refs {
                    0 => tables.next().map_or(Ok(()), |table| self.free_unlinked(table))?,
                    refs => self.put_folio(folio, refs)?,
                }
            }
        }
        gather.active = 0;
        Ok(())
    }

    /// `tlb_change_page_size`: leaves of this level come now.
    pub(super) fn tlb_change_page_size(&mut self, gather: &mut Gather, level: Level) -> Step {
        if !B::gathers_one_size() {
            return Ok(());
        }
        if !gather.stale.full && gather.stale.page.is_some_and(|page| page != level) {
            self.tlb_flush_mmu(gather)?;
        }
        gather.stale.page = Some(level);
        Ok(())
    }

    /// `tlb_finish_mmu`.
    pub(super) fn tlb_finish(&mut self, gather: &mut Gather) -> Step {
        self.tlb_flush_mmu(gather)?;
        for batch in gather.batches.split_off(1) {
            if let Some(page) = batch.page {
                self.free_page(page)?;
            }
        }
        Ok(())
    }

    /// References of a folio are given back; with the last one it is freed.
    pub(super) fn put_folio(&mut self, folio: u64, refs: u64) -> Step {
        match self.machine.folios.put(folio, refs) {
            Some(folio) => {
                let pages = (folio.bytes / self.geometry().page_size()) as u32;
                self.emit(Event { addr: folio.start, ..Event::of(Kind::FREE).aux(pages) })
            }
            None => Ok(()),
        }
    }

    /// `pte_free_tlb`, `pmd_free_tlb`, `pud_free_tlb`: the table below an entry that has just been cleared.
    pub(super) fn free_table_tlb(&mut self, gather: &mut Gather, table: Unlinked) -> Step {
        let page = self.geometry().page_size();
        let level = Level::from_number(table.level.number() + 1).unwrap_or(Level::Pgd);
        gather.note(level, table.va, page);
        gather.stale.freed_tables = true;
        if table.level == Level::Pte
            && let Some((start, bytes)) = B::freed_leaf_table(self, table.va)
        {
            gather.widen(start, bytes);
        }
        B::table_unlinked(self, MmId(table.mm), table.level, table.pa)?;
        if table.level > Level::Pte && B::frees_upper_tables_at_once() {
            return self.free_unlinked(table);
        }
        self.tlb_remove_table(gather, table)
    }

    /// `tlb_remove_table`. Without RCU it is `tlb_remove_page`.
    fn tlb_remove_table(&mut self, gather: &mut Gather, table: Unlinked) -> Step {
        if !B::frees_tables_by_rcu(self) {
            gather.tables.push(table);
            let full = self.tlb_remove_pages(gather, table.pa, 0)?;
            return if full { self.tlb_flush_mmu(gather) } else { Ok(()) };
        }
        if gather.table_batch.is_none() {
            match self.alloc_page()? {
                Some(page) => gather.table_batch = Some(page),
                None => {
                    // No room to remember it: flush, interrupt everybody who may be walking, free.
                    self.tlb_table_invalidate(gather)?;
                    self.interrupt_others()?;
                    return self.free_unlinked(table);
                }
            }
        }
        gather.tables.push(table);
        let pointer = u64::from(self.geometry().long_bits) / 8;
        if gather.tables.len() as u64 == self.batch_capacity(3 * pointer) {
            self.tlb_table_flush(gather)?;
        }
        Ok(())
    }

    fn tlb_table_invalidate(&mut self, gather: &mut Gather) -> Step {
        if B::needs_table_invalidate() { self.tlb_flush_only(gather) } else { Ok(()) }
    }

    /// `tlb_table_flush`.
    fn tlb_table_flush(&mut self, gather: &mut Gather) -> Step {
        if gather.tables.is_empty() || !B::frees_tables_by_rcu(self) {
            return Ok(());
        }
        self.tlb_table_invalidate(gather)?;
        let tables = std::mem::take(&mut gather.tables);
        self.emit(Event { old: tables.len() as u64, ..Event::of(Kind::CALL_RCU) })?;
        self.machine.folios.rcu.extend(tables);
        if let Some(page) = gather.table_batch.take() {
            self.machine.folios.rcu.push(Unlinked { pa: page, level: Level::Pgd, va: u64::MAX, mm: 0 });
        }
        Ok(())
    }

    /// `tlb_remove_table_sync_one`.
    fn interrupt_others(&mut self) -> Step {
        let others = self.machine.cpus.len() as u32 - 1;
        if others > 0 { self.emit(Event::of(Kind::IPI).aux(others)) } else { Ok(()) }
    }

    /// A table page goes back to the allocator, unless an interrupt in the middle of the operation has freed it.
    pub(super) fn free_unlinked(&mut self, table: Unlinked) -> Step {
        if table.va == u64::MAX {
            return self.free_page(table.pa);
        }
        let Some(id) = self.machine.memory.at(table.pa) else { return Ok(()) };
        self.machine.memory.remove(id);
        self.machine.frames.free(table.pa);
        self.emit(Event { mm: table.mm, ..Event::of(Kind::FREE).at(table.level, table.va, table.pa) })
    }

    /// The grace period is over: what was handed to RCU is freed.
    pub fn rcu_quiescent(&mut self) -> Step {
        if self.machine.folios.rcu.is_empty() {
            return Ok(());
        }
        let tables = std::mem::take(&mut self.machine.folios.rcu);
        tables.into_iter().try_for_each(|table| self.free_unlinked(table))
    }

    /// Where the invalidation of user addresses has to be done: on this CPU, and on how many others.
    pub(crate) fn runs_mm(&self, mm: MmId) -> (bool, u32) {
        let here = self.machine.cpu(self.cpu()).active_mm == mm;
        let all = self.machine.cpus.iter().filter(|cpu| cpu.active_mm == mm).count() as u32;
        (here, all - u32::from(here))
    }

    /// An invalidation of user addresses.
    pub(crate) fn user_tlbi(&mut self, mm: MmId, range: (u64, u64), count: u64, last_level: bool, code: Tlbi) -> Step {
        let event = Event { level: u8::from(last_level), old: count, mm: mm.0, ..Event::of(Kind::TLBI) };
        self.emit(event.range(range.0, range.1).aux(code as u32))
    }
}
