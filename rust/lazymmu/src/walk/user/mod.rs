//! The loops over user mappings (`mm/{memory,mprotect,mremap,madvise,huge_memory,mmu_gather,vmscan}.c`).
//!
//! In all of them the lazy section lies inside the page-table lock: lock, enter, loop, leave, flush if that must not
//! wait, unlock.

mod batch;
mod copy;
mod fault;
mod free;
mod gather;
mod huge;
mod madvise;
mod mremap;
mod protect;
mod remap;
mod young;
mod zap;

pub use fault::{NewPage, WriteFault};
pub use free::Vma;
pub use gather::{Gather, Stale};
pub use madvise::Advice;
pub use protect::Protection;

use crate::backend::Backend;
use crate::descriptor::Format;
use crate::descriptor::user::{Unmodelled, UserFormat};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::{Table, Zone};
use crate::scheme::Walk;
use crate::stop::{Run, Step};

/// What a pmd entry of a user address space is, after one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pmd {
    None,
    Huge(u64),
    Table,
}

/// The helpers for leaves of user mappings. Operations on backends that have none are refused before they begin.
pub(crate) fn helpers<F: Format>(format: &F) -> &dyn UserFormat {
    format.user().unwrap_or(&Unmodelled)
}

/// The same for large leaves.
pub(crate) fn huge_helpers<F: Format>(format: &F) -> &dyn UserFormat {
    format.user_huge().unwrap_or(&Unmodelled)
}

type Visit<'v, B, W> = dyn FnMut(&mut Kernel<B, W>, Entry<'_>, u64) -> Step + 'v;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// A user walk function: it is announced and reported, but begin and end are not for it.
    fn user_walk(&mut self, walk: Walk, body: impl FnOnce(&mut Self) -> Run<i64>) -> Run<i64> {
        self.walk_started(walk)?;
        let ret = body(self)?;
        self.walk_done(walk, ret, crate::modmask::ModMask::NONE)?;
        Ok(ret)
    }

    /// Visits the pmd entries of a range whose tables exist.
    fn each_user_pmd(&mut self, mm: MmId, start: u64, end: u64, visit: &mut Visit<'_, B, W>) -> Step {
        let root = self.open_root(mm);
        self.user_level(&root, mm, start, end, visit)
    }

    fn user_level(&mut self, table: &Table, mm: MmId, start: u64, end: u64, visit: &mut Visit<'_, B, W>) -> Step {
        self.each_entry(table, mm, start, end, |k, entry, next| {
            if entry.level() == Level::Pmd {
                visit(k, entry, next)?;
            } else if !k.none_or_clear_bad(entry)? {
                let below = k.open_below(entry)?;
                k.user_level(&below, mm, entry.va, next, visit)?;
            }
            Ok(0)
        })?;
        Ok(())
    }

    /// The table of this level for an address, with all tables above it allocated if need be. `None`: no memory.
    fn user_table(&mut self, mm: MmId, va: u64, level: Level) -> Run<Option<Table>> {
        let mut table = self.open_root(mm);
        while table.level > level {
            let index = self.geometry().index(table.level, va);
            let entry = Entry::new(table.view(), index, va, mm);
            if self.entry_none(entry)? && !self.user_alloc_below(entry)? {
                return Ok(None);
            }
            table = self.open_below(entry)?;
        }
        Ok(Some(table))
    }

    /// The table of this level for an address, if there is one: looked for as `mm_find_pmd` does.
    fn user_lookup(&mut self, mm: MmId, va: u64, level: Level) -> Run<Option<Table>> {
        let mut table = self.open_root(mm);
        while table.level > level {
            let index = self.geometry().index(table.level, va);
            let entry = Entry::new(table.view(), index, va, mm);
            if self.none_or_clear_bad(entry)? {
                return Ok(None);
            }
            table = self.open_below(entry)?;
        }
        Ok(Some(table))
    }

    /// `__pud_alloc`, `__pmd_alloc`, `__pte_alloc` of a user address space.
    fn user_alloc_below(&mut self, entry: Entry<'_>) -> Run<bool> {
        let zone = if entry.level() == Level::Pmd && B::highpte(self) { Zone::High } else { Zone::Low };
        let done = self.alloc_below(entry, zone)?;
        if done {
            B::user_populated(self, entry)?;
        }
        Ok(done)
    }

    /// One look at a pmd entry; a bad one is cleared.
    fn look_at_pmd(&mut self, pmd: Entry<'_>) -> Run<Pmd> {
        let word = self.read(pmd)?;
        if self.format().none(Level::Pmd, word) {
            return Ok(Pmd::None);
        }
        if self.format().trans_huge(word) {
            return Ok(Pmd::Huge(word));
        }
        if self.format().bad(Level::Pmd, word) {
            self.clear_bad(pmd)?;
            return Ok(Pmd::None);
        }
        Ok(Pmd::Table)
    }

    /// The pmd entry of an address in an open pmd table.
    fn pmd_of<'t>(&self, table: &'t Table, mm: MmId, va: u64) -> Entry<'t> {
        Entry::new(table.view(), self.geometry().index(Level::Pmd, va), va, mm)
    }

    /// `pmd_lockptr`: the lock of a pmd table. Where those have none of their own it is the mm's, known by its root.
    fn pmd_lockptr(&self, pmd: Entry<'_>) -> u64 {
        if B::splits_pmd_locks() { pmd.table.pa } else { self.machine.mm(pmd.mm).root_pa }
    }

    /// `pmd_present` of a large leaf. Where such can be migrated, one that is not present is no leaf.
    fn huge_present(&self, word: u64) -> bool {
        B::thp_migration() || self.format().present(Level::Pmd, word)
    }

    /// `pmd_lock`, and the mm's own lock at pud level: a lock without a mapping.
    fn table_lock(&mut self, pa: u64) -> Step {
        W::lock(self, pa)?;
        self.preempt_disable();
        self.emit(Event { addr: pa, ..Event::of(Kind::LOCK) })
    }

    fn table_unlock(&mut self, pa: u64) -> Step {
        self.preempt_enable();
        W::unlock(self, pa);
        self.emit(Event { addr: pa, ..Event::of(Kind::UNLOCK) })
    }
}
