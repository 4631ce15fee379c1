//! arm64 leaves of user mappings (`arch/arm64/include/asm/pgtable.h` of 6.12).

use super::{
    AF, ATTRINDX_MASK, Arm64, CONT, DIRTY, GP, PRESENT_INVALID, PXN, RDONLY, SPECIAL, TABLE_BIT, USER, UXN, VALID,
    WRITE,
};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `PTE_PO_IDX_MASK`.
const PO_INDEX: u64 = 7 << 60;

const fn hw_dirty(word: u64) -> bool {
    word & (WRITE | RDONLY) == WRITE
}

impl UserFormat for Arm64 {
    fn young(&self, word: u64) -> bool {
        word & AF != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & DIRTY != 0 || hw_dirty(word)
    }

    fn write(&self, word: u64) -> bool {
        word & WRITE != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    fn protnone(&self, word: u64) -> bool {
        word & (VALID | PRESENT_INVALID) == PRESENT_INVALID && word & USER == 0 && word & UXN != 0
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | AF
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !AF
    }

    fn mkdirty(&self, word: u64) -> u64 {
        let word = word | DIRTY;
        if word & WRITE != 0 { word & !RDONLY } else { word }
    }

    fn mkclean(&self, word: u64) -> u64 {
        (word & !DIRTY) | RDONLY
    }

    fn mkwrite(&self, word: u64) -> u64 {
        let word = word | WRITE;
        if word & DIRTY != 0 { word & !RDONLY } else { word }
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        (word | PRESENT_INVALID) & !VALID
    }

    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        let replaced = USER | PXN | UXN | RDONLY | PRESENT_INVALID | VALID | WRITE | GP | ATTRINDX_MASK | PO_INDEX;
        let word = if hw_dirty(word) { word | DIRTY } else { word };
        let new = (word & !replaced) | (prot & replaced);
        if new & DIRTY != 0 { self.mkdirty(new) } else { new }
    }

    fn huge_prot(&self, word: u64) -> Prot {
        let flags = word & !self.encode_address(u64::MAX) & !(WRITE | DIRTY | CONT);
        flags | RDONLY | AF | TABLE_BIT
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        self.address(level, word)
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        let address = self.encode_address(u64::MAX);
        (word & !address) | self.encode_address(self.address(Level::Pte, word).wrapping_add(bytes))
    }

    fn mknoncont(&self, word: u64) -> u64 {
        word & !CONT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K48: Arm64 = Arm64::new(12, 48, 4, false);

    /// The words of one page through its life, as arm64-6.12.117-4k48/user.jsonl has them.
    #[test]
    fn recorded_words() {
        let prot = |name| K48.prot(name).unwrap_or_default();
        assert_eq!(K48.mkspecial(K48.pte(0x4087_1000, prot("PAGE_READONLY"))), 0x0160_0000_4087_1fc3);
        let fresh = K48.mkwrite(K48.mkdirty(K48.pte(0x483b_b000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0x00e8_0000_483b_bf43);
        let read = K48.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0x00e0_0000_483b_bfc3);
        let none = K48.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0x00e0_0000_483b_bf82);
        assert!(K48.protnone(none) && !K48.protnone(read));
        assert_eq!(K48.mkwrite(K48.modify(Level::Pte, none, prot("PAGE_READONLY"))), fresh);
        assert_eq!(K48.mkclean(K48.mkold(fresh)), 0x0068_0000_483b_bbc3);
    }

    #[test]
    fn frames_above_48_bits_advance() {
        let k64 = Arm64::new(16, 52, 3, false);
        let word = k64.pte(0x000a_ffff_ffff_0000, 3);
        assert_eq!(k64.address(Level::Pte, k64.advance(word, 0x1_0000)), 0x000b_0000_0000_0000);
    }
}
