//! `free_pgtables`: table pages that no area needs any more, from the leaves upward (`mm/memory.c`).

use super::Gather;
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Site, Store};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{MmId, Unlinked};
use crate::memory::Table;
use crate::stop::Step;

/// One area of a user address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vma {
    pub start: u64,
    pub end: u64,
    /// `VM_PFNMAP`: its end is a flush point everywhere.
    pub pfnmap: bool,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `unmap_region`: `munmap` of some areas. `floor` and `ceiling` are the ends of the areas around them, 0 for none.
    pub fn unmap_region(&mut self, mm: MmId, vmas: &[Vma], floor: u64, ceiling: u64) -> Step {
        self.unmap_all(mm, vmas, floor, ceiling, false)
    }

    /// `exit_mmap`: everything goes; nobody runs here any more.
    pub fn exit_mmap(&mut self, mm: MmId, vmas: &[Vma]) -> Step {
        self.unmap_all(mm, vmas, 0, 0, true)
    }

    fn unmap_all(&mut self, mm: MmId, vmas: &[Vma], floor: u64, ceiling: u64, full: bool) -> Step {
        let mut gather = self.tlb_gather(mm, full);
        for vma in vmas {
            self.unmap_page_range(&mut gather, mm, *vma, false)?;
        }
        let floor = if floor == 0 { B::first_user_address(self) } else { floor };
        let ceiling = if ceiling == 0 { B::user_pgtables_ceiling(self) } else { ceiling };
        if let (Some(first), Some(last)) = (vmas.first(), vmas.last()) {
            let walk = Self::walk_of(Site::FreePgtables, mm, first.start, last.end);
            self.user_walk(walk, |k| k.free_pgtables(&mut gather, mm, vmas, floor, ceiling).map(|()| 0))?;
        }
        self.tlb_finish(&mut gather)
    }

    /// Neighbouring areas are done in one go.
    fn free_pgtables(&mut self, gather: &mut Gather, mm: MmId, vmas: &[Vma], floor: u64, ceiling: u64) -> Step {
        let near = self.geometry().size(Level::Pmd);
        let mut n = 0;
        while n < vmas.len() {
            let start = vmas[n].start;
            while n + 1 < vmas.len() && vmas[n + 1].start <= vmas[n].end + near {
                n += 1;
            }
            let ceiling = vmas.get(n + 1).map_or(ceiling, |next| next.start);
            self.free_pgd_range(gather, mm, (start, vmas[n].end), floor, ceiling)?;
            n += 1;
        }
        Ok(())
    }

    fn free_pgd_range(
        &mut self,
        gather: &mut Gather,
        mm: MmId,
        (start, end): (u64, u64),
        floor: u64,
        ceiling: u64,
    ) -> Step {
        let size = self.geometry().size(Level::Pmd);
        let mut addr = start & !(size - 1);
        if addr < floor {
            addr += size;
        }
        let Some(ceiling) = round_down(ceiling, size) else { return Ok(()) };
        let end = if end - 1 > ceiling.wrapping_sub(1) { end - size } else { end };
        if addr > end.wrapping_sub(1) {
            return Ok(());
        }
        let root = self.open_root(mm);
        self.free_level(gather, &root, mm, (addr, end), floor, ceiling)
    }

    /// The entries of a table: what lies below each is freed if the range and its surroundings need none of it.
    fn free_level(
        &mut self,
        gather: &mut Gather,
        table: &Table,
        mm: MmId,
        (start, end): (u64, u64),
        floor: u64,
        ceiling: u64,
    ) -> Step {
        self.each_entry(table, mm, start, end, |k, entry, next| {
            if k.none_or_clear_bad(entry)? {
                return Ok(0);
            }
            let below = k.open_below(entry)?;
            if below.level > Level::Pte {
                k.free_level(gather, &below, mm, (entry.va, next), floor, ceiling)?;
            }
            k.free_below_entry(gather, entry, &below, next, floor, ceiling)?;
            Ok(0)
        })?;
        Ok(())
    }

    /// `free_pte_range`, and the ends of `free_pmd_range` and those above it.
    fn free_below_entry(
        &mut self,
        gather: &mut Gather,
        entry: Entry<'_>,
        below: &Table,
        end: u64,
        floor: u64,
        ceiling: u64,
    ) -> Step {
        let size = self.geometry().size(entry.level());
        let mut va = entry.va;
        if entry.level() > Level::Pmd {
            va &= !(size - 1);
            if va < floor {
                return Ok(());
            }
            let Some(ceiling) = round_down(ceiling, size) else { return Ok(()) };
            if end - 1 > ceiling.wrapping_sub(1) {
                return Ok(());
            }
        }
        self.set_entry(entry, self.format().empty(entry.level()), Store::Clear)?;
        let unlinked = Unlinked { pa: below.pa, level: below.level, va, mm: entry.mm.0 };
        self.free_table_tlb(gather, unlinked)
    }
}

/// A ceiling in terms of entries of this size. 0 stands for the top; `None`: nothing lies below the ceiling.
const fn round_down(ceiling: u64, size: u64) -> Option<u64> {
    if ceiling == 0 {
        return Some(0);
    }
    let ceiling = ceiling & !(size - 1);
    if ceiling == 0 { None } else { Some(ceiling) }
}
