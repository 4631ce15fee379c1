//! sparc64 entries: what the TSB, and from it the TLB, is filled with. sun4v: UltraSPARC Architecture 2007, 14.2 (TTE); sun4u:
//! UltraSPARC I and II User's Manual, 6.2; both: `arch/sparc/include/asm/pgtable_64.h`, `mm/init_64.c` of 6.12.

mod bits;
mod fields;
mod user;

use bits::{Bits, SUN4U, SUN4V};

use super::field::Layout;
use super::{Attributes, Format, MemoryType, Prot, Reader};
use crate::geometry::{Geometry, Level};

/// `sparc64` is sun4v, as all machines since 2005 are.
pub static READER: Reader = Reader {
    architectures: &["sparc64", "sun4u"],
    format: |arch, shape| {
        let bits = if arch == "sun4u" { &SUN4U } else { &SUN4V };
        (shape.entry_bytes == 8 && shape.page_shift == 13).then(|| Box::new(Sparc64 { bits }) as _)
    },
};

/// Also `_PAGE_R`: kept only while the page counts as referenced.
pub const VALID: u64 = 1 << 63;
/// `_PAGE_SPECIAL`.
pub const SPECIAL: u64 = 1 << 57;
/// Above the leaf table: a leaf.
pub const HUGE: u64 = 1 << 56;

/// Entries of sun4u hold `pa[42:13]`.
const SUN4U_PA_BITS: u8 = 43;

/// The sparc64 format: sun4v's or sun4u's.
#[derive(Clone, Copy, Debug)]
pub struct Sparc64 {
    pub(super) bits: &'static Bits,
}

impl Sparc64 {
    /// The format that goes with a geometry.
    #[must_use]
    pub const fn new(geometry: &Geometry) -> Sparc64 {
        Sparc64 { bits: if geometry.pa_bits == SUN4U_PA_BITS { &SUN4U } else { &SUN4V } }
    }

    /// `pte_exec`.
    #[must_use]
    pub const fn exec(self, word: u64) -> bool {
        word & self.bits.exec != 0
    }
}

impl Format for Sparc64 {
    const NAME: &'static str = "sparc64";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let b = self.bits;
        let user = b.present | b.cache() | b.access_bits();
        let kernel = b.kernel();
        let noncached = (kernel & !b.cache()) | b.side_effect;
        vec![
            ("PAGE_KERNEL", kernel),
            // Not defined here: the generic fallback.
            ("PAGE_KERNEL_RO", kernel),
            ("PAGE_KERNEL_EXEC", kernel),
            ("PAGE_KERNEL_ROX", kernel),
            ("PAGE_KERNEL_NOCACHE", noncached),
            ("PAGE_IOREMAP", noncached),
            // Of areas (`protection_map`); the constant of this name has the bit to execute.
            ("PAGE_SHARED", user | b.write),
            ("PAGE_SHARED_EXEC", user | b.write | b.exec),
            ("PAGE_READONLY", user),
            ("PAGE_READONLY_EXEC", user | b.exec),
            ("PAGE_NONE", b.present | b.accessed | b.cache()),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot
    }

    fn highest_in_place(&self) -> u64 {
        self.bits.paddr | 0x1fff
    }

    /// `pmd_mkhuge`.
    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        pa | prot | HUGE | self.bits.size_4m
    }

    /// The address alone.
    fn table(&self, _level: Level, pa: u64, _init_mm: bool) -> u64 {
        pa
    }

    #[inline]
    fn none_bits(&self, _level: Level) -> u64 {
        u64::MAX
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte { word & self.bits.present != 0 } else { word != 0 }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & VALID != 0
    }

    /// What the TSB miss handler makes of it.
    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte || self.leaf(level, word) { word & VALID != 0 } else { word != 0 }
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        level != Level::Pte && word & 0x1fff != 0
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            Level::Pmd | Level::Pud => word & HUGE != 0,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, _level: Level, word: u64) -> u64 {
        word & self.bits.paddr
    }

    fn attributes(&self, _level: Level, word: u64) -> Attributes {
        let b = self.bits;
        let cached = word & b.cache_p != 0;
        Attributes {
            write: word & b.w != 0,
            exec: self.exec(word),
            user: word & b.privileged == 0,
            global: false,
            accessed: word & b.accessed != 0,
            dirty: word & b.modified != 0,
            contiguous: false,
            memory: if cached { MemoryType::Normal } else { MemoryType::Uncached },
        }
    }

    /// Two trees; both begin at address 0.
    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    /// Not defined by the architecture: nothing changes.
    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        word & !(self.bits.write | self.bits.w)
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: Sparc64 = Sparc64 { bits: &SUN4V };
    const U: Sparc64 = Sparc64 { bits: &SUN4U };

    #[test]
    fn values_of_the_headers() {
        assert_eq!(V.prot("PAGE_KERNEL"), Ok(0xbc00_0000_0000_07d0));
        assert_eq!(V.prot("PAGE_IOREMAP"), Ok(0xbc00_0000_0000_09d0));
        assert_eq!(V.prot("PAGE_SHARED"), Ok(0x9c00_0000_0000_0610));
        assert_eq!(V.prot("PAGE_SHARED_EXEC"), Ok(0x9c00_0000_0000_0690));
        let page = V.pte(0x1_2345_6000, SUN4V.kernel());
        assert_eq!((page, V.address(Level::Pte, page)), (0xbc00_0001_2345_67d0, 0x1_2345_6000));
        assert_eq!(V.wrprotect(page), 0xb800_0001_2345_6790);
    }

    #[test]
    fn values_of_the_headers_for_sun4u() {
        assert_eq!(U.prot("PAGE_KERNEL"), Ok(0x8000_0000_0000_1fb6));
        assert_eq!(U.prot("PAGE_IOREMAP"), Ok(0x8000_0000_0000_1f8e));
        assert_eq!(U.prot("PAGE_SHARED"), Ok(0x8000_0000_0000_07b0));
        assert_eq!(U.prot("PAGE_SHARED_EXEC"), Ok(0x8000_0000_0000_17b0));
        let page = U.pte(0x1_2345_6000, SUN4U.kernel());
        assert_eq!((page, U.address(Level::Pte, page)), (0x8000_0001_2345_7fb6, 0x1_2345_6000));
        assert_eq!(U.wrprotect(page), 0x8000_0001_2345_7eb4);
    }

    #[test]
    fn a_page_that_is_not_referenced_is_present_and_faults() {
        for format in [V, U] {
            let old = format.pte(0x2000, format.bits.kernel()) & !(format.bits.accessed | VALID);
            assert!(format.present(Level::Pte, old) && !format.walkable(Level::Pte, old));
        }
    }
}
