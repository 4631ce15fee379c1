//! Fields of s390 entries. z/Architecture Principles of Operation, chapter 3 (region-table, segment-table and page-table
//! entries, with enhanced DAT facilities 1 and 2 and instruction-execution protection); software bits and swap entries from
//! `arch/s390/include/asm/pgtable.h` of 6.12. The manual counts bits from the left: its bit 63 is bit 0 here.

use super::{ENTRY_INVALID, INVALID, LARGE, PRESENT, PROTECT, S390, Segment, TYPE};
use crate::descriptor::Format;
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const VALIDITY: &[(u64, &str)] = &[(0, "valid"), (1, "invalid: an access is a translation exception")];
const PROTECTION: &[(u64, &str)] = &[(0, "stores are allowed"), (1, "no stores")];
const EXECUTION: &[(u64, &str)] = &[(0, "instructions may be fetched"), (1, "no execution")];
const TYPES: &[(u64, &str)] =
    &[(0, "segment table"), (1, "region-third table"), (2, "region-second table"), (3, "region-first table")];
const COMMON: &[(u64, &str)] = &[(0, "may be private"), (1, "common: the same in all address spaces")];
const WIDTHS: &[(u64, &str)] = &[(0, "a quarter"), (1, "half"), (2, "three quarters"), (3, "the whole")];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

fn page_fields() -> Vec<Field> {
    vec![
        software("PRESENT", 0, "present for software"),
        software("SOFT_DIRTY", 1, "written to since it was last asked"),
        software("YOUNG", 2, "accessed"),
        software("DIRTY", 3, "dirty"),
        software("READ", 4, "readable for software"),
        software("WRITE", 5, "writable for software"),
        software("SPECIAL", 6, "no struct page behind it"),
        software("UNUSED", 7, "a guest says that it does not use the page"),
        bit("IEP", 8, "instruction-execution protection").values(EXECUTION),
        bit("P", 9, "DAT protection").values(PROTECTION),
        bit("I", 10, "page invalid").values(VALIDITY),
        Field::new("zero", 11, 11, Role::Reserved, "zero, or a translation-specification exception"),
        Field::address(63, 12),
    ]
}

fn large_fields(level: Level, segment: Segment) -> Vec<Field> {
    let low = if level == Level::Pmd { 20 } else { 31 };
    let [first, second] = if segment.present == 0 {
        [software("READ", 0, "readable for software"), software("WRITE", 1, "writable for software")]
    } else {
        [
            software("PRESENT", 0, "present for software"),
            software("SOFT_DIRTY", 1, "written to since it was last asked"),
        ]
    };
    vec![
        first,
        second,
        Field::new("TT", 3, 2, Role::Control, "type of the table that the entry is in").values(TYPES),
        bit("CS", 4, "common segment").values(COMMON),
        bit("I", 5, "invalid").values(VALIDITY),
        bit("IEP", 8, "instruction-execution protection").values(EXECUTION),
        bit("P", 9, "DAT protection").values(PROTECTION),
        bit("FC", 10, "format control: a frame, not a table"),
        Field::new(
            "ACC",
            15,
            12,
            Role::Control,
            "access-control bits, if AV is set; else Linux has software bits there",
        ),
        bit("AV", 16, "the access-control bits and F count"),
        Field::address(63, low),
    ]
}

fn large(level: Level, segment: Segment, invalid: bool) -> Layout {
    let mask = TYPE | LARGE | ENTRY_INVALID;
    let value = S390::kind_bits(level) | LARGE | if invalid { ENTRY_INVALID } else { 0 };
    let soft = |field: Field| match field.role {
        Role::Address => field,
        _ => Field { role: Role::Software, ..field },
    };
    if invalid {
        let about = "a large page that is old, or without permissions: present for software, the next access faults";
        Layout::new("old-large-page", Kind::Invalid, mask, value, about)
            .fields(large_fields(level, segment).into_iter().map(soft))
            .rest("RES0", Role::Software, 64, "zero")
    } else {
        Layout::new("large-page", Kind::Leaf, mask, value, "maps memory (enhanced DAT)")
            .fields(large_fields(level, segment))
            .rest("RES0", Role::Res0, 64, "zero, or low bits of the address of a larger page")
    }
}

fn table(level: Level, segment: Segment) -> Layout {
    let mask = TYPE | ENTRY_INVALID;
    let layout = Layout::new("table", Kind::Table, mask, S390::kind_bits(level), "points to a table").fields([
        Field::new("TT", 3, 2, Role::Control, "type of the table that the entry is in").values(TYPES),
        bit("I", 5, "invalid").values(VALIDITY),
        bit("P", 9, "DAT protection of everything below (enhanced DAT)").values(PROTECTION),
    ]);
    let below = "physical address of the table below";
    let res0 = "zero in a table entry";
    if level == Level::Pmd {
        let present = (segment.present != 0).then(|| software("PRESENT", 0, "present for software"));
        return layout
            .fields(present)
            .fields([bit("CS", 4, "common segment").values(COMMON), Field::address(63, 11).about(below)])
            .rest("RES0", Role::Res0, 64, res0);
    }
    let length = Field::new("TL", 1, 0, Role::Control, "length of the table below").values(WIDTHS);
    let offset = Field::new("TF", 7, 6, Role::Control, "quarters of the table below that are missing at its start");
    layout.fields([length, offset, Field::address(63, 12).about(below)]).rest("RES0", Role::Res0, 64, res0)
}

impl S390 {
    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        if level == Level::Pte {
            return pages(self.empty(level));
        }
        let types = || Field::new("TT", 3, 2, Role::Control, "type of the table that the entry is in").values(TYPES);
        let invalid = || bit("I", 5, "invalid").values(VALIDITY);
        let none = Layout::new("none", Kind::Invalid, u64::MAX, self.empty(level), "nothing")
            .fields([types(), invalid()])
            .rest("zero", Role::Software, 64, "all zero");
        let mut all = vec![none];
        if matches!(level, Level::Pmd | Level::Pud) {
            all.extend([false, true].map(|invalid| large(level, self.segment, invalid)));
        }
        all.push(table(level, self.segment));
        let unused = "invalid, and Linux writes no such entry here";
        all.push(
            Layout::new("not-present", Kind::Invalid, ENTRY_INVALID, ENTRY_INVALID, unused)
                .fields([types(), invalid()])
                .rest("software", Role::Software, 64, "free for software")
                .rule(
                    "I",
                    ENTRY_INVALID,
                    ENTRY_INVALID,
                    Verdict::Acceptable,
                    "hardware ignores the rest, and Linux gives it no meaning",
                ),
        );
        all.push(
            Layout::new(
                "reserved",
                Kind::Invalid,
                0,
                0,
                "of another type than its table: a translation-specification exception",
            )
            .fields([types(), invalid()])
            .rest("unused", Role::Ignored, 64, "not read")
            .rule("TT", 0, 0, Verdict::Invalid, "the type of the table that the entry is in"),
        );
        all
    }
}

fn pages(empty: u64) -> Vec<Layout> {
    let soft = |field: Field| match field.role {
        Role::Address => field,
        _ => Field { role: Role::Software, ..field },
    };
    let absent = |name, about| {
        Layout::new(name, Kind::Invalid, INVALID | PRESENT, INVALID | PRESENT, about)
            .fields(page_fields().into_iter().map(soft))
    };
    let (old, no_access) = (
        "not accessed since the state was cleared: present for software, the next access faults",
        "a page without permissions: present for software only",
    );
    let no_read = |layout: Layout| Layout { mask: layout.mask | super::READ, ..layout };
    vec![
        Layout::new("page", Kind::Leaf, INVALID, 0, "maps memory").fields(page_fields()),
        Layout::new("none", Kind::Invalid, u64::MAX, empty, "nothing")
            .fields([software("PRESENT", 0, "present for software"), bit("I", 10, "page invalid").values(VALIDITY)])
            .rest("zero", Role::Software, 64, "all zero"),
        no_read(absent("prot-none", no_access)),
        absent("old-page", old),
        Layout::new("swap", Kind::Invalid, PROTECT | PRESENT, PROTECT, "a swap or migration entry")
            .fields([
                software("PRESENT", 0, "present for software: no"),
                software("SOFT_DIRTY", 1, "written to since it was last asked"),
                Field::new("type", 6, 2, Role::Software, "swap file, or kind of special entry"),
                software("P", 9, "with a clear PRESENT: a swap entry"),
                bit("I", 10, "page invalid").values(VALIDITY),
                software("EXCLUSIVE", 11, "the page is of this process only"),
                Field::new("offset", 63, 12, Role::Software, "place in the swap file, or frame that migrates"),
            ])
            .rest("unused", Role::Software, 64, "not used by swap entries"),
        Layout::new("not-present", Kind::Invalid, 0, 0, "invalid, and Linux writes no such entry")
            .fields([software("PRESENT", 0, "present for software: no"), bit("I", 10, "page invalid").values(VALIDITY)])
            .rest("software", Role::Software, 64, "free for software")
            .rule("software", 0, 0, Verdict::Acceptable, "hardware ignores it, and Linux gives it no meaning"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cover_every_bit_once() {
        for (level, present) in Level::ALL.into_iter().flat_map(|level| [(level, false), (level, true)]) {
            for layout in S390::new(present).layouts_of(level) {
                let bits: u32 = layout.fields.iter().map(|field| field.mask().count_ones()).sum();
                assert_eq!(bits, 64, "{} at {level:?}", layout.name);
            }
        }
    }
}
