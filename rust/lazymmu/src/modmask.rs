//! `pgtbl_mod_mask`: the levels whose entries a walk changed (`include/linux/pgtable.h`).

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};

use crate::geometry::Level;

/// A set of levels. A bit names the level of the *entry* that was written: `PGTBL_PMD_MODIFIED` says that a pmd entry
/// changed, for instance because a leaf table was linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModMask(u8);

impl ModMask {
    pub const NONE: ModMask = ModMask(0);
    pub const PGD: ModMask = ModMask(1 << 0);
    pub const P4D: ModMask = ModMask(1 << 1);
    pub const PUD: ModMask = ModMask(1 << 2);
    pub const PMD: ModMask = ModMask(1 << 3);
    pub const PTE: ModMask = ModMask(1 << 4);

    #[inline]
    #[must_use]
    pub const fn of(level: Level) -> ModMask {
        ModMask(1 << (5 - level.number()))
    }

    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> ModMask {
        ModMask(bits & 0x1f)
    }

    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    #[must_use]
    pub const fn meets(self, other: ModMask) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    #[must_use]
    pub const fn contains(self, other: ModMask) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for ModMask {
    type Output = ModMask;
    fn bitor(self, other: ModMask) -> ModMask {
        ModMask(self.0 | other.0)
    }
}

impl BitAnd for ModMask {
    type Output = ModMask;
    fn bitand(self, other: ModMask) -> ModMask {
        ModMask(self.0 & other.0)
    }
}

impl BitOrAssign for ModMask {
    fn bitor_assign(&mut self, other: ModMask) {
        self.0 |= other.0;
    }
}

impl fmt::Display for ModMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("0");
        }
        let mut first = true;
        for level in Level::ALL.into_iter().rev() {
            if self.meets(ModMask::of(level)) {
                if !first {
                    f.write_str("|")?;
                }
                first = false;
                f.write_str(&level.name().to_uppercase())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_kernels() {
        assert_eq!(ModMask::of(Level::Pgd).bits(), 0x01);
        assert_eq!(ModMask::of(Level::Pte).bits(), 0x10);
        assert_eq!((ModMask::PUD | ModMask::PMD | ModMask::PTE).bits(), 0x1c);
        assert_eq!((ModMask::PMD | ModMask::PTE).to_string(), "PMD|PTE");
    }
}
