//! Pages that areas map: what is behind a vmalloc address.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use crate::geometry::Geometry;

/// Hands out data pages and remembers which area has them.
#[derive(Clone, Debug)]
pub struct DataPages {
    next: u64,
    limit: u64,
    /// Freed runs by length in bytes, last freed last.
    free: FxHashMap<u64, Vec<u64>>,
    /// Blocks of an area, each of the size it was allocated with.
    owned: FxHashMap<u64, (u64, Vec<u64>)>,
}

impl DataPages {
    #[must_use]
    pub fn new(geometry: &Geometry) -> DataPages {
        let (next, limit) = if geometry.long_bits == 64 {
            (1 << 32, 1 << geometry.pa_bits.min(47))
        } else {
            // Low memory, which without highmem is all that there is.
            let low_end = geometry.layout.highmem_frames;
            (0x1800_0000, if low_end == 0 { 1 << 32 } else { low_end })
        };
        DataPages { next, limit, free: FxHashMap::default(), owned: FxHashMap::default() }
    }

    /// Allocates `count` blocks of `block` bytes, aligned to their size, for the area at `start`.
    pub(crate) fn alloc(&mut self, start: u64, block: u64, count: u64) -> Option<Vec<u64>> {
        let mut blocks = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let reused = self.free.get_mut(&block).and_then(Vec::pop);
            let pa = reused.or_else(|| {
                let pa = self.next.checked_next_multiple_of(block)?;
                let end = pa.checked_add(block)?;
                (end <= self.limit).then(|| {
                    self.next = end;
                    pa
                })
            });
            match pa {
                Some(pa) => blocks.push(pa),
                None => {
                    self.free.entry(block).or_default().extend(blocks);
                    return None;
                }
            }
        }
        self.owned.insert(start, (block, blocks.clone()));
        Some(blocks)
    }

    /// Whether so many blocks are left.
    pub(crate) fn has(&self, block: u64, count: u64) -> bool {
        let freed = self.free.get(&block).map_or(0, Vec::len) as u64;
        let first = self.next.next_multiple_of(block);
        count <= freed.saturating_add(self.limit.saturating_sub(first) / block)
    }

    /// Adds what is in use and what is free to a digest.
    pub(crate) fn digest(&self, h: &mut impl Hasher) {
        self.next.hash(h);
        let mut free: Vec<_> = self.free.iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
        free.sort_unstable();
        free.hash(h);
        let mut owned: Vec<_> = self.owned.iter().collect();
        owned.sort_unstable();
        owned.hash(h);
    }

    /// Takes back the pages of an area.
    pub(crate) fn release(&mut self, start: u64) {
        if let Some((block, mut blocks)) = self.owned.remove(&start) {
            blocks.reverse();
            self.free.entry(block).or_default().extend(blocks);
        }
    }
}
