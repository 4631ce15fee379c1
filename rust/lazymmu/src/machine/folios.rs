//! The memory behind user mappings: folios, tables kept for a later split, and tables that wait for RCU.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use crate::geometry::Level;

/// A run of pages that is allocated and freed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Folio {
    pub start: u64,
    pub bytes: u64,
    /// `folio_test_anon`.
    pub anon: bool,
    /// `PageAnonExclusive` of its pages: nobody else maps them.
    pub exclusive: bool,
    /// Page-table references, and those that a gather still holds.
    pub refs: u64,
}

/// A table page that is no longer linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlinked {
    pub pa: u64,
    pub level: Level,
    pub va: u64,
    pub mm: u16,
}

/// All folios that faults have mapped.
#[derive(Clone, Debug, Default)]
pub struct Folios {
    by_start: BTreeMap<u64, Folio>,
    /// `pmd_huge_pte`: leaf tables deposited for the split of huge leaves, by pmd table. The first is taken next.
    deposits: FxHashMap<u64, VecDeque<u64>>,
    /// Tables between `call_rcu` and the end of the grace period.
    pub rcu: Vec<Unlinked>,
}

impl Folios {
    /// Adds folios and tables that are no longer linked to a digest, tables by name.
    pub(crate) fn digest(&self, h: &mut impl Hasher, name: &dyn Fn(u64) -> u64) {
        self.by_start.hash(h);
        let named =
            |table: (&u64, &VecDeque<u64>)| (name(*table.0), table.1.iter().map(|pa| name(*pa)).collect::<Vec<_>>());
        let mut deposits: Vec<_> = self.deposits.iter().filter(|(_, below)| !below.is_empty()).map(named).collect();
        deposits.sort_unstable();
        deposits.hash(h);
        for table in &self.rcu {
            (name(table.pa), table.level, table.va, table.mm).hash(h);
        }
    }

    /// The folio that holds this frame.
    #[must_use]
    pub fn at(&self, pa: u64) -> Option<Folio> {
        self.by_start.range(..=pa).next_back().map(|(_, f)| *f).filter(|f| pa < f.start + f.bytes)
    }

    /// A new folio; what was known about its frames is forgotten, they have been reused.
    pub fn allocate(&mut self, start: u64, bytes: u64, anon: bool) {
        let first = self.at(start).map_or(start, |f| f.start);
        let old: Vec<u64> = self.by_start.range(first..start + bytes).map(|(start, _)| *start).collect();
        for start in old {
            self.by_start.remove(&start);
        }
        self.by_start.insert(start, Folio { start, bytes, anon, exclusive: anon, refs: 0 });
    }

    /// So many more references.
    pub fn get(&mut self, start: u64, refs: u64) {
        if let Some(folio) = self.by_start.get_mut(&start) {
            folio.refs += refs;
        }
    }

    /// So many fewer; the folio if it was freed by that.
    pub fn put(&mut self, start: u64, refs: u64) -> Option<Folio> {
        let folio = self.by_start.get_mut(&start)?;
        folio.refs = folio.refs.saturating_sub(refs);
        if folio.refs == 0 { self.by_start.remove(&start) } else { None }
    }

    pub fn set_exclusive(&mut self, start: u64, exclusive: bool) {
        if let Some(folio) = self.by_start.get_mut(&start) {
            folio.exclusive = exclusive;
        }
    }

    /// `pgtable_trans_huge_deposit`: the newest goes to the front, the one that was there to the back.
    pub fn deposit(&mut self, pmd_table: u64, pa: u64) {
        let queue = self.deposits.entry(pmd_table).or_default();
        if let Some(front) = queue.pop_front() {
            queue.push_back(front);
        }
        queue.push_front(pa);
    }

    /// `pgtable_trans_huge_withdraw`.
    pub fn withdraw(&mut self, pmd_table: u64) -> Option<u64> {
        self.deposits.get_mut(&pmd_table).and_then(VecDeque::pop_front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folios_are_freed_with_their_last_reference_and_forgotten_when_reused() {
        let mut folios = Folios::default();
        folios.allocate(0x1_0000, 0x1_0000, true);
        folios.get(0x1_0000, 16);
        assert_eq!(folios.at(0x1_f000).map(|f| f.start), Some(0x1_0000));
        assert_eq!(folios.put(0x1_0000, 15), None);
        assert_eq!(folios.put(0x1_0000, 1).map(|f| f.bytes), Some(0x1_0000));
        assert_eq!(folios.at(0x1_f000), None);
        folios.allocate(0x1_0000, 0x1_0000, true);
        folios.allocate(0x1_8000, 0x1000, false);
        assert_eq!((folios.at(0x1_0000), folios.at(0x1_8000).map(|f| f.anon)), (None, Some(false)));
    }

    #[test]
    fn deposits_come_back_newest_first_then_oldest() {
        let mut folios = Folios::default();
        for pa in [1, 2, 3] {
            folios.deposit(9, pa);
        }
        assert_eq!([(); 4].map(|()| folios.withdraw(9)), [Some(3), Some(1), Some(2), None]);
    }
}
