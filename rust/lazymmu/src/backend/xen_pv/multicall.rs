//! The per-CPU multicall buffer (`arch/x86/xen/multicalls.c`).

use std::hash::{Hash, Hasher};

use crate::backend::Naming;
use crate::machine::MmId;
use crate::memory::TableId;

/// `MC_BATCH`: calls that fit.
const MC_BATCH: usize = 32;
/// `MC_ARGS`: bytes of arguments that fit; the last byte is never used.
const MC_ARGS: usize = MC_BATCH * 16;

/// `sizeof(struct mmu_update)`.
const UPDATE_BYTES: usize = 16;
/// `sizeof(struct mmuext_op)`.
const MMUEXT_BYTES: usize = 24;

/// A hypercall, or a part of one, that waits.
#[derive(Clone, Debug)]
pub(super) enum Queued {
    Update {
        table: TableId,
        pa: u64,
        index: usize,
        va: u64,
        mm: MmId,
        word: u64,
        /// `MMU_PT_UPDATE_PRESERVE_AD`.
        keep: bool,
    },
    Invlpg {
        start: u64,
        end: u64,
        mm: MmId,
    },
    FlushAll {
        start: u64,
        end: u64,
        mm: MmId,
    },
    /// A table page becomes read-only (`update_va_mapping`).
    Protect,
    /// A leaf table is pinned.
    Pin,
}

impl Queued {
    const fn bytes(&self) -> usize {
        match self {
            Queued::Update { .. } => UPDATE_BYTES,
            Queued::Invlpg { .. } | Queued::FlushAll { .. } | Queued::Pin => MMUEXT_BYTES,
            Queued::Protect => 0,
        }
    }

    /// Updates are appended to the call before them, if that is of their kind.
    const fn extends(&self, last: &Queued) -> bool {
        matches!((self, last), (Queued::Update { .. }, Queued::Update { .. }) | (Queued::Pin, Queued::Pin))
    }
}

/// What waits on one CPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    items: Vec<Queued>,
    calls: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn has_room(&self, item: &Queued) -> bool {
        let extends = self.items.last().is_some_and(|last| item.extends(last));
        (extends || self.calls < MC_BATCH) && self.bytes + item.bytes() < MC_ARGS
    }

    pub(super) fn push(&mut self, item: Queued) {
        if !self.items.last().is_some_and(|last| item.extends(last)) {
            self.calls += 1;
        }
        self.bytes += item.bytes();
        self.items.push(item);
    }

    /// The last value queued for a word.
    pub(super) fn pending(&self, table: TableId, index: usize) -> Option<u64> {
        self.items.iter().rev().find_map(|item| match item {
            Queued::Update { table: t, index: i, word, .. } if *t == table && *i == index => Some(*word),
            _ => None,
        })
    }

    /// Adds what waits to a digest.
    pub(super) fn digest(&self, h: &mut impl Hasher, names: &dyn Naming) {
        (self.calls, self.bytes, self.items.len()).hash(h);
        for item in &self.items {
            std::mem::discriminant(item).hash(h);
            match item {
                Queued::Update { pa, index, va, mm, word, keep, .. } => {
                    (names.frame(*pa), index, va, mm, names.word(*word), keep).hash(h);
                }
                Queued::Invlpg { start, end, mm } | Queued::FlushAll { start, end, mm } => (start, end, mm).hash(h),
                Queued::Protect | Queued::Pin => {}
            }
        }
    }

    /// Empties the queue: what was in it, and as how many calls.
    pub(super) fn take(&mut self) -> (Vec<Queued>, u64) {
        let calls = self.calls as u64;
        self.calls = 0;
        self.bytes = 0;
        (std::mem::take(&mut self.items), calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;
    use crate::machine::INIT_MM;
    use crate::memory::Memory;

    #[test]
    fn thirty_one_updates_fit() {
        let table = Memory::new().insert(0x1000, Level::Pte, 512, 0);
        let (id, pa) = (table.id, table.pa);
        let update =
            |index| Queued::Update { table: id, pa, index, va: 0, mm: INIT_MM, word: index as u64, keep: false };
        let mut queue = Queue::default();
        for n in 0..31 {
            assert!(queue.has_room(&update(n)), "{n}");
            queue.push(update(n));
        }
        assert!(!queue.has_room(&update(31)));
        assert_eq!(queue.pending(table.id, 7), Some(7));
        let (items, calls) = queue.take();
        assert_eq!((items.len(), calls), (31, 1));
        assert!(queue.has_room(&update(0)));
    }
}
