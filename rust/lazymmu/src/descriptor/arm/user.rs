//! 32-bit arm leaves of user mappings (`arch/arm/include/asm/pgtable{,-2level,-3level}.h`, `mm/proc-v7-3level.S` of 6.12).
//!
//! All of it is about Linux's word. What the hardware gets is made of it where it is stored.

use super::{Arm, linux, long};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `L_PTE_SPECIAL`; short descriptors have no room for it.
const SPECIAL: u64 = 1 << 56;
/// The frame of a large leaf: 2 MiB.
const PMD_FRAME: u64 = 0xff_ffe0_0000;

impl Arm {
    const fn young_bit(self) -> u64 {
        if self.lpae { long::YOUNG } else { linux::YOUNG }
    }

    const fn dirty_bit(self) -> u64 {
        if self.lpae { long::DIRTY } else { linux::DIRTY }
    }

    const fn rdonly_bit(self) -> u64 {
        if self.lpae { long::RDONLY } else { linux::RDONLY }
    }

    const fn none_bit(self) -> u64 {
        if self.lpae { long::NONE } else { linux::NONE }
    }

    /// What `pte_modify` and `pmd_modify` take from the new protection. The first bit alone is `L_PTE_VALID`.
    const fn protection_bits(self) -> u64 {
        if self.lpae {
            long::XN | long::RDONLY | long::USER | long::NONE | long::VALID
        } else {
            linux::XN | linux::RDONLY | linux::USER | linux::NONE | linux::PRESENT
        }
    }

    /// What `set_pmd_at` stores for a large leaf.
    #[must_use]
    pub const fn stored_pmd(self, word: u64) -> u64 {
        let word = if word & long::NONE != 0 { word & !long::VALID } else { word };
        let writable = word & long::RDONLY == 0 && word & long::DIRTY != 0;
        (if writable { word & !long::AP2 } else { word | long::AP2 }) | long::NG
    }

    /// `pte_same`: with LPAE nG does not count, for it comes only with the store.
    #[must_use]
    pub fn pte_same(self, a: u64, b: u64) -> bool {
        self.without_ng(a) == self.without_ng(b)
    }

    fn without_ng(self, word: u64) -> u64 {
        if self.lpae && self.present(Level::Pte, word) { word & !long::NG } else { word }
    }
}

impl UserFormat for Arm {
    fn young(&self, word: u64) -> bool {
        word & self.young_bit() != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & self.dirty_bit() != 0
    }

    fn write(&self, word: u64) -> bool {
        word & self.rdonly_bit() == 0
    }

    fn special(&self, word: u64) -> bool {
        self.lpae && word & SPECIAL != 0
    }

    fn protnone(&self, word: u64) -> bool {
        word & self.none_bit() != 0
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | self.young_bit()
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !self.young_bit()
    }

    fn mkdirty(&self, word: u64) -> u64 {
        word | self.dirty_bit()
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !self.dirty_bit()
    }

    fn mkwrite(&self, word: u64) -> u64 {
        word & !self.rdonly_bit()
    }

    fn mkspecial(&self, word: u64) -> u64 {
        if self.lpae { word | SPECIAL } else { word }
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        word & !long::VALID
    }

    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        let mask = self.protection_bits();
        (word & !mask) | (prot & mask)
    }

    fn huge_prot(&self, word: u64) -> Prot {
        use long::{NONE, PRESENT, PXN, RDONLY, SHARED, USER, XN, YOUNG};
        (word & (super::MEMORY_TYPE | USER | SHARED | PXN | XN | NONE)) | PRESENT | YOUNG | RDONLY
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        if level == Level::Pte { self.address(level, word) } else { word & PMD_FRAME }
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        let next = word.wrapping_add(bytes);
        if self.lpae { next } else { next & 0xffff_ffff }
    }

    fn comparable(&self, word: u64) -> u64 {
        self.without_ng(self.mkold(word))
    }

    fn marks_special(&self) -> bool {
        self.lpae
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LPAE: Arm = Arm { lpae: true };
    const CLASSIC: Arm = Arm { lpae: false };

    fn prot(format: Arm, name: &str) -> u64 {
        format.prot(name).unwrap_or_default()
    }

    /// One page through its life; what the hardware gets beside it.
    #[test]
    fn words_of_a_page() {
        let fresh = CLASSIC.mkwrite(CLASSIC.mkdirty(CLASSIC.pte(0x1234_5000, prot(CLASSIC, "PAGE_READONLY"))));
        assert_eq!((fresh, CLASSIC.stored(fresh, true).1), (0x1234_575f, 0x1234_5c7f));
        let read = CLASSIC.modify(Level::Pte, fresh, prot(CLASSIC, "PAGE_READONLY"));
        assert_eq!((read, CLASSIC.stored(read, true).1), (0x1234_57df, 0x1234_5e7f));
        let none = CLASSIC.modify(Level::Pte, read, prot(CLASSIC, "PAGE_NONE"));
        assert!(CLASSIC.protnone(none) && CLASSIC.present(Level::Pte, none));
        assert_eq!((none, CLASSIC.stored(none, false).1), (0x1234_5edf, 0));
        let old = CLASSIC.mkold(fresh);
        assert_eq!((old, CLASSIC.stored(old, false).1), (0x1234_575d, 0));

        let page = LPAE.mkwrite(LPAE.mkdirty(LPAE.pte(0x1234_5000, prot(LPAE, "PAGE_READONLY"))));
        let stored = LPAE.stored(page, true).0;
        assert_eq!(stored, 0x00e0_0000_1234_5f5f);
        assert!(LPAE.pte_same(page, stored) && page != stored);
        let none = LPAE.modify(Level::Pte, stored, prot(LPAE, "PAGE_NONE"));
        assert_eq!(LPAE.stored(none, false).0, 0x06e0_0000_1234_5f1e);
        let again = LPAE.modify(Level::Pte, LPAE.stored(none, false).0, prot(LPAE, "PAGE_READONLY"));
        assert_eq!(LPAE.stored(again, true).0, 0x04e0_0000_1234_5fdf);
    }

    #[test]
    fn a_large_leaf_that_is_being_split_is_still_one() {
        let huge = LPAE.huge(Level::Pmd, 0x4020_0000, prot(LPAE, "PAGE_READONLY"));
        let stored = LPAE.stored_pmd(LPAE.mkwrite(LPAE.mkdirty(huge)));
        assert_eq!(stored, 0x00e0_0000_4020_0f5d);
        let split = LPAE.stored_pmd(LPAE.mkinvalid(stored));
        assert!(LPAE.trans_huge(split) && !LPAE.leaf(Level::Pmd, split) && !LPAE.present(Level::Pmd, split));
        assert_eq!((LPAE.frame(Level::Pmd, split), LPAE.huge_prot(split)), (0x4020_0000, prot(LPAE, "PAGE_READONLY")));
        let none = LPAE.stored_pmd(LPAE.modify(Level::Pmd, stored, prot(LPAE, "PAGE_NONE")));
        assert!(LPAE.trans_huge(none) && !LPAE.walkable(Level::Pmd, none));
        assert!(!LPAE.trans_huge(LPAE.table(Level::Pmd, 0x4020_0000, false)) && !LPAE.trans_huge(0));
    }

    /// A page that is not young is not walked: the flag is kept by software, which has to see the fault.
    #[test]
    fn old_pages_fault() {
        let page = LPAE.pte(0x1234_5000, prot(LPAE, "PAGE_SHARED"));
        assert!(LPAE.walkable(Level::Pte, page) && !LPAE.walkable(Level::Pte, LPAE.mkold(page)));
        let huge = LPAE.huge(Level::Pmd, 0x4020_0000, prot(LPAE, "PAGE_SHARED"));
        assert!(LPAE.walkable(Level::Pmd, huge) && !LPAE.walkable(Level::Pmd, LPAE.mkold(huge)));
    }
}
