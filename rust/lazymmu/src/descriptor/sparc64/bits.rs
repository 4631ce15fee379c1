//! Where the two formats have their bits: `arch/sparc/include/asm/pgtable_64.h` of 6.12.

/// One format's bits; 63 (valid), 57 (special) and 56 (huge) both have.
#[derive(Debug)]
pub(crate) struct Bits {
    pub(crate) modified: u64,
    pub(crate) accessed: u64,
    pub(crate) read: u64,
    /// Software's permission to write.
    pub(crate) write: u64,
    pub(crate) exec: u64,
    /// Hardware may write.
    pub(crate) w: u64,
    pub(crate) privileged: u64,
    pub(crate) present: u64,
    pub(crate) cache_p: u64,
    pub(crate) cache_v: u64,
    /// A device: accesses have side effects.
    pub(crate) side_effect: u64,
    pub(crate) paddr: u64,
    /// `_PAGE_SZALL`.
    pub(crate) size: u64,
    /// `_PAGE_SZHUGE`: a large leaf of 8 MiB is two of 4 MiB for the TLB.
    pub(crate) size_4m: u64,
}

pub(super) static SUN4V: Bits = Bits {
    modified: 1 << 61,
    accessed: 1 << 60,
    read: 1 << 59,
    write: 1 << 58,
    side_effect: 1 << 11,
    cache_p: 1 << 10,
    cache_v: 1 << 9,
    privileged: 1 << 8,
    exec: 1 << 7,
    w: 1 << 6,
    present: 1 << 4,
    paddr: 0x00ff_ffff_ffff_e000,
    size: 7,
    size_4m: 3,
};

pub(super) static SUN4U: Bits = Bits {
    exec: 1 << 12,
    modified: 1 << 11,
    accessed: 1 << 10,
    read: 1 << 9,
    write: 1 << 8,
    present: 1 << 7,
    cache_p: 1 << 5,
    cache_v: 1 << 4,
    side_effect: 1 << 3,
    privileged: 1 << 2,
    w: 1 << 1,
    paddr: 0x0000_07ff_ffff_e000,
    size: 0x6001_0000_0000_0000,
    size_4m: 3 << 61,
};

impl Bits {
    /// `_PAGE_CACHE`, on sun4v before M7.
    #[must_use]
    pub(crate) const fn cache(&self) -> u64 {
        self.cache_p | self.cache_v
    }

    /// `__ACCESS_BITS`; `_PAGE_R` is the valid bit.
    #[must_use]
    pub(crate) const fn access_bits(&self) -> u64 {
        self.accessed | self.read | super::VALID
    }

    /// `PAGE_KERNEL`.
    #[must_use]
    pub(crate) const fn kernel(&self) -> u64 {
        let dirty = self.modified | self.write | self.w;
        self.present | self.cache() | self.privileged | self.access_bits() | dirty | self.exec
    }
}
