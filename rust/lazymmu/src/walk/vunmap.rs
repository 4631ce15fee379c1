//! `vunmap_range` and `__vunmap_range_noflush` (`mm/vmalloc.c`).

use super::Walked;
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{BugCode, Resched, Site, Store, Warning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::INIT_MM;
use crate::modmask::ModMask;
use crate::stop::{Run, Step};

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `vunmap_range`: clears the range and flushes it. Tables stay.
    pub fn vunmap_range(&mut self, start: u64, end: u64) -> Walked {
        self.flush_cache_vunmap(start, end)?;
        let walked = self.vunmap_range_noflush(start, end)?;
        self.flush_tlb_kernel_range(start, end)?;
        Ok(walked)
    }

    /// `__vunmap_range_noflush`: neither caches nor TLBs are flushed.
    pub fn vunmap_range_noflush(&mut self, start: u64, end: u64) -> Walked {
        if start >= end {
            return self.bug(BugCode::EmptyRange, start);
        }
        let walk = Self::walk_of(Site::VunmapRangeNoflush, INIT_MM, start, end);
        self.walked(walk, |k, mask| {
            k.each_root_slot(INIT_MM, start, end, mask, |k, entry, next, mask| {
                if entry.level() != Level::Pgd {
                    return k.vunmap_slot(entry, next, mask).map(|()| Some(0));
                }
                let word = k.read(entry)?;
                if k.format().bad(Level::Pgd, word) {
                    *mask |= ModMask::PGD;
                }
                if k.none_or_clear_bad(entry)? {
                    return Ok(None);
                }
                k.vunmap_below(entry, next, mask).map(|()| Some(0))
            })
        })
    }

    /// One entry above the leaf table. "Bad" is asked of what is there after the attempt to clear a leaf, also of an entry
    /// that was always empty: the mask says more than happened.
    fn vunmap_slot(&mut self, entry: Entry<'_>, end: u64, mask: &mut ModMask) -> Step {
        let level = entry.level();
        if self.clear_huge(entry)? {
            *mask |= ModMask::of(level);
            let size = self.geometry().size(level);
            if self.options.partial_unmap_warn && end.wrapping_sub(entry.va) < size {
                self.warn(Warning::VunmapPartialHuge, entry.va)?;
            }
            return Ok(());
        }
        let word = self.read(entry)?;
        if self.format().bad(level, word) {
            *mask |= ModMask::of(level);
        }
        if self.none_or_clear_bad(entry)? {
            return Ok(());
        }
        if level == Level::Pmd {
            self.vunmap_pte_range(entry, end, mask)?;
            return self.resched_point(Resched::CondResched);
        }
        self.vunmap_below(entry, end, mask)
    }

    fn vunmap_below(&mut self, entry: Entry<'_>, end: u64, mask: &mut ModMask) -> Step {
        let table = self.open_below(entry)?;
        self.each_entry(&table, INIT_MM, entry.va, end, |k, lower, next| k.vunmap_slot(lower, next, mask).map(|()| 0))?;
        Ok(())
    }

    /// `pmd_clear_huge`, `pud_clear_huge`: clears the entry if it is a leaf, without a flush.
    fn clear_huge(&mut self, entry: Entry<'_>) -> Run<bool> {
        if !matches!(entry.level(), Level::Pmd | Level::Pud) {
            return Ok(false);
        }
        let word = self.read(entry)?;
        if !self.format().leaf(entry.level(), word) {
            return Ok(false);
        }
        self.set_entry(entry, self.format().empty(entry.level()), Store::Clear)?;
        Ok(true)
    }

    /// `vunmap_pte_range`.
    #[inline(never)]
    fn vunmap_pte_range(&mut self, pmd: Entry<'_>, end: u64, mask: &mut ModMask) -> Step {
        let table = self.open_below(pmd)?;
        self.pte_begin_range(Site::VunmapPteRange, &table, INIT_MM, pmd.va, end)?;
        let (format, page) = (self.format(), self.geometry().page_size());
        let mut addr = pmd.va;
        let mut index = self.geometry().index(Level::Pte, addr);
        let view = table.view();
        while addr != end {
            let entry = Entry::new(view, index, addr, INIT_MM);
            let size = match B::vmap_unmap_size(self, entry.word()) {
                Some(group) => {
                    self.look(entry);
                    let (at, size) = self.vunmap_group(entry, end, group)?;
                    addr = at;
                    index = self.geometry().index(Level::Pte, addr);
                    size
                }
                None => {
                    let old = self.ptep_get_and_clear(entry)?;
                    if !format.none(Level::Pte, old) && !format.present(Level::Pte, old) {
                        self.warn(Warning::VunmapNotPresent, addr)?;
                    }
                    page
                }
            };
            addr = addr.wrapping_add(size);
            index += (size / page) as usize;
        }
        self.pte_end(Site::VunmapPteRange)?;
        *mask |= ModMask::PTE;
        Ok(())
    }

    /// Clears a contiguous group, all of it, even if the range covers only a part. Returns where the walk stands and how
    /// far it has come.
    fn vunmap_group(&mut self, entry: Entry<'_>, end: u64, group: u64) -> Run<(u64, u64)> {
        let page = self.geometry().page_size();
        let start = entry.va & !(group - 1);
        if start != entry.va {
            self.warn(Warning::VunmapPartialCont, entry.va)?;
        }
        let first = entry.index - ((entry.va - start) / page) as usize;
        let mut old = 0;
        for n in 0..(group / page) as usize {
            let member = Entry::new(entry.table, first + n, start + n as u64 * page, entry.mm);
            old = self.ptep_get_and_clear(member)?;
        }
        if !self.format().none(Level::Pte, old) && !self.format().present(Level::Pte, old) {
            self.warn(Warning::VunmapNotPresent, start)?;
        }
        let left = end.wrapping_sub(start);
        if left < group {
            self.warn(Warning::VunmapPartialCont, start)?;
            return Ok((start, left));
        }
        Ok((start, group))
    }

    fn flush_cache_vunmap(&mut self, start: u64, end: u64) -> Step {
        self.emit(Event::of(Kind::FLUSH_CACHE).range(start, end).aux(1))
    }
}
