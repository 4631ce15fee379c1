//! Many words at a time: arrays of words to arrays of records, and back.
//!
//! A record has the physical address, the kind, the verdict, and one column for every field that a table or a leaf of
//! the level has. Words that hardware does not use keep their bits in the columns of a leaf, so no bit is lost. The
//! lists of fields become masks once; the loop then only moves bits.

use super::decode::{DescriptorError, Place, Problem};
use super::field::{Field, Kind, Layout, Role, Verdict};

use lazymmu_bits::{Bits, Loop, Portable, fastest};

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

/// Bits of the word that go to a lane in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    word: u64,
    lane: u64,
}

/// Neighbouring bits of the word that are neighbouring bits of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Move {
    right: u32,
    address: u64,
}

#[derive(Clone, Debug)]
struct Plan {
    mask: u64,
    value: u64,
    code: u64,
    /// Bits that make the word invalid, or acceptable, where they are too many for `watched`.
    fault: u64,
    res0: u64,
    /// Bits on which the verdict depends, and the verdict for each of their combinations.
    watched: u64,
    verdicts: Vec<u64>,
    address: Move,
    /// Of lanes 1 and above.
    groups: Vec<Group>,
    /// What is out of order, or of the address in another place.
    extra: Vec<(usize, Group)>,
    /// Bits that a record may have.
    allowed: Vec<u64>,
}

/// The kind of each word. Most kinds are told by few bits, whose combinations have a table; others, such as an entry that is
/// empty, by nearly all.
#[derive(Clone, Debug)]
struct Kinds {
    /// The bits that decide between those of the table.
    deciding: u64,
    table: Vec<u8>,
    /// The others: mask, value, and the kind. It goes before later ones.
    wide: Vec<(u64, u64, usize)>,
}

impl Kinds {
    fn new(plans: &[Plan]) -> Kinds {
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

    fn selector(&self) -> Selector<'_> {
        Selector { deciding: self.deciding, table: &self.table, wide: &self.wide }
    }
}

/// The same, in registers.
#[derive(Clone, Copy)]
struct Selector<'a> {
    deciding: u64,
    table: &'a [u8],
    wide: &'a [(u64, u64, usize)],
}

impl Selector<'_> {
    #[inline(always)]
    fn kind<B: Bits>(self, bits: B, word: u64) -> usize {
        let kind = usize::from(self.table[bits.extract(word, self.deciding) as usize]);
        for &(mask, value, wide) in self.wide {
            if wide < kind && word & mask == value {
                return wide;
            }
        }
        kind
    }
}

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

/// Names and places of the columns: of leaves and tables, in the order of their bits.
fn columns(layouts: &[Layout]) -> Vec<Column> {
    // Fields in several pieces come last, so that the others stand in the order of their bits.
    let mut found: Vec<((bool, u8), &'static str, u32)> = Vec::new();
    let used = layouts.iter().filter(|l| l.kind != Kind::Invalid);
    for field in used.flat_map(|l| &l.fields).filter(|f| f.role != Role::Address) {
        let width = 64 - field.value_mask().leading_zeros();
        match found.iter_mut().find(|(_, name, _)| *name == field.name) {
            Some((_, _, bits)) => *bits = width.max(*bits),
            None => found.push(((field.parts.len() > 1, field.parts[0].low), field.name, width)),
        }
    }
    found.sort_by_key(|(place, ..)| *place);
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
    let of_role = |role| layout.fields.iter().filter(|f| f.role == role).fold(0, |mask, f| mask | f.mask());
    let limit = u64::MAX >> (64 - place.pa_bits);
    // Address bits above the physical width, where hardware would use the address.
    let above = layout.address().filter(|_| layout.kind != Kind::Invalid).map_or(0, |f| f.put(f.value_mask() & !limit));
    let (mut fault, mut res0) = (of_role(Role::Reserved) | above, of_role(Role::Res0));
    let mut watched = layout.rules.iter().fold(0, |mask, rule| mask | rule.mask);
    let (in_table, faults, zeros) = ((watched | fault | res0).count_ones() <= WATCHED, fault, res0);
    if in_table {
        watched |= fault | res0;
        (fault, res0) = (0, 0);
    }
    let verdict = |bits| {
        let word = Portable.deposit(bits, watched);
        let rules = layout.rules.iter().filter(|r| word & r.mask == r.value).fold(0, |v, r| v | r.verdict as u64);
        let bits = u64::from(in_table && word & zeros != 0) | u64::from(in_table && word & faults != 0) << 1;
        rules | bits
    };
    let mut plan = Plan {
        mask: layout.mask,
        value: layout.value,
        code,
        fault,
        res0,
        watched,
        verdicts: (0..1 << watched.count_ones()).map(verdict).collect(),
        address: Move::default(),
        groups: vec![Group::default(); lanes],
        extra: Vec::new(),
        allowed: vec![0; lanes],
    };
    plan.allowed[KIND / 8] |= 0xffff << (KIND % 8 * 8);
    for field in &shape.fields {
        if field.role == Role::Address {
            plan.allowed[0] = field.value_mask() & if layout.kind == Kind::Invalid { u64::MAX } else { limit };
            for (n, part) in field.parts.iter().enumerate() {
                let address = (part.mask() >> part.low) << part.at;
                if n == 0 {
                    plan.address = Move { right: (64 + u32::from(part.low) - u32::from(part.at)) % 64, address };
                } else {
                    plan.extra.push((0, Group { word: part.mask(), lane: address }));
                }
            }
        } else if let Some(column) = columns.iter().find(|c| c.name == field.name) {
            deposit(&mut plan, field, column);
        }
    }
    plan
}

/// Adds a field to the groups of a plan, part by part. A part that would come out of order is an extra.
fn deposit(plan: &mut Plan, field: &Field, column: &Column) {
    for part in &field.parts {
        let to = column.offset * 8 + usize::from(part.at);
        let lane = to / 64;
        let bits = (part.mask() >> part.low) << (to % 64);
        plan.allowed[lane] |= bits;
        // Sets of bits are in order when as many lie below the new ones on both sides.
        let fits = |group: &Group| {
            let below = |mask: u64, low: u32| (mask & !(u64::MAX << low)).count_ones();
            below(group.word, u32::from(part.low)) == below(group.lane, bits.trailing_zeros())
        };
        let group = if fits(&plan.groups[lane]) {
            &mut plan.groups[lane]
        } else {
            let known = plan.extra.iter().position(|(at, group)| *at == lane && fits(group));
            let index = known.unwrap_or(plan.extra.len());
            if known.is_none() {
                plan.extra.push((lane, Group::default()));
            }
            &mut plan.extra[index].1
        };
        group.word |= part.mask();
        group.lane |= bits;
    }
}

/// A plan whose sizes the compiler knows.
#[derive(Clone, Copy)]
struct Compiled<'a, const L: usize> {
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

fn compile<const L: usize>(plans: &[Plan]) -> Vec<Compiled<'_, L>> {
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
fn scatter<B: Bits>(bits: B, word: u64, extra: &[(usize, Group)], record: &mut [u64]) {
    for (lane, group) in extra {
        record[*lane] |= bits.deposit(bits.extract(word, group.word), group.lane).to_le();
    }
}

/// The same bits for the word.
#[inline(always)]
fn gather<B: Bits>(bits: B, record: &[u64], extra: &[(usize, Group)]) -> u64 {
    let mut word = 0;
    for (lane, group) in extra {
        word |= bits.deposit(bits.extract(record[*lane].to_le(), group.lane), group.word);
    }
    word
}

// Below are plain loops: adapters of iterators are not always inlined into functions with CPU features of their own.

struct Decode<'a, const L: usize> {
    plans: &'a [Compiled<'a, L>],
    kinds: Selector<'a>,
    words: &'a [u64],
    out: &'a mut [u64],
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

struct Encode<'a, const L: usize> {
    plans: &'a [Compiled<'a, L>],
    kinds: Selector<'a>,
    records: &'a [u64],
    out: &'a mut [u64],
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
