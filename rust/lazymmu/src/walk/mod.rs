//! The kernel's generic operations on page tables. Which architecture it is, and where hooks stand, is not known here.

mod apply;
mod callback;
pub mod image;
mod pages;
mod set_memory;
mod user;
mod vmalloc;
mod vmap_pages;
mod vmap_range;
mod vunmap;

pub use apply::ApplyResult;
pub use callback::{PteFn, PteFnKind};
pub use pages::Pages;
pub use set_memory::{LinearMap, MemoryChange, SetMemory};
pub use user::{Advice, Gather, NewPage, Protection, Stale, Vma, WriteFault};
pub(crate) use user::{helpers, huge_helpers};
pub use vmalloc::{AllocError, Allocation};

use crate::backend::Backend;
use crate::event::codes::Site;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::Table;
use crate::modmask::ModMask;
use crate::scheme::Walk;
use crate::stop::{Run, Step};

/// What a walk returns to its caller: the kernel's return value, and the levels it modified.
pub(crate) type Walked = Run<(i64, ModMask)>;

impl<B: Backend, W: Watch> Kernel<B, W> {
    pub(crate) fn walk_started(&mut self, walk: Walk) -> Step {
        let event = Event::of(Kind::WALK).range(walk.start, walk.end).aux(walk.site as u32);
        self.emit(Event { mm: walk.mm.0, ..event })
    }

    pub(crate) fn walk_done(&mut self, walk: Walk, ret: i64, mask: ModMask) -> Step {
        let aux = walk.site as u32 | u32::from(mask.bits()) << 8;
        let event = Event { old: ret as u64, ..Event::of(Kind::WALK_END).range(walk.start, walk.end).aux(aux) };
        self.emit(Event { mm: walk.mm.0, ..event })
    }

    /// Runs a walk function: announces it, calls the scheme around it, and reports what it returns. The slots between
    /// are `body`.
    pub(crate) fn walked(&mut self, walk: Walk, body: impl FnOnce(&mut Self, &mut ModMask) -> Run<i64>) -> Walked {
        self.walk_started(walk)?;
        self.walk_begin(walk)?;
        let mut mask = ModMask::NONE;
        let ret = body(self, &mut mask)?;
        self.walk_end(walk, mask)?;
        self.walk_done(walk, ret, mask)?;
        Ok((ret, mask))
    }

    /// Visits the root entries of a range until one fails. `skip` says which entries are passed over without a report. A slot
    /// is an entry, but where the kernel's loop takes several as one.
    pub(crate) fn each_root_slot(
        &mut self,
        mm: MmId,
        start: u64,
        end: u64,
        mask: &mut ModMask,
        mut slot: impl FnMut(&mut Self, Entry<'_>, u64, &mut ModMask) -> Run<Option<i64>>,
    ) -> Run<i64> {
        let root = self.open_root(mm);
        let mut addr = start;
        let mut from = start;
        loop {
            let next = self.geometry().addr_end(Level::Pgd, addr, end);
            let slot_end = self.geometry().slot_end(from, end);
            let index = self.geometry().index(root.level, addr);
            let entry = Entry::new(root.view(), index, addr, mm);
            if let Some(ret) = slot(self, entry, next, mask)? {
                if ret != 0 || next == slot_end {
                    let event = Event { old: ret as u64, ..Event::of(Kind::SLOT).range(from, slot_end) };
                    let event = event.aux(u32::from(mask.bits()));
                    self.emit(Event { mm: mm.0, level: root.level.number(), ..event })?;
                }
                if ret != 0 {
                    return Ok(ret);
                }
            }
            if next == slot_end {
                from = next;
            }
            addr = next;
            if addr == end {
                return Ok(0);
            }
        }
    }

    /// Visits the entries of a table that a range covers, until one fails.
    pub(crate) fn each_entry(
        &mut self,
        table: &Table,
        mm: MmId,
        start: u64,
        end: u64,
        mut visit: impl FnMut(&mut Self, Entry<'_>, u64) -> Run<i64>,
    ) -> Run<i64> {
        let mut addr = start;
        loop {
            let next = self.geometry().addr_end(table.level, addr, end);
            let index = self.geometry().index(table.level, addr);
            let ret = visit(self, Entry::new(table.view(), index, addr, mm), next)?;
            if ret != 0 {
                return Ok(ret);
            }
            addr = next;
            if addr == end {
                return Ok(0);
            }
        }
    }

    pub(crate) fn walk_of(site: Site, mm: MmId, start: u64, end: u64) -> Walk {
        Walk { site, mm, start, end }
    }
}
