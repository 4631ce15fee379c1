//! What becomes of the bits of one kind: lists of fields as masks.

use lazymmu_bits::{Bits, Portable};

use super::{Column, FIRST, KIND, VERDICT, WATCHED};
use crate::descriptor::decode::Place;
use crate::descriptor::field::{Field, Kind, Layout, Role};

/// Bits of the word that go to a lane in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) word: u64,
    pub(super) lane: u64,
}

/// Neighbouring bits of the word that are neighbouring bits of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) right: u32,
    pub(super) address: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) mask: u64,
    pub(super) value: u64,
    pub(super) code: u64,
    /// Bits that make the word invalid, or acceptable, where they are too many for `watched`.
    pub(super) fault: u64,
    pub(super) res0: u64,
    /// Bits on which the verdict depends, and the verdict for each of their combinations.
    pub(super) watched: u64,
    pub(super) verdicts: Vec<u64>,
    pub(super) address: Move,
    /// Of lanes 1 and above.
    pub(super) groups: Vec<Group>,
    /// What is out of order, or of the address in another place.
    pub(super) extra: Vec<(usize, Group)>,
    /// Bits that a record may have.
    pub(super) allowed: Vec<u64>,
}

/// Names and places of the columns: of leaves and tables, in the order of their bits.
pub(super) fn columns(layouts: &[Layout]) -> Vec<Column> {
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

pub(super) fn plan(
    place: &Place,
    code: u64,
    layout: &Layout,
    shape: &Layout,
    columns: &[Column],
    lanes: usize,
) -> Plan {
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
pub(super) fn deposit(plan: &mut Plan, field: &Field, column: &Column) {
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
