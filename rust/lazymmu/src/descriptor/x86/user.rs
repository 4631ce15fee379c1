//! x86 leaves of user mappings (`arch/x86/include/asm/pgtable.h`, `pgtable-invert.h`, `arch/x86/mm/pgtable.c` of 6.12).

use super::{ACCESSED, DIRTY, GLOBAL, NX, PAT, PAT_LARGE, PCD, PRESENT, PROTNONE, PSE, PWT, RW, USER, Width, X86};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `_PAGE_SPECIAL`.
pub(super) const SPECIAL: u64 = 1 << 9;
const SOFTWARE: u64 = (7 << 9) | (3 << 57);
const PKEY: u64 = 0xf << 59;

impl X86 {
    const fn frame_mask(self) -> u64 {
        match self.width {
            Width::TwoLevel => 0xffff_f000,
            Width::Long | Width::Pae => 0x000f_ffff_ffff_f000,
        }
    }

    /// `pte_mksaveddirty`: a read-only dirty leaf would be a shadow stack.
    const fn save_dirty(self, word: u64) -> u64 {
        if word & RW == 0 && word & DIRTY != 0 { (word & !DIRTY) | self.saved_dirty() } else { word }
    }

    /// `pte_clear_saveddirty`.
    const fn restore_dirty(self, word: u64) -> u64 {
        if word & RW != 0 && word & self.saved_dirty() != 0 { (word & !self.saved_dirty()) | DIRTY } else { word }
    }

    /// `pte_needs_flush`, `huge_pmd_needs_flush` (`arch/x86/include/asm/tlbflush.h`): whether a TLB may hold something
    /// that the new word does not grant.
    #[must_use]
    pub fn needs_flush(self, old: u64, new: u64) -> bool {
        if old & PRESENT == 0 {
            return false;
        }
        if (old ^ new) & self.frame_mask() != 0 {
            return true;
        }
        let cleared = old & !new & (DIRTY | PRESENT);
        let changed = (old ^ new) & (RW | USER | PWT | PCD | PSE | GLOBAL | PAT_LARGE | PKEY | NX) & !SOFTWARE;
        cleared != 0 || changed != 0
    }
}

impl UserFormat for X86 {
    fn young(&self, word: u64) -> bool {
        word & ACCESSED != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & (DIRTY | self.saved_dirty()) != 0
    }

    fn write(&self, word: u64) -> bool {
        word & RW != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    fn protnone(&self, word: u64) -> bool {
        word & (PRESENT | PROTNONE) == PROTNONE
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | ACCESSED
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !ACCESSED
    }

    fn mkdirty(&self, word: u64) -> u64 {
        self.save_dirty(word | DIRTY)
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !(DIRTY | self.saved_dirty())
    }

    fn mkwrite(&self, word: u64) -> u64 {
        self.restore_dirty(word | RW)
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        let flags = word & !self.frame_mask() & !(PRESENT | PROTNONE);
        let frame = self.frame(Level::Pmd, word);
        let stored = if self.inverted(flags) { !frame } else { frame };
        (stored & self.frame_mask()) | flags
    }

    fn modify(&self, level: Level, word: u64, prot: Prot) -> u64 {
        let huge = if level == Level::Pte { PAT } else { PSE | PAT_LARGE };
        let frame = self.frame_mask() & !if level == Level::Pte { 0 } else { PAT_LARGE };
        let keep = frame | PCD | PWT | SPECIAL | ACCESSED | DIRTY | self.saved_dirty() | huge;
        let mut new = (word & keep) | (prot & !keep);
        if self.inverted(word) != self.inverted(new) {
            new ^= frame;
        }
        if word & RW != 0 { self.save_dirty(new) } else { self.restore_dirty(new) }
    }

    fn huge_prot(&self, word: u64) -> Prot {
        (word & !self.frame_mask() & !(PSE | RW | DIRTY | self.saved_dirty())) | ACCESSED
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        let word = if self.inverted(word) { word ^ self.frame_mask() } else { word };
        let frame = word & self.frame_mask();
        // An inverted PAT bit of a large leaf inverts back to itself only here.
        if level == Level::Pte { frame } else { self.address(level, frame | PSE) }
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        if self.inverted(word) { word.wrapping_sub(bytes) } else { word.wrapping_add(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: X86 = X86 { width: Width::Long, global: false, five_level: false, pti_config: true };

    /// The words of one page through mprotect READ, NONE and RW, as x86_64-6.12.117-4lvl/user.jsonl has them.
    #[test]
    fn recorded_words() {
        let prot = |name| LONG.prot(name).unwrap_or_default();
        let fresh = LONG.mkwrite(LONG.mkdirty(LONG.pte(0x1b3_1000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0x8000_0000_01b3_1067);
        let read = LONG.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0x8400_0000_01b3_1025);
        let none = LONG.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0x040f_ffff_fe4c_e120);
        assert_eq!(LONG.frame(Level::Pte, none), 0x1b3_1000);
        assert_eq!(LONG.advance(none, 0x1000), 0x040f_ffff_fe4c_d120);
        let again = LONG.mkwrite(LONG.modify(Level::Pte, none, prot("PAGE_READONLY")));
        assert_eq!(again, fresh);
        assert!(LONG.needs_flush(fresh, read) && LONG.needs_flush(read, none) && !LONG.needs_flush(none, again));
        assert_eq!(LONG.mkclean(LONG.mkold(0x8000_0000_01b5_1067)), 0x8000_0000_01b5_1007);
    }

    #[test]
    fn large_leaves() {
        let huge = 0x8000_0000_0220_00e7;
        let read = LONG.modify(Level::Pmd, huge, LONG.prot("PAGE_READONLY").unwrap_or_default());
        assert_eq!(read, 0x8400_0000_0220_00a5);
        assert_eq!(LONG.frame(Level::Pmd, LONG.mkinvalid(huge)), 0x220_0000);
        assert!(!LONG.valid(LONG.mkinvalid(huge)) && LONG.leaf(Level::Pmd, LONG.mkinvalid(huge)));
    }
}
