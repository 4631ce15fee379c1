//! Fields of sparc64 entries. UltraSPARC Architecture 2007, 14.2 (TTE, sun4v); software bits, links and swap entries from
//! `arch/sparc/include/asm/pgtable_64.h` of 6.12, and what the handler of a TSB miss makes of them from `asm/tsb.h`.

use super::{ACCESSED, HUGE, PRESENT, Sparc64, VALID};
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const PRESENCE: &[(u64, &str)] = &[(0, "not valid: an access faults"), (1, "valid")];
const SIZES: &[(u64, &str)] = &[
    (0, "8 KiB"),
    (1, "64 KiB"),
    (2, "512 KiB"),
    (3, "4 MiB"),
    (4, "32 MiB"),
    (5, "256 MiB"),
    (6, "2 GiB"),
    (7, "16 GiB"),
];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

fn leaf_fields(level: Level) -> Vec<Field> {
    vec![
        Field::new("SZ", 2, 0, Role::Control, "page size").values(SIZES),
        Field::new("RESV", 3, 3, Role::Res0, "reserved, zero"),
        software("PRESENT", 4, "present for software"),
        software("SOFT", 5, "free for software"),
        bit("W", 6, "stores are allowed"),
        bit("EXEC", 7, "instructions may be fetched"),
        bit("P", 8, "for the kernel only"),
        bit("CV", 9, "cacheable in a virtually indexed cache; from M7: MCD, memory corruption detection"),
        bit("CP", 10, "cacheable in a physically indexed cache"),
        bit("E", 11, "accesses have side effects"),
        bit("IE", 12, "the other endianness"),
        Field::address(55, 13 + 10 * (level.number() - 1)),
        software("HUGE", 56, "a huge page"),
        software("SPECIAL", 57, "no struct page behind it"),
        software("WRITE", 58, "writable for software"),
        software("READ", 59, "readable"),
        software("ACCESSED", 60, "referenced"),
        software("MODIFIED", 61, "dirty"),
        bit("NFO", 62, "only for loads that do not fault"),
        bit("V", 63, "valid; Linux: kept only while referenced").values(PRESENCE),
    ]
}

fn absent(name: &'static str, level: Level, accessed: u64, about: &'static str) -> Layout {
    let soft = |field: Field| match field.role {
        Role::Address => field,
        _ => Field { role: Role::Software, ..field },
    };
    let leaf = if level == Level::Pte { 0 } else { HUGE };
    let fields = leaf_fields(level).into_iter().map(soft);
    Layout::new(name, Kind::Invalid, VALID | PRESENT | ACCESSED | leaf, PRESENT | accessed | leaf, about)
        .fields(fields)
        .rest("low", Role::Software, 64, "zero")
}

fn table(level: Level) -> Layout {
    // The handler tests no bit of a root entry but adds to what it finds.
    let mask = if level.number() > Level::Pud.number() { 0 } else { HUGE };
    let low_of_high = if mask == 0 { 56 } else { 57 };
    let layout = Layout::new("table", Kind::Table, mask, 0, "points to a table").fields([
        Field::new("low", 12, 0, Role::Res0, "zero: otherwise the entry is bad"),
        Field::address(55, 13).about("physical address of the table below"),
        Field::new("high", 63, low_of_high, Role::Reserved, "part of the address for the handler: no such memory"),
    ]);
    // Without more to give away this only puts the fields in order.
    layout.fields((mask != 0).then(|| software("HUGE", 56, "a huge page: no"))).rest("unused", Role::Reserved, 64, "")
}

impl Sparc64 {
    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let none = Layout::new("none", Kind::Invalid, u64::MAX, 0, "nothing")
            .fields(if level == Level::Pte {
                vec![software("PRESENT", 4, "present for software"), bit("V", 63, "valid").values(PRESENCE)]
            } else {
                Vec::new()
            })
            .rest("zero", Role::Software, 64, "all zero");
        let old = "not referenced since the bit was cleared: present for software, the next access faults";
        let no_access = "a page without permissions: present for software only";
        if level == Level::Pte {
            let page = Layout::new("page", Kind::Leaf, VALID, VALID, "maps memory").fields(leaf_fields(level));
            let swap = Layout::new("swap", Kind::Invalid, VALID, 0, "a swap or migration entry")
                .fields([
                    software("PRESENT", 4, "present for software: no"),
                    Field::new("type", 19, 13, Role::Software, "swap file, or kind of special entry"),
                    software("EXCLUSIVE", 20, "the page is of this process only"),
                    Field::new("offset", 62, 21, Role::Software, "place in the swap file, or frame that migrates"),
                    bit("V", 63, "valid").values(PRESENCE),
                ])
                .rest("unused", Role::Software, 64, "not used by swap entries");
            return vec![
                page.rest("low", Role::Res0, 64, "zero"),
                none,
                absent("old-page", level, 0, old),
                absent("prot-none", level, ACCESSED, no_access),
                swap,
            ];
        }
        if level.number() > Level::Pud.number() {
            return vec![none, table(level)];
        }
        let huge = Layout::new("huge-page", Kind::Leaf, VALID | HUGE, VALID | HUGE, "maps memory")
            .fields(leaf_fields(level))
            .rest("low", Role::Res0, 64, "low bits of the address of a larger page: zero");
        let unused = Layout::new("not-present", Kind::Invalid, HUGE, HUGE, "a huge page that nobody finds")
            .fields([software("HUGE", 56, "a huge page"), software("PRESENT", 4, "present for software: no")])
            .rest("software", Role::Software, 64, "free for software")
            .rule(
                "PRESENT",
                PRESENT,
                0,
                Verdict::Acceptable,
                "the handler faults on it, and Linux writes no such entry",
            );
        vec![
            huge,
            none,
            absent("old-huge-page", level, 0, old),
            absent("huge-prot-none", level, ACCESSED, no_access),
            table(level),
            unused,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cover_every_bit_once() {
        for level in [Level::Pte, Level::Pmd, Level::Pud, Level::P4d] {
            for layout in Sparc64.layouts_of(level) {
                let bits: u32 = layout.fields.iter().map(|field| field.mask().count_ones()).sum();
                assert_eq!(bits, 64, "{} at {level:?}", layout.name);
            }
        }
    }
}
