//! 32-bit arm entries: LPAE (Arm ARM v7 B3.6) and short descriptors (B3.5), and `arch/arm/include/asm/pgtable-*level*.h` and
//! `mm/proc-v7-*level.S` of 6.12. SMP, write-allocate caches, TEX remapping.
//!
//! A short-descriptor leaf table holds two words for a page: Linux's, of which the kernel's predicates are asked, and the
//! hardware's, of which everything is asked that hardware decides: [`Format::walkable`], [`Format::address`],
//! [`Format::attributes`].

mod fields;
mod hardware;
mod user;

use super::field::Layout;
use super::{Attributes, Format, Grants, MemoryType, Prot, Reader};
use crate::geometry::Level;
use hardware::ShortDescriptors;

/// Of short descriptors it is the hardware's words that are read.
pub static READER: Reader = Reader {
    architectures: &["arm"],
    format: |_, shape| {
        Some(if shape.entry_bytes == 8 { Box::new(Arm { lpae: true }) } else { Box::new(ShortDescriptors) })
    },
};

pub(super) const MEMORY_TYPE: u64 = 7 << 2;
const WRITEALLOC: u64 = 7 << 2;
const DEV_SHARED: u64 = 4 << 2;

/// LPAE.
pub(super) mod long {
    pub(crate) const VALID: u64 = 1 << 0;
    pub(crate) const TABLE: u64 = 1 << 1;
    pub(crate) const PRESENT: u64 = 3;
    pub(crate) const USER: u64 = 1 << 6;
    pub(crate) const AP2: u64 = 1 << 7;
    pub(crate) const SHARED: u64 = 3 << 8;
    pub(crate) const YOUNG: u64 = 1 << 10;
    pub(crate) const NG: u64 = 1 << 11;
    pub(crate) const PXN: u64 = 1 << 53;
    pub(crate) const XN: u64 = 1 << 54;
    pub(crate) const DIRTY: u64 = 1 << 55;
    pub(crate) const NONE: u64 = 1 << 57;
    pub(crate) const RDONLY: u64 = 1 << 58;
}

/// Short descriptors, Linux's word.
pub(super) mod linux {
    pub(crate) const PRESENT: u64 = 1 << 0;
    pub(crate) const YOUNG: u64 = 1 << 1;
    pub(crate) const DIRTY: u64 = 1 << 6;
    pub(crate) const RDONLY: u64 = 1 << 7;
    pub(crate) const USER: u64 = 1 << 8;
    pub(crate) const XN: u64 = 1 << 9;
    pub(crate) const SHARED: u64 = 1 << 10;
    pub(crate) const NONE: u64 = 1 << 11;
}

/// Short descriptors, the hardware's word.
mod short {
    pub(super) const XN: u64 = 1 << 0;
    pub(super) const SMALL: u64 = 1 << 1;
    pub(super) const AP0: u64 = 1 << 4;
    pub(super) const AP1: u64 = 1 << 5;
    pub(super) const TEX0: u64 = 1 << 6;
    pub(super) const APX: u64 = 1 << 9;
    pub(super) const NG: u64 = 1 << 11;
    /// Of an entry of the root: a table, a section.
    pub(super) const TABLE: u64 = 1 << 0;
    pub(super) const SECTION: u64 = 1 << 1;
}

/// Where the hardware's entries begin in a leaf table.
const HARDWARE_OFFSET: u64 = 2048;

/// The arm format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Arm {
    pub lpae: bool,
}

impl Arm {
    /// What `set_pte_ext` writes for Linux's word; `user`: `PTE_EXT_NG` of a valid user page. With short descriptors the
    /// second word is the hardware's.
    #[must_use]
    pub fn stored(self, word: u64, user: bool) -> (u64, u64) {
        if self.lpae { (Self::long_stored(word, user), 0) } else { (word, Self::hardware(word, user)) }
    }

    fn long_stored(word: u64, user: bool) -> u64 {
        use long::{AP2, DIRTY, NG, NONE, RDONLY, VALID};
        let word = if user { word | NG } else { word };
        match (word & VALID != 0, word & NONE != 0) {
            (false, _) => word,
            (true, true) => word & !VALID,
            (true, false) if word & DIRTY == 0 || word & RDONLY != 0 => word | AP2,
            (true, false) => word & !AP2,
        }
    }

    /// `cpu_v7_set_pte_ext`.
    fn hardware(word: u64, user: bool) -> u64 {
        use linux::{DIRTY, NONE, PRESENT, RDONLY, USER, XN, YOUNG};
        if word & (YOUNG | PRESENT) != YOUNG | PRESENT || word & NONE != 0 {
            return 0;
        }
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        (word & !0x3f3)
            | short::AP0
            | short::SMALL
            | bit(user, short::NG)
            | bit(word & (4 << 2) != 0, short::TEX0)
            | bit(word & RDONLY != 0 || word & DIRTY == 0, short::APX)
            | bit(word & USER != 0, short::AP1)
            | bit(word & XN != 0, short::XN)
    }

    /// `pte_valid_user`.
    #[must_use]
    pub fn valid_user(self, word: u64) -> bool {
        let mask = if self.lpae {
            long::VALID | long::USER | long::YOUNG
        } else {
            linux::PRESENT | linux::USER | linux::YOUNG
        };
        word & mask == mask
    }
}

impl Format for Arm {
    const NAME: &'static str = "arm";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        let (kernel, device, wc, user, xn, rdonly, user_bit, none);
        if self.lpae {
            use long::{DIRTY, NONE, PRESENT, PXN, RDONLY, SHARED, USER, XN, YOUNG};
            kernel = PRESENT | YOUNG | DIRTY | WRITEALLOC | SHARED;
            device = PRESENT | YOUNG | DIRTY | XN | DEV_SHARED | SHARED;
            wc = PRESENT | YOUNG | DIRTY | XN | (1 << 2) | SHARED;
            user = PRESENT | YOUNG | WRITEALLOC | SHARED | PXN;
            (xn, rdonly, user_bit, none) = (XN, RDONLY, USER, NONE);
        } else {
            use linux::{DIRTY, NONE, PRESENT, RDONLY, SHARED, USER, XN, YOUNG};
            kernel = PRESENT | YOUNG | DIRTY | WRITEALLOC | SHARED;
            device = PRESENT | YOUNG | DIRTY | XN | DEV_SHARED | SHARED;
            wc = PRESENT | YOUNG | DIRTY | XN | (9 << 2) | SHARED;
            user = PRESENT | YOUNG | WRITEALLOC | SHARED;
            (xn, rdonly, user_bit, none) = (XN, RDONLY, USER, NONE);
        }
        vec![
            ("PAGE_KERNEL", kernel | xn),
            // Not defined here: the generic fallback.
            ("PAGE_KERNEL_RO", kernel | xn),
            ("PAGE_KERNEL_EXEC", kernel),
            ("PAGE_KERNEL_ROX", kernel | xn),
            ("PAGE_KERNEL_NOCACHE", (kernel | xn) & !(0xf << 2 & if self.lpae { MEMORY_TYPE } else { 0xf << 2 })),
            ("PAGE_IOREMAP", device),
            ("PAGE_IOREMAP_WC", wc),
            ("PAGE_SHARED", user | user_bit | xn),
            ("PAGE_SHARED_EXEC", user | user_bit),
            ("PAGE_READONLY", user | user_bit | rdonly | xn),
            ("PAGE_READONLY_EXEC", user | user_bit | rdonly),
            ("PAGE_NONE", user | xn | rdonly | none),
        ]
    }

    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot
    }

    fn highest_in_place(&self) -> u64 {
        if self.lpae { (1 << 40) - 1 } else { 0xffff_ffff }
    }

    /// Not used by vmap: `HAVE_ARCH_HUGE_VMAP` is not set.
    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        if self.lpae { pa | (prot & !long::TABLE) } else { pa | short::SECTION }
    }

    fn table(&self, level: Level, pa: u64, init_mm: bool) -> u64 {
        if self.lpae {
            return pa | long::TABLE | long::VALID;
        }
        debug_assert!(level == Level::Pmd);
        // PMD_TYPE_TABLE, PMD_BIT4, the domain; user tables also PXN. Both halves of the pair.
        let first = (pa + HARDWARE_OFFSET) | if init_mm { 0x11 } else { 0x35 };
        first | (first + 1024) << 32
    }

    #[inline]
    fn none_bits(&self, level: Level) -> u64 {
        if level == Level::Pte || self.lpae { u64::MAX } else { 0xffff_ffff }
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match (self.lpae, level) {
            (true, Level::Pte) => word & long::PRESENT != 0,
            (true, Level::Pmd) => word & long::VALID != 0,
            (true, _) => word != 0,
            (false, Level::Pte) => word & linux::PRESENT != 0,
            (false, _) => word & 0xffff_ffff != 0,
        }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & 1 != 0
    }

    /// An access to a leaf without the access flag faults: hardware does not set it (`SCTLR.AFE`, LPAE).
    #[inline]
    fn walkable(&self, level: Level, word: u64) -> bool {
        match (self.lpae, level) {
            (true, Level::Pte) => word & 3 == 3 && word & long::YOUNG != 0,
            (true, Level::Pmd) => word & 3 == 3 || word & (3 | long::YOUNG) == 1 | long::YOUNG,
            (true, _) => word & 3 == 3,
            (false, Level::Pte) => word & short::SMALL != 0,
            (false, _) => matches!(word & 3, 1 | 2),
        }
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        match (self.lpae, level) {
            (_, Level::Pte) => false,
            (true, _) => word & long::TABLE == 0,
            (false, _) => word & short::SECTION != 0,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match (self.lpae, level) {
            (_, Level::Pte) => self.present(level, word),
            (true, Level::Pmd) => word & 3 == 1,
            (true, _) => false,
            (false, _) => word & short::SECTION != 0,
        }
    }

    /// Whatever is no table.
    #[inline]
    fn trans_huge(&self, word: u64) -> bool {
        self.lpae && word != 0 && word & 3 != long::PRESENT
    }

    #[inline]
    fn address(&self, level: Level, word: u64) -> u64 {
        match (self.lpae, level) {
            (true, _) => word & 0xff_ffff_f000,
            (false, Level::Pte) => word & 0xffff_f000,
            (false, _) if word & 3 == short::TABLE => word & 0xffff_f000,
            // A section; Linux makes pairs of them.
            (false, _) => word & 0xffe0_0000,
        }
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        if self.lpae {
            let memory = match (word & MEMORY_TYPE) >> 2 {
                0 => MemoryType::Uncached,
                1 => MemoryType::WriteCombining,
                2 => MemoryType::WriteThrough,
                3 | 7 => MemoryType::Normal,
                4 => MemoryType::DeviceNGnRE,
                _ => MemoryType::Reserved,
            };
            let user = word & long::USER != 0;
            return Attributes {
                write: word & long::AP2 == 0,
                exec: word & (long::XN | if user { 0 } else { long::PXN }) == 0,
                user,
                global: word & long::NG == 0,
                accessed: word & long::YOUNG != 0,
                dirty: word & long::DIRTY != 0,
                contiguous: false,
                memory,
            };
        }
        // A section has the same fields six bits higher, and XN at 4.
        let (fields, xn) =
            if level == Level::Pte { (word, short::XN) } else { (word >> 6 & !0xc | word & 0xc, 1 << 4) };
        let memory = match (fields & short::TEX0 != 0, (fields >> 2) & 3) {
            (false, 0) => MemoryType::Uncached,
            (false, 1) => MemoryType::WriteCombining,
            (false, 2) => MemoryType::WriteThrough,
            (false, _) | (true, 3) => MemoryType::Normal,
            (true, 0) => MemoryType::DeviceNGnRE,
            (true, _) => MemoryType::Reserved,
        };
        let write = fields & short::APX == 0;
        Attributes {
            write,
            exec: word & xn == 0,
            user: fields & short::AP1 != 0,
            global: fields & short::NG == 0,
            accessed: true,
            dirty: write,
            contiguous: false,
            memory,
        }
    }

    /// `APTable`, `XNTable`, `PXNTable` of LPAE; short descriptors have the last.
    fn table_grants(&self, _level: Level, word: u64) -> Grants {
        if !self.lpae {
            return Grants { kernel_exec: word & 1 << 2 == 0, ..Grants::ALL };
        }
        let exec = word & 1 << 60 == 0;
        Grants {
            write: word & 1 << 62 == 0,
            user: word & 1 << 61 == 0,
            kernel_exec: exec && word & 1 << 59 == 0,
            user_exec: exec,
        }
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    /// Not defined here: nothing changes.
    fn pgprot_nx(&self, prot: Prot) -> Prot {
        prot
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        word | if self.lpae { long::RDONLY } else { linux::RDONLY }
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
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

    #[test]
    fn protections() {
        assert_eq!(prot(LPAE, "PAGE_KERNEL"), 0x00c0_0000_0000_071f);
        assert_eq!(prot(LPAE, "PAGE_IOREMAP"), 0x00c0_0000_0000_0713);
        assert_eq!(prot(LPAE, "PAGE_SHARED"), 0x0060_0000_0000_075f);
        assert_eq!(prot(CLASSIC, "PAGE_KERNEL"), 0x65f);
        assert_eq!(prot(CLASSIC, "PAGE_IOREMAP"), 0x653);
        assert_eq!(prot(CLASSIC, "PAGE_SHARED"), 0x71f);
    }

    #[test]
    fn what_the_hardware_gets() {
        let stored = |name: &str| CLASSIC.stored(CLASSIC.pte(0x1234_5000, prot(CLASSIC, name)), false).1;
        assert_eq!(stored("PAGE_KERNEL"), 0x1234_545f);
        assert_eq!(stored("PAGE_KERNEL_EXEC"), 0x1234_545e);
        assert_eq!(stored("PAGE_IOREMAP"), 0x1234_5453);
        assert_eq!(stored("PAGE_NONE"), 0);
        assert_eq!(CLASSIC.stored(0x1234_571f, true).1, 0x1234_5e7f);
        // Clean pages are read-only for the hardware, so that the first write can be noticed.
        assert_eq!(LPAE.stored(prot(LPAE, "PAGE_SHARED"), true).0, 0x0060_0000_0000_0fdf);
        assert_eq!(LPAE.stored(prot(LPAE, "PAGE_NONE"), false).0 & 1, 0);
    }

    #[test]
    fn a_table_is_linked_by_both_halves() {
        let word = CLASSIC.table(Level::Pmd, 0x0100_1000, true);
        assert_eq!(word, 0x0100_1c11_0100_1811);
        assert_eq!(CLASSIC.address(Level::Pmd, word), 0x0100_1000);
        assert!(!CLASSIC.bad(Level::Pmd, 0) && LPAE.bad(Level::Pmd, 0));
    }
}
