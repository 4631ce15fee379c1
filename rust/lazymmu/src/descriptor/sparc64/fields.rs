//! Fields of sparc64 entries. UltraSPARC Architecture 2007, 14.2 (TTE, sun4v), UltraSPARC I and II User's Manual, 6.2, and
//! UltraSPARC III Cu User's Manual (TTE, sun4u); software bits, links and swap entries from `arch/sparc/include/asm/pgtable_64.h` of 6.12, and what the handler of a TSB miss makes of them from `asm/tsb.h`.

use super::{HUGE, Sparc64, VALID};
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
const SUN4U_SIZES: &[(u64, &str)] = &[
    (0, "8 KiB"),
    (1, "64 KiB"),
    (2, "512 KiB"),
    (3, "4 MiB"),
    (4, "32 MiB (UltraSPARC IV+)"),
    (5, "256 MiB (UltraSPARC IV+)"),
];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

fn sun4u_fields(level: Level) -> Vec<Field> {
    vec![
        Field::new("G", 0, 0, Role::Res0, "in every context; Linux: never"),
        bit("W", 1, "stores are allowed"),
        bit("P", 2, "for the kernel only"),
        bit("E", 3, "accesses have side effects"),
        bit("CV", 4, "cacheable in a virtually indexed cache"),
        bit("CP", 5, "cacheable in a physically indexed cache"),
        bit("L", 6, "locked in the TLB"),
        software("PRESENT", 7, "present for software"),
        software("WRITE", 8, "writable for software"),
        software("READ", 9, "readable"),
        software("ACCESSED", 10, "referenced"),
        software("MODIFIED", 11, "dirty"),
        software("EXEC", 12, "instructions may be fetched: the handler of a miss looks"),
        Field::address(42, 13 + 10 * (level.number() - 1)),
        Field::new("RES2", 46, 43, Role::Res0, "diagnostics, reserved: zero"),
        bit("SN", 47, "snooped by other caches (UltraSPARC III)"),
        Field::new("RES1", 49, 49, Role::Res0, "diagnostics, reserved: zero"),
        Field::new("SOFT2", 55, 50, Role::Software, "free for software"),
        software("HUGE", 56, "a huge page"),
        software("SPECIAL", 57, "no struct page behind it"),
        software("SOFT2_HIGH", 58, "free for software"),
        bit("IE", 59, "the other endianness"),
        bit("NFO", 60, "only for loads that do not fault"),
        Field::new("SZ", 62, 61, Role::Control, "page size").and(48, 48, 2).values(SUN4U_SIZES),
        bit("V", 63, "valid; Linux: kept only while referenced").values(PRESENCE),
    ]
}

fn sun4v_fields(level: Level) -> Vec<Field> {
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

fn table(level: Level, highest: u8) -> Layout {
    // The handler tests no bit of a root entry but adds to what it finds.
    let mask = if level.number() > Level::Pud.number() { 0 } else { HUGE };
    let beyond = "part of the address for the handler: no such memory";
    let low = Field::new("low", 12, 0, Role::Res0, "zero: otherwise the entry is bad");
    let address = Field::address(highest, 13).about("physical address of the table below");
    let high = |low: u8| Field::new("high", 63, low, Role::Reserved, beyond);
    let layout = Layout::new("table", Kind::Table, mask, 0, "points to a table");
    let layout = if mask == 0 {
        layout.fields([low, address, high(highest + 1)])
    } else if highest == 55 {
        layout.fields([low, address, software("HUGE", 56, "a huge page: no"), high(57)])
    } else {
        let middle = Field::new("middle", 55, highest + 1, Role::Reserved, beyond);
        layout.fields([low, address, middle, software("HUGE", 56, "a huge page: no"), high(57)])
    };
    // Without more to give away this only puts the fields in order.
    layout.rest("unused", Role::Reserved, 64, "")
}

impl Sparc64 {
    fn sun4u(self) -> bool {
        self.highest() < 55
    }

    /// The highest bit of an address.
    fn highest(self) -> u8 {
        (63 - self.bits.paddr.leading_zeros()) as u8
    }

    fn leaf_fields(self, level: Level) -> Vec<Field> {
        if self.sun4u() { sun4u_fields(level) } else { sun4v_fields(level) }
    }

    fn present_field(self, about: &'static str) -> Field {
        software("PRESENT", self.bits.present.trailing_zeros() as u8, about)
    }

    fn absent(self, name: &'static str, level: Level, accessed: u64, about: &'static str) -> Layout {
        let soft = |field: Field| match field.role {
            Role::Address => field,
            _ => Field { role: Role::Software, ..field },
        };
        let leaf = if level == Level::Pte { 0 } else { HUGE };
        let mask = VALID | self.bits.present | self.bits.accessed | leaf;
        Layout::new(name, Kind::Invalid, mask, self.bits.present | accessed | leaf, about)
            .fields(self.leaf_fields(level).into_iter().map(soft))
            .rest("low", Role::Software, 64, "zero")
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let (present, accessed) = (self.bits.present, self.bits.accessed);
        let none = Layout::new("none", Kind::Invalid, u64::MAX, 0, "nothing")
            .fields(if level == Level::Pte {
                vec![self.present_field("present for software"), bit("V", 63, "valid").values(PRESENCE)]
            } else {
                Vec::new()
            })
            .rest("zero", Role::Software, 64, "all zero");
        let old = "not referenced since the bit was cleared: present for software, the next access faults";
        let no_access = "a page without permissions: present for software only";
        if level == Level::Pte {
            let page = Layout::new("page", Kind::Leaf, VALID, VALID, "maps memory").fields(self.leaf_fields(level));
            let swap = Layout::new("swap", Kind::Invalid, VALID, 0, "a swap or migration entry")
                .fields([
                    self.present_field("present for software: no"),
                    Field::new("type", 19, 13, Role::Software, "swap file, or kind of special entry"),
                    software("EXCLUSIVE", 20, "the page is of this process only"),
                    Field::new("offset", 62, 21, Role::Software, "place in the swap file, or frame that migrates"),
                    bit("V", 63, "valid").values(PRESENCE),
                ])
                .rest("unused", Role::Software, 64, "not used by swap entries");
            return vec![
                page.rest("low", Role::Res0, 64, "zero"),
                none,
                self.absent("old-page", level, 0, old),
                self.absent("prot-none", level, accessed, no_access),
                swap,
            ];
        }
        if level.number() > Level::Pud.number() {
            return vec![none, table(level, self.highest())];
        }
        let huge = Layout::new("huge-page", Kind::Leaf, VALID | HUGE, VALID | HUGE, "maps memory")
            .fields(self.leaf_fields(level))
            .rest("low", Role::Res0, 64, "low bits of the address of a larger page: zero");
        let unused = Layout::new("not-present", Kind::Invalid, HUGE, HUGE, "a huge page that nobody finds")
            .fields([software("HUGE", 56, "a huge page"), self.present_field("present for software: no")])
            .rest("software", Role::Software, 64, "free for software")
            .rule(
                "PRESENT",
                present,
                0,
                Verdict::Acceptable,
                "the handler faults on it, and Linux writes no such entry",
            );
        vec![
            huge,
            none,
            self.absent("old-huge-page", level, 0, old),
            self.absent("huge-prot-none", level, accessed, no_access),
            table(level, self.highest()),
            unused,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::sparc64::{SPARC64_8K, SPARC64_8K_SUN4U};

    #[test]
    fn fields_cover_every_bit_once() {
        for geometry in [&SPARC64_8K, &SPARC64_8K_SUN4U] {
            for level in [Level::Pte, Level::Pmd, Level::Pud, Level::P4d] {
                for layout in Sparc64::new(geometry).layouts_of(level) {
                    let bits: u32 = layout.fields.iter().map(|field| field.mask().count_ones()).sum();
                    assert_eq!(bits, 64, "{} {} at {level:?}", geometry.name, layout.name);
                }
            }
        }
    }
}
