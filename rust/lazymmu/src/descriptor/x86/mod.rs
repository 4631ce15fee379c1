//! x86 entries: 64-bit (4 and 5 levels, PAE) and 32-bit (two levels). Intel SDM vol. 3A 4.3 to 4.5, and
//! `arch/x86/include/asm/pgtable*.h` of 6.12 for the predicates.

mod fields;
mod user;

use super::field::Layout;
use super::{Attributes, Format, Grants, MemoryType, Prot, Reader};
use crate::geometry::Level;

pub static READER: Reader = Reader {
    architectures: &["x86_64", "i386"],
    format: |arch, shape| {
        let width = match (arch, shape.entry_bytes) {
            ("x86_64", 8) => Width::Long,
            ("i386", 8) => Width::Pae,
            ("i386", 4) => Width::TwoLevel,
            _ => return None,
        };
        Some(Box::new(X86 { width, global: true, five_level: shape.levels == 5, pti_config: true }))
    },
};

pub const PRESENT: u64 = 1 << 0;
pub const RW: u64 = 1 << 1;
pub const USER: u64 = 1 << 2;
pub const PWT: u64 = 1 << 3;
pub const PCD: u64 = 1 << 4;
pub const ACCESSED: u64 = 1 << 5;
pub const DIRTY: u64 = 1 << 6;
/// Leaf at pmd and pud level; the PAT bit at pte level.
pub const PSE: u64 = 1 << 7;
pub const PAT: u64 = 1 << 7;
pub const GLOBAL: u64 = 1 << 8;
/// What GLOBAL means while PRESENT is clear.
pub const PROTNONE: u64 = 1 << 8;
pub const PAT_LARGE: u64 = 1 << 12;
pub const NX: u64 = 1 << 63;

pub const KERNPG_TABLE: u64 = PRESENT | RW | ACCESSED | DIRTY;
const PAGE_TABLE: u64 = KERNPG_TABLE | USER;
const PAGE_KERNEL: u64 = PRESENT | RW | ACCESSED | DIRTY | NX | GLOBAL;
const ERRATUM: u64 = ACCESSED | DIRTY;

/// Which of the three tree shapes the words belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Long,
    Pae,
    TwoLevel,
}

/// The x86 format under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct X86 {
    pub width: Width,
    /// Kernel mappings carry G (no page-table isolation, CPU has PGE).
    pub global: bool,
    /// Five levels: the top entry is a real `pgd`.
    pub five_level: bool,
    /// Page-table isolation is compiled in, so NX may be set in top-level user entries.
    pub pti_config: bool,
}

impl X86 {
    fn supported(self, bits: u64) -> u64 {
        let mut bits = bits;
        if self.width == Width::TwoLevel {
            bits &= !NX;
        }
        if !self.global && bits & PRESENT != 0 {
            bits &= !GLOBAL;
        }
        bits
    }

    pub(crate) const fn pfn_mask(self) -> u64 {
        match self.width {
            Width::TwoLevel => 0xffff_f000,
            Width::Long | Width::Pae => 0x000f_ffff_ffff_f000,
        }
    }

    pub(super) const fn saved_dirty(self) -> u64 {
        match self.width {
            Width::Long => 1 << 58,
            Width::Pae | Width::TwoLevel => 1 << 10,
        }
    }

    fn flags(self, word: u64) -> u64 {
        word & !self.pfn_mask()
    }

    fn cache(word: u64, pat: u64) -> MemoryType {
        match (word & pat != 0, word & PCD != 0, word & PWT != 0) {
            (false, false, false) => MemoryType::Normal,
            (false, false, true) => MemoryType::WriteCombining,
            (false, true, false) => MemoryType::UncachedMinus,
            (false, true, true) => MemoryType::Uncached,
            (true, false, true) => MemoryType::WriteProtected,
            (true, true, true) => MemoryType::WriteThrough,
            (true, ..) => MemoryType::Reserved,
        }
    }
}

impl Format for X86 {
    const NAME: &'static str = "x86";

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        [
            ("PAGE_KERNEL", PAGE_KERNEL),
            ("PAGE_KERNEL_RO", PAGE_KERNEL & !(RW | DIRTY)),
            ("PAGE_KERNEL_EXEC", PAGE_KERNEL & !NX),
            ("PAGE_KERNEL_ROX", PAGE_KERNEL & !(RW | DIRTY | NX)),
            ("PAGE_KERNEL_NOCACHE", PAGE_KERNEL | PCD | PWT),
            ("PAGE_KERNEL_IO", PAGE_KERNEL),
            ("PAGE_IOREMAP", PAGE_KERNEL | PCD),
            ("PAGE_IOREMAP_WC", PAGE_KERNEL | PWT),
            ("PAGE_SHARED", PRESENT | RW | USER | ACCESSED | NX),
            ("PAGE_READONLY", PRESENT | USER | ACCESSED | NX),
            ("PAGE_SHARED_EXEC", PRESENT | RW | USER | ACCESSED),
            ("PAGE_READONLY_EXEC", PRESENT | USER | ACCESSED),
            ("PAGE_NONE", PROTNONE | ACCESSED),
        ]
        .into_iter()
        .map(|(name, bits)| (name, self.supported(bits)))
        .collect()
    }

    /// `pfn_pte`: `massage_pgprot`, and the frame of a page that is not present is stored inverted.
    #[inline]
    fn pte(&self, pa: u64, prot: Prot) -> u64 {
        let frame = if self.inverted(prot) { !pa } else { pa };
        let prot = if prot & PRESENT != 0 && !self.global { prot & !GLOBAL } else { prot };
        (frame & self.pfn_mask()) | prot
    }

    /// `protnone_mask`.
    #[inline]
    fn inverted(&self, prot: Prot) -> bool {
        prot & PRESENT == 0 && prot != 0 && self.width != Width::TwoLevel
    }

    fn highest_in_place(&self) -> u64 {
        self.pfn_mask() | 0xfff
    }

    fn huge(&self, _level: Level, pa: u64, prot: Prot) -> u64 {
        // protval_4k_2_large: the PAT bit moves from 7 to 12.
        let large = (prot & !(PAT | PAT_LARGE)) | (if prot & PAT != 0 { PAT_LARGE } else { 0 });
        self.pte(pa, large | PSE)
    }

    fn table(&self, level: Level, pa: u64, _init_mm: bool) -> u64 {
        if self.width == Width::Pae && level == Level::Pud {
            // Almost everything but P is reserved in a PDPT entry.
            return pa | PRESENT;
        }
        pa | PAGE_TABLE
    }

    #[inline]
    fn none_bits(&self, level: Level) -> u64 {
        match (level, self.width) {
            (Level::Pgd, _) | (_, Width::TwoLevel) => u64::MAX,
            // pmd_none looks at an unsigned long: the low half on PAE.
            (Level::Pmd, Width::Pae) => 0xffff_ffff & !ERRATUM,
            _ => !ERRATUM,
        }
    }

    #[inline]
    fn present(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => word & (PRESENT | PROTNONE) != 0,
            Level::Pmd => word & (PRESENT | PROTNONE | PSE) != 0,
            Level::Pud | Level::P4d | Level::Pgd => word & PRESENT != 0,
        }
    }

    #[inline]
    fn valid(&self, word: u64) -> bool {
        word & PRESENT != 0
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        let flags = self.flags(word);
        let nx = if self.pti_config { NX } else { 0 };
        match level {
            Level::Pte => false,
            Level::Pmd => flags & !(USER | ACCESSED) != KERNPG_TABLE & !ACCESSED,
            Level::Pud => flags & !(KERNPG_TABLE | USER) != 0,
            Level::P4d => flags & !(KERNPG_TABLE | USER | nx) != 0,
            Level::Pgd => flags & !(USER | nx) != KERNPG_TABLE,
        }
    }

    #[inline]
    fn leaf(&self, level: Level, word: u64) -> bool {
        match level {
            Level::Pte => self.present(level, word),
            Level::Pmd | Level::Pud => word & PSE != 0,
            Level::P4d | Level::Pgd => false,
        }
    }

    #[inline]
    fn address(&self, level: Level, word: u64) -> u64 {
        let pa = word & self.pfn_mask();
        match level {
            Level::Pmd | Level::Pud if word & PSE != 0 => pa & !PAT_LARGE,
            _ => pa,
        }
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        let pat = if level == Level::Pte { PAT } else { PAT_LARGE };
        Attributes {
            write: word & RW != 0,
            exec: self.width == Width::TwoLevel || word & NX == 0,
            user: word & USER != 0,
            global: word & GLOBAL != 0,
            accessed: word & ACCESSED != 0,
            dirty: word & DIRTY != 0,
            contiguous: false,
            memory: Self::cache(word, pat),
        }
    }

    fn table_grants(&self, level: Level, word: u64) -> Grants {
        if self.width == Width::Pae && level == Level::Pud {
            return Grants::ALL;
        }
        let exec = self.width == Width::TwoLevel || word & NX == 0;
        Grants { write: word & RW != 0, user: word & USER != 0, kernel_exec: exec, user_exec: exec }
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        self.layouts_of(level)
    }

    fn pgprot_nx(&self, prot: Prot) -> Prot {
        self.supported(prot | NX)
    }

    fn user(&self) -> Option<&dyn super::user::UserFormat> {
        Some(self)
    }

    #[inline]
    fn wrprotect(&self, word: u64) -> u64 {
        // pte_mksaveddirty: a word without RW must not have D, which would make it a shadow stack page. The bit in which
        // D is kept is another one on 32 bits.
        let saved = if word & DIRTY == 0 { 0 } else { self.saved_dirty() };
        (word & !(RW | DIRTY)) | saved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: X86 = X86 { width: Width::Long, global: true, five_level: false, pti_config: true };

    #[test]
    fn values_of_the_facts() {
        let prot = |name| LONG.prot(name).unwrap_or_default();
        assert_eq!(prot("PAGE_KERNEL"), 0x8000_0000_0000_0163);
        assert_eq!(prot("PAGE_KERNEL_EXEC"), 0x163);
        assert_eq!(prot("PAGE_KERNEL_RO"), 0x8000_0000_0000_0121);
        assert_eq!(prot("PAGE_KERNEL_NOCACHE"), 0x8000_0000_0000_017b);
        assert_eq!(prot("PAGE_IOREMAP"), 0x8000_0000_0000_0173);
        assert_eq!(LONG.pte(0x1_2345_6000, prot("PAGE_KERNEL")), 0x8000_0001_2345_6163);
        assert_eq!(LONG.huge(Level::Pmd, 0x1_2340_0000, prot("PAGE_KERNEL")), 0x8000_0001_2340_01e3);
    }

    #[test]
    fn bad_of_an_empty_entry_depends_on_the_level() {
        assert!(LONG.bad(Level::Pmd, 0) && LONG.bad(Level::Pgd, 0));
        assert!(!LONG.bad(Level::Pud, 0) && !LONG.bad(Level::P4d, 0));
        assert!(!LONG.bad(Level::Pmd, LONG.table(Level::Pmd, 0x5000, true)));
        assert!(LONG.bad(Level::Pmd, LONG.huge(Level::Pmd, 0x20_0000, PAGE_KERNEL)));
    }

    #[test]
    fn accessed_and_dirty_alone_are_none() {
        assert!(LONG.none(Level::Pte, ACCESSED | DIRTY));
        assert!(!LONG.none(Level::Pte, PRESENT));
    }

    #[test]
    fn write_protection_keeps_the_dirt_elsewhere() {
        // Words of recorded 6.12 kernels, before and after.
        assert_eq!(LONG.wrprotect(0x8000_0040_0000_1163), 0x8400_0040_0000_1121);
        let pae = X86 { width: Width::Pae, global: false, ..LONG };
        assert_eq!(pae.wrprotect(0x8000_0000_8000_1063), 0x8000_0000_8000_1421);
        assert_eq!(LONG.wrprotect(0x21), 0x21);
    }

    #[test]
    fn the_pat_bit_moves_in_large_leaves() {
        let wc_pat = PAGE_KERNEL | PAT;
        let word = LONG.huge(Level::Pmd, 0x20_0000, wc_pat);
        assert_eq!(word & PAT_LARGE, PAT_LARGE);
        assert_eq!(LONG.address(Level::Pmd, word), 0x20_0000);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = LONG.prot("PAGE_KERNAL").map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("PAGE_KERNAL") && e.contains("PAGE_KERNEL_RO")));
    }
}
