//! Large leaves of user mappings (`mm/huge_memory.c`): each keeps a leaf table in reserve for the day it is split.

use super::batch::Ignore;
use super::{Gather, Protection, helpers, huge_helpers};
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, Store};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, Unlinked};
use crate::memory::{FrameError, Table, Zone};
use crate::stop::{Run, Step, errno};
use crate::walk::Walked;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// The protection of the private area around a large leaf.
    pub(super) fn leaf_prot(&self, word: u64) -> Prot {
        huge_helpers(&self.format()).huge_prot(word)
    }

    /// `pte_alloc_one`: a leaf table that nothing links yet.
    pub(super) fn pte_alloc_one(&mut self, mm: MmId, va: u64) -> Run<Option<Table>> {
        let base = va & !(self.geometry().size(Level::Pmd) - 1);
        let zone = if B::highpte(self) { Zone::High } else { Zone::Low };
        match self.alloc_frame(Level::Pte, base, zone)? {
            Ok(pa) => {
                let table = self.insert_table(pa, Level::Pte, mm == INIT_MM);
                let high = u32::from(self.machine.frames.is_high(pa));
                let event = Event { mm: mm.0, ..Event::of(Kind::ALLOC).at(Level::Pte, base, pa) };
                self.emit(event.aux(high))?;
                Ok(Some(table))
            }
            Err(error) => {
                let injected = u32::from(error == FrameError::Injected);
                let event = Event { mm: mm.0, ..Event::of(Kind::ALLOC_FAIL).at(Level::Pte, base, 0) };
                self.emit(event.aux(injected))?;
                Ok(None)
            }
        }
    }

    /// `pte_free` of a table that was never linked, or is no longer.
    pub(super) fn pte_free(&mut self, mm: MmId, va: u64, pa: u64) -> Step {
        let va = va & !(self.geometry().size(Level::Pmd) - 1);
        self.free_unlinked(Unlinked { pa, level: Level::Pte, va, mm: mm.0 })
    }

    /// `zap_deposited_table`.
    fn zap_deposited_table(&mut self, pmd: Entry<'_>) -> Step {
        match self.machine.folios.withdraw(self.pmd_lockptr(pmd)) {
            Some(pa) => self.pte_free(pmd.mm, pmd.va, pa),
            None => Ok(()),
        }
    }

    /// `copy_huge_pmd`.
    pub(super) fn copy_huge_pmd(&mut self, to: Entry<'_>, from: Entry<'_>) -> Run<i64> {
        let Some(reserve) = self.pte_alloc_one(to.mm, to.va)? else {
            return Ok(errno::ENOMEM);
        };
        let (lock, other) = (self.pmd_lockptr(to), self.pmd_lockptr(from));
        self.table_lock(lock)?;
        self.table_lock(other)?;
        let word = self.read(from)?;
        let format = self.format();
        if let Some(folio) = self.normal_folio(Level::Pmd, word) {
            self.machine.folios.get(folio.start, 1);
            self.machine.folios.set_exclusive(folio.start, false);
        }
        self.machine.folios.deposit(lock, reserve.pa);
        B::pmdp_set_wrprotect(self, from, word)?;
        B::set_pmd_at(self, to, huge_helpers(&format).mkold(format.wrprotect_huge(word)))?;
        self.table_unlock(other)?;
        self.table_unlock(lock)?;
        Ok(0)
    }

    /// `zap_huge_pmd`: the reserve is freed at once, the pages behind the flush.
    pub(super) fn zap_huge_pmd(&mut self, gather: &mut Gather, pmd: Entry<'_>) -> Step {
        self.tlb_change_page_size(gather, Level::Pmd)?;
        let lock = self.pmd_lockptr(pmd);
        self.table_lock(lock)?;
        let old = B::pmdp_huge_get_and_clear_full(self, pmd, gather.stale.full)?;
        B::pmd_zapped(self, pmd, gather.stale.full)?;
        gather.note(Level::Pmd, pmd.va, self.geometry().size(Level::Pmd));
        if !self.huge_present(old) {
            // It is taken for a migration entry, of which there are none here: the folio of nothing is looked at.
            return self.bug(BugCode::KernelFault, pmd.va);
        }
        self.zap_deposited_table(pmd)?;
        self.table_unlock(lock)?;
        if let Some(folio) = self.normal_folio(Level::Pmd, old)
            && self.tlb_remove_pages(gather, folio.start, 1)?
        {
            self.tlb_flush_mmu(gather)?;
        }
        Ok(())
    }

    /// `change_huge_pmd`: never cleared in between, for others may look at it without the lock.
    pub(super) fn change_huge_pmd(&mut self, gather: &mut Gather, pmd: Entry<'_>, to: Protection) -> Run<i64> {
        self.tlb_change_page_size(gather, Level::Pmd)?;
        let lock = self.pmd_lockptr(pmd);
        self.table_lock(lock)?;
        let old = B::pmdp_invalidate(self, pmd, true)?;
        let format = self.format();
        let user = huge_helpers(&format);
        let mut new = user.modify(Level::Pmd, old, to.prot);
        let folio = self.normal_folio(Level::Pmd, old);
        if to.try_writable && !user.write(new) && self.can_change_writable(user, new, folio, to) {
            new = user.mkwrite(new);
        }
        B::set_pmd_at(self, pmd, new)?;
        let size = self.geometry().size(Level::Pmd);
        if B::needs_flush(self, old, new) {
            gather.note(Level::Pmd, pmd.va, size);
        }
        self.table_unlock(lock)?;
        Ok((size / self.geometry().page_size()) as i64)
    }

    /// `move_huge_pmd`: false where the target is occupied.
    pub(super) fn move_huge_pmd(&mut self, from: Entry<'_>, to: Entry<'_>) -> Run<bool> {
        if !self.entry_none(to)? {
            return Ok(false);
        }
        let (lock, other) = (self.pmd_lockptr(from), self.pmd_lockptr(to));
        self.table_lock(lock)?;
        if other != lock {
            self.table_lock(other)?;
        }
        let word = B::pmdp_huge_get_and_clear(self, from)?;
        if other != lock
            && let Some(reserve) = self.machine.folios.withdraw(lock)
        {
            self.machine.folios.deposit(other, reserve);
        }
        B::set_pmd_at(self, to, word)?;
        if self.huge_present(word) {
            let end = from.va + self.geometry().size(Level::Pmd);
            B::flush_tlb_range(self, from.mm, from.va, end, Some(Level::Pmd))?;
        }
        if other != lock {
            self.table_unlock(other)?;
        }
        self.table_unlock(lock)?;
        Ok(true)
    }

    /// `split_huge_pmd` of the large leaf at an address, if there is one. `prot`: `vm_page_prot` of the area.
    pub fn split_huge_pmd_at(&mut self, mm: MmId, va: u64, prot: Prot) -> Step {
        let Some(table) = self.user_lookup(mm, va, Level::Pmd)? else { return Ok(()) };
        let pmd = self.pmd_of(&table, mm, va);
        if let super::Pmd::Huge(_) = self.look_at_pmd(pmd)? { self.split_huge_pmd(pmd, prot) } else { Ok(()) }
    }

    /// `__split_huge_pmd`: invalidate and flush, fill the reserve, link it.
    pub(super) fn split_huge_pmd(&mut self, pmd: Entry<'_>, prot: Prot) -> Step {
        let lock = self.pmd_lockptr(pmd);
        self.table_lock(lock)?;
        let size = self.geometry().size(Level::Pmd);
        let va = pmd.va & !(size - 1);
        let old = B::pmdp_invalidate(self, pmd, false)?;
        let Some(reserve) = self.machine.folios.withdraw(lock) else {
            // Made by something other than a fault: nothing was put aside.
            return self.bug(BugCode::StrayWalk, pmd.va);
        };
        B::pmd_on_stack(self)?;
        let format = self.format();
        let (user, huge) = (helpers(&format), huge_helpers(&format));
        let mut word = format.pte(huge.frame(Level::Pmd, old), prot);
        if huge.write(old) {
            word = user.mkwrite(word);
        }
        if !huge.young(old) {
            word = user.mkold(word);
        }
        if huge.dirty(old) {
            word = user.mkdirty(word);
        }
        let pages = size / self.geometry().page_size();
        if let Some(folio) = self.normal_folio(Level::Pmd, old) {
            self.machine.folios.get(folio.start, pages - 1);
        }
        // `pte_offset_map`.
        let mapped = if self.machine.frames.is_high(reserve) { Some(self.pte_map(reserve)?) } else { None };
        if let Some(id) = self.machine.memory.at(reserve) {
            let table = self.machine.memory.open(id);
            B::set_ptes(self, Entry::new(table.view(), 0, va, pmd.mm), word, pages)?;
        }
        if let Some(slot) = mapped {
            self.kunmap_local(slot)?;
        }
        self.emit_kind(Kind::WMB)?;
        let link = B::table_word(self, Level::Pmd, reserve, false);
        self.set_entry(pmd, link, Store::Populate)?;
        self.table_unlock(lock)
    }

    /// `__do_huge_pmd_anonymous_page`: 0, or -ENOMEM.
    pub fn do_huge_pmd_anonymous_page(&mut self, mm: MmId, va: u64, pa: u64, prot: Prot, write: bool) -> Walked {
        let none = crate::modmask::ModMask::NONE;
        let size = self.geometry().size(Level::Pmd);
        let (address, va) = (va, va & !(size - 1));
        let Some(table) = self.user_table(mm, va, Level::Pmd)? else {
            return Ok((errno::ENOMEM, none));
        };
        let Some(reserve) = self.pte_alloc_one(mm, va)? else {
            return Ok((errno::ENOMEM, none));
        };
        let pmd = self.pmd_of(&table, mm, va);
        let lock = self.pmd_lockptr(pmd);
        self.table_lock(lock)?;
        if !self.entry_none(pmd)? {
            self.table_unlock(lock)?;
            self.pte_free(mm, va, reserve.pa)?;
            return Ok((0, none));
        }
        let format = self.format();
        let user = huge_helpers(&format);
        let mut word = user.mkdirty(format.huge(Level::Pmd, pa, prot));
        if write {
            word = user.mkwrite(word);
        }
        self.machine.folios.allocate(pa, size, true);
        self.machine.folios.get(pa, 1);
        self.machine.folios.deposit(lock, reserve.pa);
        B::set_pmd_at(self, pmd, word)?;
        B::update_mmu_cache_pmd(self, mm, address)?;
        self.table_unlock(lock)?;
        Ok((0, none))
    }

    /// `madvise_cold_or_pageout_pte_range` and `madvise_free_huge_pmd` on a large leaf that the range covers.
    pub(super) fn age_huge_pmd(&mut self, gather: &mut Gather, pmd: Entry<'_>, free: bool) -> Step {
        self.tlb_change_page_size(gather, Level::Pmd)?;
        let lock = self.pmd_lockptr(pmd);
        self.table_lock(lock)?;
        let format = self.format();
        let user = huge_helpers(&format);
        let word = self.read(pmd)?;
        let size = self.geometry().size(Level::Pmd);
        let folio = if self.huge_present(word) { self.normal_folio(Level::Pmd, word) } else { None };
        let alone = folio.is_some_and(|folio| folio.refs == 1);
        let seen = user.young(word) || (free && user.dirty(word));
        if alone && seen {
            if free {
                B::pmdp_invalidate(self, pmd, false)?;
                B::set_pmd_at(self, pmd, user.mkclean(user.mkold(word)))?;
            } else {
                B::pmdp_clear_young(self, pmd, word)?;
            }
            gather.note(Level::Pmd, pmd.va, size);
        }
        self.table_unlock(lock)
    }

    /// What a run of entries of a folio may differ in for aging.
    pub(super) const AGED: Ignore = Ignore { write: true, dirty: true };
}
