//! `MADV_COLD` and `MADV_FREE` (`mm/madvise.c`): pages look as if nobody had used them.

use super::{Gather, Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Resched, Site};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step};

const SWAP_CLUSTER_MAX: u32 = 32;

/// Which advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// `MADV_COLD`: not young.
    Cold,
    /// `MADV_FREE`: neither young nor dirty.
    Free,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `madvise_cold`, `madvise_free_single_vma`.
    pub fn madvise(&mut self, mm: MmId, start: u64, end: u64, advice: Advice) -> Step {
        let mut gather = self.tlb_gather(mm, false);
        self.each_user_pmd(mm, start, end, &mut |k, pmd, next| {
            let whole = next - pmd.va == k.geometry().size(Level::Pmd);
            match k.look_at_pmd(pmd)? {
                Pmd::None => return Ok(()),
                Pmd::Huge(_) if whole => k.age_huge_pmd(&mut gather, pmd, advice == Advice::Free)?,
                // The folio would have to be split; it is left as it is, as when it is locked.
                Pmd::Huge(_) => k.tlb_change_page_size(&mut gather, Level::Pmd)?,
                Pmd::Table => k.madvise_pte_range(&mut gather, pmd, next, advice)?,
            }
            k.resched_point(Resched::CondResched)
        })?;
        self.tlb_end_vma(&mut gather, false)?;
        self.tlb_finish(&mut gather)
    }

    /// `madvise_cold_or_pageout_pte_range`, `madvise_free_pte_range`.
    fn madvise_pte_range(&mut self, gather: &mut Gather, pmd: Entry<'_>, end: u64, advice: Advice) -> Step {
        self.tlb_change_page_size(gather, Level::Pte)?;
        let count = (end - pmd.va) / self.geometry().page_size();
        let mut n = 0;
        while n < count {
            n = self.madvise_ptes(gather, pmd, (n, count), advice)?;
            if n < count {
                self.resched_point(Resched::CondResched)?;
            }
        }
        Ok(())
    }

    /// The entries from one on; returns how far it came before another task waited. `MADV_COLD` asks every 32 entries or
    /// folios (`SWAP_CLUSTER_MAX`), `MADV_FREE` never.
    fn madvise_ptes(
        &mut self,
        gather: &mut Gather,
        pmd: Entry<'_>,
        (mut n, count): (u64, u64),
        advice: Advice,
    ) -> Run<u64> {
        let site = if advice == Advice::Free { Site::MadviseFreePteRange } else { Site::MadviseColdPteRange };
        let table = self.open_below(pmd)?;
        let slot = self.pte_map_lock(&table)?;
        let page = self.geometry().page_size();
        self.pte_begin_range(site, &table, pmd.mm, pmd.va + n * page, pmd.va + count * page)?;
        let index = self.geometry().index(Level::Pte, pmd.va);
        let first = Entry::new(table.view(), index, pmd.va, pmd.mm);
        let mut batch = 0;
        while n < count {
            let at = self.entry_behind(first, n);
            let word = B::ptep_get(self, at)?;
            batch += 1;
            if advice == Advice::Cold && batch == SWAP_CLUSTER_MAX {
                batch = 0;
                if self.need_resched() {
                    break;
                }
            }
            let present = self.format().present(Level::Pte, word);
            n += if present { self.age_ptes(gather, at, word, count - n, advice)? } else { 1 };
        }
        self.pte_end(site)?;
        self.pte_unmap_unlock(&table, slot)?;
        Ok(n)
    }

    /// One entry, or all of a large folio; a folio that lies in the range only in part, or that others map, is left alone.
    fn age_ptes(&mut self, gather: &mut Gather, at: Entry<'_>, word: u64, limit: u64, advice: Advice) -> Run<u64> {
        let format = self.format();
        let user = helpers(&format);
        let page = self.geometry().page_size();
        let Some(folio) = self.normal_folio(Level::Pte, word) else { return Ok(1) };
        let batch = self.folio_pte_batch(Some(folio), at, word, limit, Self::AGED)?;
        let pages = folio.bytes / page;
        let references = if folio.anon { pages } else { pages + 1 };
        if batch.count < pages || folio.refs != references {
            return Ok(batch.count);
        }
        let free = advice == Advice::Free;
        if batch.any_young || (free && batch.any_dirty) || user.young(word) {
            B::clear_young_dirty(self, at, batch.count, free)?;
            gather.note(Level::Pte, at.va, batch.count * page);
        }
        Ok(batch.count)
    }
}
