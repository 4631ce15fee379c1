//! sparc64 leaves of user mappings (`arch/sparc/include/asm/pgtable_64.h` of 6.12).

use super::{HUGE, SPECIAL, Sparc64, VALID};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// A large leaf: 8 MiB.
const PMD_SIZE: u64 = 1 << 23;

impl UserFormat for Sparc64 {
    fn young(&self, word: u64) -> bool {
        word & self.bits.accessed != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & self.bits.modified != 0
    }

    fn write(&self, word: u64) -> bool {
        word & self.bits.write != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    /// No permission that `_PAGE_VALID` could bring back. The architecture has no `pte_protnone`.
    fn protnone(&self, word: u64) -> bool {
        word & (self.bits.present | VALID | self.bits.read) == self.bits.present
    }

    /// `_PAGE_R` is the valid bit.
    fn mkyoung(&self, word: u64) -> u64 {
        word | self.bits.accessed | VALID
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !(self.bits.accessed | VALID)
    }

    /// Hardware may write what is both writable and dirty.
    fn mkdirty(&self, word: u64) -> u64 {
        word | self.bits.modified | if word & self.bits.write != 0 { self.bits.w } else { 0 }
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !(self.bits.modified | self.bits.w)
    }

    fn mkwrite(&self, word: u64) -> u64 {
        word | self.bits.write | if word & self.bits.modified != 0 { self.bits.w } else { 0 }
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        word & !VALID
    }

    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        let b = self.bits;
        let kept = b.paddr | b.modified | b.accessed | b.cache() | b.side_effect | SPECIAL | HUGE | b.size;
        (word & kept) | (prot & !kept)
    }

    fn huge_prot(&self, word: u64) -> Prot {
        let b = self.bits;
        let area = b.cache() | b.side_effect | b.exec | b.privileged | b.read;
        let prot = (word & area) | b.present | b.accessed;
        if word & b.read != 0 { prot | VALID } else { prot }
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        let address = self.address(level, word);
        if level == Level::Pte { address } else { address & !(PMD_SIZE - 1) }
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::sparc64::SPARC64_8K;

    const V: Sparc64 = Sparc64::new(&SPARC64_8K);

    fn prot(name: &str) -> u64 {
        V.prot(name).unwrap_or_default()
    }

    #[test]
    fn words_of_a_page() {
        let fresh = V.mkwrite(V.mkdirty(V.pte(0x1_2345_6000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0xbc00_0001_2345_6650);
        let read = V.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0xb800_0001_2345_6610);
        let none = V.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0x3000_0001_2345_6610);
        assert!(V.protnone(none) && V.present(Level::Pte, none) && !V.walkable(Level::Pte, none));
        // An old page has lost the same bit, and gets it back when it is used.
        let old = V.mkold(fresh);
        assert!(!V.protnone(old) && !V.walkable(Level::Pte, old) && V.mkyoung(old) == fresh);
        assert_eq!(V.mkclean(fresh), 0x9c00_0001_2345_6610);
    }

    #[test]
    fn a_large_leaf_that_is_being_split_is_still_one() {
        let huge = V.huge(Level::Pmd, 0x80_0000, prot("PAGE_READONLY_EXEC"));
        assert_eq!(huge, 0x9900_0000_0080_0693);
        let split = V.mkinvalid(V.mkwrite(V.mkdirty(huge)));
        assert!(V.trans_huge(split) && !V.walkable(Level::Pmd, split));
        assert_eq!((V.frame(Level::Pmd, split), V.huge_prot(split)), (0x80_0000, prot("PAGE_READONLY_EXEC")));
    }
}
