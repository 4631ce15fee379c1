//! Fields of powerpc entries. Power ISA 3.0B Book III 5.7.10.1 and 5.7.10.2 (radix); what the hash MMU is filled from, software
//! bits and swap entries from `arch/powerpc/include/asm/book3s/64/{pgtable,hash*,radix}.h` of 6.12.

use super::{INVALID, PRESENT, PTE, PowerPc};
use crate::descriptor::Format;
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const PRESENCE: &[(u64, &str)] = &[(0, "not valid"), (1, "valid")];
const LEAF: &[(u64, &str)] = &[(0, "a link to a table"), (1, "a leaf")];
const MEMORY: &[(u64, &str)] = &[
    (0, "normal memory"),
    (1, "SAO: strong access order"),
    (2, "non-idempotent: cache inhibited and guarded"),
    (3, "tolerant: cache inhibited"),
];

impl PowerPc {
    /// A bit that the radix walker reads, and a hash fault copies.
    fn bit(self, radix: &'static str, hash: &'static str, at: u8, about: &'static str) -> Field {
        self.wide(radix, hash, at, at, about)
    }

    fn wide(self, radix: &'static str, hash: &'static str, high: u8, low: u8, about: &'static str) -> Field {
        let (name, role) = if self.radix { (radix, Role::Control) } else { (hash, Role::Software) };
        Field::new(name, high, low, role, about)
    }

    fn head(self) -> [Field; 2] {
        [
            self.bit("V", "PRESENT", 63, "valid").values(PRESENCE),
            self.bit("L", "PTE", 62, "what the entry is").values(LEAF),
        ]
    }

    fn shift(self, level: Level) -> u8 {
        let above = usize::from(level.number() - 1);
        self.page_shift as u8 + self.index_bits.iter().take(above).sum::<u8>()
    }

    /// Bits that both MMUs' leaves have; `level` decides how wide the page is.
    fn leaf_fields(self, level: Level) -> Vec<Field> {
        let software = |name, at, about| Field::new(name, at, at, Role::Software, about);
        let mut fields = self.head().to_vec();
        fields.extend([
            self.bit("execute", "EXEC", 0, "instructions may be fetched"),
            self.bit("write", "WRITE", 1, "stores are allowed"),
            self.bit("read", "READ", 2, "loads are allowed"),
            self.bit("privileged", "PRIVILEGED", 3, "for the kernel only"),
            self.wide("ATT", "CACHE_CTL", 5, 4, "storage attributes").values(MEMORY),
            self.bit("C", "DIRTY", 7, "changed"),
            self.bit("R", "ACCESSED", 8, "referenced"),
            software("SOFT_DIRTY", 9, "SW3: written to since it was last asked"),
            software("SPECIAL", 10, "SW2: no struct page behind it"),
            software("DEVMAP", 11, "SW1: device memory with a struct page"),
            Field {
                role: Role::Software,
                ..self.bit("SW0", "INVALID", 61, "not valid, and yet present: being changed")
            },
        ]);
        let low = self.shift(level);
        if self.radix {
            fields.push(Field::address(56, low));
            return fields;
        }
        fields.extend([Field::address(52, low), software("BUSY", 6, "a hash fault is at work on it")]);
        if self.page_shift == 12 {
            fields.extend([
                Field::new("F_GIX", 55, 53, Role::Software, "slot in the group of hash entries"),
                software("F_SECOND", 56, "in the secondary group"),
                Field::new("PKEY", 59, 57, Role::Software, "protection key"),
                software("HASHPTE", 60, "there is a hash entry"),
            ]);
        } else {
            fields.extend([
                software("COMBO", 12, "made of hash entries of 4 KiB each"),
                software("4K_PFN", 13, "of a page: its frame is one of 4 KiB; above: a transparent huge page"),
                software("HASHPTE", 55, "there is a hash entry"),
                Field::new("PKEY", 60, 56, Role::Software, "protection key"),
            ]);
        }
        fields
    }

    fn leaf_layout(self, level: Level) -> Layout {
        let name = if level == Level::Pte { "page" } else { "huge-page" };
        let mask = PRESENT | PTE;
        let mut layout = Layout::new(name, Kind::Leaf, mask, mask, "maps memory").fields(self.leaf_fields(level));
        if level.number() > Level::Pud.number() {
            layout = layout.rule("L", PTE, PTE, Verdict::Acceptable, "Linux makes no leaf at this level");
        }
        layout.rest("RES0", Role::Res0, 64, "reserved, zero; low bits of the address of a larger page too")
    }

    fn table_layout(self, level: Level) -> Layout {
        let layout = Layout::new("table", Kind::Table, PRESENT | PTE, PRESENT, "points to a table").fields(self.head());
        let below = "physical address of the table below";
        if self.radix {
            let size = Field::new("NLS", 4, 0, Role::Control, "next level size: the table has 2^NLS entries");
            layout
                .fields([size, Field::address(59, 8).about(below)])
                .rule("NLS", 0x1f, 0, Verdict::Acceptable, "a table with one entry is none")
                .rest("RES0", Role::Res0, 64, "reserved, zero: otherwise the entry is bad")
        } else {
            layout.fields([Field::address(60, 3 + self.below(level)).about(below)]).rest(
                "RES0",
                Role::Res0,
                64,
                "zero: a table is aligned to its size",
            )
        }
    }

    fn none_layout(self, level: Level) -> Layout {
        let layout = Layout::new("none", Kind::Invalid, self.none_bits(level), 0, "nothing").fields(self.head());
        if level != Level::Pte {
            return layout.rest("zero", Role::Software, 64, "all zero");
        }
        let leftover = |field: &Field| self.none_bits(level) & field.mask() == 0;
        let soft = |field: Field| Field { role: Role::Software, values: &[], ..field };
        let left: Vec<_> = self.leaf_fields(level).into_iter().filter(leftover).map(soft).collect();
        layout.fields(left).rest("zero", Role::Software, 64, "all zero")
    }

    fn not_present(self, level: Level) -> Vec<Layout> {
        let soft =
            |field: Field| if field.role == Role::Control { Field { role: Role::Software, ..field } } else { field };
        let changed = "present for software while its permissions change or a huge page is split";
        let name = if level == Level::Pte { "invalidated-page" } else { "invalidated-huge-page" };
        let invalidated = Layout::new(name, Kind::Invalid, PRESENT | PTE | INVALID, PTE | INVALID, changed)
            .fields(self.leaf_fields(level).into_iter().map(soft))
            .rest("RES0", Role::Software, 64, "zero");
        let swap = Layout::new("swap", Kind::Invalid, PRESENT | PTE, PTE, "a swap or migration entry")
            .fields(self.head())
            .fields([
                Field::new("type", 4, 0, Role::Software, "swap file, or kind of special entry"),
                Field::new("EXCLUSIVE", 5, 5, Role::Software, "the page is of this process only"),
                Field::new("SOFT_DIRTY", 9, 9, Role::Software, "written to since it was last asked"),
                Field::new(
                    "offset",
                    52,
                    self.page_shift as u8,
                    Role::Software,
                    "place in the swap file, or frame that migrates",
                ),
            ])
            .rest("unused", Role::Software, 64, "not used by swap entries");
        vec![invalidated, swap]
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let mut all = Vec::new();
        let leaves = self.radix || level.number() <= Level::Pud.number();
        if leaves {
            all.push(self.leaf_layout(level));
        }
        if level != Level::Pte {
            all.push(self.table_layout(level));
        }
        all.push(self.none_layout(level));
        if level.number() <= Level::Pmd.number() {
            all.extend(self.not_present(level));
        }
        let unused = Layout::new("not-present", Kind::Invalid, PRESENT, 0, "not valid, and Linux writes no such entry")
            .fields(self.head())
            .rest("software", Role::Software, 64, "free for software")
            .rule("software", PRESENT, 0, Verdict::Acceptable, "the walker ignores it, and Linux gives it no meaning");
        all.push(unused);
        if level == Level::Pte || !leaves {
            let says = if level == Level::Pte {
                "the last level has no tables: 1"
            } else {
                "a link: 0; there are no pages of this size"
            };
            let field = if self.radix { "L" } else { "PTE" };
            let stray =
                Layout::new("reserved", Kind::Invalid, PRESENT, PRESENT, "the wrong sort of entry for its level")
                    .fields(self.head())
                    .rest("unused", Role::Ignored, 64, "not read")
                    .rule(field, PRESENT, PRESENT, Verdict::Invalid, says);
            all.push(stray);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BUSY, DIRTY};
    use super::*;
    use crate::geometry::powerpc::{POWERPC_HASH_4K, POWERPC_RADIX_64K};

    #[test]
    fn what_a_hash_fault_leaves_in_an_empty_entry_is_nothing() {
        let f = PowerPc::new(&POWERPC_HASH_4K, false);
        let layouts = f.layouts_of(Level::Pte);
        let kind = |word| layouts.iter().find(|layout| layout.takes(word)).map(|layout| layout.name);
        assert_eq!(kind(BUSY | f.hashpte()), Some("none"));
        assert_eq!(kind(PTE | INVALID | 0x1000), Some("invalidated-page"));
        assert_eq!(kind(PTE | 0x1003), Some("swap"));
        assert_eq!(kind(DIRTY), Some("not-present"));
    }

    #[test]
    fn fields_cover_every_bit_once() {
        for radix in [false, true] {
            let f = PowerPc::new(&POWERPC_RADIX_64K, radix);
            for level in [Level::Pte, Level::Pmd, Level::Pud, Level::P4d] {
                for layout in f.layouts_of(level) {
                    let bits: u32 = layout.fields.iter().map(|field| field.mask().count_ones()).sum();
                    let all = layout.fields.iter().fold(0, |mask, field| mask | field.mask());
                    assert_eq!((bits, all), (64, u64::MAX), "{} at {level:?}", layout.name);
                }
            }
        }
    }
}
