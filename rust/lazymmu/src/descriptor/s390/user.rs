//! s390 leaves of user mappings (`arch/s390/include/asm/pgtable.h`, `arch/s390/mm/mmap.c` of 6.12). A large leaf is a segment-table
//! entry, which has the same bits elsewhere. Kernels with soft-dirty bits are not modelled.

use super::{
    DIRTY, ENTRY_INVALID, INVALID, LARGE, NOEXEC, PAGE_KERNEL, PAGE_NONE, PAGE_RO, PROTECT, READ, S390, SEGMENT_DIRTY,
    SEGMENT_YOUNG, SPECIAL, WRITE, YOUNG,
};
use crate::descriptor::Prot;
use crate::descriptor::user::UserFormat;
use crate::geometry::Level;

/// `_PAGE_CHG_MASK`.
const KEPT: u64 = !0xfff | SPECIAL | DIRTY | YOUNG;
/// `_SEGMENT_ENTRY_ORIGIN_LARGE`.
const SEGMENT_ORIGIN: u64 = !0xf_ffff;

impl UserFormat for S390 {
    fn young(&self, word: u64) -> bool {
        word & YOUNG != 0
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

    /// Of a page that is present.
    fn protnone(&self, word: u64) -> bool {
        word & READ == 0
    }

    /// Valid too, if it may be read.
    fn mkyoung(&self, word: u64) -> u64 {
        let word = word | YOUNG;
        if word & READ != 0 { word & !INVALID } else { word }
    }

    fn mkold(&self, word: u64) -> u64 {
        (word & !YOUNG) | INVALID
    }

    /// Not protected any more, if it may be written.
    fn mkdirty(&self, word: u64) -> u64 {
        let word = word | DIRTY;
        if word & WRITE != 0 { word & !PROTECT } else { word }
    }

    fn mkclean(&self, word: u64) -> u64 {
        (word & !DIRTY) | PROTECT
    }

    fn mkwrite(&self, word: u64) -> u64 {
        let word = word | WRITE;
        if word & DIRTY != 0 { word & !PROTECT } else { word }
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word | SPECIAL
    }

    /// Never asked: the same as for software's view.
    fn mkinvalid(&self, word: u64) -> u64 {
        word | INVALID
    }

    /// Protections are invalid and protected; state takes that away again.
    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        let mut word = (word & KEPT) | prot;
        if word & (YOUNG | READ) == YOUNG | READ {
            word &= !INVALID;
        }
        if word & (DIRTY | WRITE) == DIRTY | WRITE {
            word &= !PROTECT;
        }
        word
    }

    /// Never asked.
    fn huge_prot(&self, _word: u64) -> Prot {
        PAGE_RO
    }

    fn frame(&self, _level: Level, word: u64) -> u64 {
        word & !0xfff
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }

    /// `PAGE_SHARED` is the kernel's own; a shared area has `PAGE_RW`.
    fn vm_page_prot(&self, prot: Prot) -> Prot {
        if prot == PAGE_KERNEL { PAGE_RO | WRITE } else { prot }
    }
}

/// Segment-table entries that are large pages, and where software keeps what differs by release.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// 0: there is no such bit.
    pub present: u64,
    pub read: u64,
    pub write: u64,
}

impl Segment {
    /// 7.3 has a present bit, and permissions elsewhere.
    #[must_use]
    pub const fn new(present_bits: bool) -> Segment {
        if present_bits {
            Segment { present: 1 << 0, read: 1 << 14, write: 1 << 15 }
        } else {
            Segment { present: 0, read: 1 << 0, write: 1 << 1 }
        }
    }
}

impl UserFormat for Segment {
    fn young(&self, word: u64) -> bool {
        word & SEGMENT_YOUNG != 0
    }

    fn dirty(&self, word: u64) -> bool {
        word & SEGMENT_DIRTY != 0
    }

    fn write(&self, word: u64) -> bool {
        word & self.write != 0
    }

    fn special(&self, _word: u64) -> bool {
        false
    }

    fn protnone(&self, word: u64) -> bool {
        word & (LARGE | self.read) == LARGE
    }

    fn mkyoung(&self, word: u64) -> u64 {
        let word = word | SEGMENT_YOUNG;
        if word & self.read != 0 { word & !ENTRY_INVALID } else { word }
    }

    fn mkold(&self, word: u64) -> u64 {
        (word & !SEGMENT_YOUNG) | ENTRY_INVALID
    }

    fn mkdirty(&self, word: u64) -> u64 {
        let word = word | SEGMENT_DIRTY;
        if word & self.write != 0 { word & !PROTECT } else { word }
    }

    fn mkclean(&self, word: u64) -> u64 {
        (word & !SEGMENT_DIRTY) | PROTECT
    }

    fn mkwrite(&self, word: u64) -> u64 {
        let word = word | self.write;
        if word & SEGMENT_DIRTY != 0 { word & !PROTECT } else { word }
    }

    fn mkspecial(&self, word: u64) -> u64 {
        word
    }

    fn mkinvalid(&self, word: u64) -> u64 {
        word | ENTRY_INVALID
    }

    /// `pmd_modify`: here state takes permissions away.
    fn modify(&self, _level: Level, word: u64, prot: Prot) -> u64 {
        let kept = SEGMENT_ORIGIN | SEGMENT_DIRTY | SEGMENT_YOUNG | LARGE;
        let mut word = (word & kept) | S390::segment_prot(*self, prot);
        if word & SEGMENT_DIRTY == 0 {
            word |= PROTECT;
        }
        if word & SEGMENT_YOUNG == 0 {
            word |= ENTRY_INVALID;
        }
        word
    }

    fn huge_prot(&self, word: u64) -> Prot {
        match (word & self.read != 0, word & NOEXEC != 0) {
            (false, _) => PAGE_NONE,
            (true, false) => PAGE_RO & !NOEXEC,
            (true, true) => PAGE_RO,
        }
    }

    fn frame(&self, _level: Level, word: u64) -> u64 {
        word & SEGMENT_ORIGIN
    }

    fn advance(&self, word: u64, bytes: u64) -> u64 {
        word.wrapping_add(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Format;

    const S390: S390 = S390::new(false);
    const SEGMENT: Segment = Segment::new(false);

    /// The table of states above `_PAGE_CHG_MASK` in the header: I, R, and the software bits.
    #[test]
    fn states_of_a_page() {
        let fresh = S390.mkwrite(S390.mkdirty(S390.pte(0x1000, PAGE_RO)));
        assert_eq!(fresh, 0x113d);
        assert_eq!(S390.mkold(fresh), 0x1539);
        assert_eq!(S390.mkclean(fresh), 0x1335);
        assert_eq!(S390.wrprotect(fresh), 0x131d);
        assert_eq!(S390.modify(Level::Pte, fresh, PAGE_NONE), 0x160d);
        assert_eq!(S390.modify(Level::Pte, 0x160d, PAGE_RO | WRITE), fresh);
        assert!(S390.protnone(0x160d) && S390.present(Level::Pte, 0x160d) && !S390.valid(0x160d));
    }

    /// The same of a segment: the table above `PGSTE_ACC_BITS`.
    #[test]
    fn states_of_a_segment() {
        let fresh = SEGMENT.mkwrite(SEGMENT.mkdirty(S390.huge(Level::Pmd, 0x10_0000, PAGE_RO)));
        assert_eq!(fresh, 0x10_3503);
        assert_eq!(SEGMENT.mkold(fresh), 0x10_2523);
        assert_eq!(S390.wrprotect_huge(fresh), 0x10_3701);
        let none = SEGMENT.modify(Level::Pmd, fresh, PAGE_NONE);
        assert_eq!(none, 0x10_3620);
        assert!(SEGMENT.protnone(none) && !S390.none(Level::Pmd, none) && S390.leaf(Level::Pmd, none));
        assert_eq!(SEGMENT.modify(Level::Pmd, none, PAGE_RO | WRITE), fresh);
        assert_eq!(SEGMENT.huge_prot(fresh), PAGE_RO);
        assert_eq!(SEGMENT.huge_prot(none), PAGE_NONE);
    }

    /// The same table in 7.3.
    #[test]
    fn states_of_a_segment_with_a_present_bit() {
        let (format, segment) = (super::S390::new(true), Segment::new(true));
        let fresh = segment.mkwrite(segment.mkdirty(format.huge(Level::Pmd, 0x10_0000, PAGE_RO)));
        assert_eq!(fresh, 0x10_f501);
        assert_eq!(segment.mkold(fresh), 0x10_e521);
        assert_eq!(format.wrprotect_huge(fresh), 0x10_7701);
        let none = segment.modify(Level::Pmd, fresh, PAGE_NONE);
        assert_eq!(none, 0x10_3621);
        assert!(segment.protnone(none) && format.present(Level::Pmd, none) && format.leaf(Level::Pmd, none));
    }

    #[test]
    fn a_shared_area_is_not_young_and_dirty_from_the_start() {
        let shared = S390.prot("PAGE_SHARED").unwrap_or_default();
        assert_eq!(S390.vm_page_prot(shared), 0x731);
    }
}
