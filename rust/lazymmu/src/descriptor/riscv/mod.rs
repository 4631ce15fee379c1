//! riscv entries: Sv39, Sv48 and Sv57, and with 32 bits Sv32. RISC-V privileged architecture 12.3 to 12.6 and the extensions
//! Svpbmt and Svnapot; `arch/riscv/include/asm/pgtable*.h` of 6.12 for the predicates.
//!
//! Not modelled: the memory type field of T-Head before the standard.

mod fields;
mod user;

use super::field::Layout;
use super::{Attributes, Format, Grants, MemoryType, Prot, Reader};
use crate::geometry::Level;

/// The names that table images have, with and without the width.
pub static READER: Reader = Reader {
    architectures: &["riscv", "riscv64", "riscv32"],
    format: |_, shape| Some(Box::new(Riscv { wide: shape.entry_bytes == 8, svpbmt: shape.entry_bytes == 8 })),
};

pub const V: u64 = 1 << 0;
pub const R: u64 = 1 << 1;
pub const W: u64 = 1 << 2;
pub const X: u64 = 1 << 3;
pub const U: u64 = 1 << 4;
pub const G: u64 = 1 << 5;
pub const A: u64 = 1 << 6;
pub const D: u64 = 1 << 7;
/// What G means while V is clear.
pub const PROT_NONE: u64 = G;
/// Svpbmt: memory type. Non-cacheable main memory, and I/O.
pub const NC: u64 = 1 << 61;
pub const IO: u64 = 1 << 62;
const PBMT: u64 = NC | IO;
/// Svnapot: the entry is one of a naturally aligned power-of-two group.
pub const N: u64 = 1 << 63;

const LEAF: u64 = R | W | X;
const PFN_SHIFT: u32 = 10;
/// Of a group of 64 KiB: PFN bits 3:0 are 0b1000.
const NAPOT_64K: u64 = 8 << PFN_SHIFT;
const NAPOT_MASK: u64 = 0xf << PFN_SHIFT;

pub const PAGE_KERNEL: u64 = R | W | V | A | D | G;
const USER: u64 = V | A | U;

/// The riscv format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Riscv {
    /// 64-bit entries.
    pub wide: bool,
    /// The CPU has Svpbmt.
    pub svpbmt: bool,
}

impl Riscv {
    const fn pfn_mask(self) -> u64 {
        if self.wide { ((1 << 44) - 1) << PFN_SHIFT } else { 0xffff_fc00 }
    }

    /// The bits of a 64-bit entry that are not its frame's (`~_PAGE_PFN_MASK`).
    pub(crate) const fn flags(word: u64) -> u64 {
        word & !(((1 << 44) - 1) << PFN_SHIFT)
    }

    /// `pte_mknapot` of the one order that there is.
    #[must_use]
    pub const fn mknapot(word: u64) -> u64 {
        (word & !NAPOT_MASK) | NAPOT_64K | N
    }
}

impl Format for Riscv {
    const NAME: &'static str = "riscv";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let (io, nc) = if self.svpbmt && self.wide { (IO, NC) } else { (0, 0) };
        vec![
            ("PAGE_KERNEL", PAGE_KERNEL),
            // riscv has no name for it: the generic fallback is PAGE_KERNEL, writable as it is.
            ("PAGE_KERNEL_RO", PAGE_KERNEL),
            ("PAGE_KERNEL_EXEC", PAGE_KERNEL | X),
            ("PAGE_KERNEL_ROX", PAGE_KERNEL),
            ("PAGE_KERNEL_READ", PAGE_KERNEL & !W),
            ("PAGE_KERNEL_READ_EXEC", (PAGE_KERNEL & !W) | X),
            ("PAGE_KERNEL_NOCACHE", PAGE_KERNEL | io),
            ("PAGE_KERNEL_IO", PAGE_KERNEL | io),
            ("PAGE_IOREMAP", PAGE_KERNEL | io),
            ("PAGE_IOREMAP_WC", PAGE_KERNEL | nc),
            ("PAGE_SHARED", USER | R | W),
            ("PAGE_READONLY", USER | R),
            ("PAGE_SHARED_EXEC", USER | R | W | X),
            ("PAGE_READONLY_EXEC", USER | R | X),
            ("PAGE_EXECONLY", USER | X),
            ("PAGE_NONE", PROT_NONE | R),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        ((pa >> 12) << PFN_SHIFT) | prot
    }

    /// Address bits never stand in place.
    fn pte_run(&self, _pa: u64, _bytes: u64, _prot: Prot) -> Option<u64> {
        None
    }

    fn highest_in_place(&self) -> u64 {
        0
    }

    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        self.pte(pa, prot)
    }

    fn table(&self, _level: Level, pa: u64, _init_mm: bool) -> u64 {
        self.pte(pa, V)
    }

    #[inline]
    fn none_bits(&self, _level: Level) -> u64 {
        u64::MAX
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & (V | PROT_NONE) != 0,
            // A huge page that is being split has V clear and its permissions kept.
            Level::Pmd => word & (V | PROT_NONE | LEAF) != 0,
            Level::Pud | Level::P4d | Level::Pgd => word & V != 0,
        }
    }

    /// Writable without being readable is reserved.
    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & V != 0 && word & (R | W) != W
    }

    /// A last-level entry without permissions leads nowhere; leaves above the pud are not modelled.
    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        self.valid(word)
            && match level {
                Level::Pte => word & LEAF != 0,
                Level::Pmd | Level::Pud => true,
                Level::P4d | Level::Pgd => word & LEAF == 0,
            }
    }

    fn readable(&self, word: u64) -> bool {
        word & R != 0
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => false,
            Level::Pmd => !self.present(level, word) || word & LEAF != 0,
            // A leaf is not bad here.
            Level::Pud | Level::P4d | Level::Pgd => word & V == 0,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            Level::Pmd | Level::Pud => self.present(level, word) && word & LEAF != 0,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, level: Level, word: u64) -> u64 {
        let mut field = word & self.pfn_mask();
        if self.wide && level == Level::Pte && word & N != 0 {
            // The lowest one of the PFN says how large the group is.
            field &= field.wrapping_sub(1 << PFN_SHIFT);
        }
        field >> PFN_SHIFT << 12
    }

    fn attributes(&self, _level: Level, word: u64) -> Attributes {
        let memory = match word & PBMT {
            _ if !self.wide || !self.svpbmt => MemoryType::Normal,
            0 => MemoryType::Normal,
            NC => MemoryType::WriteCombining,
            IO => MemoryType::Uncached,
            _ => MemoryType::Reserved,
        };
        Attributes {
            write: word & W != 0,
            exec: word & X != 0,
            user: word & U != 0,
            global: word & G != 0,
            accessed: word & A != 0,
            dirty: word & D != 0,
            contiguous: self.wide && word & N != 0,
            memory,
        }
    }

    /// A table entry grants everything: its permission bits are what makes it a table.
    fn table_grants(&self, _level: Level, _word: u64) -> Grants {
        Grants::ALL
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot & !X
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        word & !W
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Riscv = Riscv { wide: true, svpbmt: true };

    fn prot(name: &str) -> u64 {
        WIDE.prot(name).unwrap_or_default()
    }

    #[test]
    fn values_of_the_facts() {
        assert_eq!(WIDE.pte(0x8020_0000, prot("PAGE_KERNEL")), 0x2008_00e7);
        assert_eq!(Riscv::mknapot(WIDE.pte(0x8020_0000, prot("PAGE_KERNEL"))), 0x8000_0000_2008_20e7);
        assert_eq!(WIDE.pte(0x1000_0000, prot("PAGE_IOREMAP")), 0x4000_0000_0400_00e7);
        assert_eq!(
            [prot("PAGE_KERNEL_EXEC"), prot("PAGE_KERNEL_READ"), prot("PAGE_KERNEL_READ_EXEC")],
            [0xef, 0xe3, 0xeb]
        );
    }

    #[test]
    fn a_group_begins_where_its_lowest_one_says() {
        let word = Riscv::mknapot(WIDE.pte(0x8020_0000, prot("PAGE_KERNEL")));
        assert_eq!(WIDE.address(Level::Pte, word), 0x8020_0000);
        assert!(WIDE.attributes(Level::Pte, word).contiguous);
    }

    #[test]
    fn leaves_and_bad_entries_by_level() {
        let leaf = WIDE.huge(Level::Pud, 0x4000_0000, PAGE_KERNEL);
        let table = WIDE.table(Level::Pud, 0x8000_0000, true);
        assert!(WIDE.leaf(Level::Pud, leaf) && !WIDE.bad(Level::Pud, leaf));
        assert!(WIDE.bad(Level::Pmd, leaf) && !WIDE.bad(Level::Pmd, table) && !WIDE.leaf(Level::Pmd, table));
        assert!(Level::ALL[1..].iter().all(|level| WIDE.bad(*level, 0)));
        assert!(!WIDE.valid(V | W), "writable and not readable");
    }
}
