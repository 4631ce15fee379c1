//! Fields of loongarch64 entries. LoongArch reference manual vol. 1, 5.4.5 (basic and huge entries) and 7.5; software bits
//! and swap entries from `arch/loongarch/include/asm/pgtable*.h` of 6.12.

use super::{CACHE_BASE, GLOBAL, HUGE, Loongarch, PRESENT, PROTNONE, VALID};
use crate::descriptor::Format;
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const PRESENCE: &[(u64, &str)] = &[(0, "not valid: an access faults"), (1, "valid, and accessed")];
const PRIVILEGE: &[(u64, &str)] = &[(0, "kernel"), (3, "user")];
const CACHING: &[(u64, &str)] =
    &[(0, "SUC: strongly ordered, uncached"), (1, "CC: coherent, cached"), (2, "WUC: weakly ordered, uncached")];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

impl Loongarch {
    fn shift(self, level: Level) -> u8 {
        let page = self.page_shift as u8;
        page + (level.number() - 1) * (page - 3)
    }

    fn leaf_fields(self, level: Level) -> Vec<Field> {
        let mut fields = vec![
            bit("V", 0, "valid; Linux: accessed").values(PRESENCE),
            bit("D", 1, "dirty: stores are allowed"),
            Field::new("PLV", 3, 2, Role::Control, "privilege level that may use it").values(PRIVILEGE),
            Field::new("MAT", 5, 4, Role::Control, "memory access type").values(CACHING),
            software("PRESENT", 7, "P: present for software"),
            software("WRITE", 8, "W: writable for software"),
            software("MODIFIED", 9, "dirty for software"),
            software("PROTNONE", 10, "a page without permissions"),
            software("SPECIAL", 11, "no struct page behind it"),
            software("PRESENT_INVALID", 60, "a huge page whose V is clear for a moment"),
            bit("NR", 61, "no read"),
            bit("NX", 62, "no execute"),
            bit("RPLV", 63, "only for exactly this privilege level"),
        ];
        if level == Level::Pte {
            fields.push(bit("G", 6, "global: in all address spaces"));
            fields.push(Field::address(47, self.shift(level)));
        } else {
            fields.push(bit("H", 6, "huge: a leaf"));
            fields.push(bit("HG", 12, "global: in all address spaces"));
            fields.push(Field::address(47, self.shift(level)));
        }
        fields
    }

    fn leaf_layout(self, level: Level) -> Layout {
        let (name, mask) = if level == Level::Pte { ("page", VALID) } else { ("huge-page", VALID | HUGE) };
        let mut layout = Layout::new(name, Kind::Leaf, mask, mask, "maps memory").fields(self.leaf_fields(level));
        if level.number() > Level::Pud.number() {
            layout = layout.rule("H", HUGE, HUGE, Verdict::Acceptable, "Linux makes no leaf at this level");
        }
        layout.rule("MAT", 3 << 4, 3 << 4, Verdict::Acceptable, "memory access type 3 is reserved").rest(
            "RES0",
            Role::Res0,
            64,
            "reserved, zero",
        )
    }

    /// Leaves that software knows and hardware does not use.
    fn unused_leaves(self, level: Level) -> Vec<Layout> {
        let soft =
            |field: Field| if field.role == Role::Control { Field { role: Role::Software, ..field } } else { field };
        let fields = || self.leaf_fields(level).into_iter().map(soft);
        let huge = if level == Level::Pte { 0 } else { HUGE };
        let (old, none) =
            if level == Level::Pte { ("old-page", "prot-none") } else { ("old-huge-page", "huge-prot-none") };
        let about = "not accessed since the bit was cleared: present for software, the next access faults";
        let no_access = "a page without permissions: present for software only";
        vec![
            Layout::new(old, Kind::Invalid, VALID | PRESENT | huge, PRESENT | huge, about).fields(fields()).rest(
                "RES0",
                Role::Software,
                64,
                "zero",
            ),
            Layout::new(none, Kind::Invalid, VALID | PROTNONE | huge, PROTNONE | huge, no_access)
                .fields(fields())
                .rest("RES0", Role::Software, 64, "zero"),
        ]
    }

    fn swap(self) -> Layout {
        Layout::new("swap", Kind::Invalid, VALID, 0, "a swap or migration entry")
            .fields([
                bit("V", 0, "valid").values(PRESENCE),
                Field::new("type", 22, 16, Role::Software, "swap file, or kind of special entry"),
                software("EXCLUSIVE", 23, "the page is of this process only"),
                Field::new("offset", 63, 24, Role::Software, "place in the swap file, or frame that migrates"),
            ])
            .rest("unused", Role::Software, 64, "not used by swap entries")
    }

    fn table_layout(self, name: &'static str, kind: Kind, mask: u64, value: u64, about: &'static str) -> Layout {
        Layout::new(name, kind, mask, value, about)
            .fields([
                Field::new("window", 63, 48, Role::Control, "the direct-mapped window, 0x9000"),
                Field::address(47, self.page_shift as u8).about("physical address of the table below"),
                bit("H", 6, "huge: 0, a table"),
            ])
            .rest("low", Role::Res0, 64, "zero in a table entry: otherwise it is bad")
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        if level == Level::Pte {
            let none = Layout::new(
                "none",
                Kind::Invalid,
                !GLOBAL,
                0,
                "nothing; of the kernel with G, as its neighbour may need",
            )
            .fields([
                bit("V", 0, "valid").values(PRESENCE),
                software("G", 6, "global: agrees with the other page of a TLB entry"),
            ])
            .rest("zero", Role::Software, 64, "all zero");
            let mut all = vec![self.leaf_layout(level), none];
            all.extend(self.unused_leaves(level));
            all.push(self.swap());
            return all;
        }
        let empty = "nothing: a link to the table in which nothing is mapped";
        let mut all = vec![
            self.leaf_layout(level),
            self.table_layout("none", Kind::Invalid, u64::MAX, self.empty(level), empty),
            self.table_layout("table", Kind::Table, HUGE | 0xffff << 48, CACHE_BASE, "points to a table"),
        ];
        all.extend(self.unused_leaves(level));
        all.push(self.swap());
        let astray = "neither a leaf nor a link into the direct-mapped window";
        all.push(
            Layout::new("astray", Kind::Invalid, 0, 0, astray)
                .fields([
                    Field::new("window", 63, 48, Role::Control, "the direct-mapped window, 0x9000"),
                    bit("H", 6, "huge"),
                ])
                .rest("unused", Role::Ignored, 64, "not read")
                .rule("window", 0, 0, Verdict::Invalid, "a link has 0x9000 here"),
        );
        all
    }
}
