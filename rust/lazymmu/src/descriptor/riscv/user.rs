//! riscv leaves of user mappings (`arch/riscv/include/asm/{pgtable,pgtable-64,pgtable-bits}.h` of 6.12).

use super::{A, D, G, IO, NC, PROT_NONE, R, Riscv, U, V, W, X};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `_PAGE_SPECIAL`.
pub(super) const SPECIAL: u64 = 1 << 8;
/// Bytes of a large leaf: 2 MiB, or with 32-bit entries 4 MiB.
const PMD_SHIFT: [u32; 2] = [22, 21];

impl Riscv {
    /// `~_PAGE_CHG_MASK`.
    const fn protection_bits(self) -> u64 {
        let memory_type = if self.wide && self.svpbmt { NC | IO } else { 0 };
        V | R | W | X | U | G | memory_type
    }
}

impl UserFormat for Riscv {
    fn young(&self, word: u64) -> bool {
        word & A != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & D != 0
    }

    fn write(&self, word: u64) -> bool {
        word & W != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    fn protnone(&self, word: u64) -> bool {
        word & (V | PROT_NONE) == PROT_NONE
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | A
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !A
    }

    fn mkdirty(&self, word: u64) -> u64 {
        word | D
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !D
    }

    fn mkwrite(&self, word: u64) -> u64 {
        word | W
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    /// The permissions stay: by them software knows the leaf.
    fn mkinvalid(&self, word: u64) -> u64 {
        word & !(V | PROT_NONE)
    }

    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        (word & !self.protection_bits()) | prot
    }

    fn huge_prot(&self, word: u64) -> Prot {
        let prot = word & self.protection_bits() & !W;
        if word & V != 0 { prot | A } else { prot }
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        let frame = self.address(level, word);
        if level == Level::Pte {
            frame
        } else {
            frame >> PMD_SHIFT[self.wide as usize] << PMD_SHIFT[self.wide as usize]
        }
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        // The frame number stands two bits below the address.
        let word = word.wrapping_add(((bytes as i64) >> 2) as u64);
        if self.wide { word } else { word & 0xffff_ffff }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Riscv = Riscv { wide: true, svpbmt: false };

    /// The words of one page through its life, as riscv64-6.12.117-sv48/user.jsonl has them.
    #[test]
    fn recorded_words() {
        let prot = |name| WIDE.prot(name).unwrap_or_default();
        assert_eq!(WIDE.mkspecial(WIDE.pte(0x80f5_d000, prot("PAGE_READONLY"))), 0x203d_7553);
        let fresh = WIDE.mkwrite(WIDE.mkdirty(WIDE.pte(0x807e_a000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0x201f_a8d7);
        let read = WIDE.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0x201f_a8d3);
        let none = WIDE.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0x201f_a8e2);
        assert!(WIDE.protnone(none) && !WIDE.protnone(read) && !WIDE.valid(none));
        assert_eq!(WIDE.mkwrite(WIDE.modify(Level::Pte, none, prot("PAGE_READONLY"))), fresh);
        assert_eq!(WIDE.mkclean(WIDE.mkold(0x2208_c4d7)), 0x2208_c417);
        assert_eq!(WIDE.advance(fresh, 0x1000), 0x201f_acd7);
        assert_eq!(WIDE.advance(fresh, 0x1000_u64.wrapping_neg()), 0x201f_a4d7);
    }

    #[test]
    fn a_large_leaf_that_is_being_split_is_still_one() {
        let huge = 0x2200_00d7;
        let split = WIDE.mkinvalid(huge);
        assert_eq!(split, 0x2200_00d6);
        assert!(WIDE.leaf(Level::Pmd, split) && !WIDE.valid(split));
        assert_eq!(WIDE.frame(Level::Pmd, split), 0x8800_0000);
        assert_eq!(WIDE.huge_prot(huge), WIDE.prot("PAGE_READONLY").unwrap_or_default());
    }
}
