//! Fields of riscv entries. Privileged architecture 12.3 to 12.6, Svpbmt and Svnapot; software bits and swap entries from
//! `arch/riscv/include/asm/pgtable*.h` of 6.12.

use super::{G, LEAF, N, NAPOT_64K, NAPOT_MASK, PROT_NONE, R, Riscv, V, W, X};
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const PRESENCE: &[(u64, &str)] = &[(0, "not valid: hardware ignores the other bits"), (1, "valid")];
const MEMORY: &[(u64, &str)] =
    &[(0, "as the physical memory attributes say"), (1, "NC: non-cacheable, idempotent"), (2, "IO: strongly ordered")];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

impl Riscv {
    const fn bits(self) -> u8 {
        if self.wide { 64 } else { 32 }
    }

    /// The physical address, whose page number begins at bit 10; `skip` of its lowest bits belong to nobody.
    fn frame(self, skip: u8) -> Field {
        Field::address(if self.wide { 53 } else { 31 }, 10 + skip).at(12 + skip)
    }

    /// Bits of the page number below a leaf of this level.
    fn below(self, level: Level) -> u8 {
        (level.number() - 1) * if self.wide { 9 } else { 10 }
    }

    fn leaf_bits() -> Vec<Field> {
        vec![
            bit("V", 0, "valid").values(PRESENCE),
            bit("R", 1, "readable"),
            bit("W", 2, "writable"),
            bit("X", 3, "executable"),
            bit("U", 4, "user mode may use it, and only user mode unless sstatus.SUM is set"),
            bit("G", 5, "global: in all address spaces"),
            bit("A", 6, "accessed"),
            bit("D", 7, "dirty"),
            software("SPECIAL", 8, "RSW: no struct page behind it"),
            software("DEVMAP", 9, "RSW: device memory with a struct page"),
        ]
    }

    fn memory_type(self) -> Option<Field> {
        let role = if self.svpbmt { Role::Control } else { Role::Reserved };
        self.wide.then(|| Field::new("PBMT", 62, 61, role, "page-based memory type (Svpbmt)").values(MEMORY))
    }

    fn leaf_layout(self, name: &'static str, level: Level, mask: u64, value: u64, about: &'static str) -> Layout {
        let below = self.below(level);
        let mut layout = Layout::new(name, Kind::Leaf, mask, value, about)
            .fields(Riscv::leaf_bits())
            .fields([self.frame(below)])
            .fields(self.memory_type());
        if below > 0 {
            let misaligned = "below the address of a superpage: a misaligned one faults";
            layout = layout.fields([Field::new("misaligned", 9 + below, 10, Role::Reserved, misaligned)]);
        }
        if self.wide {
            let role = if level == Level::Pte { Role::Control } else { Role::Reserved };
            layout = layout.fields([Field::new("N", 63, 63, role, "one of a naturally aligned group (Svnapot)")]);
            layout = layout.rule("PBMT", 3 << 61, 3 << 61, Verdict::Invalid, "memory type 3 is reserved");
        }
        if level.number() > Level::Pud.number() {
            layout = layout.rule("V", V, V, Verdict::Acceptable, "Linux makes no leaf at this level");
        }
        layout.rest("reserved", Role::Reserved, self.bits(), "a walk faults where it is set")
    }

    fn group(self) -> Layout {
        let about = "maps a page of a group of 64 KiB; all of its entries are the same";
        let mask = V | N | NAPOT_MASK;
        Layout::new("napot-page", Kind::Leaf, mask, V | N | NAPOT_64K, about)
            .fields(Riscv::leaf_bits())
            .fields([
                Field::new("size", 13, 10, Role::Control, "lowest bits of the page number: 0b1000, 64 KiB"),
                self.frame(4).about("physical address of the group"),
                bit("N", 63, "one of a naturally aligned group (Svnapot)"),
            ])
            .fields(self.memory_type())
            .rule("PBMT", 3 << 61, 3 << 61, Verdict::Invalid, "memory type 3 is reserved")
            .rule("W", R | W, W, Verdict::Invalid, "writable and not readable is reserved")
            .rule("R", LEAF, 0, Verdict::Invalid, "a group without permissions is reserved")
            .rest("reserved", Role::Reserved, 64, "a walk faults where it is set")
    }

    fn table_layout(self) -> Layout {
        let zero = |name, at| Field::new(name, at, at, Role::Res0, "zero in a table entry");
        let mut layout = Layout::new("table", Kind::Table, V | LEAF, V, "points to a table")
            .fields([
                bit("V", 0, "valid").values(PRESENCE),
                Field::new("RWX", 3, 1, Role::Control, "no permission: a table"),
                zero("U", 4),
                bit("G", 5, "everything below is global"),
                zero("A", 6),
                zero("D", 7),
                Field::new("RSW", 9, 8, Role::Software, "for software"),
                self.frame(0).about("physical address of the table below"),
            ])
            .fields(self.memory_type().map(|field| Field { role: Role::Reserved, values: &[], ..field }));
        if self.wide {
            layout = layout.fields([Field::new("N", 63, 63, Role::Reserved, "zero in a table entry")]);
        }
        layout.rest("reserved", Role::Reserved, self.bits(), "a walk faults where it is set")
    }

    fn reserved(self, name: &'static str, mask: u64, value: u64, field: &'static str, says: &'static str) -> Layout {
        Layout::new(name, Kind::Invalid, mask, value, "reserved: a walk faults")
            .fields([bit("V", 0, "valid").values(PRESENCE), Field::new("RWX", 3, 1, Role::Control, "permissions")])
            .rest("unused", Role::Ignored, self.bits(), "not read")
            .rule(field, mask, value, Verdict::Invalid, says)
    }

    fn absent(self, level: Level) -> Vec<Layout> {
        let bits = self.bits();
        let all = u64::MAX >> (64 - bits);
        let v = || bit("V", 0, "valid").values(PRESENCE);
        let none = Layout::new("none", Kind::Invalid, all, 0, "nothing").fields([v()]).rest(
            "zero",
            Role::Software,
            bits,
            "all zero",
        );
        let soft =
            |field: Field| if field.role == Role::Control { Field { role: Role::Software, ..field } } else { field };
        let fields = Riscv::leaf_bits().into_iter().filter(|f| f.name != "G").map(soft);
        let prot_none = Layout::new(
            "prot-none",
            Kind::Invalid,
            V | PROT_NONE,
            PROT_NONE,
            "a page without permissions: present for software only",
        )
        .fields(fields)
        .fields([software("PROT_NONE", 5, "present for software"), self.frame(self.below(level))])
        .rest("ignored", Role::Ignored, bits, "ignored by hardware");
        let swap = Layout::new("swap", Kind::Invalid, V | G, 0, "a swap or migration entry")
            .fields([
                v(),
                Field::new("leaf_bits", 3, 1, Role::Software, "zero"),
                software("EXCLUSIVE", 6, "the page is of this process only"),
                Field::new("type", 11, 7, Role::Software, "swap file, or kind of special entry"),
                Field::new("offset", bits - 1, 12, Role::Software, "place in the swap file, or frame that migrates"),
            ])
            .rest("unused", Role::Software, bits, "not used by swap entries");
        let unused = Layout::new("not-present", Kind::Invalid, V, 0, "not valid, and Linux writes no such entry here")
            .fields([v()])
            .rest("software", Role::Software, bits, "free for software")
            .rule("software", V, 0, Verdict::Acceptable, "hardware ignores it, and Linux gives it no meaning");
        match level {
            Level::Pte | Level::Pmd => vec![none, prot_none, swap],
            _ => vec![none, unused],
        }
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let n = if self.wide && level == Level::Pte { N } else { 0 };
        let (page, code) =
            if level == Level::Pte { ("page", "execute-only-page") } else { ("superpage", "execute-only-superpage") };
        let mut all = vec![self.leaf_layout(page, level, V | R | n, V | R, "maps memory")];
        if n != 0 {
            all.push(self.group());
            all.push(self.reserved(
                "reserved-group",
                V | N,
                V | N,
                "unused",
                "a group of 64 KiB has page number bits 3:0 = 0b1000",
            ));
        }
        all.push(self.leaf_layout(code, level, V | LEAF, V | X, "maps memory that may only be executed"));
        all.push(self.reserved("reserved", V | R | W, V | W, "RWX", "writable and not readable is reserved"));
        if level == Level::Pte {
            all.push(self.reserved(
                "reserved-table",
                V | LEAF,
                V,
                "RWX",
                "the last level has no tables: some permission",
            ));
        } else {
            all.push(self.table_layout());
        }
        all.extend(self.absent(level));
        all
    }
}
