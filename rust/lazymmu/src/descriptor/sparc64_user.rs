//! sparc64 leaves of user mappings, sun4v (`arch/sparc/include/asm/pgtable_64.h` of 6.12).

use super::sparc64::{
    ACCESSED, CACHE, EXEC, HUGE, MODIFIED, PADDR, PRESENT, PRIVILEGED, READ, SIDE_EFFECT, SIZE, SPECIAL, Sparc64,
    VALID, W, WRITE,
};
use super::user::UserFormat;
use super::{Format, Prot};
use crate::geometry::Level;

/// What `pte_modify` keeps.
const KEPT: u64 = PADDR | MODIFIED | ACCESSED | CACHE | SIDE_EFFECT | SPECIAL | HUGE | SIZE;
/// The frame of a large leaf: 8 MiB.
const PMD_FRAME: u64 = PADDR & !0x7f_ffff;

impl UserFormat for Sparc64 {
    fn young(&self, word: u64) -> bool {
        word & ACCESSED != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & MODIFIED != 0
    }

    fn write(&self, word: u64) -> bool {
        word & WRITE != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    /// No permission that `_PAGE_VALID` could bring back. The architecture has no `pte_protnone`.
    fn protnone(&self, word: u64) -> bool {
        word & (PRESENT | VALID | READ) == PRESENT
    }

    /// `_PAGE_R` is the valid bit.
    fn mkyoung(&self, word: u64) -> u64 {
        word | ACCESSED | VALID
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !(ACCESSED | VALID)
    }

    /// Hardware may write what is both writable and dirty.
    fn mkdirty(&self, word: u64) -> u64 {
        word | MODIFIED | if word & WRITE != 0 { W } else { 0 }
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !(MODIFIED | W)
    }

    fn mkwrite(&self, word: u64) -> u64 {
        word | WRITE | if word & MODIFIED != 0 { W } else { 0 }
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        word & !VALID
    }

    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        (word & KEPT) | (prot & !KEPT)
    }

    fn huge_prot(&self, word: u64) -> Prot {
        let prot = (word & (CACHE | SIDE_EFFECT | EXEC | PRIVILEGED | READ)) | PRESENT | ACCESSED;
        if word & READ != 0 { prot | VALID } else { prot }
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        if level == Level::Pte { self.address(level, word) } else { word & PMD_FRAME }
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prot(name: &str) -> u64 {
        Sparc64.prot(name).unwrap_or_default()
    }

    #[test]
    fn words_of_a_page() {
        let fresh = Sparc64.mkwrite(Sparc64.mkdirty(Sparc64.pte(0x1_2345_6000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0xbc00_0001_2345_6650);
        let read = Sparc64.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0xb800_0001_2345_6610);
        let none = Sparc64.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0x3000_0001_2345_6610);
        assert!(Sparc64.protnone(none) && Sparc64.present(Level::Pte, none) && !Sparc64.walkable(Level::Pte, none));
        // An old page has lost the same bit, and gets it back when it is used.
        let old = Sparc64.mkold(fresh);
        assert!(!Sparc64.protnone(old) && !Sparc64.walkable(Level::Pte, old) && Sparc64.mkyoung(old) == fresh);
        assert_eq!(Sparc64.mkclean(fresh), 0x9c00_0001_2345_6610);
    }

    #[test]
    fn a_large_leaf_that_is_being_split_is_still_one() {
        let huge = Sparc64.huge(Level::Pmd, 0x80_0000, prot("PAGE_READONLY_EXEC"));
        assert_eq!(huge, 0x9900_0000_0080_0693);
        let split = Sparc64.mkinvalid(Sparc64.mkwrite(Sparc64.mkdirty(huge)));
        assert!(Sparc64.trans_huge(split) && !Sparc64.walkable(Level::Pmd, split));
        assert_eq!(
            (Sparc64.frame(Level::Pmd, split), Sparc64.huge_prot(split)),
            (0x80_0000, prot("PAGE_READONLY_EXEC"))
        );
    }
}
