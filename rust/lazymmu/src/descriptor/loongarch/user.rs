//! loongarch64 leaves of user mappings (`arch/loongarch/include/asm/{pgtable,pgtable-bits}.h`, `arch/loongarch/mm/cache.c` of 6.12).

use super::{
    CACHE, DIRTY, HGLOBAL, HUGE, Loongarch, MODIFIED, NO_EXEC, NO_READ, PLV_USER, PRESENT, PRESENT_INVALID, PROTNONE,
    VALID, WRITE,
};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `_PAGE_SPECIAL`.
const SPECIAL: u64 = 1 << 11;
/// `_PAGE_DEVMAP`.
const DEVMAP: u64 = 1 << 59;

impl UserFormat for Loongarch {
    fn young(&self, word: u64) -> bool {
        word & VALID != 0
    }

    /// The walker sets only `DIRTY`.
    fn dirty(&self, word: u64) -> bool {
        word & (DIRTY | MODIFIED) != 0
    }

    fn write(&self, word: u64) -> bool {
        word & WRITE != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    fn protnone(&self, word: u64) -> bool {
        word & PROTNONE != 0
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | VALID
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !VALID
    }

    /// `DIRTY` lets stores through, so only where they are allowed.
    fn mkdirty(&self, word: u64) -> u64 {
        let dirty = if word & WRITE != 0 { DIRTY } else { 0 };
        word | MODIFIED | dirty
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !(DIRTY | MODIFIED)
    }

    fn mkwrite(&self, word: u64) -> u64 {
        let dirty = if word & MODIFIED != 0 { DIRTY } else { 0 };
        word | WRITE | dirty
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        (word | PRESENT_INVALID) & !(PRESENT | VALID | DIRTY | PROTNONE)
    }

    fn modify(&self, level: Level, word: u64, prot: Prot) -> u64 {
        let huge = if level == Level::Pte { 0 } else { HUGE };
        let kept = MODIFIED | SPECIAL | DEVMAP | self.pfn_mask() | CACHE | PLV_USER | huge;
        let modified = if word & DIRTY != 0 { MODIFIED } else { 0 };
        ((word | modified) & kept) | (prot & !kept)
    }

    fn huge_prot(&self, word: u64) -> Prot {
        let prot = word & (CACHE | PLV_USER | NO_READ | NO_EXEC | PRESENT | PROTNONE);
        if word & PRESENT != 0 { prot | VALID } else { prot }
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        let frame = self.address(level, word);
        if level == Level::Pte {
            return frame;
        }
        // A leaf table has an eighth of a page's bytes of entries.
        frame & !((1 << (2 * self.page_shift - 3)) - 1) & !HGLOBAL
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }

    /// `protection_map`: what may be read is young from the start, and nothing is executable by chance.
    fn vm_page_prot(&self, prot: Prot) -> Prot {
        let named = |name| self.prot(name).is_ok_and(|value| value == prot);
        if named("PAGE_READONLY") || named("PAGE_SHARED") {
            prot | VALID | NO_EXEC
        } else if named("PAGE_NONE") {
            prot | NO_EXEC
        } else {
            prot
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K16: Loongarch = Loongarch { page_shift: 14 };

    #[test]
    fn a_page_through_its_life() {
        let prot = K16.vm_page_prot(K16.prot("PAGE_READONLY").unwrap_or_default());
        assert_eq!(prot, 0x4000_0000_0000_009d);
        let fresh = K16.mkwrite(K16.mkdirty(K16.pte(0x4000, prot)));
        assert_eq!(fresh, 0x4000_0000_0000_439f);
        assert_eq!(K16.wrprotect(fresh), 0x4000_0000_0000_429d);
        assert_eq!(K16.modify(Level::Pte, fresh, prot), 0x4000_0000_0000_429d);
        let none = K16.vm_page_prot(K16.prot("PAGE_NONE").unwrap_or_default());
        let hidden = K16.modify(Level::Pte, fresh, none);
        assert_eq!(hidden, 0x6000_0000_0000_461c);
        assert!(K16.protnone(hidden) && K16.present(Level::Pte, hidden) && !K16.valid(hidden));
    }

    #[test]
    fn a_large_leaf_that_is_invalid_is_one_still() {
        let leaf = K16.mkdirty(K16.huge(Level::Pmd, 0x200_0000, 0x4000_0000_0000_009d));
        let invalid = K16.mkinvalid(leaf);
        assert!(
            K16.leaf(Level::Pmd, invalid) && K16.present(Level::Pmd, invalid) && !K16.walkable(Level::Pmd, invalid)
        );
        assert_eq!(K16.frame(Level::Pmd, invalid), 0x200_0000);
        assert_eq!(K16.huge_prot(leaf), 0x4000_0000_0000_009d);
    }
}
