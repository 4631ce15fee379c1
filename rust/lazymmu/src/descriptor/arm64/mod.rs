//! arm64 stage 1 entries. Arm ARM D8.3 (VMSAv8-64 descriptors), and `arch/arm64/include/asm/pgtable*.h` of 6.12.

mod fields;
mod user;

use super::field::Layout;
use super::{Attributes, Format, Grants, Half, MemoryType, Prot, Reader};
use crate::geometry::Level;

/// 52-bit output addresses: with 4 and 16 KiB pages only where 52-bit virtual addresses say so (LPA2).
pub static READER: Reader = Reader {
    architectures: &["arm64"],
    format: |_, shape| {
        let pa_bits = if shape.page_shift == 16 || shape.va_bits > 48 { 52 } else { 48 };
        (shape.entry_bytes == 8).then(|| Box::new(Arm64::new(shape.page_shift, pa_bits, shape.levels, false)) as _)
    },
};

pub const VALID: u64 = 1 << 0;
/// With VALID: a table above the last level, a page at it.
pub const TABLE_BIT: u64 = 1 << 1;
pub const TYPE_MASK: u64 = 3;
pub const TYPE_TABLE: u64 = 3;
pub const ATTRINDX_SHIFT: u32 = 2;
pub const ATTRINDX_MASK: u64 = 7 << ATTRINDX_SHIFT;
/// AP[1].
pub const USER: u64 = 1 << 6;
/// AP[2].
pub const RDONLY: u64 = 1 << 7;
pub const SHARED: u64 = 3 << 8;
pub const AF: u64 = 1 << 10;
pub const NG: u64 = 1 << 11;
/// What nG means while VALID is clear, from 6.11.
pub const PRESENT_INVALID: u64 = 1 << 11;
pub const GP: u64 = 1 << 50;
/// DBM, which Linux uses as the software write permission.
pub const WRITE: u64 = 1 << 51;
pub const CONT: u64 = 1 << 52;
pub const PXN: u64 = 1 << 53;
pub const UXN: u64 = 1 << 54;
/// Software dirty.
pub const DIRTY: u64 = 1 << 55;
pub const SPECIAL: u64 = 1 << 56;
pub const TABLE_PXN: u64 = 1 << 59;
pub const TABLE_UXN: u64 = 1 << 60;
/// APTable: no access from EL0, no writes.
pub const TABLE_NO_USER: u64 = 1 << 61;
pub const TABLE_RDONLY: u64 = 1 << 62;
const SWBITS: u64 = (1 << 63) | (0xf << 55);

const MT_NORMAL: u64 = 0;
const MT_NORMAL_TAGGED: u64 = 1;
const MT_NORMAL_NC: u64 = 2;
const MT_DEVICE_NGNRNE: u64 = 3;
const MT_DEVICE_NGNRE: u64 = 4;

const fn attr(index: u64) -> u64 {
    index << ATTRINDX_SHIFT
}

/// The arm64 format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Arm64 {
    /// Physical address bits that stand in the entry where they are in the address.
    low: u64,
    /// Those above: how far they move down, and where they then are.
    high_shift: u32,
    high: u64,
    /// LPA2: 4 KiB and 16 KiB pages with 52-bit output addresses; no SH field.
    pub lpa2: bool,
    /// A pud can be a section.
    pud_sections: bool,
    /// Entries that lead to tables carry AF (7.x).
    pub table_af: bool,
}

impl Arm64 {
    /// The format for pages of this size, output addresses of `pa_bits` (48 or 52) and this many hardware levels.
    #[must_use]
    pub const fn new(page_shift: u32, pa_bits: u8, levels: u8, table_af: bool) -> Arm64 {
        let wide = pa_bits > 48;
        let lpa2 = wide && page_shift < 16;
        // Output address bits 51:50 stand in 9:8 (LPA2), bits 51:48 in 15:12 (64 KiB pages). Linux leaves bits 49:48 in
        // their place too (PTE_ADDR_LOW), where hardware with 64 KiB pages ignores them.
        let (top, to, bits) = if lpa2 { (50, 8, 3) } else { (48, 12, 0xf) };
        Arm64 {
            low: ((1 << 50) - 1) & !((1 << page_shift) - 1),
            high_shift: top - to,
            high: if wide { bits << to } else { 0 },
            lpa2,
            pud_sections: page_shift < 16 && levels >= 3,
            table_af,
        }
    }

    /// Output addresses of 52 bits with 4 KiB or 16 KiB pages.
    #[must_use]
    pub const fn lpa2(self) -> bool {
        self.lpa2
    }

    /// `__phys_to_pte_val`.
    #[inline]
    #[must_use]
    pub const fn encode_address(self, pa: u64) -> u64 {
        (pa & self.low) | ((pa >> self.high_shift) & self.high)
    }

    #[inline]
    const fn decode_address(self, word: u64) -> u64 {
        (word & self.low) | ((word & self.high) << self.high_shift)
    }

    /// `pte_valid_not_user`: the test on which the barriers of a kernel entry hang.
    #[inline]
    #[must_use]
    pub const fn valid_not_user(self, word: u64) -> bool {
        word & (VALID | USER | UXN) == VALID | UXN
    }

    /// `pgattr_change_is_safe`: whether a live entry may go from `old` to `new` without break-before-make.
    #[must_use]
    pub fn change_is_safe(self, old: u64, new: u64) -> bool {
        if old & VALID == 0 || new & VALID == 0 {
            return true;
        }
        if self.decode_address(old) != self.decode_address(new) {
            return false;
        }
        if (old | new) & CONT != 0 {
            return false;
        }
        if old & NG != 0 && new & NG == 0 {
            return false;
        }
        let mut allowed = PXN | RDONLY | WRITE | NG | SWBITS;
        let normal = |w: u64| matches!((w & ATTRINDX_MASK) >> ATTRINDX_SHIFT, MT_NORMAL | MT_NORMAL_TAGGED);
        if normal(old) && normal(new) {
            allowed |= ATTRINDX_MASK;
        }
        (old ^ new) & !allowed == 0
    }

    /// `pte_mkcont` of a leaf.
    #[must_use]
    pub const fn mkcont(word: u64) -> u64 {
        word | CONT | TYPE_MASK
    }

    #[inline]
    #[must_use]
    pub const fn valid_cont(word: u64) -> bool {
        word & (VALID | CONT) == VALID | CONT
    }
}

impl Format for Arm64 {
    const NAME: &'static str = "arm64";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let sh = if self.lpa2 { 0 } else { SHARED };
        let base = TYPE_TABLE | AF | sh;
        let kernel = base | PXN | UXN | WRITE | attr(MT_NORMAL);
        let device = |mt| base | PXN | UXN | WRITE | attr(mt);
        // ioremap starts from PROT_DEVICE_nGnRE, which lacks the software dirty bit that PAGE_KERNEL has.
        vec![
            ("PAGE_KERNEL", kernel | DIRTY),
            ("PAGE_KERNEL_RO", (kernel & !WRITE) | DIRTY | RDONLY),
            ("PAGE_KERNEL_EXEC", (kernel & !PXN) | DIRTY),
            ("PAGE_KERNEL_ROX", (kernel & !(WRITE | PXN)) | DIRTY | RDONLY),
            ("PAGE_KERNEL_NOCACHE", device(MT_DEVICE_NGNRNE) | DIRTY),
            ("PAGE_IOREMAP", device(MT_DEVICE_NGNRE)),
            ("PAGE_IOREMAP_WC", device(MT_NORMAL_NC)),
            ("PAGE_SHARED", base | NG | USER | PXN | UXN | WRITE | RDONLY),
            ("PAGE_READONLY", base | NG | USER | PXN | UXN | RDONLY),
            ("PAGE_SHARED_EXEC", base | NG | USER | PXN | WRITE | RDONLY),
            ("PAGE_READONLY_EXEC", base | NG | USER | PXN | RDONLY),
            ("PAGE_EXECONLY", base | NG | PXN | RDONLY),
            ("PAGE_NONE", (base & !VALID) | PRESENT_INVALID | RDONLY | PXN | UXN),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        self.encode_address(pa) | prot
    }

    fn highest_in_place(&self) -> u64 {
        u64::MAX >> self.low.leading_zeros()
    }

    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        // mk_pmd_sect_prot: the table bit goes, the rest of the protection stays.
        self.encode_address(pa) | (prot & !TABLE_BIT)
    }

    fn table(&self, _level: Level, pa: u64, init_mm: bool) -> u64 {
        let attributes = if init_mm { TABLE_UXN } else { TABLE_PXN };
        let af = if self.table_af { AF } else { 0 };
        self.encode_address(pa) | TYPE_TABLE | attributes | af
    }

    #[inline]
    fn none_bits(&self, _level: Level) -> u64 {
        u64::MAX
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte | Level::Pmd | Level::Pud => {
                word & VALID != 0 || word & (VALID | PRESENT_INVALID) == PRESENT_INVALID
            }
            Level::P4d | Level::Pgd => word != 0,
        }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & VALID != 0
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => false,
            Level::Pmd | Level::Pud => word & TYPE_MASK != TYPE_TABLE,
            Level::P4d | Level::Pgd => word & TABLE_BIT == 0,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            // 64 KiB pages and two-level geometries have no section at pud (pud_table is constant true there).
            Level::Pud if !self.pud_sections => false,
            Level::Pmd | Level::Pud => self.present(level, word) && word & TYPE_MASK != TYPE_TABLE,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, _level: Level, word: u64) -> u64 {
        self.decode_address(word)
    }

    fn attributes(&self, _level: Level, word: u64) -> Attributes {
        let memory = match (word & ATTRINDX_MASK) >> ATTRINDX_SHIFT {
            MT_NORMAL => MemoryType::Normal,
            MT_NORMAL_TAGGED => MemoryType::NormalTagged,
            MT_NORMAL_NC => MemoryType::WriteCombining,
            MT_DEVICE_NGNRNE => MemoryType::DeviceNGnRnE,
            MT_DEVICE_NGNRE => MemoryType::DeviceNGnRE,
            _ => MemoryType::Reserved,
        };
        let user = word & USER != 0;
        Attributes {
            write: word & RDONLY == 0,
            exec: if user { word & UXN == 0 } else { word & PXN == 0 },
            user,
            global: word & NG == 0,
            accessed: word & AF != 0,
            dirty: word & DIRTY != 0 || word & (WRITE | RDONLY) == WRITE,
            contiguous: word & CONT != 0,
            memory,
        }
    }

    fn table_grants(&self, _level: Level, word: u64) -> Grants {
        Grants {
            write: word & TABLE_RDONLY == 0,
            user: word & TABLE_NO_USER == 0,
            kernel_exec: word & TABLE_PXN == 0,
            user_exec: word & TABLE_UXN == 0,
        }
    }

    fn dumped(&self, _level: Level, word: u64) -> bool {
        word != 0
    }

    fn half(&self, kernel: bool) -> Half {
        if kernel { Half::Upper } else { Half::Lower }
    }

    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        let block = match level {
            Level::Pmd => true,
            Level::Pud => self.pud_sections,
            _ => false,
        };
        // 0b01 is a block, where there are any, and reserved elsewhere.
        word & VALID != 0 && (block || word & TABLE_BIT != 0)
    }

    fn executable(&self, _level: Level, word: u64, kernel: bool) -> bool {
        word & (if kernel { PXN } else { UXN }) == 0
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    fn pgprot_nx(&self, prot: Prot) -> Prot {
        (prot & !GP) | PXN
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        let mut word = word;
        if word & (WRITE | RDONLY) == WRITE {
            word |= DIRTY;
        }
        (word & !WRITE) | RDONLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K48: Arm64 = Arm64::new(12, 48, 4, false);
    const LPA2: Arm64 = Arm64::new(12, 52, 5, false);
    const K64: Arm64 = Arm64::new(16, 52, 3, false);

    fn prot(f: Arm64, name: &str) -> u64 {
        f.prot(name).unwrap_or_default()
    }

    #[test]
    fn values_of_the_facts() {
        for (name, value) in [
            ("PAGE_KERNEL", 0x00e8_0000_0000_0703),
            ("PAGE_KERNEL_EXEC", 0x00c8_0000_0000_0703),
            ("PAGE_KERNEL_RO", 0x00e0_0000_0000_0783),
            ("PAGE_KERNEL_ROX", 0x00c0_0000_0000_0783),
            ("PAGE_IOREMAP", 0x0068_0000_0000_0713),
            ("PAGE_IOREMAP_WC", 0x0068_0000_0000_070b),
            ("PAGE_SHARED", 0x0068_0000_0000_0fc3),
            ("PAGE_READONLY", 0x0060_0000_0000_0fc3),
            ("PAGE_EXECONLY", 0x0020_0000_0000_0f83),
            ("PAGE_NONE", 0x0060_0000_0000_0f82),
        ] {
            assert_eq!(prot(K48, name), value, "{name}");
        }
    }

    #[test]
    fn addresses_above_48_bits() {
        assert_eq!(LPA2.encode_address(0x000c_8123_4567_8000), 0x0000_8123_4567_8300);
        assert_eq!(K64.encode_address(0x000a_8123_4567_0000), 0x0002_8123_4567_a000);
        assert_eq!(LPA2.address(Level::Pte, LPA2.encode_address(0x000c_8123_4567_8000)), 0x000c_8123_4567_8000);
        assert_eq!(K64.address(Level::Pte, K64.encode_address(0x000a_8123_4567_0000)), 0x000a_8123_4567_0000);
        assert_eq!(prot(LPA2, "PAGE_KERNEL") & SHARED, 0);
    }

    #[test]
    fn classifier_of_kernel_entries() {
        for name in ["PAGE_KERNEL", "PAGE_KERNEL_EXEC", "PAGE_IOREMAP"] {
            assert!(K48.valid_not_user(prot(K48, name)), "{name}");
        }
        for name in ["PAGE_SHARED", "PAGE_EXECONLY", "PAGE_NONE"] {
            assert!(!K48.valid_not_user(prot(K48, name)), "{name}");
        }
        assert!(!K48.valid_not_user(0));
    }

    #[test]
    fn change_is_safe_truth_table() {
        let pk = K48.pte(0x4000_0000, prot(K48, "PAGE_KERNEL"));
        let with = |set: u64, clear: u64| (pk | set) & !clear;
        for safe in [0, K48.pte(0x4000_0000, prot(K48, "PAGE_KERNEL_RO")), with(0, PXN), with(NG, 0), with(attr(1), 0)]
        {
            assert!(K48.change_is_safe(pk, safe), "{safe:#x}");
        }
        for unsafe_ in [
            K48.pte(0x4000_1000, prot(K48, "PAGE_KERNEL")),
            with(CONT, 0),
            with(attr(MT_DEVICE_NGNRE), 0),
            with(0, TABLE_BIT),
            with(0, AF),
            with(0, UXN),
            with(GP, 0),
        ] {
            assert!(!K48.change_is_safe(pk, unsafe_), "{unsafe_:#x}");
        }
        assert!(!K48.change_is_safe(with(NG, 0), pk));
    }

    #[test]
    fn write_protect_keeps_the_dirt() {
        let word = prot(K48, "PAGE_KERNEL") & !DIRTY;
        assert_eq!(K48.wrprotect(word), (word | DIRTY | RDONLY) & !WRITE);
    }
}
