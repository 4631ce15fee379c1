//! What loops over user mappings ask of a leaf: the helpers of `include/linux/pgtable.h` that every architecture has.

use std::fmt;

use super::Prot;
use crate::geometry::Level;

/// `pte_mkold`, `pte_modify` and their kin, for leaves at pte and pmd level.
pub trait UserFormat: fmt::Debug {
    /// `pte_young`.
    fn young(&self, word: u64) -> bool;
    /// `pte_dirty`.
    fn dirty(&self, word: u64) -> bool;
    /// `pte_write`: software's view, which a write fault asks.
    fn write(&self, word: u64) -> bool;
    /// `pte_special`: no folio stands behind the frame.
    fn special(&self, word: u64) -> bool;
    /// `pte_protnone`: present for software, for nobody else.
    fn protnone(&self, word: u64) -> bool;
    fn mkyoung(&self, word: u64) -> u64;
    fn mkold(&self, word: u64) -> u64;
    fn mkdirty(&self, word: u64) -> u64;
    fn mkclean(&self, word: u64) -> u64;
    fn mkwrite(&self, word: u64) -> u64;
    fn mkspecial(&self, word: u64) -> u64;
    /// `pmd_mkinvalid`: hardware does not use the leaf, software still sees it.
    fn mkinvalid(&self, word: u64) -> u64;
    /// `pte_modify`, `pmd_modify`: another protection, the same page, the same state.
    fn modify(&self, level: Level, word: u64, prot: Prot) -> u64;
    /// The protection (`vm_page_prot`) of the private area in which a large leaf lies.
    fn huge_prot(&self, word: u64) -> Prot;
    /// The frame of a leaf that is present for software.
    fn frame(&self, level: Level, word: u64) -> u64;
    /// `pte_advance_pfn`: the word for the page that lies `bytes` further.
    fn advance(&self, word: u64, bytes: u64) -> u64;
    /// What `vm_page_prot` of a user's area is where the program says this.
    fn vm_page_prot(&self, prot: Prot) -> Prot {
        prot
    }
    /// `pte_mknoncont`.
    fn mknoncont(&self, word: u64) -> u64 {
        word
    }
    /// What is left of a word when entries of one folio are compared: neither young nor contiguous, nor what `pte_same`
    /// does not look at.
    fn comparable(&self, word: u64) -> u64 {
        self.mkold(self.mknoncont(word))
    }
    /// `CONFIG_ARCH_HAS_PTE_SPECIAL`. Without it the area says that no folio stands behind a frame.
    fn marks_special(&self) -> bool {
        true
    }
}

/// A format whose user mappings are not modelled. Operations on them are refused before anything is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Unmodelled;

impl UserFormat for Unmodelled {
    fn young(&self, _word: u64) -> bool {
        false
    }
    fn dirty(&self, _word: u64) -> bool {
        false
    }
    fn write(&self, _word: u64) -> bool {
        false
    }
    fn special(&self, _word: u64) -> bool {
        false
    }
    fn protnone(&self, _word: u64) -> bool {
        false
    }
    fn mkyoung(&self, word: u64) -> u64 {
        word
    }
    fn mkold(&self, word: u64) -> u64 {
        word
    }
    fn mkdirty(&self, word: u64) -> u64 {
        word
    }
    fn mkclean(&self, word: u64) -> u64 {
        word
    }
    fn mkwrite(&self, word: u64) -> u64 {
        word
    }
    fn mkspecial(&self, word: u64) -> u64 {
        word
    }
    fn mkinvalid(&self, word: u64) -> u64 {
        word
    }
    fn modify(&self, _level: Level, word: u64, _prot: Prot) -> u64 {
        word
    }
    fn huge_prot(&self, word: u64) -> Prot {
        word
    }
    fn frame(&self, _level: Level, _word: u64) -> u64 {
        0
    }
    fn advance(&self, word: u64, _bytes: u64) -> u64 {
        word
    }
}
