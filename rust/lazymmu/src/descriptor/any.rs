//! A format chosen at run time, for whoever only decodes.

use super::arm64::Arm64;
use super::x86::X86;
use super::{Attributes, Format, Prot};
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

impl AnyFormat {
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
