//! `apply_to_page_range` and `apply_to_existing_page_range` (`mm/memory.c`).

use super::callback::PteFn;
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{BugCode, Site, Warning};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, KmapSlot, MmId};
use crate::memory::{Table, Zone};
use crate::modmask::ModMask;
use crate::stop::{Run, errno};

/// What `apply_to_page_range` returns, and how often it called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyResult {
    pub ret: i64,
    pub mask: ModMask,
    pub calls: u64,
}

/// The state of one application.
#[derive(Debug)]
pub(super) struct Application<'a> {
    pub(super) mm: MmId,
    callback: Option<&'a PteFn>,
    pub(super) create: bool,
    /// First address: callbacks that set consecutive frames count from here.
    pub(super) start: u64,
    pub(super) calls: u64,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `__apply_to_page_range`; without `create` only existing entries are visited.
    pub fn apply_to_page_range(
        &mut self,
        mm: MmId,
        addr: u64,
        size: u64,
        callback: Option<&PteFn>,
        create: bool,
    ) -> Run<ApplyResult> {
        let end = addr.wrapping_add(size) & self.geometry().long_mask();
        if addr >= end {
            self.warn(Warning::ApplyEmpty, addr)?;
            return Ok(ApplyResult { ret: errno::EINVAL, mask: ModMask::NONE, calls: 0 });
        }
        let mut application = Application { mm, callback, create, start: addr, calls: 0 };
        let walk = Self::walk_of(Site::ApplyToPageRange, mm, addr, end);
        let (ret, mask) = self.walked(walk, |k, mask| {
            k.each_root_slot(mm, addr, end, mask, |k, entry, next, mask| {
                let ret = k.apply_slot(entry, next, &mut application, mask)?;
                // Where the pgd is folded it is never none: the function below is entered and finds nothing.
                Ok(if entry.level() == Level::Pgd { ret } else { Some(ret.unwrap_or(0)) })
            })
        })?;
        Ok(ApplyResult { ret, mask, calls: application.calls })
    }

    /// One entry above the leaf table. `None`: passed over.
    fn apply_slot(
        &mut self,
        entry: Entry<'_>,
        end: u64,
        app: &mut Application<'_>,
        mask: &mut ModMask,
    ) -> Run<Option<i64>> {
        let level = entry.level();
        let word = self.read(entry)?;
        let none = self.format().none(level, word);
        if none && !app.create {
            return Ok(None);
        }
        if self.format().leaf(level, word) {
            self.warn(Warning::ApplyLeaf, entry.va)?;
            return Ok(Some(errno::EINVAL));
        }
        if !none && self.format().bad(level, word) {
            self.warn(Warning::ApplyBad, entry.va)?;
            if !app.create {
                return Ok(None);
            }
            self.clear_bad(entry)?;
        }
        if level == Level::Pmd {
            return self.apply_to_pte_range(entry, end, app, mask).map(Some);
        }
        if level == Level::Pud {
            let word = self.read(entry)?;
            if self.format().leaf(level, word) {
                return self.bug(BugCode::ApplyPudLeaf, entry.va);
            }
        }
        let table = if app.create {
            match self.alloc_track(entry, mask)? {
                Some(table) => table,
                None => return Ok(Some(errno::ENOMEM)),
            }
        } else {
            self.open_below(entry)?
        };
        let ret = self.each_entry(&table, app.mm, entry.va, end, |k, lower, next| {
            Ok(k.apply_slot(lower, next, app, mask)?.unwrap_or(0))
        })?;
        Ok(Some(ret))
    }

    /// `apply_to_pte_range`: the lazy section lies inside the lock of a user table.
    fn apply_to_pte_range(
        &mut self,
        pmd: Entry<'_>,
        end: u64,
        app: &mut Application<'_>,
        mask: &mut ModMask,
    ) -> Run<i64> {
        let Some((table, slot)) = self.apply_table(pmd, app, mask)? else {
            return Ok(errno::ENOMEM);
        };
        self.pte_begin_range(Site::ApplyToPteRange, &table, app.mm, pmd.va, end)?;
        let mut ret = 0;
        if let Some(callback) = app.callback {
            ret = self.call_back_over(&table, pmd.va, end, callback, app)?;
        }
        *mask |= ModMask::PTE;
        self.pte_end(Site::ApplyToPteRange)?;
        if let Some(slot) = slot {
            self.pte_unmap_unlock(&table, slot)?;
        }
        Ok(ret)
    }

    /// `pte_alloc_kernel_track`, `pte_alloc_map_lock` or the lookups without allocation. Tables of user address spaces
    /// are not tracked in the mask.
    fn apply_table(
        &mut self,
        pmd: Entry<'_>,
        app: &Application<'_>,
        mask: &mut ModMask,
    ) -> Run<Option<(Table, Option<KmapSlot>)>> {
        if app.mm == INIT_MM {
            let table = if app.create { self.alloc_track(pmd, mask)? } else { Some(self.open_below(pmd)?) };
            return Ok(table.map(|table| (table, None)));
        }
        if app.create && self.entry_none(pmd)? {
            let zone = if B::highpte(self) { Zone::High } else { Zone::Low };
            if !self.alloc_below(pmd, zone)? {
                return Ok(None);
            }
        }
        let table = self.open_below(pmd)?;
        let slot = self.pte_map_lock(&table)?;
        Ok(Some((table, Some(slot))))
    }
}
