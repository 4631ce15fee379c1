//! 32-bit arm with short descriptors as hardware sees it: a root of 4096 entries for 1 MiB each, and leaf tables of 256
//! small pages (Arm ARM v7 B3.5). Linux's own words, which lie before the hardware's in the same page, are [`super`]'s.

use super::Arm;
use crate::descriptor::field::Layout;
use crate::descriptor::{AnyFormat, Attributes, Grants, Half, Prot};
use crate::geometry::Level;

const TABLE: u64 = 1;
const SMALL: u64 = 1 << 1;
const SECTION: u64 = 1 << 1;
/// Of a table: what is below is not executed by the kernel.
const TABLE_PXN: u64 = 1 << 2;
const SECTION_PXN: u64 = 1 << 0;

/// What the hardware reads. Supersections and large pages are not Linux's.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortDescriptors;

impl AnyFormat for ShortDescriptors {
    fn blank(&self, _level: Level, _init_mm: bool) -> u64 {
        0
    }

    fn none(&self, _level: Level, word: u64) -> bool {
        word & 3 == 0
    }

    fn present(&self, level: Level, word: u64) -> bool {
        !self.none(level, word)
    }

    fn valid(&self, word: u64) -> bool {
        word & 3 != 0
    }

    fn walkable(&self, level: Level, word: u64) -> bool {
        if level == Level::Pte { word & SMALL != 0 } else { word & 3 != 0 }
    }

    fn leaf(&self, level: Level, word: u64) -> bool {
        level == Level::Pte || word & SECTION != 0
    }

    fn address(&self, level: Level, word: u64) -> u64 {
        match level {
            Level::Pte => word & 0xffff_f000,
            _ if word & 3 == TABLE => word & 0xffff_fc00,
            _ => word & 0xfff0_0000,
        }
    }

    fn attributes(&self, level: Level, word: u64) -> Attributes {
        let all = crate::descriptor::Format::attributes(&Arm { lpae: false }, level, word);
        let pxn = level != Level::Pte && word & SECTION_PXN != 0;
        Attributes { exec: all.exec && (all.user || !pxn), ..all }
    }

    fn table_grants(&self, _level: Level, word: u64) -> Grants {
        Grants { kernel_exec: word & TABLE_PXN == 0, ..Grants::ALL }
    }

    fn dumped(&self, level: Level, word: u64) -> bool {
        self.walkable(level, word)
    }

    fn half(&self, _kernel: bool) -> Half {
        Half::Signed
    }

    fn bad(&self, level: Level, word: u64) -> bool {
        level != Level::Pte && word & SECTION != 0
    }

    fn boxed(&self) -> Box<dyn AnyFormat> {
        Box::new(*self)
    }

    fn layouts(&self, _level: Level) -> Vec<Layout> {
        Vec::new()
    }

    fn prots(&self) -> Vec<(&'static str, Prot)> {
        Vec::new()
    }

    fn page(&self, pa: u64, prot: Prot) -> u64 {
        pa | prot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_words() {
        let format = ShortDescriptors;
        // A user table, and a page that its program may write.
        assert_eq!(format.address(Level::Pmd, 0x41a7_6835), 0x41a7_6800);
        assert!(!format.leaf(Level::Pmd, 0x41a7_6835) && !format.table_grants(Level::Pmd, 0x41a7_6835).kernel_exec);
        let page = format.attributes(Level::Pte, 0x402b_5c7f);
        assert!(page.write && page.user && !page.exec && !page.global);
        assert_eq!(format.address(Level::Pte, 0x402b_5c7f), 0x402b_5000);
        assert!(!format.walkable(Level::Pte, 0));
    }
}
