//! `vmap_range_noflush`, `vmap_page_range` and `ioremap_page_range` (`mm/vmalloc.c`).

use super::Walked;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, Resched, Site, Store, Warning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{AreaFlags, INIT_MM};
use crate::memory::Table;
use crate::modmask::ModMask;
use crate::scheme::ChildErrors;
use crate::stop::{Run, Step, errno};

/// A physical range on its way into the tables.
#[derive(Clone, Copy, Debug)]
struct Physical {
    /// Physical minus virtual address: constant over the walk.
    offset: u64,
    prot: Prot,
    max_shift: u32,
}

impl Physical {
    #[inline]
    fn at(&self, va: u64) -> u64 {
        va.wrapping_add(self.offset)
    }
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `ioremap_max_page_shift`.
    pub(crate) fn ioremap_max_page_shift(&self) -> u32 {
        if self.options.huge_vmap && B::huge_vmap(self) {
            u32::from(self.geometry().long_bits) - 1
        } else {
            self.geometry().page_shift
        }
    }

    /// `ioremap_page_range`: a vmap of an area that was reserved for it.
    pub fn ioremap_page_range(&mut self, addr: u64, end: u64, pa: u64, prot: Prot) -> Walked {
        let area = self.machine.areas.find(addr).copied();
        match area {
            Some(area) if area.flags == AreaFlags::Ioremap => {
                if addr != area.start || end != area.end() {
                    self.warn(Warning::IoremapRange, addr)?;
                    return Ok((errno::ERANGE, ModMask::NONE));
                }
                self.vmap_page_range(addr, end, pa, prot)
            }
            _ => {
                self.warn(Warning::IoremapArea, addr)?;
                Ok((errno::EINVAL, ModMask::NONE))
            }
        }
    }

    /// `vmap_page_range`: maps `[addr, end)` to the physical range at `pa`, without execute permission.
    pub fn vmap_page_range(&mut self, addr: u64, end: u64, pa: u64, prot: Prot) -> Walked {
        let walk = Self::walk_of(Site::VmapPageRange, INIT_MM, addr, end);
        let prot = self.format().pgprot_nx(prot);
        let shift = self.ioremap_max_page_shift();
        let walked = self.walked(walk, |k, mask| {
            let (ret, inner) = k.vmap_range_noflush(addr, end, pa, prot, shift)?;
            *mask |= inner;
            Ok(ret)
        })?;
        self.flush_cache_vmap(addr, end)?;
        Ok(walked)
    }

    /// `vmap_range_noflush`, with huge leaves where they fit below `max_shift`.
    pub fn vmap_range_noflush(&mut self, addr: u64, end: u64, pa: u64, prot: Prot, max_shift: u32) -> Walked {
        self.resched_point(Resched::MightSleep)?;
        if addr >= end {
            return self.bug(BugCode::EmptyRange, addr);
        }
        let physical = Physical { offset: pa.wrapping_sub(addr), prot, max_shift };
        let walk = Self::walk_of(Site::VmapRangeNoflush, INIT_MM, addr, end);
        self.walked(walk, |k, mask| {
            k.each_root_slot(INIT_MM, addr, end, mask, |k, entry, next, mask| {
                k.vmap_slot(entry, next, &physical, mask).map(Some)
            })
        })
    }

    /// One entry above the leaf table: a huge leaf if possible, else whatever lies below.
    fn vmap_slot(&mut self, entry: Entry<'_>, end: u64, physical: &Physical, mask: &mut ModMask) -> Run<i64> {
        if self.vmap_try_huge(entry, end, physical)? {
            *mask |= ModMask::of(entry.level());
            return Ok(0);
        }
        if entry.level() == Level::Pmd {
            // Every other error is this one anyway.
            let ret = self.vmap_pte_range(entry, end, physical, mask)?;
            return Ok(match self.options.child_errors {
                ChildErrors::Enomem if ret != 0 => errno::ENOMEM,
                _ => ret,
            });
        }
        let Some(table) = self.alloc_track(entry, mask)? else {
            return Ok(errno::ENOMEM);
        };
        self.each_entry(&table, INIT_MM, entry.va, end, |k, lower, next| k.vmap_slot(lower, next, physical, mask))
    }

    /// `vmap_try_huge_pmd`, `vmap_try_huge_pud`; there is no p4d leaf anywhere.
    fn vmap_try_huge(&mut self, entry: Entry<'_>, end: u64, physical: &Physical) -> Run<bool> {
        let level = entry.level();
        if !matches!(level, Level::Pmd | Level::Pud) {
            return Ok(false);
        }
        let size = self.geometry().size(level);
        let pa = physical.at(entry.va);
        let possible = physical.max_shift >= self.geometry().shift(level)
            && B::vmap_supported(self, level)
            && end.wrapping_sub(entry.va) == size
            && (entry.va | pa) & (size - 1) == 0;
        if !possible {
            return Ok(false);
        }
        let word = self.read(entry)?;
        if self.format().present(level, word) {
            let locked_out = self.options.huge_table_trylock && self.machine.ptdump;
            if locked_out || !B::free_below(self, entry, entry.va)? {
                return Ok(false);
            }
        }
        B::set_huge(self, entry, pa, physical.prot)
    }

    /// `vmap_pte_range`.
    fn vmap_pte_range(&mut self, pmd: Entry<'_>, end: u64, physical: &Physical, mask: &mut ModMask) -> Run<i64> {
        let page = self.geometry().page_size();
        let mut addr = pmd.va;
        if self.options.vmap_alignment_check && end.wrapping_sub(addr) & (page - 1) != 0 {
            self.warn(Warning::VmapUnaligned, addr)?;
            return Ok(errno::EINVAL);
        }
        let Some(table) = self.alloc_track(pmd, mask)? else {
            return Ok(errno::ENOMEM);
        };
        self.pte_begin_range(Site::VmapPteRange, &table, INIT_MM, addr, end)?;
        let group = B::vmap_group(self, physical.max_shift);
        while addr != end {
            let pa = physical.at(addr);
            match group {
                Some(group) if end.wrapping_sub(addr) >= group && (addr | pa) & (group - 1) == 0 => {
                    let entry = Entry::new(table.view(), self.geometry().index(Level::Pte, addr), addr, INIT_MM);
                    self.vmap_must_be_none(entry)?;
                    B::set_huge_ptes(self, entry, pa, physical.prot, group)?;
                    addr = addr.wrapping_add(group);
                }
                _ => {
                    // Single pages up to the next address where a group could begin.
                    let stop = group.map_or(end, |group| {
                        let next = (addr | (group - 1)).wrapping_add(1);
                        if end.wrapping_sub(addr) < next.wrapping_sub(addr) { end } else { next }
                    });
                    self.vmap_single_ptes(&table, addr, stop, physical)?;
                    addr = stop;
                }
            }
        }
        self.pte_end(Site::VmapPteRange)?;
        *mask |= ModMask::PTE;
        Ok(0)
    }

    fn vmap_must_be_none(&mut self, entry: Entry<'_>) -> Step {
        let word = self.read(entry)?;
        if self.format().none(Level::Pte, word) { Ok(()) } else { self.bug(BugCode::RemapLive, entry.va) }
    }

    #[inline(never)]
    fn vmap_single_ptes(&mut self, table: &Table, start: u64, end: u64, physical: &Physical) -> Step {
        let (format, page, prot) = (self.format(), self.geometry().page_size(), physical.prot);
        let pa = physical.at(start);
        // Where the words of neighbours differ like their addresses, the next word is an addition away.
        let run = format.pte_run(pa, end.wrapping_sub(start), prot);
        let mut word = run.unwrap_or_default();
        let first = self.geometry().index(Level::Pte, start);
        let count = (end.wrapping_sub(start) / page) as usize;
        for entry in Entry::run(table.view(), first, count, start, page, INIT_MM) {
            let old = self.read(entry)?;
            if !format.none(Level::Pte, old) {
                return self.bug(BugCode::RemapLive, entry.va);
            }
            if run.is_none() {
                word = format.pte(physical.at(entry.va), prot);
            }
            self.set_pte(entry, word, Store::Set)?;
            word = word.wrapping_add(page);
        }
        Ok(())
    }

    pub(crate) fn flush_cache_vmap(&mut self, start: u64, end: u64) -> Step {
        self.emit(Event::of(Kind::FLUSH_CACHE).range(start, end))?;
        B::flush_cache_vmap(self, start, end)
    }
}
