//! Who used what: the walks that clear the accessed bit (`mm/vmscan.c`, `mm/rmap.c`). None of them flushes the gather's
//! way; a stale accessed bit costs a wrong guess.

use super::{Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::Site;
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::Run;
use crate::walk::Walked;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `walk_pte_range` of the multi-generational LRU over a range; returns how many entries were young.
    pub fn walk_young(&mut self, mm: MmId, start: u64, end: u64) -> Walked {
        let mut young = 0;
        self.each_user_pmd(mm, start, end, &mut |k, pmd, next| {
            if k.look_at_pmd(pmd)? == Pmd::Table {
                young += k.walk_pte_range(pmd, next)?;
            }
            Ok(())
        })?;
        Ok((young, crate::modmask::ModMask::NONE))
    }

    /// The lock is only tried for, and nobody holds it.
    fn walk_pte_range(&mut self, pmd: Entry<'_>, end: u64) -> Run<i64> {
        let table = self.open_below(pmd)?;
        let slot = self.pte_map_lock(&table)?;
        self.pte_begin(Site::WalkPteRange)?;
        let page = self.geometry().page_size();
        let index = self.geometry().index(Level::Pte, pmd.va);
        let first = Entry::new(table.view(), index, pmd.va, pmd.mm);
        let mut young = 0;
        for n in 0..(end - pmd.va) / page {
            let at = self.entry_behind(first, n);
            let word = B::ptep_get(self, at)?;
            let format = self.format();
            // What nobody used is passed over, if nobody else is asked (`get_pte_pfn`).
            let used = format.present(Level::Pte, word) && helpers(&format).young(word);
            if used && !self.is_special(word) {
                young += i64::from(B::test_and_clear_young(self, at)?);
            }
        }
        self.pte_end(Site::WalkPteRange)?;
        self.pte_unmap_unlock(&table, slot)?;
        Ok(young)
    }

    /// `ptep_clear_flush_young` of one address, under its lock: 1 if it was young.
    pub fn clear_flush_young(&mut self, mm: MmId, va: u64) -> Walked {
        let none = crate::modmask::ModMask::NONE;
        let Some(table) = self.leaf_table_of(mm, va)? else { return Ok((0, none)) };
        let slot = self.pte_map_lock(&table)?;
        let at = Entry::new(table.view(), self.geometry().index(Level::Pte, va), va, mm);
        let word = B::ptep_get(self, at)?;
        let young = self.format().present(Level::Pte, word) && B::clear_flush_young(self, at)?;
        self.pte_unmap_unlock(&table, slot)?;
        Ok((i64::from(young), none))
    }

    /// The leaf table of an address, if there is one.
    pub(super) fn leaf_table_of(&mut self, mm: MmId, va: u64) -> Run<Option<crate::memory::Table>> {
        let Some(table) = self.user_lookup(mm, va, Level::Pmd)? else { return Ok(None) };
        let pmd = self.pmd_of(&table, mm, va);
        if self.look_at_pmd(pmd)? != Pmd::Table {
            return Ok(None);
        }
        self.open_below(pmd).map(Some)
    }
}
