//! s390 entries. z/Architecture Principles of Operation, chapter 3 (dynamic address translation), and
//! `arch/s390/include/asm/pgtable.h` of 6.12.
//!
//! A bit says that an entry is invalid, so nothing is not 0. Bits of the accessed and dirty state are software's: an old page
//! is invalid, a clean one protected.

mod fields;
pub mod user;

use super::field::Layout;
use super::user::UserFormat;
use super::{Attributes, Format, Grants, Half, MemoryType, Prot, Reader};
use crate::geometry::Level;
use user::Segment;

pub static READER: Reader = Reader {
    architectures: &["s390x"],
    format: |_, shape| (shape.entry_bytes == 8).then(|| Box::new(S390::new(false)) as _),
};

pub const PRESENT: u64 = 1 << 0;
pub const YOUNG: u64 = 1 << 2;
pub const DIRTY: u64 = 1 << 3;
pub const READ: u64 = 1 << 4;
pub const WRITE: u64 = 1 << 5;
pub const SPECIAL: u64 = 1 << 6;
pub const NOEXEC: u64 = 1 << 8;
pub const PROTECT: u64 = 1 << 9;
pub const INVALID: u64 = 1 << 10;

/// Above the page table.
pub const ENTRY_INVALID: u64 = 1 << 5;
const TYPE: u64 = 3 << 2;
const REGION_LENGTH: u64 = 3;
pub const LARGE: u64 = 1 << 10;
pub const SEGMENT_YOUNG: u64 = 1 << 12;
pub const SEGMENT_DIRTY: u64 = 1 << 13;

pub const PAGE_KERNEL: u64 = PRESENT | READ | WRITE | YOUNG | DIRTY | NOEXEC;
/// `PAGE_RW` with `WRITE`, `PAGE_RX` and `PAGE_RWX` without `NOEXEC`.
pub const PAGE_RO: u64 = PRESENT | READ | NOEXEC | INVALID | PROTECT;
pub const PAGE_NONE: u64 = PRESENT | INVALID | PROTECT;

/// The s390 format.
#[derive(Clone, Copy, Debug)]
pub struct S390 {
    pub segment: Segment,
}

impl S390 {
    /// `present_bits`: entries of segment tables say that they are present, and their permissions are elsewhere.
    #[must_use]
    pub const fn new(present_bits: bool) -> S390 {
        S390 { segment: Segment::new(present_bits) }
    }

    /// The type that hardware wants an entry of this level to have.
    const fn kind_bits(level: Level) -> u64 {
        match level {
            Level::Pte | Level::Pmd => 0,
            Level::Pud => 1 << 2,
            Level::P4d => 2 << 2,
            Level::Pgd => 3 << 2,
        }
    }

    const fn large(self, level: Level, word: u64) -> bool {
        let bits = LARGE | self.segment.present;
        match level {
            Level::Pmd => word & bits == bits,
            Level::Pud => word & (TYPE | bits) == S390::kind_bits(Level::Pud) | bits,
            _ => false,
        }
    }

    /// `massage_pgprot_pmd`.
    pub(super) const fn segment_prot(segment: Segment, prot: Prot) -> u64 {
        let Segment { present, read, write } = segment;
        let bits = match prot {
            PAGE_NONE => ENTRY_INVALID | PROTECT,
            PAGE_RO => PROTECT | read | NOEXEC,
            _ if prot == PAGE_RO & !NOEXEC => PROTECT | read,
            _ if prot == PAGE_RO | WRITE => read | write | NOEXEC,
            _ => read | write,
        };
        bits | present
    }
}

impl Format for S390 {
    const NAME: &'static str = "s390";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        // With a present bit (7.3) `PAGE_KERNEL_EXEC` is not defined: it is `PAGE_KERNEL`.
        let exec = if self.segment.present == 0 { PAGE_KERNEL & !NOEXEC } else { PAGE_KERNEL };
        vec![
            ("PAGE_KERNEL", PAGE_KERNEL),
            ("PAGE_KERNEL_RO", PRESENT | READ | YOUNG | PROTECT | NOEXEC),
            ("PAGE_KERNEL_EXEC", exec),
            // Not defined here: what is executable is writable.
            ("PAGE_KERNEL_ROX", exec),
            ("PAGE_KERNEL_NOCACHE", PAGE_KERNEL),
            ("PAGE_IOREMAP", PAGE_KERNEL),
            ("PAGE_SHARED", PAGE_KERNEL),
            ("PAGE_READONLY", PAGE_RO),
            ("PAGE_READONLY_EXEC", PAGE_RO & !NOEXEC),
            ("PAGE_SHARED_EXEC", (PAGE_RO | WRITE) & !NOEXEC),
            ("PAGE_RX", PAGE_RO & !NOEXEC),
            ("PAGE_RW", PAGE_RO | WRITE),
            ("PAGE_RWX", (PAGE_RO | WRITE) & !NOEXEC),
            ("PAGE_NONE", PAGE_NONE),
        ]
    }

    /// `mk_pte_phys`: what may be read is young, and so valid.
    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        let word = pa | prot | YOUNG;
        if prot & READ != 0 { word & !INVALID } else { word }
    }

    fn highest_in_place(&self) -> u64 {
        u64::MAX
    }

    /// `pmd_mkhuge(pfn_pmd())`.
    fn huge(&self, level: Level, pa: u64, prot: Prot) -> u64 {
        pa | S390::segment_prot(self.segment, prot) | S390::kind_bits(level) | LARGE | SEGMENT_YOUNG | PROTECT
    }

    fn table(&self, level: Level, pa: u64, _init_mm: bool) -> u64 {
        // The length of a region's table is never 0: that is its present bit, too.
        let length = if level == Level::Pmd { self.segment.present } else { REGION_LENGTH };
        pa | S390::kind_bits(level) | length
    }

    #[inline]
    fn empty(&self, level: Level) -> u64 {
        if level == Level::Pte { INVALID } else { S390::kind_bits(level) | ENTRY_INVALID }
    }

    #[inline]
    fn none_bits(&self, level: Level) -> u64 {
        if level == Level::Pgd { ENTRY_INVALID } else { u64::MAX }
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & PRESENT != 0,
            Level::Pmd if self.segment.present == 0 => word != ENTRY_INVALID,
            Level::Pmd => word & self.segment.present != 0,
            Level::Pud if self.segment.present != 0 => word & self.segment.present != 0,
            _ => word & !0xfff != 0,
        }
    }

    /// Of a page.
    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & INVALID == 0
    }

    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & (INVALID | 1 << 11) == 0,
            _ => word & (ENTRY_INVALID | TYPE) == S390::kind_bits(level),
        }
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        let kind = word & TYPE;
        match level {
            Level::Pte => false,
            Level::Pmd => kind > 0 || self.large(level, word) || word & 0x1c0 != 0,
            _ if kind < S390::kind_bits(level) => false,
            _ => kind > S390::kind_bits(level) || self.large(level, word) || word & 0xdd0 != 0,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte { self.present(level, word) } else { self.large(level, word) }
    }

    #[inline]
    fn address(&self, level: Level, word: u64) -> u64 {
        match level {
            Level::Pmd if self.large(level, word) => word & !0xf_ffff,
            Level::Pmd => word & !0x7ff,
            Level::Pud if self.large(level, word) => word & !0x7fff_ffff,
            _ => word & !0xfff,
        }
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        let (young, dirty) = if level == Level::Pte { (YOUNG, DIRTY) } else { (SEGMENT_YOUNG, SEGMENT_DIRTY) };
        Attributes {
            write: word & PROTECT == 0,
            exec: word & NOEXEC == 0,
            // Each address space has tables of its own; no bit separates the kernel's pages.
            user: true,
            global: false,
            accessed: word & young != 0,
            dirty: word & dirty != 0,
            contiguous: false,
            memory: MemoryType::Normal,
        }
    }

    /// Protection holds for everything below.
    fn table_grants(&self, _level: Level, word: u64) -> Grants {
        Grants { write: word & PROTECT == 0, ..Grants::ALL }
    }

    fn dumped(&self, level: Level, word: u64) -> bool {
        self.walkable(level, word)
    }

    /// Two trees; both begin at address 0.
    fn half(&self, _kernel: bool) -> Half {
        Half::Lower
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    /// Not defined by the architecture: nothing changes.
    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot
    }

    /// Of a page.
    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        (word & !WRITE) | PROTECT
    }

    fn wrprotect_huge(&self, word: u64) -> u64 {
        (word & !self.segment.write) | PROTECT
    }

    fn user(&self) -> Option<&dyn UserFormat> {
        Some(self)
    }

    fn user_huge(&self) -> Option<&dyn UserFormat> {
        Some(&self.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S390: S390 = S390::new(false);

    #[test]
    fn values_of_the_headers() {
        assert_eq!(S390.prot("PAGE_KERNEL"), Ok(0x13d));
        assert_eq!(S390.prot("PAGE_KERNEL_RO"), Ok(0x315));
        assert_eq!(S390.prot("PAGE_READONLY"), Ok(0x711));
        assert_eq!(S390.pte(0x1_2345_6000, 0x711), 0x1_2345_6315);
        assert_eq!(S390.pte(0x1_2345_6000, 0x601), 0x1_2345_6605);
        assert_eq!(S390.table(Level::Pud, 0x8000, true), 0x8007);
        assert_eq!(S390.table(Level::Pgd, 0x8000, true), 0x800f);
        assert_eq!(S390.huge(Level::Pmd, 0x10_0000, 0x731), 0x10_1703);
    }

    #[test]
    fn values_of_the_headers_of_7_3() {
        let format = S390::new(true);
        assert_eq!(format.prot("PAGE_KERNEL_EXEC"), Ok(0x13d));
        assert_eq!(format.table(Level::Pmd, 0x8000, true), 0x8001);
        assert_eq!(format.table(Level::Pud, 0x8000, true), 0x8007);
        assert_eq!(format.huge(Level::Pmd, 0x10_0000, 0x731), 0x10_d701);
        assert!(format.present(Level::Pmd, 0x8001) && !format.present(Level::Pmd, 0x20));
        assert!(format.present(Level::Pud, 0x8007) && !format.present(Level::Pud, 0x24));
        assert!(!format.bad(Level::Pmd, 0x8001) && !format.leaf(Level::Pmd, 0x8001));
    }

    #[test]
    fn nothing_is_an_invalid_entry_of_its_type() {
        for (level, word) in
            [(Level::Pte, 0x400), (Level::Pmd, 0x20), (Level::Pud, 0x24), (Level::P4d, 0x28), (Level::Pgd, 0x2c)]
        {
            assert_eq!(S390.empty(level), word);
            assert!(S390.none(level, word) && !S390.walkable(level, word) && !S390.bad(level, word));
        }
        assert!(!S390.walkable(Level::Pud, 0x800b) && S390.bad(Level::Pud, 0x800b));
    }
}
