//! Fields of arm64 stage 1 entries. Arm ARM D8.3.1 (descriptor formats) and D8.3.2 (attributes); software bits from
//! `arch/arm64/include/asm/pgtable-prot.h`, swap entries from `pgtable.h` of 6.12.

use super::{Arm64, PRESENT_INVALID, TYPE_MASK, VALID};
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const MEMORY: &[(u64, &str)] =
    &[(0, "MT_NORMAL"), (1, "MT_NORMAL_TAGGED"), (2, "MT_NORMAL_NC"), (3, "MT_DEVICE_nGnRnE"), (4, "MT_DEVICE_nGnRE")];
const SHAREABILITY: &[(u64, &str)] = &[(0, "non-shareable"), (2, "outer shareable"), (3, "inner shareable")];
const AP_TABLE: &[(u64, &str)] = &[
    (0, "no limit"),
    (1, "no access from EL0 below"),
    (2, "read only below"),
    (3, "read only and not from EL0 below"),
];
const RESERVED_TYPE: &str = "a walk takes it for an invalid entry";

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

impl Arm64 {
    const fn page_shift(self) -> u8 {
        self.low.trailing_zeros() as u8
    }

    const fn bits_per_level(self) -> u8 {
        self.page_shift() - 3
    }

    fn shift(self, level: Level) -> u8 {
        self.page_shift() + (level.number() - 1) * self.bits_per_level()
    }

    /// The output address from `low` upwards, with the bits that stand elsewhere.
    fn output(self, low: u8) -> Field {
        // Bits 49:48 that Linux leaves in place are RES0 where no LPA2 gives them to the address.
        let field = Field::address(if self.lpa2 { 49 } else { 47 }, low);
        if self.high == 0 {
            return field;
        }
        let (to, top) = (self.high.trailing_zeros() as u8, 63 - self.high.leading_zeros() as u8);
        field.and(top, to, to + self.high_shift as u8)
    }

    /// Whether the architecture has leaves at this level above the pmd.
    const fn blocks_at(self, level: Level) -> bool {
        let wide = self.high != 0;
        match level {
            Level::Pte | Level::Pmd => true,
            Level::Pud => self.page_shift() == 12 || wide,
            Level::P4d => self.page_shift() == 12 && self.lpa2,
            Level::Pgd => false,
        }
    }

    fn attributes_of_leaf(self, role: Role) -> Vec<Field> {
        let mut fields = vec![
            Field::new("AttrIndx", 4, 2, role, "memory type: index into MAIR_EL1").values(MEMORY),
            bit("NS", 5, "non-secure; ignored in non-secure state"),
            bit("AP1", 6, "AP[1]: access from EL0"),
            bit("AP2", 7, "AP[2]: read only"),
            bit("AF", 10, "access flag"),
            bit("GP", 50, "guarded page: branches need a BTI landing pad"),
            bit("DBM", 51, "dirty bit modifier; Linux: PTE_WRITE, software's write permission"),
            bit("Contiguous", 52, "one of a contiguous group with the same attributes"),
            bit("PXN", 53, "privileged execute never"),
            bit("UXN", 54, "unprivileged execute never"),
            software("DIRTY", 55, "PTE_DIRTY: dirty for software"),
            software("SPECIAL", 56, "PTE_SPECIAL: no struct page behind it"),
            software("DEVMAP", 57, "PTE_DEVMAP: device memory with a struct page"),
            software("UFFD_WP", 58, "PTE_UFFD_WP: userfaultfd write protection"),
            Field::new(
                "PBHA",
                62,
                59,
                role,
                "page-based hardware attributes; 62:60 are POIndex with permission overlays",
            ),
            Field::new("ignored", 63, 63, Role::Ignored, "ignored by hardware"),
        ];
        if !self.lpa2 {
            fields.push(Field::new("SH", 9, 8, role, "shareability").values(SHAREABILITY));
        }
        for field in &mut fields {
            if field.role == Role::Control {
                field.role = role;
            }
        }
        fields
    }

    fn leaf_layout(self, level: Level) -> Layout {
        let (name, kind, about) =
            if level == Level::Pte { ("page", 3, "maps a page") } else { ("block", 1, "maps a block") };
        let mut layout = Layout::new(name, Kind::Leaf, TYPE_MASK, kind, about)
            .fields([Field::new("type", 1, 0, Role::Control, "descriptor type").values(&[(1, "block"), (3, "page")])])
            .fields(self.attributes_of_leaf(Role::Control))
            .fields([bit("nG", 11, "not global: the TLB entry belongs to an ASID"), self.output(self.shift(level))]);
        if level != Level::Pte && self.shift(level) > 17 {
            let res0 = |name, high, low| Field::new(name, high, low, Role::Res0, "reserved, zero");
            layout = layout.fields([
                bit("nT", 16, "block translation entry: may not be cached (FEAT_BBM)"),
                res0("RES0_above_nT", self.shift(level) - 1, 17),
            ]);
            if self.high & (0xf << 12) == 0 {
                layout = layout.fields([res0("RES0_below_nT", 15, 12)]);
            }
        }
        if !self.lpa2 {
            layout = layout.rule("SH", 3 << 8, 1 << 8, Verdict::Acceptable, "shareability 1 is reserved");
        }
        if level.number() >= Level::Pud.number() && !(self.pud_sections && level == Level::Pud) {
            layout = layout.rule("type", TYPE_MASK, 1, Verdict::Acceptable, "Linux makes no block at this level");
        }
        layout
            .rule("AttrIndx", 5 << 2, 5 << 2, Verdict::Acceptable, "MAIR_EL1 of Linux has no such type")
            .rule("AttrIndx", 7 << 2, 6 << 2, Verdict::Acceptable, "MAIR_EL1 of Linux has no such type")
            .rest("RES0", Role::Res0, 64, "reserved, zero")
    }

    fn table_layout(self) -> Layout {
        Layout::new("table", Kind::Table, TYPE_MASK, 3, "points to a table")
            .fields([
                Field::new("type", 1, 0, Role::Control, "descriptor type").values(&[(3, "table")]),
                self.output(self.page_shift()).about("physical address of the table below"),
                Field::new("ignored_low", if self.lpa2 { 7 } else { 9 }, 2, Role::Ignored, "ignored by hardware"),
                bit("AF", 10, "table access flag (FEAT_HAFT); ignored without"),
                Field::new("ignored_11", 11, 11, Role::Ignored, "ignored by hardware"),
                Field::new("ignored_high", 58, 51, Role::Ignored, "ignored by hardware"),
                bit("PXNTable", 59, "no execution at EL1 below"),
                bit("UXNTable", 60, "no execution at EL0 below"),
                Field::new("APTable", 62, 61, Role::Control, "limits of access below").values(AP_TABLE),
                bit("NSTable", 63, "non-secure below; ignored in non-secure state"),
            ])
            .rest("RES0", Role::Res0, 64, "reserved, zero")
    }

    fn reserved(kind: u64) -> Layout {
        let about = "reserved at this level: a walk faults";
        Layout::new("reserved", Kind::Invalid, TYPE_MASK, kind, about)
            .fields([Field::new("type", 1, 0, Role::Control, "descriptor type")])
            .rest("unused", Role::Ignored, 64, "not read")
            .rule("type", TYPE_MASK, kind, Verdict::Invalid, RESERVED_TYPE)
    }

    fn absent(self, level: Level) -> Vec<Layout> {
        let invalid =
            || Field::new("type", 1, 0, Role::Control, "descriptor type").values(&[(0, "invalid"), (2, "invalid")]);
        let none = Layout::new("none", Kind::Invalid, u64::MAX, 0, "nothing").fields([invalid()]).rest(
            "zero",
            Role::Software,
            64,
            "all zero",
        );
        let page = if level == Level::Pte { self.shift(level) } else { self.shift(level).min(47) };
        let prot_none = Layout::new(
            "present-invalid",
            Kind::Invalid,
            VALID | PRESENT_INVALID,
            PRESENT_INVALID,
            "a page without permissions, or a page table changed under a lock: present for software only",
        )
        .fields([invalid(), software("PRESENT_INVALID", 11, "present for software")])
        .fields(self.attributes_of_leaf(Role::Software))
        .fields([self.output(page)])
        .rest("RES0", Role::Software, 64, "zero");
        let swap = Layout::new("swap", Kind::Invalid, VALID | PRESENT_INVALID, 0, "a swap or migration entry")
            .fields([
                invalid(),
                software("EXCLUSIVE", 2, "the page is of this process only"),
                software("UFFD_WP", 3, "userfaultfd write protection"),
                Field::new("swap_type", 10, 6, Role::Software, "swap file, or kind of special entry"),
                software("PRESENT_INVALID", 11, "zero"),
                Field::new("offset", 61, 12, Role::Software, "place in the swap file, or frame that migrates"),
            ])
            .rest("unused", Role::Software, 64, "not used by swap entries");
        let cleared = Layout::new(
            "cleared",
            Kind::Invalid,
            TYPE_MASK,
            2,
            "a page whose VALID bit was cleared, as set_memory_valid of 6.12 leaves it",
        )
        .fields([invalid()])
        .fields(self.attributes_of_leaf(Role::Software))
        .fields([software("nG", 11, "not global"), self.output(page)])
        .rest("RES0", Role::Software, 64, "zero");
        let unused =
            Layout::new("not-present", Kind::Invalid, VALID, 0, "invalid, and Linux writes no such entry here")
                .fields([invalid()])
                .rest("software", Role::Software, 64, "free for software")
                .rule("software", VALID, 0, Verdict::Acceptable, "hardware ignores it, and Linux gives it no meaning");
        match level {
            Level::Pte | Level::Pmd => vec![none, prot_none, cleared, swap],
            Level::Pud => vec![none, prot_none, unused],
            Level::P4d | Level::Pgd => vec![none, unused],
        }
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let mut all = match level {
            Level::Pte => vec![self.leaf_layout(level), Arm64::reserved(1)],
            _ if self.blocks_at(level) => vec![self.leaf_layout(level), self.table_layout()],
            _ => vec![self.table_layout(), Arm64::reserved(1)],
        };
        all.extend(self.absent(level));
        all
    }
}
