//! Fields of 32-bit arm entries. Arm ARM v7 B3.5.1 (short descriptors) and B3.6.1, B3.6.2 (long descriptors); software bits
//! and swap entries from `arch/arm/include/asm/pgtable-2level.h` and `pgtable-3level.h` of 6.12.
//!
//! Of the two words that Linux keeps for a page with short descriptors, the one described here is the hardware's.

use super::Arm;
use super::long::YOUNG;
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const LONG_MEMORY: &[(u64, &str)] = &[
    (0, "L_PTE_MT_UNCACHED"),
    (1, "L_PTE_MT_BUFFERABLE"),
    (2, "L_PTE_MT_WRITETHROUGH"),
    (3, "L_PTE_MT_WRITEBACK"),
    (4, "L_PTE_MT_DEV_SHARED"),
    (7, "L_PTE_MT_WRITEALLOC"),
];
const SHAREABILITY: &[(u64, &str)] = &[(0, "non-shareable"), (2, "outer shareable"), (3, "inner shareable")];
const LONG_TYPE: &[(u64, &str)] = &[(0, "invalid"), (1, "block"), (2, "invalid"), (3, "table or page")];

fn control(name: &'static str, high: u8, low: u8, about: &'static str) -> Field {
    Field::new(name, high, low, Role::Control, about)
}

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    control(name, at, at, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

impl Arm {
    /// Output addresses have 40 bits; ARMv8 faults where 47:40 are set.
    fn output(low: u8) -> Field {
        Field::address(47, low)
    }

    fn long_leaf_fields() -> Vec<Field> {
        vec![
            control("type", 1, 0, "descriptor type").values(LONG_TYPE),
            control("AttrIndx", 4, 2, "memory type: index into MAIR0 and MAIR1").values(LONG_MEMORY),
            bit("NS", 5, "non-secure; ignored in non-secure state"),
            bit("AP1", 6, "AP[1]: access from PL0"),
            bit("AP2", 7, "AP[2]: read only"),
            control("SH", 9, 8, "shareability").values(SHAREABILITY),
            bit("AF", 10, "access flag; Linux: L_PTE_YOUNG"),
            bit("nG", 11, "not global: the TLB entry belongs to an ASID"),
            bit("Contiguous", 52, "one of a contiguous group with the same attributes"),
            bit("PXN", 53, "privileged execute never"),
            bit("XN", 54, "execute never"),
            software("DIRTY", 55, "L_PTE_DIRTY: dirty for software"),
            software("SPECIAL", 56, "L_PTE_SPECIAL: no struct page behind it"),
            software("NONE", 57, "L_PTE_NONE: a page without permissions"),
            software("RDONLY", 58, "L_PTE_RDONLY: read only for software"),
            Field::new("ignored", 63, 59, Role::Ignored, "ignored by hardware"),
        ]
    }

    fn long_leaf(level: Level) -> Layout {
        let shift = 12 + 9 * (level.number() - 1);
        let (name, kind) = if level == Level::Pte { ("page", 3) } else { ("block", 1) };
        Arm::long_leaf_of(level, Layout::new(name, Kind::Leaf, 3 | YOUNG, kind | YOUNG, "maps memory"), shift)
    }

    /// Without its access flag.
    fn long_old_leaf(level: Level) -> Layout {
        let shift = 12 + 9 * (level.number() - 1);
        let (name, kind) = if level == Level::Pte { ("old-page", 3) } else { ("old-block", 1) };
        let about = "not referenced since the flag was cleared: present for software, the next access faults";
        Arm::long_leaf_of(level, Layout::new(name, Kind::Invalid, 3 | YOUNG, kind, about), shift)
    }

    fn long_leaf_of(level: Level, layout: Layout, shift: u8) -> Layout {
        let mut layout = layout.fields(Arm::long_leaf_fields()).fields([Arm::output(shift)]).rule(
            "SH",
            3 << 8,
            1 << 8,
            Verdict::Acceptable,
            "shareability 1 is reserved",
        );
        if level.number() > Level::Pmd.number() {
            layout = layout.rule("type", 3, 1, Verdict::Acceptable, "Linux makes no block at this level");
        }
        layout.rest("RES0", Role::Res0, 64, "reserved, zero")
    }

    fn long_table() -> Layout {
        Layout::new("table", Kind::Table, 3, 3, "points to a table")
            .fields([
                control("type", 1, 0, "descriptor type").values(LONG_TYPE),
                Field::new("ignored_low", 11, 2, Role::Ignored, "ignored by hardware"),
                Arm::output(12).about("physical address of the table below"),
                Field::new("ignored_high", 58, 52, Role::Ignored, "ignored by hardware"),
                bit("PXNTable", 59, "no execution at PL1 below"),
                bit("XNTable", 60, "no execution below"),
                control("APTable", 62, 61, "limits of access below"),
                bit("NSTable", 63, "non-secure below; ignored in non-secure state"),
            ])
            .rest("RES0", Role::Res0, 64, "reserved, zero")
    }

    fn long_absent(level: Level) -> Vec<Layout> {
        let invalid = || control("type", 1, 0, "descriptor type").values(LONG_TYPE);
        let none = Layout::new("none", Kind::Invalid, u64::MAX, 0, "nothing").fields([invalid()]).rest(
            "zero",
            Role::Software,
            64,
            "all zero",
        );
        let soft =
            |field: Field| if field.role == Role::Control { Field { role: Role::Software, ..field } } else { field };
        let prot_none = |mask, value| {
            Layout::new(
                "prot-none",
                Kind::Invalid,
                mask,
                value,
                "a page without permissions: present for software only",
            )
            .fields(Arm::long_leaf_fields().into_iter().map(soft))
            .fields([Arm::output(12)])
            .rest("RES0", Role::Software, 64, "zero")
        };
        let swap = Layout::new("swap", Kind::Invalid, 1, 0, "a swap or migration entry")
            .fields([
                invalid(),
                software("EXCLUSIVE", 7, "the page is of this process only"),
                Field::new("swap_type", 36, 32, Role::Software, "swap file, or kind of special entry"),
                Field::new("offset", 63, 37, Role::Software, "place in the swap file, or frame that migrates"),
            ])
            .rest("unused", Role::Software, 64, "not used by swap entries");
        if level == Level::Pte { vec![none, prot_none(3, 2), swap] } else { vec![none, swap] }
    }

    fn small_page() -> Layout {
        Layout::new(
            "page",
            Kind::Leaf,
            2,
            2,
            "maps a small page; made from Linux's word, which lies 2048 bytes before it",
        )
        .fields([
            bit("XN", 0, "execute never"),
            bit("small", 1, "a small page"),
            bit("B", 2, "memory type, with C and TEX[0] (TEX remapping)"),
            bit("C", 3, "memory type, with B and TEX[0]"),
            bit("AP0", 4, "AP[0]: access flag where SCTLR.AFE is set, else access at all"),
            bit("AP1", 5, "AP[1]: access from PL0"),
            bit("TEX0", 6, "TEX[0]: memory type, with C and B"),
            control("TEX", 8, 7, "TEX[2:1]: for software with TEX remapping"),
            bit("APX", 9, "AP[2]: read only"),
            bit("S", 10, "shareable"),
            bit("nG", 11, "not global: the TLB entry belongs to an ASID"),
            Field::address(31, 12),
        ])
    }

    fn large_page() -> Layout {
        Layout::new("large-page", Kind::Leaf, 3, 1, "maps a page of 64 KiB: sixteen entries that are the same")
            .fields([
                control("type", 1, 0, "1: a large page"),
                bit("B", 2, "memory type, with C and TEX[0] (TEX remapping)"),
                bit("C", 3, "memory type, with B and TEX[0]"),
                bit("AP0", 4, "AP[0]"),
                bit("AP1", 5, "AP[1]: access from PL0"),
                bit("APX", 9, "AP[2]: read only"),
                bit("S", 10, "shareable"),
                bit("nG", 11, "not global"),
                bit("TEX0", 12, "TEX[0]: memory type, with C and B"),
                control("TEX", 14, 13, "TEX[2:1]"),
                bit("XN", 15, "execute never"),
                Field::address(31, 16),
            ])
            .rule("type", 3, 1, Verdict::Acceptable, "Linux makes no large page")
            .rest("RES0", Role::Res0, 32, "reserved, zero")
    }

    fn short_table() -> Layout {
        let quarter = "2: the hardware's entries begin 2048 bytes into the page";
        Layout::new("table", Kind::Table, 3, 1, "two words of the first level, each to 256 entries of the hardware")
            .fields([
                control("type", 1, 0, "1: a table"),
                bit("PXN", 2, "privileged execute never below"),
                bit("NS", 3, "non-secure below"),
                bit("bit4", 4, "set by Linux (PMD_BIT4)"),
                control("domain", 8, 5, "domain"),
                bit("impl", 9, "implementation defined"),
                control("quarter", 11, 10, quarter),
                Field::address(31, 12).about("physical address of the page with both tables"),
                control("second", 63, 32, "the second word: the same, 1024 bytes further"),
            ])
            .rule("quarter", 3 << 10, 0, Verdict::Acceptable, "Linux puts the hardware's entries at 2048")
            .rule("quarter", 1 << 10, 1 << 10, Verdict::Acceptable, "Linux puts the hardware's entries at 2048")
    }

    fn section() -> Layout {
        Layout::new("section", Kind::Leaf, 2, 2, "two sections of 1 MiB")
            .fields([
                bit("PXN", 0, "privileged execute never"),
                bit("section", 1, "a section"),
                bit("B", 2, "memory type, with C and TEX[0] (TEX remapping)"),
                bit("C", 3, "memory type, with B and TEX[0]"),
                bit("XN", 4, "execute never"),
                control("domain", 8, 5, "domain"),
                bit("impl", 9, "implementation defined"),
                bit("AP0", 10, "AP[0]"),
                bit("AP1", 11, "AP[1]: access from PL0"),
                bit("TEX0", 12, "TEX[0]: memory type, with C and B"),
                control("TEX", 14, 13, "TEX[2:1]"),
                bit("APX", 15, "AP[2]: read only"),
                bit("S", 16, "shareable"),
                bit("nG", 17, "not global"),
                bit("super", 18, "a supersection of 16 MiB"),
                bit("NS", 19, "non-secure"),
                Field::new("odd", 20, 20, Role::Res0, "zero: a pair begins at an even section"),
                Field::address(31, 21),
                control("second", 63, 32, "the second word: the same, 1 MiB further"),
            ])
            .rule("super", 1 << 18, 1 << 18, Verdict::Acceptable, "Linux makes no supersections without LPAE addresses")
    }

    fn short_absent(level: Level) -> Vec<Layout> {
        let bits = if level == Level::Pte { 32 } else { 64 };
        let all = u64::MAX >> (64 - bits);
        vec![
            Layout::new("none", Kind::Invalid, all, 0, "nothing").rest("zero", Role::Software, bits, "all zero"),
            Layout::new("not-present", Kind::Invalid, 3, 0, "hardware ignores it, and Linux's word says what it is")
                .fields([control("type", 1, 0, "0: a fault")])
                .rest("software", Role::Software, bits, "ignored by hardware"),
        ]
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let mut all = match (self.lpae, level) {
            (true, Level::Pte) => {
                let reserved = Layout::new("reserved", Kind::Invalid, 3, 1, "reserved at this level: a walk faults")
                    .fields([control("type", 1, 0, "descriptor type").values(LONG_TYPE)])
                    .rule("type", 3, 1, Verdict::Invalid, "the last level has pages (3) only")
                    .rest("unused", Role::Ignored, 64, "not read");
                vec![Arm::long_leaf(level), Arm::long_old_leaf(level), reserved]
            }
            (true, _) => vec![Arm::long_leaf(level), Arm::long_old_leaf(level), Arm::long_table()],
            (false, Level::Pte) => vec![Arm::small_page(), Arm::large_page()],
            (false, _) => vec![Arm::section(), Arm::short_table()],
        };
        all.extend(if self.lpae { Arm::long_absent(level) } else { Arm::short_absent(level) });
        all
    }
}
