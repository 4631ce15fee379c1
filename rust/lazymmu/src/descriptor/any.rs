//! A format chosen at run time, for whoever only decodes.

use super::arm64::Arm64;
use super::x86::{Width, X86};
use super::{Attributes, Format, Grants, Half, Prot};
use crate::geometry::Level;

/// One of the formats.
#[derive(Clone, Copy, Debug)]
pub enum AnyFormat {
    X86(X86),
    Arm64(Arm64),
}

macro_rules! both {
    ($self:ident, $f:ident => $e:expr) => {
        match $self {
            AnyFormat::X86($f) => $e,
            AnyFormat::Arm64($f) => $e,
        }
    };
}

/// Architectures whose entries can be read, by the names that table images have for them.
const ARCHITECTURES: [&str; 3] = ["arm64", "x86_64", "i386"];

impl AnyFormat {
    /// The format of a tree of this shape, to be read.
    pub fn of_architecture(
        arch: &str,
        page_shift: u32,
        entry_bytes: u8,
        levels: u8,
        va_bits: u8,
    ) -> Result<AnyFormat, String> {
        let x86 = |width| X86 { width, global: true, five_level: levels == 5, pti_config: true };
        match (arch, entry_bytes) {
            // 52-bit output addresses: with 4 and 16 KiB pages only where 52-bit virtual addresses say so (LPA2).
            ("arm64", 8) => {
                let pa_bits = if page_shift == 16 || va_bits > 48 { 52 } else { 48 };
                Ok(Arm64::new(page_shift, pa_bits, levels, false).into())
            }
            ("x86_64", 8) => Ok(x86(Width::Long).into()),
            ("i386", 8) => Ok(x86(Width::Pae).into()),
            ("i386", 4) => Ok(x86(Width::TwoLevel).into()),
            _ if ARCHITECTURES.contains(&arch) => Err(format!("{arch} has no entries of {entry_bytes} bytes")),
            _ => Err(format!("{arch:?} is not modelled: expected one of {}", ARCHITECTURES.join(", "))),
        }
    }

    #[must_use]
    pub fn table_grants(&self, level: Level, word: u64) -> Grants {
        both!(self, f => f.table_grants(level, word))
    }

    #[must_use]
    pub fn dumped(&self, word: u64) -> bool {
        both!(self, f => f.dumped(word))
    }

    #[must_use]
    pub fn half(&self, kernel: bool) -> Half {
        both!(self, f => f.half(kernel))
    }

    #[must_use]
    pub fn none(&self, level: Level, word: u64) -> bool {
        both!(self, f => f.none(level, word))
    }

    #[must_use]
    pub fn present(&self, level: Level, word: u64) -> bool {
        both!(self, f => f.present(level, word))
    }

    #[must_use]
    pub fn valid(&self, word: u64) -> bool {
        both!(self, f => f.valid(word))
    }

    #[must_use]
    pub fn leaf(&self, level: Level, word: u64) -> bool {
        both!(self, f => f.leaf(level, word))
    }

    #[must_use]
    pub fn address(&self, level: Level, word: u64) -> u64 {
        both!(self, f => f.address(level, word))
    }

    #[must_use]
    pub fn attributes(&self, level: Level, word: u64) -> Attributes {
        both!(self, f => f.attributes(level, word))
    }

    #[must_use]
    pub fn prots(&self) -> Vec<(&'static str, Prot)> {
        both!(self, f => f.prots())
    }
}

impl From<X86> for AnyFormat {
    fn from(format: X86) -> AnyFormat {
        AnyFormat::X86(format)
    }
}

impl From<Arm64> for AnyFormat {
    fn from(format: Arm64) -> AnyFormat {
        AnyFormat::Arm64(format)
    }
}
