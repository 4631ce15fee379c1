//! A format chosen at run time, for whoever only decodes.

use std::fmt;

use super::field::Layout;
use super::{Attributes, Format, Grants, Half, PARTS, Prot};
use crate::geometry::Level;

/// What of a [`Format`] needs no type: any format is one of these.
pub trait AnyFormat: fmt::Debug + Send + Sync {
    fn blank(&self, level: Level, init_mm: bool) -> u64;
    fn none(&self, level: Level, word: u64) -> bool;
    fn present(&self, level: Level, word: u64) -> bool;
    fn valid(&self, word: u64) -> bool;
    fn walkable(&self, level: Level, word: u64) -> bool;
    fn leaf(&self, level: Level, word: u64) -> bool;
    fn address(&self, level: Level, word: u64) -> u64;
    fn attributes(&self, level: Level, word: u64) -> Attributes;
    fn table_grants(&self, level: Level, word: u64) -> Grants;
    fn dumped(&self, level: Level, word: u64) -> bool;
    fn half(&self, kernel: bool) -> Half;
    fn bad(&self, level: Level, word: u64) -> bool;
    /// A copy of its own.
    fn boxed(&self) -> Box<dyn AnyFormat>;
    fn layouts(&self, level: Level) -> Vec<Layout>;
    fn prots(&self) -> Vec<(&'static str, Prot)>;
    /// `pfn_pte`.
    fn page(&self, pa: u64, prot: Prot) -> u64;
}

impl<F: Format> AnyFormat for F {
    fn blank(&self, level: Level, init_mm: bool) -> u64 {
        Format::blank(self, level, init_mm)
    }

    fn none(&self, level: Level, word: u64) -> bool {
        Format::none(self, level, word)
    }

    fn present(&self, level: Level, word: u64) -> bool {
        Format::present(self, level, word)
    }

    fn valid(&self, word: u64) -> bool {
        Format::valid(self, word)
    }

    fn walkable(&self, level: Level, word: u64) -> bool {
        Format::walkable(self, level, word)
    }

    fn leaf(&self, level: Level, word: u64) -> bool {
        Format::leaf(self, level, word)
    }

    fn address(&self, level: Level, word: u64) -> u64 {
        Format::address(self, level, word)
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        Format::attributes(self, level, word)
    }

    fn table_grants(&self, level: Level, word: u64) -> Grants {
        Format::table_grants(self, level, word)
    }

    fn dumped(&self, level: Level, word: u64) -> bool {
        Format::dumped(self, level, word)
    }

    fn half(&self, kernel: bool) -> Half {
        Format::half(self, kernel)
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        Format::bad(self, level, word)
    }

    fn boxed(&self) -> Box<dyn AnyFormat> {
        Box::new(*self)
    }

    fn layouts(&self, level: Level) -> Vec<Layout> {
        Format::layouts(self, level)
    }

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        Format::prots(self)
    }

    fn page(&self, pa: u64, prot: Prot) -> u64 {
        Format::pte(self, pa, prot)
    }
}

/// The shape of a tree whose entries are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub page_shift: u32,
    pub entry_bytes: u8,
    pub levels: u8,
    pub va_bits: u8,
    /// Index bits of the three lowest levels, leaf tables first.
    pub index_bits: [u8; 3],
}

/// A format for entries that a kernel left behind.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Names that table images have for the architecture.
    pub architectures: &'static [&'static str],
    /// The format of a tree of this shape; `None` where the architecture has no such.
    pub format: fn(&str, Shape) -> Option<Box<dyn AnyFormat>>,
}

/// The format of a tree of this shape, to be read. The error says what is wrong with the name or the shape.
pub fn of_architecture(arch: &str, shape: Shape) -> Result<Box<dyn AnyFormat>, String> {
    let Some(reader) = PARTS.iter().find(|reader| reader.architectures.contains(&arch)) else {
        let known: Vec<_> = PARTS.iter().flat_map(|reader| reader.architectures).copied().collect();
        return Err(format!("{arch:?} is not modelled: expected one of {}", known.join(", ")));
    };
    (reader.format)(arch, shape).ok_or_else(|| {
        let Shape { entry_bytes, levels, index_bits, .. } = shape;
        format!(
            "{arch} has no tables of {levels} levels, the lowest with {index_bits:?} index bits, of {entry_bytes} bytes"
        )
    })
}
