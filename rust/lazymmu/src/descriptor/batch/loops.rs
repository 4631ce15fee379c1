//! The loops over words and records. Their sizes are constants, so that a plan stays in registers.
//!
//! Plain loops: adapters of iterators are not always inlined into functions with CPU features of their own.

use lazymmu_bits::{Bits, Loop};

use super::kinds::Selector;
use super::plan::{Group, Move, Plan};
use super::{KIND, VERDICT};

/// A plan whose sizes the compiler knows.
#[derive(Clone, Copy)]
pub(super) struct Compiled<'a, const L: usize> {
    mask: u64,
    value: u64,
    code: u64,
    fault: u64,
    res0: u64,
    watched: u64,
    verdicts: &'a [u64],
    address: Move,
    groups: [Group; L],
    extra: &'a [(usize, Group)],
    /// Bits that a record must not have.
    forbidden: [u64; L],
}

pub(super) fn compile<const L: usize>(plans: &[Plan]) -> Vec<Compiled<'_, L>> {
    let one = |plan: &Plan| {
        let (mut groups, mut forbidden) = ([Group::default(); L], [u64::MAX; L]);
        for (n, (group, allowed)) in plan.groups.iter().zip(&plan.allowed).enumerate().take(L) {
            groups[n] = *group;
            forbidden[n] = !allowed;
        }
        (groups, forbidden)
    };
    plans
        .iter()
        .map(|plan| {
            let (groups, forbidden) = one(plan);
            let &Plan { mask, value, code, fault, res0, watched, ref verdicts, address, ref extra, .. } = plan;
            Compiled { mask, value, code, fault, res0, watched, verdicts, address, groups, extra, forbidden }
        })
        .collect()
}

/// The bits of a word that are out of order in the record.
#[inline(always)]
pub(super) fn scatter<B: Bits>(bits: B, word: u64, extra: &[(usize, Group)], record: &mut [u64]) {
    for (lane, group) in extra {
        record[*lane] |= bits.deposit(bits.extract(word, group.word), group.lane).to_le();
    }
}

/// The same bits for the word.
#[inline(always)]
pub(super) fn gather<B: Bits>(bits: B, record: &[u64], extra: &[(usize, Group)]) -> u64 {
    let mut word = 0;
    for (lane, group) in extra {
        word |= bits.deposit(bits.extract(record[*lane].to_le(), group.lane), group.word);
    }
    word
}

pub(super) struct Decode<'a, const L: usize> {
    pub(super) plans: &'a [Compiled<'a, L>],
    pub(super) kinds: Selector<'a>,
    pub(super) words: &'a [u64],
    pub(super) out: &'a mut [u64],
}

impl<const L: usize> Loop for Decode<'_, L> {
    /// All bits of all words.
    type Output = u64;

    #[inline(always)]
    fn run<B: Bits>(self, bits: B) -> u64 {
        let (records, _) = self.out.as_chunks_mut::<L>();
        let count = records.len().min(self.words.len());
        let (words, kinds) = (self.words, self.kinds);
        let (mut all, mut at, mut kind) = (0, 0, 0);
        while at < count {
            // Words of one kind come together: its plan then stays in registers.
            let Some(&plan) = self.plans.get(kind) else { return all };
            while at < count {
                let word = words[at];
                // The first kind takes whatever has its bits: no need to look at the others.
                if !(kind == 0 && word & plan.mask == plan.value) {
                    let found = kinds.kind(bits, word);
                    if found != kind {
                        kind = found;
                        break;
                    }
                }
                all |= word;
                plan.record(bits, word, &mut records[at]);
                at += 1;
            }
        }
        all
    }
}

impl<const L: usize> Compiled<'_, L> {
    #[inline(always)]
    fn record<B: Bits>(&self, bits: B, word: u64, record: &mut [u64; L]) {
        let mut verdict = self.verdicts[bits.extract(word, self.watched) as usize];
        if self.res0 | self.fault != 0 {
            verdict |= u64::from(word & self.res0 != 0) | u64::from(word & self.fault != 0) << 1;
        }
        // Acceptable and invalid together are invalid.
        verdict &= !(verdict >> 1);
        record[0] = (word.rotate_right(self.address.right) & self.address.address).to_le();
        let mut head = self.code << (KIND % 8 * 8) | verdict << (VERDICT % 8 * 8);
        let mut lane = 1;
        while lane < L {
            head |= bits.deposit(bits.extract(word, self.groups[lane].word), self.groups[lane].lane);
            record[lane] = head.to_le();
            head = 0;
            lane += 1;
        }
        if !self.extra.is_empty() {
            scatter(bits, word, self.extra, record);
        }
    }

    /// The word, and whether anything in the record is wrong for its kind.
    #[inline(always)]
    fn word<B: Bits>(&self, bits: B, record: &[u64; L]) -> (u64, bool) {
        let address = record[0].to_le();
        let mut wrong = address & self.forbidden[0];
        let mut word = (address & self.address.address).rotate_left(self.address.right);
        let mut lane = 1;
        while lane < L {
            let given = record[lane].to_le();
            wrong |= given & self.forbidden[lane];
            word |= bits.deposit(bits.extract(given, self.groups[lane].lane), self.groups[lane].word);
            lane += 1;
        }
        if !self.extra.is_empty() {
            word |= gather(bits, record, self.extra);
        }
        (word, wrong != 0)
    }
}

pub(super) struct Encode<'a, const L: usize> {
    pub(super) plans: &'a [Compiled<'a, L>],
    pub(super) kinds: Selector<'a>,
    pub(super) records: &'a [u64],
    pub(super) out: &'a mut [u64],
}

impl<const L: usize> Loop for Encode<'_, L> {
    /// The first record that is wrong.
    type Output = Option<usize>;

    #[inline(always)]
    fn run<B: Bits>(self, bits: B) -> Option<usize> {
        let (records, _) = self.records.as_chunks::<L>();
        let count = records.len().min(self.out.len());
        let (out, kinds) = (self.out, self.kinds);
        let (mut at, mut code) = (0, 0);
        while at < count {
            let Some(&plan) = self.plans.get(code) else { return Some(at) };
            while at < count {
                let record = &records[at];
                let given = usize::from((record[KIND / 8].to_le() >> (KIND % 8 * 8)) as u8);
                if given != code {
                    code = given;
                    break;
                }
                let (word, wrong) = plan.word(bits, record);
                let fits = word & plan.mask == plan.value && (code == 0 || kinds.kind(bits, word) == code);
                if wrong || !fits {
                    return Some(at);
                }
                out[at] = word;
                at += 1;
            }
        }
        None
    }
}
