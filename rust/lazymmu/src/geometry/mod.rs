//! Levels, shifts, entries, folding and address stepping.
//!
//! Linux names five software levels, `pgd` to `pte`; a configuration with fewer hardware levels folds the upper
//! names onto its root table. A folded name never allocates, never sets a modification bit and spans the whole of the
//! range it is given (`pgtable-nop4d.h` and its kin). The real test of a folded group happens at its lowest name,
//! therefore a table is called here by that name: the root of a four-level table holds `p4d` entries.

use std::sync::LazyLock;

use serde::Serialize;

include!(concat!(env!("OUT_DIR"), "/geometry.rs"));

/// The geometries of one file.
#[derive(Clone, Copy, Debug)]
pub struct Geometries {
    /// Place of the file in lists.
    pub order: u32,
    pub all: &'static [&'static Geometry],
}

/// A level of entries, numbered as hardware sees it from the bottom: 1 is the leaf table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Level {
    Pte = 1,
    Pmd = 2,
    Pud = 3,
    P4d = 4,
    Pgd = 5,
}

impl Level {
    pub const ALL: [Level; 5] = [Level::Pte, Level::Pmd, Level::Pud, Level::P4d, Level::Pgd];

    /// The level numbered `n`, 1 to 5.
    #[must_use]
    pub const fn from_number(n: u8) -> Option<Level> {
        match n {
            1 => Some(Level::Pte),
            2 => Some(Level::Pmd),
            3 => Some(Level::Pud),
            4 => Some(Level::P4d),
            5 => Some(Level::Pgd),
            _ => None,
        }
    }

    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Pte => "pte",
            Level::Pmd => "pmd",
            Level::Pud => "pud",
            Level::P4d => "p4d",
            Level::Pgd => "pgd",
        }
    }

    /// The level of the entries in the table that an entry of this level points to.
    #[must_use]
    pub const fn below(self) -> Level {
        match self {
            Level::Pte | Level::Pmd => Level::Pte,
            Level::Pud => Level::Pmd,
            Level::P4d => Level::Pud,
            Level::Pgd => Level::P4d,
        }
    }
}

/// Where a configuration puts things in the kernel's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// First address above user space (`TASK_SIZE_MAX`).
    pub task_size: u64,
    /// First address of the kernel half.
    pub kernel_start: u64,
    pub vmalloc_start: u64,
    /// One past the last vmalloc address.
    pub vmalloc_end: u64,
    /// `FIXADDR_TOP`; the kmap slots lie below it. 0 where the configuration has no highmem.
    pub fixaddr_top: u64,
    /// Where the model's page allocator takes table pages from.
    pub table_frames: u64,
    /// First highmem frame; 0 where there is no highmem.
    pub highmem_frames: u64,
}

/// One page-table geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Geometry {
    pub name: &'static str,
    pub page_shift: u32,
    /// Hardware levels; the root table holds entries of level number `levels`.
    pub levels: u8,
    /// Bytes of one entry: 8, or 4 on most 32-bit machines.
    pub entry_bytes: u8,
    /// Bytes of one entry of the root, where they differ from those below it.
    pub root_bytes: u8,
    /// Behind the entries of a leaf table lie as many again, for the hardware: classic 32-bit Arm.
    pub hardware_ptes: bool,
    /// Width of `unsigned long`.
    pub long_bits: u8,
    pub va_bits: u8,
    pub pa_bits: u8,
    /// Pages in one contiguous-PTE group; 0 where the format has none.
    pub cont_ptes: u32,
    /// Entries in one contiguous-PMD group; 0 where the format has none.
    pub cont_pmds: u32,
    /// The step of the loops over a root, `PGDIR_SHIFT`: an entry of the root, but where the kernel folds upper levels at run
    /// time and steps as if they were there.
    pub slot_shift: u32,
    shift: [u32; 5],
    entries: [u32; 5],
    pub layout: Layout,
}

/// Index bits of the levels from `pte` upwards, root last.
pub(crate) struct Shape<'a> {
    pub name: &'static str,
    pub page_shift: u32,
    pub index_bits: &'a [u32],
    pub entry_bytes: u8,
    pub long_bits: u8,
    pub va_bits: u8,
    pub pa_bits: u8,
    pub cont_ptes: u32,
    pub cont_pmds: u32,
    pub layout: Layout,
}

impl Geometry {
    pub(crate) const fn new(shape: &Shape<'_>) -> Geometry {
        let mut shift = [0; 5];
        let mut entries = [1; 5];
        let levels = shape.index_bits.len();
        let mut at = shape.page_shift;
        let mut n = 0;
        while n < 5 {
            if n < levels {
                shift[n] = at;
                entries[n] = 1 << shape.index_bits[n];
                at += shape.index_bits[n];
            } else {
                shift[n] = shift[levels - 1];
            }
            n += 1;
        }
        Geometry {
            name: shape.name,
            page_shift: shape.page_shift,
            levels: levels as u8,
            entry_bytes: shape.entry_bytes,
            root_bytes: shape.entry_bytes,
            hardware_ptes: false,
            long_bits: shape.long_bits,
            va_bits: shape.va_bits,
            pa_bits: shape.pa_bits,
            cont_ptes: shape.cont_ptes,
            cont_pmds: shape.cont_pmds,
            slot_shift: shift[levels - 1],
            shift,
            entries,
            layout: shape.layout,
        }
    }

    /// Bytes of one entry of this level.
    #[inline]
    #[must_use]
    pub const fn bytes(&self, level: Level) -> u8 {
        if level as u8 == self.levels { self.root_bytes } else { self.entry_bytes }
    }

    /// Words of a table of this level: its entries, and those for the hardware where they are apart.
    #[inline]
    #[must_use]
    pub const fn words(&self, level: Level) -> usize {
        let entries = self.entries(level);
        if self.hardware_ptes && level as u8 == Level::Pte as u8 { 2 * entries } else { entries }
    }

    /// Bytes of memory that a table of this level takes: whole pages.
    #[must_use]
    pub const fn table_bytes(&self, level: Level) -> u64 {
        (self.words(level) as u64 * self.bytes(level) as u64).next_multiple_of(self.page_size())
    }

    /// The same tables in another address layout.
    #[must_use]
    pub const fn with_layout(&self, layout: Layout) -> Geometry {
        Geometry { layout, ..*self }
    }

    /// The level of the root table's entries.
    #[must_use]
    pub const fn root(&self) -> Level {
        match Level::from_number(self.levels) {
            Some(level) => level,
            None => Level::Pgd,
        }
    }

    /// Whether this name is folded onto the root table.
    #[inline]
    #[must_use]
    pub const fn folded(&self, level: Level) -> bool {
        level.number() > self.levels
    }

    #[inline]
    #[must_use]
    pub const fn shift(&self, level: Level) -> u32 {
        self.shift[level as usize - 1]
    }

    /// Bytes of address space that one entry covers (`PMD_SIZE`, ...).
    #[inline]
    #[must_use]
    pub const fn size(&self, level: Level) -> u64 {
        1 << self.shift(level)
    }

    #[inline]
    #[must_use]
    pub const fn entries(&self, level: Level) -> usize {
        self.entries[level as usize - 1] as usize
    }

    #[inline]
    #[must_use]
    pub const fn page_size(&self) -> u64 {
        1 << self.page_shift
    }

    /// Bytes of one contiguous-PTE group, if the format has it.
    #[must_use]
    pub const fn cont_pte_size(&self) -> Option<u64> {
        if self.cont_ptes == 0 { None } else { Some((self.cont_ptes as u64) << self.page_shift) }
    }

    #[inline]
    #[must_use]
    pub const fn index(&self, level: Level, va: u64) -> usize {
        ((va >> self.shift(level)) as usize) & (self.entries(level) - 1)
    }

    /// Index of the word that the hardware reads for an address.
    #[inline]
    #[must_use]
    pub const fn hardware_index(&self, level: Level, va: u64) -> usize {
        let behind = if self.hardware_ptes && level as u8 == Level::Pte as u8 { self.entries(level) } else { 0 };
        self.index(level, va) + behind
    }

    /// All ones in an `unsigned long`.
    #[inline]
    #[must_use]
    pub const fn long_mask(&self) -> u64 {
        if self.long_bits == 64 { u64::MAX } else { (1 << self.long_bits) - 1 }
    }

    /// `pXd_addr_end`: the end of the part of `[addr, end)` that one entry of this level covers.
    ///
    /// The comparison of `boundary - 1` with `end - 1` lets a range end at the wrap to 0.
    #[inline]
    #[must_use]
    pub const fn addr_end(&self, level: Level, addr: u64, end: u64) -> u64 {
        self.step_end(self.size(level), addr, end)
    }

    /// `pgd_addr_end` as the loops over a root use it.
    #[inline]
    #[must_use]
    pub const fn slot_end(&self, addr: u64, end: u64) -> u64 {
        self.step_end(1 << self.slot_shift, addr, end)
    }

    const fn step_end(&self, size: u64, addr: u64, end: u64) -> u64 {
        let mask = self.long_mask();
        let boundary = (addr.wrapping_add(size) & !(size - 1)) & mask;
        if (boundary.wrapping_sub(1) & mask) < (end.wrapping_sub(1) & mask) { boundary } else { end }
    }

    /// The canonical form of an address built from table indices.
    #[must_use]
    pub const fn canonical(&self, va: u64) -> u64 {
        if self.long_bits == 32 {
            return va & 0xffff_ffff;
        }
        let spare = 64 - self.va_bits as u32;
        (((va << spare) as i64) >> spare) as u64
    }

    /// Whether a CPU would accept the address. Where each half has a tree of its own, bits below the top ones are free;
    /// where the kernel's half begins among the addresses that a tree maps (sparc64), it ends with them.
    #[inline]
    #[must_use]
    pub const fn accepts(&self, va: u64) -> bool {
        if self.long_bits == 64 && self.va_bits < 64 && self.layout.kernel_start >> self.va_bits == 0 {
            return va >> self.va_bits == 0;
        }
        self.canonical(va) == va || self.is_kernel(va) || va < self.layout.task_size
    }

    /// Whether the address lies in the kernel half.
    #[inline]
    #[must_use]
    pub const fn is_kernel(&self, va: u64) -> bool {
        va >= self.layout.kernel_start
    }

    #[must_use]
    pub const fn in_vmalloc(&self, va: u64) -> bool {
        va >= self.layout.vmalloc_start && va < self.layout.vmalloc_end
    }
}

/// Every geometry, in the order of the support matrix.
pub static ALL: LazyLock<Vec<&'static Geometry>> = LazyLock::new(|| {
    let mut files = PARTS.to_vec();
    files.sort_by_key(|file| (file.order, file.all.first().map(|g| g.name)));
    files.iter().flat_map(|file| file.all).copied().collect()
});

/// The geometry of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Geometry> {
    ALL.iter().copied().find(|g| g.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(g: &Geometry, va: u64) -> Vec<usize> {
        (1..=g.levels).rev().filter_map(Level::from_number).map(|l| g.index(l, va)).collect()
    }

    #[test]
    fn index_vectors() {
        assert_eq!(indices(&x86::X86_64_4LEVEL, 0xffff_c900_0012_3000), [402, 0, 0, 291]);
        assert_eq!(indices(&x86::X86_64_5LEVEL, 0xffa0_0000_0020_0000), [416, 0, 0, 1, 0]);
        assert_eq!(indices(&arm64::ARM64_4K_48, 0xffff_8000_8001_0000), [256, 2, 0, 16]);
        assert_eq!(indices(&arm64::ARM64_4K_39, 0xffff_ffc0_8001_0000), [258, 0, 16]);
        assert_eq!(indices(&arm64::ARM64_16K_48, 0xffff_8000_8001_0000), [1, 0, 64, 4]);
        assert_eq!(indices(&arm64::ARM64_16K_47, 0xffff_c000_8001_0000), [1024, 64, 4]);
        assert_eq!(indices(&arm64::ARM64_64K_48, 0xffff_8000_8001_0000), [32, 4, 1]);
        assert_eq!(indices(&x86::X86_32_PAE, 0xf812_3000), [3, 448, 291]);
        assert_eq!(indices(&x86::X86_32_2LEVEL, 0xf812_3000), [992, 291]);
    }

    #[test]
    fn addr_end_wraps_at_the_top() {
        let g = &x86::X86_64_4LEVEL;
        assert_eq!(g.addr_end(Level::Pmd, 0xffff_ffff_ffe0_0000, 0), 0);
        let g = &x86::X86_32_PAE;
        assert_eq!(g.addr_end(Level::Pmd, 0xffe0_0000, 0), 0);
        assert_eq!(g.addr_end(Level::Pmd, 0x20_1000, 0x60_0000), 0x40_0000);
    }

    #[test]
    fn folded_names_share_the_shift_of_the_root() {
        let g = &x86::X86_32_2LEVEL;
        assert!(g.folded(Level::Pud) && !g.folded(Level::Pmd));
        assert_eq!(g.shift(Level::Pgd), 22);
        assert_eq!(g.root(), Level::Pmd);
    }

    #[test]
    fn a_linear_map_below_the_modules_is_accepted() {
        assert!(arm64::ARM64_4K_48.accepts(0xffff_0000_0800_0000));
        assert!(!arm64::ARM64_4K_48.accepts(0xfffe_ffff_ffff_f000));
        assert!(!x86::X86_64_4LEVEL.accepts(0xffff_0000_0800_0000));
    }

    #[test]
    fn canonical_addresses() {
        assert_eq!(arm64::ARM64_4K_48.canonical(0x0000_8000_8000_0000), 0xffff_8000_8000_0000);
        assert_eq!(x86::X86_64_4LEVEL.canonical(0x0000_c900_0000_0000), 0xffff_c900_0000_0000);
    }
}
