//! 64-bit Book3S powerpc entries: the radix tree's, and those of the software tree behind the hash table. Power ISA 3.0 Book
//! III 5.7.10 (radix), and `arch/powerpc/include/asm/book3s/64/{pgtable,radix*,hash*}.h` of 6.12.
//!
//! Entries are big-endian in memory whatever the kernel is; words here are what `pte_val` returns.

mod fields;
pub mod user;

use super::field::Layout;
use super::{Attributes, Format, Half, MemoryType, Prot, Reader};
use crate::geometry::powerpc::PAGE_OFFSET;
use crate::geometry::{Geometry, Level};

pub static READER: Reader = Reader {
    architectures: &["ppc64"],
    format: |_, shape| {
        // Only a radix tree has nine index bits at both levels above the leaf tables.
        let radix = shape.index_bits[1..] == [9, 9];
        let fits = shape.entry_bytes == 8 && shape.levels == 4;
        fits.then(|| Box::new(PowerPc { page_shift: shape.page_shift, radix, index_bits: shape.index_bits }) as _)
    },
};

pub const EXEC: u64 = 1 << 0;
pub const WRITE: u64 = 1 << 1;
pub const READ: u64 = 1 << 2;
/// Kernel only.
pub const PRIVILEGED: u64 = 1 << 3;
const ATTRIBUTES: u64 = 3 << 4;
const NON_IDEMPOTENT: u64 = 2 << 4;
const TOLERANT: u64 = 3 << 4;
pub const DIRTY: u64 = 1 << 7;
pub const ACCESSED: u64 = 1 << 8;
pub const INVALID: u64 = 1 << 61;
/// A leaf, not a link.
pub const PTE: u64 = 1 << 62;
pub const PRESENT: u64 = 1 << 63;

/// `H_PAGE_BUSY`.
const BUSY: u64 = 1 << 6;
/// `H_PAGE_HASHPTE` and what says where the hash entry is; 64K pages keep that behind the table.
const HASHPTE_4K: u64 = 1 << 60;
const SLOT_4K: u64 = (1 << 56) | (7 << 53);
const HASHPTE_64K: u64 = 1 << 55;
const COMBO: u64 = 1 << 12;

const BASE: u64 = PRESENT | ACCESSED;
const KERNEL_RW: u64 = PRIVILEGED | READ | WRITE | DIRTY;
/// `PMD_MASKED_BITS` and its like.
const MASKED: u64 = 0xc000_0000_0000_00ff;
const RADIX_BAD: u64 = 0x6000_0000_0000_00e0;
const PA_MAX: u32 = 53;

/// The powerpc format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct PowerPc {
    pub page_shift: u32,
    pub radix: bool,
    /// Index bits of the pte, pmd and pud tables.
    pub index_bits: [u8; 3],
}

impl PowerPc {
    #[must_use]
    pub fn new(geometry: &Geometry, radix: bool) -> PowerPc {
        let bits = |level| geometry.entries(level).trailing_zeros() as u8;
        let index_bits = [bits(Level::Pte), bits(Level::Pmd), bits(Level::Pud)];
        PowerPc { page_shift: geometry.page_shift, radix, index_bits }
    }

    /// `H_PAGE_HASHPTE`: there is a hash entry.
    #[must_use]
    pub const fn hashpte(self) -> u64 {
        if self.page_shift == 12 { HASHPTE_4K } else { HASHPTE_64K }
    }

    /// `_PAGE_HPTEFLAGS`.
    #[must_use]
    pub const fn hpteflags(self) -> u64 {
        if self.page_shift == 12 { BUSY | HASHPTE_4K | SLOT_4K } else { BUSY | HASHPTE_64K | COMBO }
    }

    /// Index bits of the tables that entries of this level point to.
    const fn below(self, level: Level) -> u8 {
        match level {
            Level::Pte | Level::Pmd => self.index_bits[0],
            Level::Pud => self.index_bits[1],
            Level::P4d | Level::Pgd => self.index_bits[2],
        }
    }

    pub(crate) const fn rpn_mask(self) -> u64 {
        ((1 << PA_MAX) - 1) & !((1 << self.page_shift) - 1)
    }
}

impl Format for PowerPc {
    const NAME: &'static str = "powerpc";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        vec![
            ("PAGE_KERNEL", BASE | KERNEL_RW),
            ("PAGE_KERNEL_RO", BASE | PRIVILEGED | READ),
            ("PAGE_KERNEL_EXEC", BASE | KERNEL_RW | EXEC),
            ("PAGE_KERNEL_ROX", BASE | PRIVILEGED | READ | EXEC),
            ("PAGE_KERNEL_NC", BASE | KERNEL_RW | TOLERANT),
            ("PAGE_KERNEL_NCG", BASE | KERNEL_RW | NON_IDEMPOTENT),
            ("PAGE_KERNEL_NOCACHE", BASE | KERNEL_RW | NON_IDEMPOTENT),
            ("PAGE_IOREMAP", BASE | KERNEL_RW | NON_IDEMPOTENT),
            ("PAGE_IOREMAP_WC", BASE | KERNEL_RW | TOLERANT),
            ("PAGE_SHARED", BASE | READ | WRITE),
            ("PAGE_READONLY", BASE | READ),
            ("PAGE_SHARED_EXEC", BASE | READ | WRITE | EXEC),
            ("PAGE_READONLY_EXEC", BASE | READ | EXEC),
            ("PAGE_NONE", BASE),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot | PTE
    }

    fn highest_in_place(&self) -> u64 {
        (1 << PA_MAX) - 1
    }

    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        self.pte(pa, prot)
    }

    /// A radix link says how large the table is.
    fn table(&self, level: Level, pa: u64, _init_mm: bool) -> u64 {
        let size = if self.radix { u64::from(self.below(level)) } else { 0 };
        pa | PRESENT | size
    }

    #[inline]
    fn none_bits(&self, level: Level) -> u64 {
        match level {
            // Hardware may still write R and C to an empty entry.
            Level::Pte if self.radix => !(DIRTY | ACCESSED),
            Level::Pte => !self.hpteflags(),
            _ => u64::MAX,
        }
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.walkable(level, word) || word & (INVALID | PTE) == INVALID | PTE,
            Level::Pmd => word & (PRESENT | INVALID) != 0,
            _ => word & PRESENT != 0,
        }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & PRESENT != 0
    }

    /// `pte_hw_valid` at the last level.
    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        let needed = if level == Level::Pte { PRESENT | PTE } else { PRESENT };
        word & needed == needed
    }

    fn readable(&self, word: u64) -> bool {
        word & READ != 0
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => false,
            _ if self.radix => word & RADIX_BAD != 0,
            // What a fragment of this size cannot be aligned to.
            Level::Pmd | Level::Pud => word & ((8 << self.below(level)) - 1) != 0,
            Level::P4d | Level::Pgd => word == 0,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            Level::Pmd | Level::Pud => word & PTE != 0,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, level: Level, word: u64) -> u64 {
        if level == Level::Pte || self.leaf(level, word) { word & self.rpn_mask() } else { word & !MASKED }
    }

    fn attributes(&self, _level: Level, word: u64) -> Attributes {
        let memory = match word & ATTRIBUTES {
            NON_IDEMPOTENT => MemoryType::Uncached,
            TOLERANT => MemoryType::WriteCombining,
            // Also strong access order, 1, which is cached memory.
            _ => MemoryType::Normal,
        };
        Attributes {
            write: word & WRITE != 0,
            exec: word & EXEC != 0,
            user: word & PRIVILEGED == 0,
            global: false,
            accessed: word & ACCESSED != 0,
            dirty: word & DIRTY != 0,
            contiguous: false,
            memory,
        }
    }

    fn half(&self, kernel: bool) -> Half {
        if kernel { Half::At(PAGE_OFFSET) } else { Half::Lower }
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot & !EXEC
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        word & !WRITE
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::powerpc::{POWERPC_HASH_4K, POWERPC_HASH_64K, POWERPC_RADIX_64K};

    #[test]
    fn values_of_the_recorded_kernel() {
        let f = PowerPc::new(&POWERPC_HASH_4K, false);
        assert_eq!(f.prot("PAGE_KERNEL"), Ok(0x8000_0000_0000_018e));
        assert_eq!(f.prot("PAGE_KERNEL_RO"), Ok(0x8000_0000_0000_010c));
        assert_eq!(f.prot("PAGE_IOREMAP"), Ok(0x8000_0000_0000_01ae));
        assert_eq!(f.prot("PAGE_IOREMAP_WC"), Ok(0x8000_0000_0000_01be));
        assert_eq!(f.pte(0x40_0000_1000, 0x8000_0000_0000_018e), 0xc000_0040_0000_118e);
        assert_eq!(f.table(Level::P4d, 0xabc_e000, true), 0x8000_0000_0abc_e000);
        // A user page with its hash entry in slot 2 of the secondary group, as a hash fault left it.
        let hashed = 0xd080_0000_0133_2504_u64;
        assert!(f.walkable(Level::Pte, hashed) && hashed & f.hashpte() != 0);
        assert_eq!(f.address(Level::Pte, hashed), 0x133_2000);
        assert!(f.none(Level::Pte, f.hpteflags()));
    }

    #[test]
    fn a_radix_link_tells_the_size_of_its_table() {
        let f = PowerPc::new(&POWERPC_RADIX_64K, true);
        assert_eq!(f.table(Level::Pmd, 0x1_2300, true), 0x8000_0000_0001_2305);
        assert_eq!(f.table(Level::P4d, 0x1_2000, true), 0x8000_0000_0001_2009);
        assert_eq!(f.address(Level::Pmd, 0x8000_0000_0001_2305), 0x1_2300);
        assert!(!f.bad(Level::Pmd, 0) && f.bad(Level::Pud, f.huge(Level::Pud, 0x4000_0000, 0x8000_0000_0000_018e)));
    }

    #[test]
    fn only_hash_calls_an_empty_root_entry_bad() {
        let f = PowerPc::new(&POWERPC_HASH_64K, false);
        assert!(f.bad(Level::P4d, 0) && !f.bad(Level::Pud, 0) && f.bad(Level::Pud, PRESENT | 0x1000));
    }
}
