//! The states that were seen, in shards that threads fill independently.
//!
//! A shard keeps states one behind the other, with the step that led there first, and a table of positions to find them
//! by. States are added in an order that does not depend on threads, and so are positions.

use super::system::LabelsTo;

/// Shards; a power of two. Small enough for each table to stay in a cache, large enough for every core.
pub(super) const SHARDS: usize = 64;
const LABEL_BITS: u32 = 16;
const EMPTY: u32 = 0;
/// The step that leads to an initial state.
const NOWHERE: u64 = u64::MAX;

/// Identifies a state: position and shard.
#[inline]
pub(super) const fn id_of(shard: usize, position: u32) -> u64 {
    (position as u64) * SHARDS as u64 + shard as u64
}

#[inline]
pub(super) const fn parts(id: u64) -> (usize, usize) {
    ((id % SHARDS as u64) as usize, (id / SHARDS as u64) as usize)
}

/// Where a state came from.
#[inline]
pub(super) const fn step_of(parent: u64, label: u16) -> u64 {
    parent << LABEL_BITS | label as u64
}

pub(super) const INITIAL: u64 = NOWHERE;

/// A hash whose low bits choose the shard and whose high bits the place in its table.
#[inline]
pub(super) fn hash(words: &[u64]) -> u64 {
    let mut h = 0x243f_6a88_85a3_08d3u64;
    for &word in words {
        h = fold(h ^ word, 0x9e37_79b9_7f4a_7c15);
    }
    fold(h, 0xd6e8_feb8_6659_fd93)
}

#[inline]
pub(super) const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// One shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Words that are compared: the state, or its fingerprint.
    pub(super) keys: Vec<u64>,
    /// Parent and label of each state.
    pub(super) from: Vec<u64>,
    pub(super) table: Vec<u32>,
    /// States added last, whole, where `keys` has only fingerprints.
    pub(super) fresh: Vec<u64>,
    pub(super) outcomes: Vec<u32>,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.from.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        8 * (self.keys.capacity() + self.from.capacity() + self.fresh.capacity()) as u64
            + 4 * self.table.capacity() as u64
    }

    /// Adds a state unless it is there. True: it is new.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, key: &[u64], from: u64) -> bool {
        if (self.len() + 1) * 4 > self.table.len() * 3 {
            self.grow(key.len());
        }
        let mask = self.table.len() - 1;
        let mut place = (hash >> 32) as usize & mask;
        loop {
            let found = self.table[place];
            if found == EMPTY {
                self.table[place] = self.len() as u32 + 1;
                self.keys.extend_from_slice(key);
                self.from.push(from);
                return true;
            }
            let at = (found - 1) as usize * key.len();
            if self.keys[at..at + key.len()] == *key {
                return false;
            }
            place = (place + 1) & mask;
        }
    }

    /// Makes the table larger, or builds it again.
    pub(super) fn grow(&mut self, width: usize) {
        let mut size = self.table.len().max(256);
        while (self.len() + 1) * 4 > size * 3 {
            size *= 2;
        }
        self.table = vec![EMPTY; size];
        let mask = size - 1;
        for (n, key) in self.keys.chunks_exact(width).enumerate() {
            let mut place = (key_hash(key) >> 32) as usize & mask;
            while self.table[place] != EMPTY {
                place = (place + 1) & mask;
            }
            self.table[place] = n as u32 + 1;
        }
    }
}

/// The hash by which a key finds its place: keys that are fingerprints are hashes already.
#[inline]
pub(super) fn key_hash(key: &[u64]) -> u64 {
    hash(key)
}

/// All shards.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) shards: Vec<Shard>,
    /// Words of a key.
    pub(super) width: usize,
    /// Words of a state.
    pub(super) words: usize,
    pub(super) fingerprint: bool,
    /// Position of the first of `fresh`, by shard.
    pub(super) fresh_from: Vec<usize>,
}

impl Store {
    pub(super) fn new(words: usize, fingerprint: bool) -> Store {
        let width = if fingerprint { 1 } else { words };
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Store { shards, width, words, fingerprint, fresh_from: vec![0; SHARDS] }
    }

    pub(super) fn states(&self) -> u64 {
        self.shards.iter().map(|s| s.len() as u64).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// The words of a state; with fingerprints only of those added last.
    #[inline]
    pub(super) fn state(&self, id: u64) -> &[u64] {
        let (shard, position) = parts(id);
        if self.fingerprint {
            let at = (position - self.fresh_from[shard]) * self.words;
            &self.shards[shard].fresh[at..at + self.words]
        } else {
            &self.shards[shard].keys[position * self.words..(position + 1) * self.words]
        }
    }

    /// States on the way to this one and itself, first one first, and the labels between.
    pub(super) fn path(&self, id: u64) -> (Vec<u64>, Vec<u16>) {
        let (mut ids, mut labels, mut at) = (vec![id], Vec::new(), id);
        loop {
            let (shard, position) = parts(at);
            let from = self.shards[shard].from[position];
            if from == INITIAL {
                ids.reverse();
                labels.reverse();
                return (ids, labels);
            }
            labels.push(from as u16);
            at = from >> LABEL_BITS;
            ids.push(at);
        }
    }
}

impl LabelsTo for Store {
    fn labels_to(&self, id: u64) -> Vec<u16> {
        self.path(id).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_added_once_and_remembers_how_it_was_reached() {
        let mut store = Store::new(2, false);
        for n in 0..5000u64 {
            let key = [n % 1000, 7];
            let h = hash(&key);
            let from = if n == 0 { INITIAL } else { step_of(id_of(3, 0), n as u16) };
            assert_eq!(store.shards[3].insert(h, &key, from), n < 1000, "state {n}");
        }
        assert_eq!(store.states(), 1000);
        assert_eq!(store.state(id_of(3, 999)), [999, 7]);
        assert_eq!(store.path(id_of(3, 999)), (vec![id_of(3, 0), id_of(3, 999)], vec![999]));
    }
}
