//! `change_protection`: mprotect (`mm/mprotect.c`).

use super::batch::Ignore;
use super::{Gather, Pmd, helpers};
use crate::backend::Backend;
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{Resched, Site};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{Folio, MmId};
use crate::stop::Run;
use crate::walk::Walked;

/// What mprotect asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// `vm_page_prot` of the area as it is now.
    pub prot: Prot,
    /// `MM_CP_TRY_CHANGE_WRITABLE`: pages that would be made writable by the next write fault are so at once.
    pub try_writable: bool,
    /// `VM_SHARED`.
    pub shared: bool,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `change_protection` of one area, with the gather around it.
    pub fn change_protection(&mut self, mm: MmId, start: u64, end: u64, protection: Protection) -> Walked {
        let mut gather = self.tlb_gather(mm, false);
        let walk = Self::walk_of(Site::ChangeProtection, mm, start, end);
        let pages = self.user_walk(walk, |k| {
            let mut pages = 0;
            k.each_user_pmd(mm, start, end, &mut |k, pmd, next| {
                pages += k.change_pmd(&mut gather, pmd, next, protection)?;
                k.resched_point(Resched::CondResched)
            })?;
            k.tlb_end_vma(&mut gather, false)?;
            Ok(pages)
        })?;
        self.tlb_finish(&mut gather)?;
        Ok((pages, crate::modmask::ModMask::NONE))
    }

    fn change_pmd(&mut self, gather: &mut Gather, pmd: Entry<'_>, end: u64, to: Protection) -> Run<i64> {
        match self.look_at_pmd(pmd)? {
            Pmd::None => Ok(0),
            Pmd::Huge(_) if end - pmd.va == self.geometry().size(Level::Pmd) => self.change_huge_pmd(gather, pmd, to),
            Pmd::Huge(_) => {
                self.split_huge_pmd(pmd, to.prot)?;
                self.change_pte_range(gather, pmd, end, to)
            }
            Pmd::Table => self.change_pte_range(gather, pmd, end, to),
        }
    }

    /// `change_pte_range`: the flush is left to the gather.
    fn change_pte_range(&mut self, gather: &mut Gather, pmd: Entry<'_>, end: u64, to: Protection) -> Run<i64> {
        self.tlb_change_page_size(gather, Level::Pte)?;
        let table = self.open_below(pmd)?;
        let slot = self.pte_map_lock(&table)?;
        self.pte_begin_range(Site::ChangePteRange, &table, pmd.mm, pmd.va, end)?;
        let page = self.geometry().page_size();
        let index = self.geometry().index(Level::Pte, pmd.va);
        let first = Entry::new(table.view(), index, pmd.va, pmd.mm);
        let count = (end - pmd.va) / page;
        let (mut n, mut pages) = (0, 0);
        while n < count {
            let at = self.entry_behind(first, n);
            let word = B::ptep_get(self, at)?;
            if !self.format().present(Level::Pte, word) {
                n += 1;
                continue;
            }
            let done = self.change_ptes(gather, at, word, count - n, to)?;
            n += done;
            pages += done as i64;
        }
        self.pte_end(Site::ChangePteRange)?;
        self.pte_unmap_unlock(&table, slot)?;
        Ok(pages)
    }

    /// One entry, or those of a large folio at once.
    fn change_ptes(&mut self, gather: &mut Gather, at: Entry<'_>, word: u64, limit: u64, to: Protection) -> Run<u64> {
        let format = self.format();
        let user = helpers(&format);
        let folio = self.normal_folio(Level::Pte, word);
        let limit = if self.options.batched_user_ptes { limit } else { 1 };
        let batch = self.folio_pte_batch(folio, at, word, limit, Ignore { write: false, dirty: true })?;
        let old = B::modify_prot_start(self, at, batch.count)?;
        let mut new = user.modify(Level::Pte, old, to.prot);
        if to.try_writable && !user.write(new) && self.can_change_writable(user, new, folio, to) {
            new = user.mkwrite(new);
        }
        B::modify_prot_commit(self, at, new, batch.count)?;
        if B::needs_flush(self, old, new) {
            gather.note(Level::Pte, at.va, batch.count * self.geometry().page_size());
        }
        Ok(batch.count)
    }

    /// `can_change_pte_writable`.
    pub(super) fn can_change_writable(
        &self,
        user: &dyn UserFormat,
        word: u64,
        folio: Option<Folio>,
        to: Protection,
    ) -> bool {
        if user.protnone(word) {
            return false;
        }
        if to.shared { user.dirty(word) } else { folio.is_some_and(|f| f.anon && f.exclusive) }
    }
}
