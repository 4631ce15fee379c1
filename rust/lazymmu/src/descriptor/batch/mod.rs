//! Many words at a time: arrays of words to arrays of records, and back.
//!
//! A record has the physical address, the kind, the verdict, and one column for every field that a table or a leaf of
//! the level has. Words that hardware does not use keep their bits in the columns of a leaf, so no bit is lost. The
//! lists of fields become masks once; the loop then only moves bits.

mod kinds;
mod loops;
mod plan;

use kinds::Kinds;
use loops::{Decode, Encode, compile};
use plan::{Plan, columns, plan};

use super::decode::{DescriptorError, Place, Problem};
use super::field::{Kind, Verdict};

use lazymmu_bits::fastest;

/// A column of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub offset: usize,
    /// 1, 2, 4 or 8.
    pub bytes: usize,
}

const KIND: usize = 8;
const VERDICT: usize = 9;
const FIRST: usize = 10;
/// Most 64-bit lanes of a record.
const LANES: usize = 8;
/// Most bits whose combinations have a table of verdicts, or of kinds.
const WATCHED: u32 = 12;

/// The compiled form of a [`Place`].
#[derive(Clone, Debug)]
pub struct Codec {
    place: Place,
    columns: Vec<Column>,
    lanes: usize,
    plans: Vec<Plan>,
    kinds: Kinds,
}

/// Runs one of the loops below with the sizes of a codec as constants.
macro_rules! sized {
    ($codec:expr, $body:ident, $from:ident, $out:ident) => {
        sized!($codec, $body, $from, $out, 2 3 4 5 6 7)
    };
    ($codec:expr, $body:ident, $from:ident, $out:ident, $($lanes:literal)*) => {
        match $codec.lanes {
            $($lanes => fastest($body::<$lanes> { plans: &compile(&$codec.plans), kinds: $codec.kinds.selector(), $from, $out }),)*
            _ => fastest($body::<LANES> { plans: &compile(&$codec.plans), kinds: $codec.kinds.selector(), $from, $out }),
        }
    };
}

impl Codec {
    /// Compiles the layouts of a place. The error is a format with more fields than a record has room for.
    pub fn new(place: Place) -> Result<Codec, DescriptorError> {
        let columns = columns(&place.layouts);
        let lanes = columns.iter().map(|c| c.offset + c.bytes).max().unwrap_or(FIRST).max(FIRST).div_ceil(8);
        let first = |kind| place.layouts.iter().find(|l| l.kind == kind);
        let raw = first(Kind::Leaf).or_else(|| first(Kind::Table)).cloned();
        let plans: Vec<Plan> = place
            .layouts
            .iter()
            .enumerate()
            .map(|(code, layout)| {
                let shape = if layout.kind == Kind::Invalid { raw.as_ref().unwrap_or(layout) } else { layout };
                plan(&place, code as u64, layout, shape, &columns, lanes)
            })
            .collect();
        if lanes > LANES {
            return Err(DescriptorError::NoFormat { geometry: place.geometry });
        }
        let kinds = Kinds::new(&plans);
        Ok(Codec { place, columns, lanes, plans, kinds })
    }

    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// 64-bit lanes of a record.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Records of the words, `lanes` 64-bit lanes each in little-endian order. An error names the first word that is
    /// wider than an entry. `out` holds as many records as there are words.
    pub fn decode(&self, words: &[u64], out: &mut [u64]) -> Result<(), DescriptorError> {
        let limit = u64::MAX >> (64 - self.place.bits);
        let all = sized!(self, Decode, words, out);
        if all > limit
            && let Some(word) = words.iter().find(|word| **word > limit)
        {
            self.place.decode(*word)?;
        }
        Ok(())
    }

    /// Words of the records. An error says which record is wrong, and what in it.
    pub fn encode(&self, records: &[u64], out: &mut [u64]) -> Result<(), (usize, DescriptorError)> {
        match sized!(self, Encode, records, out) {
            Some(at) => Err((at, self.explain(&records[at * self.lanes..(at + 1) * self.lanes]))),
            None => Ok(()),
        }
    }

    /// What is wrong with a record.
    #[cold]
    fn explain(&self, record: &[u64]) -> DescriptorError {
        let bytes: Vec<u8> = record.iter().flat_map(|lane| lane.to_ne_bytes()).collect();
        let at = format!("{} {}", self.place.geometry, self.place.level.name());
        let problem = |field, value, limit: String| {
            let problem = Problem { field, value, limit, verdict: Verdict::Invalid };
            DescriptorError::Field { at: at.clone(), problem }
        };
        let code = usize::from(bytes[KIND]);
        let (Some(layout), Some(plan)) = (self.place.layouts.get(code), self.plans.get(code)) else {
            return problem("kind", code as u64, format!("{}", self.plans.len() - 1));
        };
        for column in &self.columns {
            let value = bytes[column.offset..column.offset + column.bytes]
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            let allowed = match column.offset {
                0 => plan.allowed[0],
                KIND | VERDICT => continue,
                offset => (0..column.bytes).rev().fold(0, |mask, n| {
                    let at = offset + n;
                    mask << 8 | (plan.allowed[at / 8] >> (at % 8 * 8)) & 0xff
                }),
            };
            let address_limit = u64::MAX >> (64 - self.place.pa_bits);
            if column.offset == 0 && layout.kind != Kind::Invalid && value > address_limit {
                return problem(
                    column.name,
                    value,
                    format!("{:#x}, {} bits of physical address", address_limit, self.place.pa_bits),
                );
            }
            if value & !allowed != 0 {
                let limit = if allowed == 0 || value > allowed {
                    format!("{allowed:#x} in a {} entry", layout.name)
                } else {
                    format!("bits {allowed:#x}")
                };
                return problem(column.name, value, limit);
            }
        }
        let name = layout.name;
        problem("kind", code as u64, format!("the other fields do not make a {name} entry"))
    }
}
