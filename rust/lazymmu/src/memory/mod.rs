//! Table pages by physical address.
//!
//! A page holds the words that hardware would read. Pages are shared between snapshots and copied when a snapshot's
//! owner opens them, so a snapshot costs one reference a table.

mod frames;
pub mod image;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

pub use frames::{FrameError, Frames, Zone};

use crate::geometry::Level;

/// Words of one table, shared between a machine and the walk that works on it.
///
/// Atomics give interior mutability without `unsafe`; ordering is never relied on, a machine has one owner.
pub type Words = Arc<[AtomicU64]>;

/// Identifies a table of one [`Memory`]; ids of freed tables are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub(crate) u32);

/// A table opened for walking: reads and stores go straight to its words.
#[derive(Clone, Debug)]
pub struct Table {
    pub id: TableId,
    pub pa: u64,
    /// The level of its entries.
    pub level: Level,
    words: Words,
}

impl Table {
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The table for a walk: a copy of everything but the words.
    #[inline]
    #[must_use]
    pub fn view(&self) -> TableView<'_> {
        TableView { id: self.id, pa: self.pa, level: self.level, words: &self.words }
    }

    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set(&self, index: usize, word: u64) {
        self.words[index].store(word, Ordering::Relaxed);
    }
}

/// A view of an open table. Copied freely, so that loops keep it in registers.
#[derive(Clone, Copy, Debug)]
pub struct TableView<'t> {
    pub id: TableId,
    pub pa: u64,
    pub level: Level,
    words: &'t [AtomicU64],
}

impl<'t> TableView<'t> {
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set(&self, index: usize, word: u64) {
        self.words[index].store(word, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) const fn new(id: TableId, pa: u64, level: Level, words: &'t [AtomicU64]) -> TableView<'t> {
        TableView { id, pa, level, words }
    }

    /// All words.
    #[inline(always)]
    pub(crate) const fn all(&self) -> &'t [AtomicU64] {
        self.words
    }

    /// One word of the table.
    #[inline]
    pub(crate) fn cell(&self, index: usize) -> &'t AtomicU64 {
        &self.words[index]
    }

    /// `count` words from `first`.
    #[inline]
    pub(crate) fn cells(&self, first: usize, count: usize) -> &'t [AtomicU64] {
        &self.words[first..first + count]
    }
}

#[derive(Debug)]
struct Slot {
    pa: u64,
    level: Level,
    words: Words,
    /// Another snapshot refers to the same words.
    shared: bool,
    live: bool,
}

/// All table pages of a machine.
#[derive(Debug, Default)]
pub struct Memory {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_pa: FxHashMap<u64, u32>,
}

fn filled(entries: usize, word: u64) -> Words {
    (0..entries).map(|_| AtomicU64::new(word)).collect()
}

impl Memory {
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Adds a table of so many words at `pa`. A table that was there is forgotten: its frame has been reused.
    pub fn insert(&mut self, pa: u64, level: Level, entries: usize, word: u64) -> Table {
        self.insert_words(pa, level, filled(entries, word), false)
    }

    /// Adds a table whose words are those of `like` until either is written.
    pub fn insert_shared(&mut self, pa: u64, level: Level, like: &Words) -> TableId {
        self.insert_words(pa, level, Arc::clone(like), true).id
    }

    fn insert_words(&mut self, pa: u64, level: Level, words: Words, shared: bool) -> Table {
        let slot = Slot { pa, level, words: Arc::clone(&words), shared, live: true };
        let id = match self.by_pa.get(&pa).copied().or_else(|| self.vacant.pop()) {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_pa.insert(pa, id);
        Table { id: TableId(id), pa, level, words }
    }

    /// Forgets the table; its words stay alive for whoever has it open.
    pub fn remove(&mut self, id: TableId) {
        let slot = &mut self.slots[id.0 as usize];
        if slot.live {
            slot.live = false;
            self.by_pa.remove(&slot.pa);
            self.vacant.push(id.0);
        }
    }

    /// The table at this physical address.
    #[inline]
    #[must_use]
    pub fn at(&self, pa: u64) -> Option<TableId> {
        self.by_pa.get(&pa).map(|&id| TableId(id))
    }

    /// Opens a table to walk and change it.
    #[inline]
    pub fn open(&mut self, id: TableId) -> Table {
        let slot = &mut self.slots[id.0 as usize];
        if slot.shared {
            slot.words = slot.words.iter().map(|w| AtomicU64::new(w.load(Ordering::Relaxed))).collect();
            slot.shared = false;
        }
        Table { id, pa: slot.pa, level: slot.level, words: Arc::clone(&slot.words) }
    }

    #[inline]
    #[must_use]
    pub fn word(&self, id: TableId, index: usize) -> u64 {
        self.slots[id.0 as usize].words[index].load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn level(&self, id: TableId) -> Level {
        self.slots[id.0 as usize].level
    }

    #[must_use]
    pub fn entries(&self, id: TableId) -> usize {
        self.slots[id.0 as usize].words.len()
    }

    /// The words of a table, for reading only.
    #[must_use]
    pub fn words(&self, id: TableId) -> &[AtomicU64] {
        &self.slots[id.0 as usize].words
    }

    /// Whether a table of another snapshot has the very same words: neither side has opened it since.
    #[must_use]
    pub fn shares(&self, id: TableId, other: &Memory, there: TableId) -> bool {
        Arc::ptr_eq(&self.slots[id.0 as usize].words, &other.slots[there.0 as usize].words)
    }

    /// Number of live tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_pa.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_pa.is_empty()
    }

    /// Live tables by ascending physical address.
    #[must_use]
    pub fn tables(&self) -> Vec<(u64, TableId)> {
        let mut all: Vec<_> = self.by_pa.iter().map(|(&pa, &id)| (pa, TableId(id))).collect();
        all.sort_unstable();
        all
    }

    /// A copy that shares all words until one side opens them. Nothing may have a table open.
    #[must_use]
    pub fn snapshot(&mut self) -> Memory {
        for slot in &mut self.slots {
            slot.shared = true;
        }
        let slots = self
            .slots
            .iter()
            .map(|s| Slot { pa: s.pa, level: s.level, words: Arc::clone(&s.words), shared: true, live: s.live })
            .collect();
        Memory { slots, vacant: self.vacant.clone(), by_pa: self.by_pa.clone() }
    }
}

/// Words that a machine shares for tables nobody has written yet.
#[must_use]
pub fn blank_words(entries: usize, word: u64) -> Words {
    filled(entries, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_do_not_see_later_stores() {
        let mut memory = Memory::new();
        let table = memory.insert(0x1000, Level::Pte, 8, 0);
        table.set(3, 7);
        drop(table);
        let mut copy = memory.snapshot();
        let id = memory.at(0x1000).expect("inserted");
        memory.open(id).set(3, 9);
        assert_eq!((memory.word(id, 3), copy.word(id, 3)), (9, 7));
        copy.open(id).set(4, 1);
        assert_eq!((memory.word(id, 4), copy.word(id, 4)), (0, 1));
    }

    #[test]
    fn a_reused_frame_is_a_new_table() {
        let mut memory = Memory::new();
        memory.insert(0x1000, Level::Pte, 8, 0).set(0, 1);
        let again = memory.insert(0x1000, Level::Pmd, 4, 0);
        assert_eq!((again.len(), again.get(0), memory.len()), (4, 0, 1));
        memory.remove(again.id);
        assert!(memory.at(0x1000).is_none());
    }
}
