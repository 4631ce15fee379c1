//! Which kind each word is.

use lazymmu_bits::{Bits, Portable};

use super::WATCHED;
use super::plan::Plan;

/// The kind of each word. Most kinds are told by few bits, whose combinations have a table; others, such as an entry that is
/// empty, by nearly all.
#[derive(Clone, Debug)]
pub(super) struct Kinds {
    /// The bits that decide between those of the table.
    deciding: u64,
    table: Vec<u8>,
    /// The others: mask, value, and the kind. It goes before later ones.
    wide: Vec<(u64, u64, usize)>,
}

impl Kinds {
    pub(super) fn new(plans: &[Plan]) -> Kinds {
        let mut kinds = Kinds { deciding: 0, table: Vec::new(), wide: Vec::new() };
        let mut narrow = Vec::new();
        let mut by_width: Vec<_> = plans.iter().enumerate().collect();
        by_width.sort_by_key(|(_, plan)| plan.mask.count_ones());
        for (n, plan) in by_width {
            if (kinds.deciding | plan.mask).count_ones() <= WATCHED {
                kinds.deciding |= plan.mask;
                narrow.push((n, plan));
            } else {
                kinds.wide.push((plan.mask, plan.value, n));
            }
        }
        narrow.sort_by_key(|(n, _)| *n);
        kinds.wide.sort_by_key(|(.., n)| *n);
        // The last kind stands for what formats forgot.
        let last = plans.len().saturating_sub(1);
        let kind = |bits| {
            let word = Portable.deposit(bits, kinds.deciding);
            narrow.iter().find(|(_, plan)| word & plan.mask == plan.value).map_or(last, |(n, _)| *n) as u8
        };
        kinds.table = (0..1 << kinds.deciding.count_ones()).map(kind).collect();
        kinds
    }

    pub(super) fn selector(&self) -> Selector<'_> {
        Selector { deciding: self.deciding, table: &self.table, wide: &self.wide }
    }
}

/// The same, in registers.
#[derive(Clone, Copy)]
pub(super) struct Selector<'a> {
    deciding: u64,
    table: &'a [u8],
    wide: &'a [(u64, u64, usize)],
}

impl Selector<'_> {
    #[inline(always)]
    pub(super) fn kind<B: Bits>(self, bits: B, word: u64) -> usize {
        let kind = usize::from(self.table[bits.extract(word, self.deciding) as usize]);
        for &(mask, value, wide) in self.wide {
            if wide < kind && word & mask == value {
                return wide;
            }
        }
        kind
    }
}
