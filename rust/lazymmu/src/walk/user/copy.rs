//! `copy_page_range`: fork copies what the parent maps, and takes its permission to write (`mm/memory.c`).

use super::batch::Ignore;
use super::{Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Resched, Site};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::stop::{Run, Step, errno};
use crate::walk::Walked;

/// So much progress between two looks at whether another task waits: one for an empty entry, more for another.
const BREAK_AFTER: u64 = 32;
const PRESENT_PROGRESS: u64 = 8;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `copy_page_range` of one area. `shared`: `VM_SHARED`, so nothing is write-protected.
    pub fn copy_page_range(&mut self, from: MmId, to: MmId, start: u64, end: u64, shared: bool) -> Walked {
        let walk = Self::walk_of(Site::CopyPageRange, from, start, end);
        let ret = self.user_walk(walk, |k| {
            let root = k.open_root(from);
            k.copy_level(&root, (from, to), start, end, shared)
        })?;
        Ok((ret, crate::modmask::ModMask::NONE))
    }

    /// The entries of one table above the leaf table. The child's table is made before the parent's entries are looked at.
    fn copy_level(
        &mut self,
        table: &crate::memory::Table,
        (from, to): (MmId, MmId),
        start: u64,
        end: u64,
        shared: bool,
    ) -> Run<i64> {
        let Some(copy) = self.user_table(to, start, table.level)? else {
            return Ok(errno::ENOMEM);
        };
        self.each_entry(table, from, start, end, |k, entry, next| {
            if entry.level() == Level::Pmd {
                let index = k.geometry().index(Level::Pmd, entry.va);
                return k.copy_pmd(Entry::new(copy.view(), index, entry.va, to), entry, next, shared);
            }
            if k.none_or_clear_bad(entry)? {
                return Ok(0);
            }
            let below = k.open_below(entry)?;
            k.copy_level(&below, (from, to), entry.va, next, shared)
        })
    }

    fn copy_pmd(&mut self, to: Entry<'_>, from: Entry<'_>, end: u64, shared: bool) -> Run<i64> {
        match self.look_at_pmd(from)? {
            Pmd::None => Ok(0),
            Pmd::Huge(_) if shared => Ok(0),
            Pmd::Huge(_) => self.copy_huge_pmd(to, from),
            Pmd::Table => self.copy_pte_range(to, from, end, shared),
        }
    }

    /// `copy_pte_range`. The child's table is allocated before both locks are taken and the section begins.
    fn copy_pte_range(&mut self, to: Entry<'_>, from: Entry<'_>, end: u64, shared: bool) -> Run<i64> {
        let count = (end - from.va) / self.geometry().page_size();
        let mut done = 0;
        while done < count {
            match self.copy_ptes(to, from, (done, count), shared)? {
                Some(reached) => done = reached,
                None => return Ok(errno::ENOMEM),
            }
            self.resched_point(Resched::CondResched)?;
        }
        Ok(0)
    }

    /// The entries from one on; returns how far it came before another task waited. `None`: no memory.
    fn copy_ptes(
        &mut self,
        to: Entry<'_>,
        from: Entry<'_>,
        (mut n, count): (u64, u64),
        shared: bool,
    ) -> Run<Option<u64>> {
        if self.entry_none(to)? && !self.user_alloc_below(to)? {
            return Ok(None);
        }
        let (copy, table) = (self.open_below(to)?, self.open_below(from)?);
        let copy_slot = self.pte_map_lock(&copy)?;
        let slot = self.pte_map_lock(&table)?;
        let page = self.geometry().page_size();
        self.pte_begin_range(Site::CopyPteRange, &table, from.mm, from.va + n * page, from.va + count * page)?;
        let index = self.geometry().index(Level::Pte, from.va);
        let first = Entry::new(table.view(), index, from.va, from.mm);
        let first_copy = Entry::new(copy.view(), index, to.va, to.mm);
        let mut progress = 0;
        while n < count {
            if progress >= BREAK_AFTER {
                progress = 0;
                if self.need_resched() {
                    break;
                }
            }
            let at = self.entry_behind(first, n);
            let word = B::ptep_get(self, at)?;
            if self.format().none(Level::Pte, word) {
                progress += 1;
                n += 1;
                continue;
            }
            let mut pages = 1;
            if self.format().present(Level::Pte, word) {
                let child = self.entry_behind(first_copy, n);
                pages = self.copy_present_ptes(child, at, word, count - n, shared)?;
            }
            progress += PRESENT_PROGRESS * pages;
            n += pages;
        }
        self.pte_end(Site::CopyPteRange)?;
        self.pte_unmap_unlock(&table, slot)?;
        self.pte_unmap_unlock(&copy, copy_slot)?;
        Ok(Some(n))
    }

    /// `copy_present_ptes`: the pages of a large folio at once.
    fn copy_present_ptes(&mut self, to: Entry<'_>, from: Entry<'_>, word: u64, limit: u64, shared: bool) -> Run<u64> {
        let format = self.format();
        let user = helpers(&format);
        let folio = self.normal_folio(Level::Pte, word);
        let batch = self.folio_pte_batch(folio, from, word, limit, Ignore { write: true, dirty: shared })?;
        let mut word = user.mknoncont(word);
        if batch.count > 1 && batch.any_write {
            word = user.mkwrite(word);
        }
        if let Some(folio) = folio {
            self.machine.folios.get(folio.start, batch.count);
            if folio.anon {
                self.machine.folios.set_exclusive(folio.start, false);
            }
        }
        if !shared && user.write(word) {
            B::wrprotect_ptes(self, from, batch.count)?;
            word = format.wrprotect(word);
        }
        if shared {
            word = user.mkclean(word);
        }
        B::set_ptes(self, to, user.mkold(word), batch.count)?;
        Ok(batch.count)
    }

    /// `flush_tlb_mm`, as fork calls it when everything is copied.
    pub fn flush_user_tlb(&mut self, mm: MmId) -> Step {
        B::flush_tlb_mm(self, mm)
    }
}
