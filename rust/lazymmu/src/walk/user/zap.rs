//! `unmap_page_range`: entries go, their pages are kept until every TLB has forgotten them (`mm/memory.c`).

use super::batch::Ignore;
use super::free::Vma;
use super::{Gather, Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Resched, Site, Store};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{MmId, Unlinked};
use crate::memory::Table;
use crate::stop::{Run, Step};

/// What became of a leaf table's part of the range.
struct Zapped {
    /// Entries done.
    count: u64,
    /// The gather must be flushed before the lock is released.
    flush: bool,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `zap_page_range_single`: `MADV_DONTNEED`.
    pub fn zap_page_range(&mut self, mm: MmId, start: u64, end: u64) -> Step {
        let mut gather = self.tlb_gather(mm, false);
        let vma = Vma { start, end, pfnmap: false };
        let reclaim = self.options.pt_reclaim;
        self.unmap_page_range(&mut gather, mm, vma, reclaim)?;
        self.tlb_finish(&mut gather)
    }

    /// `unmap_page_range` of one area. `reclaim`: leaf tables that are emptied whole are freed.
    pub(super) fn unmap_page_range(&mut self, gather: &mut Gather, mm: MmId, vma: Vma, reclaim: bool) -> Step {
        let walk = Self::walk_of(Site::UnmapPageRange, mm, vma.start, vma.end);
        self.user_walk(walk, |k| {
            k.each_user_pmd(mm, vma.start, vma.end, &mut |k, pmd, next| {
                k.zap_pmd(gather, pmd, next, reclaim)?;
                k.resched_point(Resched::CondResched)
            })?;
            k.tlb_end_vma(gather, vma.pfnmap)?;
            Ok(0)
        })?;
        Ok(())
    }

    fn zap_pmd(&mut self, gather: &mut Gather, pmd: Entry<'_>, end: u64, reclaim: bool) -> Step {
        match self.look_at_pmd(pmd)? {
            Pmd::None => return Ok(()),
            Pmd::Huge(_) if end - pmd.va == self.geometry().size(Level::Pmd) => return self.zap_huge_pmd(gather, pmd),
            Pmd::Huge(word) => {
                let prot = self.leaf_prot(word);
                self.split_huge_pmd(pmd, prot)?;
            }
            Pmd::Table => {}
        }
        let mut start = pmd.va;
        while start != end {
            start = self.zap_pte_range(gather, pmd, start, end, reclaim)?;
            if start != end {
                self.resched_point(Resched::CondResched)?;
            }
        }
        Ok(())
    }

    /// `zap_pte_range`; returns how far it came.
    fn zap_pte_range(&mut self, gather: &mut Gather, pmd: Entry<'_>, start: u64, end: u64, reclaim: bool) -> Run<u64> {
        self.tlb_change_page_size(gather, Level::Pte)?;
        let table = self.open_below(pmd)?;
        let may_wait = self.may_give_way();
        let slot = self.pte_map_lock(&table)?;
        self.pte_begin_range(Site::ZapPteRange, &table, pmd.mm, start, end)?;
        let zapped = self.zap_ptes(gather, &table, pmd.mm, (start, end), may_wait)?;
        let page = self.geometry().page_size();
        let reached = start + zapped.count * page;
        // The whole table is empty now, and nobody can fill it while its lock is held.
        let empty = reclaim && reached == end && end - start == self.geometry().size(Level::Pmd);
        if empty {
            let lock = self.pmd_lockptr(pmd);
            self.table_lock(lock)?;
            self.set_entry(pmd, self.format().empty(Level::Pmd), Store::Clear)?;
            self.table_unlock(lock)?;
        }
        self.pte_end(Site::ZapPteRange)?;
        if zapped.flush {
            self.tlb_flush_only(gather)?;
            gather.rmaps_flushed();
        }
        self.pte_unmap_unlock(&table, slot)?;
        if zapped.flush {
            self.tlb_flush_mmu(gather)?;
        }
        if empty {
            let unlinked = Unlinked { pa: table.pa, level: Level::Pte, va: start, mm: pmd.mm.0 };
            self.free_table_tlb(gather, unlinked)?;
        }
        Ok(reached)
    }

    /// `may_wait`: another task can have the CPU behind the loop. Where it cannot, the kernel would never come further.
    fn zap_ptes(
        &mut self,
        gather: &mut Gather,
        table: &Table,
        mm: MmId,
        (start, end): (u64, u64),
        may_wait: bool,
    ) -> Run<Zapped> {
        let page = self.geometry().page_size();
        let first = Entry::new(table.view(), self.geometry().index(Level::Pte, start), start, mm);
        let count = (end - start) / page;
        let mut zapped = Zapped { count: 0, flush: false };
        while zapped.count < count {
            let at = self.entry_behind(first, zapped.count);
            let word = B::ptep_get(self, at)?;
            if self.format().none(Level::Pte, word) {
                zapped.count += 1;
                continue;
            }
            if may_wait && self.need_resched() {
                break;
            }
            if !self.format().present(Level::Pte, word) {
                B::pte_clear_not_present(self, at, gather.stale.full)?;
                zapped.count += 1;
                continue;
            }
            let left = count - zapped.count;
            let (done, full) = self.zap_present_ptes(gather, at, word, left, &mut zapped.flush)?;
            zapped.count += done;
            if full {
                zapped.flush = true;
                break;
            }
        }
        Ok(zapped)
    }

    /// `zap_present_ptes`: how many entries were done, and whether the gather is full.
    fn zap_present_ptes(
        &mut self,
        gather: &mut Gather,
        at: Entry<'_>,
        word: u64,
        limit: u64,
        flush: &mut bool,
    ) -> Run<(u64, bool)> {
        let format = self.format();
        let page = self.geometry().page_size();
        let folio = self.normal_folio(Level::Pte, word);
        let batch = self.folio_pte_batch(folio, at, word, limit, Ignore { write: true, dirty: true })?;
        let old = B::get_and_clear_full_ptes(self, at, batch.count, gather.stale.full)?;
        let Some(folio) = folio else {
            gather.note(Level::Pte, at.va, page);
            return Ok((1, false));
        };
        if B::gathers_pages() && !folio.anon && helpers(&format).dirty(old) {
            // Writers through other TLBs must stop before the page counts as clean.
            gather.delay_rmap();
            *flush = true;
        }
        gather.note(Level::Pte, at.va, batch.count * page);
        let full = self.tlb_remove_pages(gather, folio.start, batch.count)?;
        Ok((batch.count, full))
    }
}
