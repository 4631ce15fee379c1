//! sparc64 entries in the sun4v format: what the TSB, and from it the TLB, is filled with. UltraSPARC Architecture 2007, 14.2
//! (TTE), and `arch/sparc/include/asm/pgtable_64.h`, `mm/init_64.c` of 6.12.

#[path = "sparc64/fields.rs"]
mod fields;

use super::field::Layout;
use super::{Attributes, Format, Half, MemoryType, Prot};
use crate::geometry::Level;

/// Also `_PAGE_R`: kept only while the page counts as referenced.
pub const VALID: u64 = 1 << 63;
pub const MODIFIED: u64 = 1 << 61;
pub const ACCESSED: u64 = 1 << 60;
pub const READ: u64 = 1 << 59;
/// Software's permission to write.
pub const WRITE: u64 = 1 << 58;
/// `_PAGE_SPECIAL`.
pub const SPECIAL: u64 = 1 << 57;
/// Above the leaf table: a leaf.
pub const HUGE: u64 = 1 << 56;
pub(super) const PADDR: u64 = 0x00ff_ffff_ffff_e000;
/// A device: accesses have side effects.
pub const SIDE_EFFECT: u64 = 1 << 11;
const CACHE_P: u64 = 1 << 10;
const CACHE_V: u64 = 1 << 9;
pub const PRIVILEGED: u64 = 1 << 8;
pub const EXEC: u64 = 1 << 7;
/// Hardware may write.
pub const W: u64 = 1 << 6;
pub const PRESENT: u64 = 1 << 4;
/// `_PAGE_SZALL_4V`.
pub(super) const SIZE: u64 = 7;
/// `_PAGE_SZHUGE_4V`: a large leaf of 8 MiB is two of 4 MiB for the TLB.
const SIZE_4M: u64 = 3;

const ACCESS_BITS: u64 = ACCESSED | READ | VALID;
const DIRTY_BITS: u64 = MODIFIED | WRITE | W;
/// `_PAGE_CACHE_4V`, before M7.
pub(super) const CACHE: u64 = CACHE_P | CACHE_V;
const PAGE_KERNEL: u64 = PRESENT | VALID | CACHE | PRIVILEGED | ACCESS_BITS | DIRTY_BITS | EXEC;
const NONCACHED: u64 = (PAGE_KERNEL & !CACHE) | SIDE_EFFECT;

/// The sparc64 format.
#[derive(Clone, Copy, Debug)]
pub struct Sparc64;

impl Format for Sparc64 {
    const NAME: &'static str = "sparc64";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let user = VALID | PRESENT | CACHE | ACCESS_BITS;
        vec![
            ("PAGE_KERNEL", PAGE_KERNEL),
            // Not defined here: the generic fallback.
            ("PAGE_KERNEL_RO", PAGE_KERNEL),
            ("PAGE_KERNEL_EXEC", PAGE_KERNEL),
            ("PAGE_KERNEL_ROX", PAGE_KERNEL),
            ("PAGE_KERNEL_NOCACHE", NONCACHED),
            ("PAGE_IOREMAP", NONCACHED),
            ("PAGE_SHARED", user | WRITE | EXEC),
            ("PAGE_SHARED_EXEC", user | WRITE | EXEC),
            ("PAGE_READONLY", user),
            ("PAGE_READONLY_EXEC", user | EXEC),
            ("PAGE_NONE", PRESENT | ACCESSED | CACHE),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot
    }

    fn highest_in_place(&self) -> u64 {
        PADDR | 0x1fff
    }

    /// `pmd_mkhuge`.
    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        pa | prot | HUGE | SIZE_4M
    }

    /// The address alone.
    fn table(&self, _level: Level, pa: u64, _init_mm: bool) -> u64 {
        pa
    }

    #[inline]
    fn none_bits(&self, _level: Level) -> u64 {
        u64::MAX
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte { word & PRESENT != 0 } else { word != 0 }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & VALID != 0
    }

    /// What the TSB miss handler makes of it.
    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte || self.leaf(level, word) { word & VALID != 0 } else { word != 0 }
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        level != Level::Pte && word & 0x1fff != 0
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            Level::Pmd | Level::Pud => word & HUGE != 0,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, _level: Level, word: u64) -> u64 {
        word & PADDR
    }

    fn attributes(&self, _level: Level, word: u64) -> Attributes {
        let cached = word & CACHE_P != 0;
        Attributes {
            write: word & W != 0,
            exec: word & EXEC != 0,
            user: word & PRIVILEGED == 0,
            global: false,
            accessed: word & ACCESSED != 0,
            dirty: word & MODIFIED != 0,
            contiguous: false,
            memory: if cached { MemoryType::Normal } else { MemoryType::Uncached },
        }
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

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        word & !(WRITE | W)
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_headers() {
        assert_eq!(Sparc64.prot("PAGE_KERNEL"), Ok(0xbc00_0000_0000_07d0));
        assert_eq!(Sparc64.prot("PAGE_IOREMAP"), Ok(0xbc00_0000_0000_09d0));
        assert_eq!(Sparc64.prot("PAGE_SHARED"), Ok(0x9c00_0000_0000_0690));
        let page = Sparc64.pte(0x1_2345_6000, PAGE_KERNEL);
        assert_eq!((page, Sparc64.address(Level::Pte, page)), (0xbc00_0001_2345_67d0, 0x1_2345_6000));
        assert_eq!(Sparc64.wrprotect(page), 0xb800_0001_2345_6790);
    }

    #[test]
    fn a_page_that_is_not_referenced_is_present_and_faults() {
        let old = Sparc64.pte(0x2000, PAGE_KERNEL) & !(ACCESSED | VALID);
        assert!(Sparc64.present(Level::Pte, old) && !Sparc64.walkable(Level::Pte, old));
    }
}
