//! The vmalloc address space: which ranges are in use, and which wait for their TLB flush.

use std::collections::BTreeMap;

use crate::geometry::Geometry;

/// What an area is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AreaFlags {
    Map,
    Ioremap,
    Alloc,
}

/// `struct vm_struct`: a range of vmalloc addresses, without its guard page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VmArea {
    pub start: u64,
    pub size: u64,
    /// The range kept free behind it, and unmapped with it.
    pub guard: u64,
    /// What is reserved and flushed with it, but never mapped: the rest of a power of two in a block of `vm_map_ram`.
    pub rest: u64,
    pub flags: AreaFlags,
    /// Page size with which it was mapped.
    pub page_shift: u32,
}

impl VmArea {
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// Why a range of addresses could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AreaError {
    #[error("[{start:#x}, {end:#x}) is not free vmalloc space")]
    Busy { start: u64, end: u64 },
    #[error("no {size:#x} bytes aligned to {align:#x} left in the vmalloc space")]
    Full { size: u64, align: u64 },
}

/// Busy, lazily freed and free ranges.
#[derive(Clone, Debug, Hash)]
pub struct VmAreas {
    page_size: u64,
    busy: BTreeMap<u64, VmArea>,
    /// Free ranges by start; neighbours are merged.
    free: BTreeMap<u64, u64>,
    lazy: Vec<(u64, u64)>,
    lazy_pages: u64,
    /// Lazily freed pages after which the next free purges.
    lazy_max_pages: u64,
}

impl VmAreas {
    #[must_use]
    pub fn new(geometry: &Geometry) -> VmAreas {
        let layout = &geometry.layout;
        VmAreas {
            page_size: geometry.page_size(),
            busy: BTreeMap::new(),
            free: BTreeMap::from([(layout.vmalloc_start, layout.vmalloc_end)]),
            lazy: Vec::new(),
            lazy_pages: 0,
            lazy_max_pages: (32 << 20) >> geometry.page_shift,
        }
    }

    /// `lazy_max_pages()`: `fls(num_online_cpus) * 32 MiB`.
    pub fn set_cpus(&mut self, cpus: usize) {
        let fls = u64::from(usize::BITS - cpus.leading_zeros());
        self.lazy_max_pages = fls * ((32 << 20) / self.page_size);
    }

    /// The area that starts here (`find_vm_area`).
    #[must_use]
    pub fn at(&self, start: u64) -> Option<&VmArea> {
        self.busy.get(&start)
    }

    /// The area that an address lies in, or in whose guard page (`find_vmap_area`).
    #[must_use]
    pub fn find(&self, va: u64) -> Option<&VmArea> {
        self.busy.range(..=va).next_back().map(|(_, area)| area).filter(|area| va < area.end() + area.guard)
    }

    pub(crate) fn set_page_shift(&mut self, start: u64, shift: u32) {
        if let Some(area) = self.busy.get_mut(&start) {
            area.page_shift = shift;
        }
    }

    /// Reserves exactly this range.
    pub fn reserve(&mut self, area: VmArea) -> Result<(), AreaError> {
        let start = area.start;
        let Some(end) = start.checked_add(area.size).and_then(|end| end.checked_add(area.guard + area.rest)) else {
            return Err(AreaError::Busy { start, end: u64::MAX });
        };
        let room = self.free.range(..=start).next_back().map(|(s, e)| (*s, *e));
        match room {
            Some((s, e)) if e >= end => {
                self.carve(s, e, start, end);
                self.busy.insert(start, area);
                Ok(())
            }
            _ => Err(AreaError::Busy { start, end }),
        }
    }

    /// Reserves the lowest free range for an area like this; lazily freed ranges are not free.
    pub fn allocate(&mut self, request: VmArea, align: u64) -> Result<VmArea, AreaError> {
        let size = request.size;
        let fit = self.free.iter().find_map(|(&s, &e)| {
            let start = s.checked_next_multiple_of(align)?;
            let end = start.checked_add(size)?.checked_add(request.guard + request.rest)?;
            (end <= e).then_some((s, e, start, end))
        });
        let (s, e, start, end) = fit.ok_or(AreaError::Full { size, align })?;
        self.carve(s, e, start, end);
        let area = VmArea { start, ..request };
        self.busy.insert(start, area);
        Ok(area)
    }

    /// Takes `[start, end)` out of the free range `[s, e)`.
    fn carve(&mut self, s: u64, e: u64, start: u64, end: u64) {
        self.free.remove(&s);
        if s < start {
            self.free.insert(s, start);
        }
        if end < e {
            self.free.insert(end, e);
        }
    }

    /// Whether addresses wait for their TLB flush.
    #[must_use]
    pub fn any_waits(&self) -> bool {
        !self.lazy.is_empty()
    }

    /// Takes the area out of use (`find_unlink_vmap_area`). Its addresses are not free yet.
    pub fn unlink(&mut self, start: u64) -> Option<VmArea> {
        self.busy.remove(&start)
    }

    /// The addresses of an unlinked area wait for a TLB flush. True when so many wait that the kernel purges.
    pub fn release(&mut self, area: &VmArea) -> bool {
        let end = area.end() + area.guard + area.rest;
        self.lazy_pages += (end - area.start) / self.page_size;
        self.lazy.push((area.start, end));
        self.lazy_pages > self.lazy_max_pages
    }

    /// Takes all ranges that wait for their TLB flush.
    pub fn take_lazy(&mut self) -> Vec<(u64, u64)> {
        self.lazy_pages = 0;
        std::mem::take(&mut self.lazy)
    }

    /// The ranges were flushed and are free.
    pub fn flushed(&mut self, ranges: &[(u64, u64)]) {
        for (start, end) in ranges {
            self.give_back(*start, *end);
        }
    }

    fn give_back(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        if let Some((&s, &e)) = self.free.range(..start).next_back()
            && e == start
        {
            self.free.remove(&s);
            start = s;
        }
        if let Some(e) = self.free.remove(&end) {
            end = e;
        }
        self.free.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::x86::X86_64_4LEVEL;

    #[test]
    fn freed_ranges_are_not_reused_before_the_flush() {
        let mut areas = VmAreas::new(&X86_64_4LEVEL);
        let one = VmArea { start: 0, size: 0x1000, guard: 0x1000, rest: 0, flags: AreaFlags::Alloc, page_shift: 12 };
        let a = areas.allocate(one, 0x1000).expect("room");
        let b = areas.allocate(one, 0x1000).expect("room");
        assert_eq!(b.start, a.start + 0x2000);
        let unlinked = areas.unlink(a.start).expect("in use");
        assert_eq!(areas.unlink(a.start), None);
        areas.release(&unlinked);
        let c = areas.allocate(one, 0x1000).expect("room");
        assert_eq!(c.start, a.start + 0x4000);
        let lazy = areas.take_lazy();
        assert_eq!(lazy, [(a.start, a.start + 0x2000)]);
        areas.flushed(&lazy);
        let d = areas.allocate(one, 0x1000).expect("room");
        assert_eq!(d.start, a.start);
    }

    #[test]
    fn overlapping_areas_are_refused() {
        let mut areas = VmAreas::new(&X86_64_4LEVEL);
        let start = X86_64_4LEVEL.layout.vmalloc_start;
        let area = VmArea { start, size: 0x4000, guard: 0x1000, rest: 0, flags: AreaFlags::Map, page_shift: 12 };
        assert_eq!(areas.reserve(area), Ok(()));
        let again = VmArea { start: start + 0x4000, ..area };
        assert!(matches!(areas.reserve(again), Err(AreaError::Busy { .. })));
    }
}
