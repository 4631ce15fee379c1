//! `remap_pfn_range`: memory without folios, mapped at once (`mm/memory.c`).

use super::helpers;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, Site, Store};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::Table;
use crate::stop::{Run, errno};
use crate::walk::Walked;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `remap_pfn_range`: what was mapped before an error stays.
    pub fn remap_pfn_range(&mut self, mm: MmId, start: u64, end: u64, pa: u64, prot: Prot) -> Walked {
        let walk = Self::walk_of(Site::RemapPfnRange, mm, start, end);
        let offset = pa.wrapping_sub(start);
        let ret = self.user_walk(walk, |k| {
            let root = k.open_root(mm);
            k.remap_level(&root, mm, start, end, offset, prot)
        })?;
        Ok((ret, crate::modmask::ModMask::NONE))
    }

    fn remap_level(&mut self, table: &Table, mm: MmId, start: u64, end: u64, offset: u64, prot: Prot) -> Run<i64> {
        self.each_entry(table, mm, start, end, |k, entry, next| {
            if k.entry_none(entry)? && !k.user_alloc_below(entry)? {
                return Ok(errno::ENOMEM);
            }
            let below = k.open_below(entry)?;
            if below.level == Level::Pte {
                return k.remap_pte_range(&below, mm, entry.va, next, offset, prot);
            }
            k.remap_level(&below, mm, entry.va, next, offset, prot)
        })
    }

    /// `remap_pte_range`.
    fn remap_pte_range(&mut self, table: &Table, mm: MmId, start: u64, end: u64, offset: u64, prot: Prot) -> Run<i64> {
        let slot = self.pte_map_lock(table)?;
        self.pte_begin_range(Site::RemapPteRange, table, mm, start, end)?;
        let format = self.format();
        let page = self.geometry().page_size();
        let first = Entry::new(table.view(), self.geometry().index(Level::Pte, start), start, mm);
        for n in 0..(end - start) / page {
            let at = self.entry_behind(first, n);
            if !self.entry_none(at)? {
                return self.bug(BugCode::RemapPteLive, at.va);
            }
            let word = helpers(&format).mkspecial(format.pte(at.va.wrapping_add(offset), prot));
            self.set_pte(at, word, Store::Set)?;
        }
        self.pte_end(Site::RemapPteRange)?;
        self.pte_unmap_unlock(table, slot)?;
        Ok(0)
    }
}
