//! Fields of x86 entries. Intel SDM vol. 3A, tables 5-4 to 5-6 (32-bit), 5-8 to 5-11 (PAE), 5-15 to 5-20 (4 and 5 levels);
//! software bits from `arch/x86/include/asm/pgtable_types.h`, swap entries from `pgtable_64.h`, `pgtable-3level.h` and
//! `pgtable-2level.h` of 6.12.

use super::{PRESENT, PROTNONE, PSE, Width, X86};
use crate::descriptor::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::Level;

const PRESENCE: &[(u64, &str)] = &[(0, "not present: hardware ignores the other bits"), (1, "present")];
const ACCESS: &[(u64, &str)] = &[(0, "read only"), (1, "writable")];
const OWNER: &[(u64, &str)] = &[(0, "supervisor only"), (1, "user code may use it")];
const EXECUTE: &[(u64, &str)] = &[(0, "executable"), (1, "no instruction fetch")];

fn bit(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Control, about)
}

fn software(name: &'static str, at: u8, about: &'static str) -> Field {
    Field::new(name, at, at, Role::Software, about)
}

fn reserved(high: u8, low: u8, about: &'static str) -> Field {
    Field::new("reserved", high, low, Role::Reserved, about)
}

fn present() -> Field {
    bit("P", 0, "present").values(PRESENCE)
}

fn cache() -> [Field; 2] {
    [
        bit("PWT", 3, "page-level write-through: bit 0 of the PAT index"),
        bit("PCD", 4, "page-level cache disable: bit 1"),
    ]
}

fn rights() -> [Field; 4] {
    [
        present(),
        bit("RW", 1, "write permission").values(ACCESS),
        bit("US", 2, "user permission").values(OWNER),
        bit("A", 5, "accessed, set by hardware"),
    ]
}

impl X86 {
    pub(super) fn bits(self) -> u8 {
        if self.width == Width::TwoLevel { 32 } else { 64 }
    }

    /// Bits above the address: PAE reserves what the 64-bit formats ignore.
    fn high(self, leaf: bool) -> Vec<Field> {
        let nx = || bit("XD", 63, "execute disable").values(EXECUTE);
        match self.width {
            Width::TwoLevel => Vec::new(),
            Width::Pae => {
                vec![Field::new("reserved_high", 62, 52, Role::Reserved, "must be zero with PAE"), nx()]
            }
            Width::Long if leaf => vec![
                software("DEVMAP", 57, "SW4: device memory with a struct page"),
                software("SAVED_DIRTY", 58, "SW5: dirty bit of a write-protected leaf"),
                Field::new("PKEY", 62, 59, Role::Control, "protection key of user pages, with CR4.PKE"),
                nx(),
            ],
            Width::Long => vec![nx()],
        }
    }

    fn software_low(self) -> [Field; 3] {
        let middle = if self.width == Width::Long {
            "SW2: userfaultfd write protection"
        } else {
            "SW2: dirty bit of a write-protected leaf"
        };
        [
            software("SPECIAL", 9, "SW1: no struct page behind it"),
            software(if self.width == Width::Long { "UFFD_WP" } else { "SAVED_DIRTY" }, 10, middle),
            software("SOFT_DIRTY", 11, "SW3: written to since soft-dirty was cleared"),
        ]
    }

    fn leaf_fields(self) -> Vec<Field> {
        let mut fields = Vec::from(rights());
        fields.extend(cache());
        fields.push(bit("D", 6, "dirty, set by hardware"));
        fields.push(bit("G", 8, "global: stays in the TLB when CR3 is loaded"));
        fields.extend(self.software_low());
        fields.extend(self.high(true));
        fields
    }

    const fn top(self) -> u8 {
        match self.width {
            Width::TwoLevel => 31,
            Width::Long | Width::Pae => 51,
        }
    }

    fn page(self) -> Layout {
        Layout::new("page", Kind::Leaf, PRESENT, PRESENT, "maps a 4 KiB page")
            .fields(self.leaf_fields())
            .fields([bit("PAT", 7, "bit 2 of the PAT index"), Field::address(self.top(), 12)])
            .rest("ignored", Role::Ignored, self.bits(), "ignored by hardware")
    }

    fn large(self, shift: u8, about: &'static str) -> Layout {
        let both = PRESENT | PSE;
        let address = Field::address(self.top(), shift);
        let below = match self.width {
            // PSE-36: address bits 39:32 stand in 20:13.
            Width::TwoLevel => vec![address.and(20, 13, 32), reserved(21, 21, "must be zero in a 4 MiB page")],
            _ => vec![address, reserved(shift - 1, 13, "below the address of a large page")],
        };
        Layout::new("large-page", Kind::Leaf, both, both, about)
            .fields(self.leaf_fields())
            .fields([bit("PS", 7, "page size: a leaf"), bit("PAT", 12, "bit 2 of the PAT index")])
            .fields(below)
            .rest("ignored", Role::Ignored, self.bits(), "ignored by hardware")
    }

    fn table_entry(self, level: Level) -> Layout {
        let address = Field::address(self.top(), 12).about("physical address of the table below");
        let ps = match level {
            Level::Pmd | Level::Pud => bit("PS", 7, "page size: 0, a table"),
            _ => Field::new("PS", 7, 7, Role::Reserved, "page size: no large page exists at this level"),
        };
        let mask = if matches!(level, Level::Pmd | Level::Pud) { PRESENT | PSE } else { PRESENT };
        Layout::new("table", Kind::Table, mask, PRESENT, "points to a table")
            .fields(rights())
            .fields(cache())
            .fields([address, ps])
            .fields(self.high(false))
            .rest("ignored", Role::Ignored, self.bits(), "ignored by hardware")
    }

    /// An entry of PAE's page-directory-pointer table, which the CPU reads when CR3 is loaded.
    fn pdpte(self) -> Layout {
        Layout::new("table", Kind::Table, PRESENT, PRESENT, "points to a page directory; read when CR3 is loaded")
            .fields([present(), Field::address(self.top(), 12).about("physical address of the page directory")])
            .fields(cache())
            .fields([Field::new("ignored", 11, 9, Role::Ignored, "ignored by hardware")])
            .rest("reserved", Role::Reserved, 64, "loading CR3 faults where it is set")
    }

    fn absent(self, level: Level) -> Vec<Layout> {
        let bits = self.bits();
        let all = u64::MAX >> (64 - bits);
        // Hardware may leave A and D in an entry that is not present (an erratum), where the word has 64 bits.
        let noise = if bits == 64 { super::ERRATUM } else { 0 };
        let mut none = Layout::new("none", Kind::Invalid, all & !noise, 0, "nothing").fields([present()]);
        if noise != 0 {
            none = none
                .fields([software("A", 5, "left by hardware"), software("D", 6, "left by hardware")])
                .rule("A", 1 << 5, 1 << 5, Verdict::Acceptable, "hardware may leave it in an empty entry")
                .rule("D", 1 << 6, 1 << 6, Verdict::Acceptable, "hardware may leave it in an empty entry");
        }
        let none = none.rest("zero", Role::Software, bits, "all zero");
        match level {
            Level::Pte | Level::Pmd => vec![none, self.protnone(level), self.swap(level)],
            _ => vec![none, self.unused()],
        }
    }

    fn unused(self) -> Layout {
        Layout::new("not-present", Kind::Invalid, PRESENT, 0, "not present, and Linux writes no such entry here")
            .fields([present()])
            .rest("software", Role::Software, self.bits(), "free for software")
            .rule("software", PRESENT, 0, Verdict::Acceptable, "hardware ignores it, and Linux gives it no meaning")
    }

    /// `PROT_NONE`: hardware sees an entry that is not present, software the page. The frame is inverted where the word
    /// has 64 bits, so that no CPU speculates through it.
    fn protnone(self, level: Level) -> Layout {
        let low = if level == Level::Pte {
            12
        } else if self.width == Width::TwoLevel {
            22
        } else {
            21
        };
        let address = Field::address(self.top(), low);
        let address = if self.width == Width::TwoLevel { address } else { address.inverted() };
        let as_software = |field: Field| match field.role {
            Role::Control => Field { role: Role::Software, ..field },
            _ => field,
        };
        let fields = self.leaf_fields().into_iter().filter(|f| f.name != "G" && f.role != Role::Reserved);
        let mut layout = Layout::new(
            "prot-none",
            Kind::Invalid,
            PRESENT | PROTNONE,
            PROTNONE,
            "a page without permissions: present for software only",
        )
        .fields(fields.map(as_software))
        .fields([software("PROTNONE", 8, "present for software"), address]);
        layout = match level {
            Level::Pte => layout.fields([software("PAT", 7, "bit 2 of the PAT index")]),
            _ => layout.fields([software("PS", 7, "page size: a leaf")]),
        };
        layout.rest("ignored", Role::Ignored, self.bits(), "ignored by hardware")
    }

    fn swap(self, level: Level) -> Layout {
        let offset = |high, low| {
            Field::new("offset", high, low, Role::Software, "place in the swap file, or frame that migrates")
        };
        let kind = |high, low| Field::new("type", high, low, Role::Software, "swap file, or kind of special entry");
        let layout =
            Layout::new("swap", Kind::Invalid, PRESENT | PROTNONE, 0, "a swap or migration entry").fields([present()]);
        let layout = match self.width {
            Width::Long => layout.fields([
                software("SOFT_DIRTY", 1, "soft-dirty of the page"),
                software("UFFD_WP", 2, "userfaultfd write protection"),
                software("EXCLUSIVE", 3, "the page is of this process only"),
                software("PSE", 7, "zero in a pte, or pmd_present would count it"),
                software("PROTNONE", 8, "zero"),
                offset(58, 9).inverted(),
                kind(63, 59),
            ]),
            Width::Pae => layout.fields([
                software("EXCLUSIVE", 7, "the page is of this process only"),
                software("PROTNONE", 8, "zero"),
                offset(58, 9).inverted(),
                kind(63, 59),
            ]),
            Width::TwoLevel => layout.fields([
                kind(5, 1),
                software("EXCLUSIVE", 7, "the page is of this process only"),
                software("PROTNONE", 8, "zero"),
                offset(31, 9),
            ]),
        };
        let layout = layout.rest("unused", Role::Software, self.bits(), "not used by swap entries");
        if level == Level::Pte && self.width == Width::Long {
            layout.rule("PSE", PSE, PSE, Verdict::Acceptable, "no swap entry of a pte has it")
        } else {
            layout
        }
    }

    /// The layouts of a level, in the order in which they are tried.
    pub(super) fn layouts_of(self, level: Level) -> Vec<Layout> {
        let mut all = match (level, self.width) {
            (Level::Pte, _) => vec![self.page()],
            (Level::Pmd, Width::TwoLevel) => vec![self.large(22, "maps a 4 MiB page"), self.table_entry(level)],
            (Level::Pmd, _) => vec![self.large(21, "maps a 2 MiB page"), self.table_entry(level)],
            (Level::Pud, Width::Pae) => vec![self.pdpte()],
            (Level::Pud, _) => vec![self.large(30, "maps a 1 GiB page"), self.table_entry(level)],
            _ => vec![self.table_entry(level)],
        };
        all.extend(self.absent(level));
        all
    }
}
