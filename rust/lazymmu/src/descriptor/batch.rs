//! Many words at a time: arrays of words to arrays of records, and back.
//!
//! A record has the physical address, the kind, the verdict, and one column for every field that a table or a leaf of
//! the level has. Words that hardware does not use keep their bits in the columns of a leaf, so no bit is lost. The
//! lists of fields become tables once; the loop then only looks up.

use super::decode::{DescriptorError, Place, Problem};
use super::field::{Field, Kind, Layout, Role, Verdict};

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
/// Most 64-bit lanes of a record, and most table lookups of a lane.
const LANES: usize = 8;
const LOOKUPS: usize = 8;

type Table = [u64; 256];

/// One lookup: a byte of the word gives bits of a lane.
#[derive(Clone, Debug)]
struct Lookup {
    shift: u32,
    table: Box<Table>,
}

/// Bits of a word that are bits of the address.
#[derive(Clone, Copy, Debug)]
struct Move {
    mask: u64,
    low: u8,
    at: u8,
}

/// How bits above the lowest of a column go back into the word.
#[derive(Clone, Copy, Debug)]
struct Wide {
    lane: usize,
    shift: u32,
    mask: u64,
    to: u32,
}

#[derive(Clone, Debug)]
struct Plan {
    mask: u64,
    value: u64,
    base: u64,
    flip: u64,
    address: Vec<Move>,
    address_limit: u64,
    address_bits: u64,
    fault: u64,
    res0: u64,
    rules: Vec<(u64, u64, u64)>,
    /// For lanes 1 and above.
    lookups: Vec<Vec<Lookup>>,
    allowed: Vec<u64>,
    lowest: Vec<Box<Table>>,
    wide: Vec<Wide>,
}

/// The compiled form of a [`Place`].
#[derive(Clone, Debug)]
pub struct Codec {
    place: Place,
    columns: Vec<Column>,
    lanes: usize,
    lookups: usize,
    plans: Vec<Plan>,
}

/// Bytes 0 of eight columns, gathered into eight bits by one multiplication.
const LOWEST: u64 = 0x0101_0101_0101_0101;
const GATHER: u64 = 0x0102_0408_1020_4080;

impl Codec {
    /// Compiles the layouts of a place.
    #[must_use]
    pub fn new(place: Place) -> Codec {
        let columns = columns(&place.layouts);
        let lanes = columns.iter().map(|c| c.offset + c.bytes).max().unwrap_or(FIRST).max(FIRST).div_ceil(8);
        let raw = place.layouts.iter().find(|l| l.kind == Kind::Leaf).or_else(|| place.layouts.first()).cloned();
        let plans: Vec<Plan> = place
            .layouts
            .iter()
            .enumerate()
            .map(|(code, layout)| {
                let shape = if layout.kind == Kind::Invalid { raw.as_ref().unwrap_or(layout) } else { layout };
                plan(&place, code as u64, layout, shape, &columns, lanes)
            })
            .collect();
        let lookups = plans.iter().flat_map(|p| p.lookups.iter().map(Vec::len)).max().unwrap_or(0);
        let lookups = if lookups <= 3 { lookups.max(2) } else { lookups.next_multiple_of(2) };
        Codec { place, columns, lanes, lookups, plans }
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
        macro_rules! sizes {
            ($($lanes:literal)*) => {
                match (self.lanes, self.lookups) {
                    $(($lanes, 2) => self.decode_as::<$lanes, 2>(words, out),
                    ($lanes, 3) => self.decode_as::<$lanes, 3>(words, out),
                    ($lanes, 4) => self.decode_as::<$lanes, 4>(words, out),
                    ($lanes, 6) => self.decode_as::<$lanes, 6>(words, out),
                    ($lanes, _) => self.decode_as::<$lanes, LOOKUPS>(words, out),)*
                    _ => self.decode_as::<LANES, LOOKUPS>(words, out),
                }
            };
        }
        sizes!(2 3 4 5 6 7)
    }

    fn decode_as<const L: usize, const T: usize>(&self, words: &[u64], out: &mut [u64]) -> Result<(), DescriptorError> {
        let zero: Table = [0; 256];
        let plans: Vec<_> = self.plans.iter().map(|plan| Compiled::<L, T>::of(plan, &zero)).collect();
        let limit = u64::MAX >> (64 - self.place.bits);
        let mut all = 0;
        for (word, record) in words.iter().zip(out.as_chunks_mut::<L>().0) {
            all |= *word;
            *record = plans[select(&self.plans, *word)].record(*word);
        }
        if all > limit
            && let Some(word) = words.iter().find(|word| **word > limit)
        {
            self.place.decode(*word)?;
        }
        Ok(())
    }

    /// Words of the records. An error says which record is wrong, and what in it.
    pub fn encode(&self, records: &[u64], out: &mut [u64]) -> Result<(), (usize, DescriptorError)> {
        match self.lanes {
            2 => self.encode_as::<2>(records, out),
            3 => self.encode_as::<3>(records, out),
            4 => self.encode_as::<4>(records, out),
            5 => self.encode_as::<5>(records, out),
            6 => self.encode_as::<6>(records, out),
            7 => self.encode_as::<7>(records, out),
            _ => self.encode_as::<LANES>(records, out),
        }
    }

    fn encode_as<const L: usize>(&self, records: &[u64], out: &mut [u64]) -> Result<(), (usize, DescriptorError)> {
        let plans: Vec<_> = self.plans.iter().map(Packed::<L>::of).collect();
        for (at, (record, word)) in records.as_chunks::<L>().0.iter().zip(out).enumerate() {
            let code = (record[KIND / 8].to_le() & 0xff) as usize;
            let packed = plans.get(code).map(|plan| plan.word(record));
            *word = packed.map_or(0, |(word, _)| word);
            if packed.is_none_or(|(word, wrong)| wrong != 0 || select(&self.plans, word) != code) {
                return Err((at, self.explain(record)));
            }
        }
        Ok(())
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
                0 => plan.address_bits,
                KIND | VERDICT => continue,
                offset => (0..column.bytes).rev().fold(0, |mask, n| {
                    let at = offset + n;
                    mask << 8 | (plan.allowed[at / 8 - 1] >> (at % 8 * 8)) & 0xff
                }),
            };
            if column.offset == 0 && value > plan.address_limit {
                return problem(
                    column.name,
                    value,
                    format!("{:#x}, {} bits of physical address", plan.address_limit, self.place.pa_bits),
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

/// Names and places of the columns: of leaves and tables, in the order of their bits.
fn columns(layouts: &[Layout]) -> Vec<Column> {
    let mut found: Vec<(u8, &'static str, u32)> = Vec::new();
    let used = layouts.iter().filter(|l| l.kind != Kind::Invalid);
    for field in used.flat_map(|l| &l.fields).filter(|f| f.role != Role::Address) {
        let width = 64 - field.value_mask().leading_zeros();
        match found.iter_mut().find(|(_, name, _)| *name == field.name) {
            Some((_, _, bits)) => *bits = width.max(*bits),
            None => found.push((field.parts[0].low, field.name, width)),
        }
    }
    found.sort_by_key(|(low, ..)| *low);
    let mut columns = vec![
        Column { name: "address", offset: 0, bytes: 8 },
        Column { name: "kind", offset: KIND, bytes: 1 },
        Column { name: "verdict", offset: VERDICT, bytes: 1 },
    ];
    let mut at = FIRST;
    for (_, name, bits) in found {
        let bytes = (bits as usize).div_ceil(8).next_power_of_two();
        at = at.next_multiple_of(bytes);
        columns.push(Column { name, offset: at, bytes });
        at += bytes;
    }
    columns
}

fn plan(place: &Place, code: u64, layout: &Layout, shape: &Layout, columns: &[Column], lanes: usize) -> Plan {
    let mut plan = Plan {
        mask: layout.mask,
        value: layout.value,
        base: code,
        flip: 0,
        address: Vec::new(),
        address_limit: u64::MAX,
        address_bits: 0,
        fault: 0,
        res0: 0,
        rules: layout.rules.iter().map(|rule| (rule.mask, rule.value, rule.verdict as u64)).collect(),
        lookups: vec![Vec::new(); lanes - 1],
        allowed: vec![0; lanes - 1],
        lowest: vec![Box::new([0; 256]); lanes - 1],
        wide: Vec::new(),
    };
    plan.allowed[0] |= 0xffff;
    for field in &layout.fields {
        match field.role {
            Role::Res0 => plan.res0 |= field.mask(),
            Role::Reserved => plan.fault |= field.mask(),
            _ => {}
        }
    }
    for field in &shape.fields {
        if field.role == Role::Address {
            plan.address = field.parts.iter().map(|p| Move { mask: p.mask(), low: p.low, at: p.at }).collect();
            plan.address_bits = field.value_mask();
            plan.flip = if field.inverted { field.mask() } else { 0 };
            if layout.kind != Kind::Invalid {
                plan.address_limit = u64::MAX >> (64 - place.pa_bits);
            }
        } else if let Some(column) = columns.iter().find(|c| c.name == field.name) {
            deposit(&mut plan, field, column);
        }
    }
    plan
}

/// Adds a field to the tables of a plan, bit by bit.
fn deposit(plan: &mut Plan, field: &Field, column: &Column) {
    for part in &field.parts {
        for n in 0..=part.high - part.low {
            let (from, to) = (u32::from(part.low + n), column.offset as u32 * 8 + u32::from(part.at + n));
            let (lane, bit) = (to as usize / 64 - 1, to % 64);
            let shift = from & !7;
            let lookups = &mut plan.lookups[lane];
            let known = lookups.iter().position(|lookup| lookup.shift == shift);
            let index = known.unwrap_or_else(|| {
                lookups.push(Lookup { shift, table: Box::new([0; 256]) });
                lookups.len() - 1
            });
            for (byte, lanes) in lookups[index].table.iter_mut().enumerate() {
                *lanes |= ((byte as u64 >> (from - shift)) & 1) << bit;
            }
            plan.allowed[lane] |= 1 << bit;
            if bit % 8 == 0 {
                // GATHER puts the lowest bit of byte b into bit b.
                for (gathered, word) in plan.lowest[lane].iter_mut().enumerate() {
                    *word |= ((gathered as u64 >> (bit / 8)) & 1) << from;
                }
            } else {
                let join = |w: &&mut Wide| {
                    let len = w.mask.count_ones();
                    w.lane == lane && w.shift + len == bit && w.to + len == from
                };
                match plan.wide.iter_mut().find(join) {
                    Some(wide) => wide.mask = wide.mask << 1 | 1,
                    None => plan.wide.push(Wide { lane, shift: bit, mask: 1, to: from }),
                }
            }
        }
    }
}

#[inline]
fn select(plans: &[Plan], word: u64) -> usize {
    let mut found = plans.len() - 1;
    for (n, plan) in plans.iter().enumerate().rev() {
        if word & plan.mask == plan.value {
            found = n;
        }
    }
    found
}

/// A plan whose sizes the compiler knows.
struct Compiled<'a, const L: usize, const T: usize> {
    plan: &'a Plan,
    address: [Move; 2],
    lookups: [[(u32, &'a Table); T]; L],
}

impl<'a, const L: usize, const T: usize> Compiled<'a, L, T> {
    fn of(plan: &'a Plan, zero: &'a Table) -> Self {
        let mut lookups = [[(0, zero); T]; L];
        for (lane, from) in plan.lookups.iter().enumerate() {
            for (to, lookup) in lookups[lane + 1].iter_mut().zip(from) {
                *to = (lookup.shift, &lookup.table);
            }
        }
        let none = Move { mask: 0, low: 0, at: 0 };
        let mut address = [none; 2];
        for (to, from) in address.iter_mut().zip(&plan.address) {
            *to = *from;
        }
        Compiled { plan, address, lookups }
    }

    #[inline]
    fn record(&self, word: u64) -> [u64; L] {
        let plan = self.plan;
        let mut record = [0; L];
        let flipped = word ^ plan.flip;
        let address =
            self.address.iter().fold(0, |address, part| address | ((flipped & part.mask) >> part.low) << part.at);
        let mut verdict = u64::from(word & plan.res0 != 0) | u64::from(word & plan.fault != 0) << 1;
        verdict |= u64::from(address > plan.address_limit) << 1;
        for (mask, value, rule) in &plan.rules {
            verdict |= if word & mask == *value { *rule } else { 0 };
        }
        // Acceptable and invalid together are invalid.
        verdict &= !(verdict >> 1);
        record[0] = address.to_le();
        for lane in 1..L {
            let bits =
                self.lookups[lane].iter().fold(0, |bits, (shift, table)| bits | table[(word >> shift) as u8 as usize]);
            record[lane] = bits;
        }
        record[1] |= plan.base | verdict << 8;
        for lane in &mut record[1..] {
            *lane = lane.to_le();
        }
        record
    }
}

/// The same for the way back.
struct Packed<'a, const L: usize> {
    plan: &'a Plan,
    address: [Move; 2],
    allowed: [u64; L],
    lowest: [&'a Table; L],
}

impl<'a, const L: usize> Packed<'a, L> {
    fn of(plan: &'a Plan) -> Self {
        let mut allowed = [plan.address_bits & plan.address_limit; L];
        allowed[1..].copy_from_slice(&plan.allowed);
        let mut lowest: [&Table; L] = [&plan.lowest[0]; L];
        for (to, from) in lowest[1..].iter_mut().zip(&plan.lowest) {
            *to = from;
        }
        let mut address = [Move { mask: 0, low: 0, at: 0 }; 2];
        for (to, from) in address.iter_mut().zip(&plan.address) {
            *to = *from;
        }
        Packed { plan, address, allowed, lowest }
    }

    /// The word, and bits that the record should not have.
    #[inline]
    fn word(&self, record: &[u64; L]) -> (u64, u64) {
        let address = record[0].to_le();
        let mut word = self.address.iter().fold(0, |word, part| word | ((address >> part.at) << part.low) & part.mask)
            ^ self.plan.flip;
        let mut wrong = address & !self.allowed[0];
        for lane in 1..L {
            let bits = record[lane].to_le();
            wrong |= bits & !self.allowed[lane];
            let bits = if lane == 1 { bits & !0xffff } else { bits };
            word |= self.lowest[lane][((bits & LOWEST).wrapping_mul(GATHER) >> 56) as usize];
        }
        for wide in &self.plan.wide {
            word |= ((record[wide.lane + 1].to_le() >> wide.shift) & wide.mask) << wide.to;
        }
        (word, wrong)
    }
}
