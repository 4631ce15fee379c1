//! The page allocator of the model: deterministic, with injected choices and failures.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use crate::geometry::{Geometry, Level};

/// Where a page may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Low,
    /// `__GFP_HIGHMEM`: highmem where there is some.
    High,
}

/// No page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The scenario asked for this allocation to fail.
    #[error("allocation failed as the scenario asked")]
    Injected,
    /// The machine's memory for tables is used up.
    #[error("no frame left below {limit:#x}")]
    Exhausted { limit: u64 },
}

/// Bytes of table pages that a machine has, in each zone: enough to map 512 GiB by 4 KiB pages.
const TABLE_MEMORY: u64 = 1 << 30;

/// Hands out frames in ascending order, freed ones first (last freed, first reused).
#[derive(Clone, Debug)]
pub struct Frames {
    page_size: u64,
    /// Bytes of a table by level, pte first.
    table_bytes: [u64; 5],
    /// Ends of both zones.
    low_end: u64,
    high_end: u64,
    low: u64,
    high: u64,
    high_base: u64,
    free_low: Vec<u64>,
    free_high: Vec<u64>,
    /// Tables of several pages that were handed out, and those given back, by size.
    large: FxHashMap<u64, u64>,
    free_large: FxHashMap<u64, Vec<u64>>,
    /// Frames that a recording saw, by level of the table and first address that it maps.
    planned: FxHashMap<(Level, u64), VecDeque<u64>>,
    /// Allocations until the one that fails; `None`: all succeed.
    fail_in: Option<u64>,
}

impl Frames {
    #[must_use]
    pub fn new(geometry: &Geometry) -> Frames {
        let layout = &geometry.layout;
        let end = (layout.table_frames + TABLE_MEMORY).min(1 << geometry.pa_bits);
        Frames {
            page_size: geometry.page_size(),
            table_bytes: Level::ALL.map(|level| geometry.table_bytes(level)),
            low_end: if layout.highmem_frames == 0 { end } else { end.min(layout.highmem_frames) },
            high_end: (layout.highmem_frames + TABLE_MEMORY).min(1 << geometry.pa_bits),
            low: layout.table_frames,
            high: layout.highmem_frames,
            high_base: layout.highmem_frames,
            free_low: Vec::new(),
            free_high: Vec::new(),
            large: FxHashMap::default(),
            free_large: FxHashMap::default(),
            planned: FxHashMap::default(),
            fail_in: None,
        }
    }

    /// Tables of a level take so many bytes, whatever their entries need.
    pub(crate) fn set_table_bytes(&mut self, level: Level, bytes: u64) {
        self.table_bytes[level as usize - 1] = bytes;
    }

    /// The next allocation for this table takes this frame.
    pub fn plan(&mut self, level: Level, va: u64, pa: u64) {
        self.planned.entry((level, va)).or_default().push_back(pa);
    }

    pub fn forget_plans(&mut self) {
        self.planned.clear();
    }

    /// The `k`-th allocation from now fails, once; 0 is the next one.
    pub fn fail_at(&mut self, k: Option<u64>) {
        self.fail_in = k;
    }

    /// Allocates the frame of a table of `level` whose first address is `va`.
    pub fn alloc(&mut self, level: Level, va: u64, zone: Zone) -> Result<u64, FrameError> {
        if let Some(left) = self.fail_in {
            if left == 0 {
                self.fail_in = None;
                return Err(FrameError::Injected);
            }
            self.fail_in = Some(left - 1);
        }
        if let Some(queue) = self.planned.get_mut(&(level, va))
            && let Some(pa) = queue.pop_front()
        {
            return Ok(pa);
        }
        let bytes = self.table_bytes[level as usize - 1];
        if bytes > self.page_size {
            return self.alloc_large(bytes);
        }
        let high = zone == Zone::High && self.high_base != 0;
        let (free, next, limit) = if high {
            (&mut self.free_high, &mut self.high, self.high_end)
        } else {
            (&mut self.free_low, &mut self.low, self.low_end)
        };
        if let Some(pa) = free.pop() {
            return Ok(pa);
        }
        let pa = *next;
        if pa >= limit {
            return Err(FrameError::Exhausted { limit });
        }
        *next += self.page_size;
        Ok(pa)
    }

    /// Adds what is free to a digest, frames by name.
    pub(crate) fn digest(&self, h: &mut impl Hasher, name: &dyn Fn(u64) -> u64) {
        (self.low, self.high, self.fail_in).hash(h);
        for free in [&self.free_low, &self.free_high] {
            free.len().hash(h);
            free.iter().for_each(|pa| name(*pa).hash(h));
        }
        self.free_large.values().map(Vec::len).sum::<usize>().hash(h);
    }

    /// Several pages in a row, aligned to their size (`__get_free_pages`); never highmem.
    fn alloc_large(&mut self, bytes: u64) -> Result<u64, FrameError> {
        let pa = match self.free_large.get_mut(&bytes).and_then(Vec::pop) {
            Some(pa) => pa,
            None => {
                let pa = self.low.next_multiple_of(bytes);
                if pa + bytes > self.low_end {
                    return Err(FrameError::Exhausted { limit: self.low_end });
                }
                self.low = pa + bytes;
                pa
            }
        };
        self.large.insert(pa, bytes);
        Ok(pa)
    }

    pub fn free(&mut self, pa: u64) {
        if let Some(bytes) = self.large.remove(&pa) {
            self.free_large.entry(bytes).or_default().push(pa);
        } else if self.is_high(pa) {
            self.free_high.push(pa);
        } else {
            self.free_low.push(pa);
        }
    }

    /// Whether the frame lies in highmem, so that the kernel must map it before use.
    #[inline]
    #[must_use]
    pub fn is_high(&self, pa: u64) -> bool {
        self.high_base != 0 && pa >= self.high_base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::x86;

    #[test]
    fn order_reuse_and_failure() {
        let mut frames = Frames::new(&x86::X86_32_PAE);
        let a = frames.alloc(Level::Pte, 0, Zone::Low);
        assert_eq!(a, Ok(0x0100_0000));
        assert_eq!(frames.alloc(Level::Pte, 0, Zone::High), Ok(0x4000_0000));
        frames.free(0x0100_0000);
        assert_eq!(frames.alloc(Level::Pte, 0, Zone::Low), Ok(0x0100_0000));
        frames.fail_at(Some(1));
        assert!(frames.alloc(Level::Pte, 0, Zone::Low).is_ok());
        assert_eq!(frames.alloc(Level::Pte, 0, Zone::Low), Err(FrameError::Injected));
        assert!(frames.alloc(Level::Pte, 0, Zone::Low).is_ok());
        frames.plan(Level::Pte, 0x20_0000, 0x7000);
        assert_eq!(frames.alloc(Level::Pte, 0x20_0000, Zone::Low), Ok(0x7000));
    }
}
