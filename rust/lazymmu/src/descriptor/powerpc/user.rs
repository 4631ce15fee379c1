//! powerpc leaves of user mappings (`arch/powerpc/include/asm/book3s/64/pgtable.h`, `mm/book3s64/pgtable.c` of 6.12).

use super::{ACCESSED, DIRTY, EXEC, INVALID, PRESENT, PRIVILEGED, PTE, PowerPc, READ, WRITE};
use crate::descriptor::user::UserFormat;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;

/// `_PAGE_SOFT_DIRTY`, set with the dirty bit whatever the configuration.
pub const SOFT_DIRTY: u64 = 1 << 9;
/// `_PAGE_SPECIAL`.
pub const SPECIAL: u64 = 1 << 10;
/// `_PAGE_DEVMAP`.
const DEVMAP: u64 = 1 << 11;
const RWX: u64 = READ | WRITE | EXEC;
/// `_PAGE_CACHE_CTL`.
const CACHE: u64 = 3 << 4;

impl PowerPc {
    /// `__pte_flags_need_flush` of a radix kernel: whether a TLB may hold something that the new word does not grant.
    #[must_use]
    pub const fn needs_flush(self, old: u64, new: u64) -> bool {
        let delta = old ^ new;
        delta & !(RWX | DIRTY | ACCESSED) != 0 || delta & old & !ACCESSED != 0
    }
}

impl UserFormat for PowerPc {
    fn young(&self, word: u64) -> bool {
        word & ACCESSED != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & DIRTY != 0
    }

    fn write(&self, word: u64) -> bool {
        word & WRITE != 0
    }

    fn special(&self, word: u64) -> bool {
        word & SPECIAL != 0
    }

    /// Present for hardware too, which grants nothing.
    fn protnone(&self, word: u64) -> bool {
        word & (PRESENT | PTE | RWX) == PRESENT | PTE
    }

    fn mkyoung(&self, word: u64) -> u64 {
        word | ACCESSED
    }

    fn mkold(&self, word: u64) -> u64 {
        word & !ACCESSED
    }

    fn mkdirty(&self, word: u64) -> u64 {
        word | DIRTY | SOFT_DIRTY
    }

    fn mkclean(&self, word: u64) -> u64 {
        word & !DIRTY
    }

    fn mkwrite(&self, word: u64) -> u64 {
        word | READ | WRITE
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        (word & !PRESENT) | INVALID
    }

    fn modify(&self, level: Level, word: u64, prot: Prot) -> u64 {
        let special = if level == Level::Pte { SPECIAL } else { 0 };
        let flags = self.hpteflags() | DIRTY | ACCESSED | special | PTE | SOFT_DIRTY | DEVMAP;
        (word & (self.rpn_mask() | flags)) | prot
    }

    fn huge_prot(&self, word: u64) -> Prot {
        (word & (READ | EXEC | PRIVILEGED | CACHE)) | PRESENT | ACCESSED
    }

    fn frame(&self, level: Level, word: u64) -> u64 {
        self.address(level, word)
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::powerpc::POWERPC_HASH_4K;

    /// The words of pages through their life, as ppc64-6.12.117-hash4k/user.jsonl has them.
    #[test]
    fn recorded_words() {
        let f = PowerPc::new(&POWERPC_HASH_4K, false);
        let prot = |name| f.prot(name).unwrap_or_default();
        assert_eq!(f.mkspecial(f.pte(0x133_2000, prot("PAGE_READONLY"))), 0xc000_0000_0133_2504);
        let fresh = f.mkwrite(f.mkdirty(f.pte(0x111_c000, prot("PAGE_READONLY"))));
        assert_eq!(fresh, 0xc000_0000_0111_c386);
        let read = f.modify(Level::Pte, fresh, prot("PAGE_READONLY"));
        assert_eq!(read, 0xc000_0000_0111_c384);
        let none = f.modify(Level::Pte, read, prot("PAGE_NONE"));
        assert_eq!(none, 0xc000_0000_0111_c380);
        assert!(f.protnone(none) && !f.protnone(read));
        assert_eq!(f.mkclean(f.mkold(fresh)), 0xc000_0000_0111_c206);
        // What says where the hash table has the page stays: set_pte takes it away.
        assert_eq!(f.modify(Level::Pte, 0xd080_0000_0111_c386, prot("PAGE_READONLY")), 0xd080_0000_0111_c384);
    }

    #[test]
    fn flushes_only_for_what_was_taken() {
        let f = PowerPc::new(&POWERPC_HASH_4K, false);
        let page = f.pte(0x111_c000, PRESENT | ACCESSED | READ);
        assert!(!f.needs_flush(page, f.mkwrite(page)) && f.needs_flush(f.mkwrite(page), page));
        assert!(!f.needs_flush(page, f.mkold(page)) && f.needs_flush(page, page + 0x1000));
        assert!(f.needs_flush(f.mkdirty(page), page));
    }
}
