//! Faults that map a page, or give a mapped one more rights (`mm/memory.c`). Tables are allocated before the lock is
//! taken, and what the fault saw is looked at again under it. No lazy section: one entry is written, and used at once.

use super::helpers;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::Table;
use crate::modmask::ModMask;
use crate::stop::{Run, errno};
use crate::walk::Walked;

/// What a fault maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPage {
    pub pa: u64,
    /// Pages of the folio that are mapped at once.
    pub pages: u64,
    /// `vm_page_prot` of the area.
    pub prot: Prot,
    /// The entry is made writable and dirty.
    pub write: bool,
    /// The page cache owns it.
    pub file: bool,
    /// The zero page: no folio.
    pub zero: bool,
}

/// How a write fault on a page without the right to write is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// `wp_page_reuse`: nobody else maps it.
    Reuse,
    /// `wp_page_copy` to this page.
    Copy { pa: u64, prot: Prot },
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `do_anonymous_page`, `finish_fault` with `set_pte_range`: 0, or -ENOMEM.
    pub fn map_new_page(&mut self, mm: MmId, va: u64, new: NewPage) -> Walked {
        let page = self.geometry().page_size();
        let bytes = new.pages * page;
        let va = va & !(bytes - 1);
        let Some(table) = self.user_table(mm, va, Level::Pte)? else {
            return Ok((errno::ENOMEM, ModMask::NONE));
        };
        let slot = self.pte_map_lock(&table)?;
        let first = Entry::new(table.view(), self.geometry().index(Level::Pte, va), va, mm);
        if self.all_none(first, new.pages)? {
            let format = self.format();
            let user = helpers(&format);
            let mut word = format.pte(new.pa, new.prot);
            if new.zero {
                word = user.mkspecial(word);
            } else {
                self.folio_mapped(new, bytes);
            }
            if new.write {
                word = user.mkwrite(user.mkdirty(word));
            }
            B::set_ptes(self, first, word, new.pages)?;
            B::update_mmu_cache(self, mm, va, new.pages)?;
        } else {
            B::update_mmu_tlb(self, mm, va, new.pages)?;
        }
        self.pte_unmap_unlock(&table, slot)?;
        Ok((0, ModMask::NONE))
    }

    /// Somebody else was faster: what is there stays.
    fn all_none(&mut self, first: Entry<'_>, pages: u64) -> Run<bool> {
        for n in 0..pages {
            let at = self.entry_behind(first, n);
            if !self.entry_none(at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn folio_mapped(&mut self, new: NewPage, bytes: u64) {
        let known = self.machine.folios.at(new.pa).filter(|folio| new.file && !folio.anon);
        let start = known.map_or(new.pa, |folio| folio.start);
        if known.is_none() {
            self.machine.folios.allocate(new.pa, bytes, !new.file);
            // The page cache's own reference.
            self.machine.folios.get(new.pa, u64::from(new.file));
        }
        self.machine.folios.get(start, new.pages);
    }

    /// The leaf entry of an address under its lock; `None` where there is none.
    fn locked<T>(
        &mut self,
        mm: MmId,
        va: u64,
        work: impl FnOnce(&mut Self, Entry<'_>, u64) -> Run<T>,
    ) -> Run<Option<T>> {
        let Some(table) = self.leaf_table_of(mm, va)? else { return Ok(None) };
        self.with_lock(&table, mm, va, work)
    }

    fn with_lock<T>(
        &mut self,
        table: &Table,
        mm: MmId,
        va: u64,
        work: impl FnOnce(&mut Self, Entry<'_>, u64) -> Run<T>,
    ) -> Run<Option<T>> {
        let slot = self.pte_map_lock(table)?;
        let at = Entry::new(table.view(), self.geometry().index(Level::Pte, va), va, mm);
        let word = B::ptep_get(self, at)?;
        let present = self.format().present(Level::Pte, word);
        let done = if present { Some(work(self, at, word)?) } else { None };
        self.pte_unmap_unlock(table, slot)?;
        Ok(done)
    }

    /// `do_wp_page`: 1 if the entry changed.
    pub fn do_wp_page(&mut self, mm: MmId, va: u64, how: WriteFault) -> Walked {
        let format = self.format();
        let changed = match how {
            WriteFault::Reuse => self.locked(mm, va, |k, at, word| k.wp_page_reuse(at, word))?.unwrap_or(false),
            WriteFault::Copy { pa, prot } => {
                // The lock is dropped while the page is allocated and copied.
                let seen = self.locked(mm, va, |_, _, word| Ok(word))?;
                match seen.filter(|word| !helpers(&format).write(*word)) {
                    Some(_) => self.wp_page_copy(mm, va, pa, prot)?,
                    None => false,
                }
            }
        };
        Ok((i64::from(changed), ModMask::NONE))
    }

    /// `wp_page_reuse`.
    fn wp_page_reuse(&mut self, at: Entry<'_>, word: u64) -> Run<bool> {
        let format = self.format();
        let user = helpers(&format);
        if user.write(word) {
            return Ok(false);
        }
        if let Some(folio) = self.normal_folio(Level::Pte, word) {
            self.machine.folios.set_exclusive(folio.start, folio.anon);
        }
        let word = user.mkwrite(user.mkdirty(user.mkyoung(word)));
        let changed = B::set_access_flags(self, at, word, true)?;
        if changed {
            B::update_mmu_cache(self, at.mm, at.va, 1)?;
        }
        Ok(changed)
    }

    /// `wp_page_copy`: clear, invalidate, only then the copy: no TLB may hold both.
    fn wp_page_copy(&mut self, mm: MmId, va: u64, pa: u64, prot: Prot) -> Run<bool> {
        let format = self.format();
        let user = helpers(&format);
        let page = self.geometry().page_size();
        let old = self.locked(mm, va, |k, at, word| {
            let entry = user.mkwrite(user.mkdirty(format.pte(pa, prot)));
            let folio = k.normal_folio(Level::Pte, word);
            B::ptep_clear_flush(k, at)?;
            k.machine.folios.allocate(pa, page, true);
            k.machine.folios.get(pa, 1);
            B::set_ptes(k, at, entry, 1)?;
            B::update_mmu_cache(k, mm, at.va, 1)?;
            Ok(folio)
        })?;
        if let Some(Some(folio)) = old {
            self.put_folio(folio.start, 1)?;
        }
        Ok(old.is_some())
    }

    /// The end of `handle_pte_fault`: the page is there and the access allowed, only the flags are missing. 1 if the entry
    /// changed.
    pub fn handle_pte_fault(&mut self, mm: MmId, va: u64, write: bool) -> Walked {
        let changed = self.locked(mm, va, |k, at, word| {
            let format = k.format();
            let user = helpers(&format);
            if user.protnone(word) || (write && !user.write(word)) {
                return Ok(false);
            }
            let word = if write { user.mkdirty(word) } else { word };
            let changed = B::set_access_flags(k, at, user.mkyoung(word), write)?;
            if changed {
                B::update_mmu_cache(k, mm, va, 1)?;
            } else if write {
                B::flush_tlb_fix_spurious_fault(k, at)?;
            }
            Ok(changed)
        })?;
        Ok((i64::from(changed.unwrap_or(false)), ModMask::NONE))
    }
}
