//! `move_page_tables`: mremap (`mm/mremap.c`). Where both places allow it whole tables are moved.

use super::batch::Ignore;
use super::{Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Resched, Site, Store};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::Table;
use crate::stop::{Run, Step};
use crate::walk::Walked;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `move_page_tables`; returns the bytes that were moved.
    pub fn move_page_tables(&mut self, mm: MmId, from: u64, to: u64, len: u64) -> Walked {
        let walk = Self::walk_of(Site::MovePageTables, mm, from, from + len);
        let moved = self.user_walk(walk, |k| {
            let (mut old, mut new) = (from, to);
            let end = from + len;
            while old < end {
                k.resched_point(Resched::CondResched)?;
                let Some(extent) = k.move_extent(mm, old, new, end)? else { break };
                old += extent;
                new += extent;
            }
            Ok((old - from) as i64)
        })?;
        Ok((moved, crate::modmask::ModMask::NONE))
    }

    /// `get_extent`: as far as both addresses stay below one entry of this level.
    fn extent(&self, level: Level, old: u64, new: u64, end: u64) -> u64 {
        let size = self.geometry().size(level);
        let to_next = |addr: u64| size - (addr & (size - 1));
        to_next(old).min(end - old).min(to_next(new))
    }

    /// One step; how far it goes. `None`: no memory.
    fn move_extent(&mut self, mm: MmId, old: u64, new: u64, end: u64) -> Run<Option<u64>> {
        if self.geometry().levels > 2 {
            let extent = self.extent(Level::Pud, old, new, end);
            let Some(table) = self.user_lookup(mm, old, Level::Pud)? else { return Ok(Some(extent)) };
            let from = Entry::new(table.view(), self.geometry().index(Level::Pud, old), old, mm);
            if self.none_or_clear_bad(from)? {
                return Ok(Some(extent));
            }
            let Some(target) = self.user_table(mm, new, Level::Pud)? else { return Ok(None) };
            if extent == self.geometry().size(Level::Pud) {
                let to = Entry::new(target.view(), self.geometry().index(Level::Pud, new), new, mm);
                if self.move_normal_pud(from, to)? {
                    return Ok(Some(extent));
                }
            }
        }
        let extent = self.extent(Level::Pmd, old, new, end);
        let Some(table) = self.user_lookup(mm, old, Level::Pmd)? else { return Ok(Some(extent)) };
        let from = self.pmd_of(&table, mm, old);
        if self.entry_none(from)? {
            return Ok(Some(extent));
        }
        let Some(target) = self.user_table(mm, new, Level::Pmd)? else { return Ok(None) };
        let to = self.pmd_of(&target, mm, new);
        let whole = extent == self.geometry().size(Level::Pmd);
        match self.look_at_pmd(from)? {
            Pmd::None => return Ok(Some(extent)),
            Pmd::Huge(_) if whole && self.move_huge_pmd(from, to)? => return Ok(Some(extent)),
            Pmd::Huge(word) => {
                let prot = self.leaf_prot(word);
                self.split_huge_pmd(from, prot)?;
            }
            Pmd::Table if whole && self.move_normal_pmd(from, to)? => return Ok(Some(extent)),
            Pmd::Table => {}
        }
        if self.entry_none(to)? && !self.user_alloc_below(to)? {
            return Ok(None);
        }
        let (table, target) = (self.open_below(from)?, self.open_below(to)?);
        self.move_ptes(&table, &target, mm, (old, new), extent)?;
        Ok(Some(extent))
    }

    /// `move_normal_pud`: false where the target is occupied, or tables stay where they are.
    fn move_normal_pud(&mut self, from: Entry<'_>, to: Entry<'_>) -> Run<bool> {
        if !B::moves_tables(self) || !self.entry_none(to)? {
            return Ok(false);
        }
        // The mm's own lock.
        let lock = self.machine.mm(from.mm).root_pa;
        self.table_lock(lock)?;
        let word = self.read(from)?;
        self.set_entry(from, self.format().empty(from.level()), Store::Clear)?;
        self.relink(to, word)?;
        let start = from.va;
        let end = start + self.geometry().size(Level::Pud);
        B::flush_tlb_range(self, from.mm, start, end, None)?;
        self.table_unlock(lock)?;
        Ok(true)
    }

    /// `move_normal_pmd`: false as above.
    fn move_normal_pmd(&mut self, from: Entry<'_>, to: Entry<'_>) -> Run<bool> {
        if !B::moves_tables(self) || !self.entry_none(to)? {
            return Ok(false);
        }
        let (lock, other) = (self.pmd_lockptr(from), self.pmd_lockptr(to));
        self.table_lock(lock)?;
        if other != lock {
            self.table_lock(other)?;
        }
        let word = self.read(from)?;
        self.set_entry(from, self.format().empty(from.level()), Store::Clear)?;
        self.relink(to, word)?;
        let end = from.va + self.geometry().size(Level::Pmd);
        B::flush_tlb_range(self, from.mm, from.va, end, None)?;
        if other != lock {
            self.table_unlock(other)?;
        }
        self.table_unlock(lock)?;
        Ok(true)
    }

    /// `pmd_populate`, `pud_populate` of a table that was linked elsewhere.
    fn relink(&mut self, to: Entry<'_>, word: u64) -> Step {
        let pa = B::table_pa(self, to.level(), word);
        B::table_linked(self, to, pa)?;
        let word = B::table_word(self, to.level(), pa, false);
        self.set_entry(to, word, Store::Populate)?;
        B::user_populated(self, to)
    }

    /// `move_ptes`: both locks, and the flush before they are released, for then the pages may go.
    fn move_ptes(&mut self, table: &Table, target: &Table, mm: MmId, (old, new): (u64, u64), len: u64) -> Step {
        let slot = self.pte_map_lock(table)?;
        let same = table.id == target.id;
        let target_slot = if same { self.kmap_local(target.pa)? } else { self.pte_map_lock(target)? };
        self.pte_begin_range(Site::MovePtes, table, mm, old, old + len)?;
        let page = self.geometry().page_size();
        let first = Entry::new(table.view(), self.geometry().index(Level::Pte, old), old, mm);
        let first_target = Entry::new(target.view(), self.geometry().index(Level::Pte, new), new, mm);
        let count = len / page;
        let (mut n, mut flush) = (0, false);
        while n < count {
            let from = self.entry_behind(first, n);
            let word = B::ptep_get(self, from)?;
            if self.format().none(Level::Pte, word) {
                n += 1;
                continue;
            }
            let present = self.format().present(Level::Pte, word);
            let folio = if present { self.normal_folio(Level::Pte, word) } else { None };
            let limit = if self.options.batched_user_ptes { count - n } else { 1 };
            let batch = self.folio_pte_batch(folio, from, word, limit, Ignore { write: false, dirty: true })?;
            let word = B::get_and_clear_ptes(self, from, batch.count)?;
            flush |= present;
            let to = self.entry_behind(first_target, n);
            let format = self.format();
            B::set_ptes(self, to, helpers(&format).mknoncont(word), batch.count)?;
            n += batch.count;
        }
        self.pte_end(Site::MovePtes)?;
        if flush {
            B::flush_tlb_range(self, mm, old, old + len, None)?;
        }
        if same {
            self.kunmap_local(target_slot)?;
        } else {
            self.pte_unmap_unlock(target, target_slot)?;
        }
        self.pte_unmap_unlock(table, slot)
    }
}
