//! loongarch64 entries. LoongArch reference manual vol. 1, 5.4 (page table entries, LDDIR and LDPTE), and
//! `arch/loongarch/include/asm/pgtable*.h` of 6.12.
//!
//! A table is linked by its address in the direct-mapped window, and nothing is a link to one of three tables in which
//! nothing is mapped.

mod fields;
mod user;

use super::field::Layout;
use super::user::UserFormat;
use super::{Attributes, Format, Half, MemoryType, Prot, Reader};
use crate::geometry::Level;

/// `vm_map_base` of a CPU with 47-bit halves.
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;

pub static READER: Reader = Reader {
    architectures: &["loongarch64"],
    format: |_, shape| (shape.entry_bytes == 8).then(|| Box::new(Loongarch { page_shift: shape.page_shift }) as Box<_>),
};

/// Also the accessed bit.
pub const VALID: u64 = 1 << 0;
/// Hardware may write.
pub const DIRTY: u64 = 1 << 1;
pub const PLV_USER: u64 = 3 << 2;
pub const CACHE: u64 = 3 << 4;
const CACHE_CC: u64 = 1 << 4;
const CACHE_WUC: u64 = 2 << 4;
pub const GLOBAL: u64 = 1 << 6;
/// Above the leaf table the same bit says that the entry is a leaf.
pub const HUGE: u64 = 1 << 6;
pub const PRESENT: u64 = 1 << 7;
pub const WRITE: u64 = 1 << 8;
pub const MODIFIED: u64 = 1 << 9;
pub const PROTNONE: u64 = 1 << 10;
pub const HGLOBAL: u64 = 1 << 12;
pub const PRESENT_INVALID: u64 = 1 << 60;
pub const NO_READ: u64 = 1 << 61;
pub const NO_EXEC: u64 = 1 << 62;

const PAGE_KERNEL: u64 = PRESENT | VALID | DIRTY | WRITE | GLOBAL | CACHE_CC;

/// `CACHE_BASE`: the direct-mapped window through which the kernel reaches its memory.
pub const CACHE_BASE: u64 = 0x9000_0000_0000_0000;
/// Where the tables in which nothing is mapped are, part of the kernel's image.
pub const INVALID_PTE_TABLE: u64 = CACHE_BASE | 0x0100_0000;
pub const INVALID_PMD_TABLE: u64 = CACHE_BASE | 0x0101_0000;
pub const INVALID_PUD_TABLE: u64 = CACHE_BASE | 0x0102_0000;

/// The loongarch64 format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Loongarch {
    pub page_shift: u32,
}

impl Loongarch {
    pub(super) const fn pfn_mask(self) -> u64 {
        ((1 << 48) - 1) & !((1 << self.page_shift) - 1)
    }
}

impl Format for Loongarch {
    const NAME: &'static str = "loongarch64";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let kernel = |cache| (PAGE_KERNEL & !CACHE) | cache;
        vec![
            ("PAGE_KERNEL", PAGE_KERNEL),
            // Not defined here: the generic fallback.
            ("PAGE_KERNEL_RO", PAGE_KERNEL),
            ("PAGE_KERNEL_EXEC", PAGE_KERNEL),
            ("PAGE_KERNEL_ROX", PAGE_KERNEL),
            ("PAGE_KERNEL_SUC", kernel(0)),
            ("PAGE_KERNEL_WUC", kernel(CACHE_WUC)),
            ("PAGE_KERNEL_NOCACHE", kernel(0)),
            ("PAGE_IOREMAP", kernel(0)),
            ("PAGE_IOREMAP_WC", kernel(CACHE_WUC)),
            ("PAGE_SHARED", PRESENT | WRITE | PLV_USER | CACHE_CC),
            ("PAGE_READONLY", PRESENT | PLV_USER | CACHE_CC),
            ("PAGE_READONLY_EXEC", PRESENT | VALID | PLV_USER | CACHE_CC),
            ("PAGE_SHARED_EXEC", PRESENT | VALID | WRITE | PLV_USER | CACHE_CC),
            ("PAGE_NONE", PROTNONE | NO_READ | PLV_USER | CACHE_CC),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot
    }

    fn highest_in_place(&self) -> u64 {
        (1 << 48) - 1
    }

    /// `pmd_mkhuge`.
    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        let global = if prot & GLOBAL != 0 { HGLOBAL } else { 0 };
        pa | (prot & !GLOBAL) | global | HUGE
    }

    fn table(&self, _level: Level, pa: u64, _init_mm: bool) -> u64 {
        CACHE_BASE | pa
    }

    #[inline]
    fn empty(&self, level: Level) -> u64 {
        match level {
            Level::Pte => 0,
            Level::Pmd => INVALID_PTE_TABLE,
            Level::Pud => INVALID_PMD_TABLE,
            Level::P4d | Level::Pgd => INVALID_PUD_TABLE,
        }
    }

    /// `kernel_pte_init`: neighbours that share a TLB entry must agree on G.
    #[inline]
    fn blank(&self, level: Level, init_mm: bool) -> u64 {
        if level == Level::Pte && init_mm { GLOBAL } else { self.empty(level) }
    }

    #[inline]
    fn none_bits(&self, level: Level) -> u64 {
        if level == Level::Pte { !GLOBAL } else { u64::MAX }
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & (PRESENT | PROTNONE) != 0,
            Level::Pmd if word & HUGE != 0 => word & (PRESENT | PROTNONE | PRESENT_INVALID) != 0,
            _ => word != self.empty(level),
        }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & VALID != 0
    }

    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & VALID != 0,
            Level::Pmd | Level::Pud if word & HUGE != 0 => word & VALID != 0,
            _ => word & CACHE_BASE == CACHE_BASE && word != self.empty(level),
        }
    }

    fn readable(&self, word: u64) -> bool {
        word & NO_READ == 0
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        level != Level::Pte && word & ((1 << self.page_shift) - 1) != 0
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
    fn address(&self, level: Level, word: u64) -> u64 {
        let pa = word & self.pfn_mask();
        if level != Level::Pte && word & HUGE != 0 { pa & !HGLOBAL } else { pa }
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        let memory = match word & CACHE {
            0 => MemoryType::Uncached,
            CACHE_CC => MemoryType::Normal,
            CACHE_WUC => MemoryType::WriteCombining,
            _ => MemoryType::Reserved,
        };
        let global = if level == Level::Pte { GLOBAL } else { HGLOBAL };
        Attributes {
            write: word & DIRTY != 0,
            exec: word & NO_EXEC == 0,
            user: word & PLV_USER == PLV_USER,
            global: word & global != 0,
            accessed: word & VALID != 0,
            dirty: word & (DIRTY | MODIFIED) != 0,
            contiguous: false,
            memory,
        }
    }

    /// PGDH and PGDL. The upper half begins where the CPU's addresses do, also where the tables cover fewer bits.
    fn half(&self, kernel: bool) -> Half {
        if kernel { Half::At(UPPER_HALF) } else { Half::Lower }
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    /// Not defined by the architecture: nothing changes.
    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot
    }

    fn user(&self) -> Option<&dyn UserFormat> {
        Some(self)
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        let dirty = if word & DIRTY != 0 { MODIFIED } else { 0 };
        (word | dirty) & !(WRITE | DIRTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K4: Loongarch = Loongarch { page_shift: 12 };

    #[test]
    fn values_of_the_headers() {
        assert_eq!(K4.pte(0x1_2345_6000, PAGE_KERNEL), 0x1_2345_61d3);
        assert_eq!(K4.prot("PAGE_KERNEL_SUC"), Ok(0x1c3));
        assert_eq!(K4.prot("PAGE_KERNEL_WUC"), Ok(0x1e3));
        assert_eq!(K4.huge(Level::Pmd, 0x1_2340_0000, PAGE_KERNEL), 0x1_2340_11d3);
        assert_eq!(K4.address(Level::Pmd, 0x1_2340_11d3), 0x1_2340_0000);
    }

    #[test]
    fn nothing_is_a_link_to_an_invalid_table() {
        for level in [Level::Pmd, Level::Pud, Level::P4d] {
            let word = K4.empty(level);
            assert!(K4.none(level, word) && !K4.present(level, word) && !K4.bad(level, word));
            assert!(!K4.walkable(level, word) && K4.walkable(level, K4.table(level, 0x500_0000, true)));
        }
        assert!(K4.none(Level::Pte, GLOBAL) && !K4.walkable(Level::Pte, GLOBAL));
    }
}
