//! `folio_pte_batch`: how many entries map consecutive pages of one folio.

use super::{helpers, huge_helpers};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::Folio;
use crate::stop::Run;

/// A run of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) count: u64,
    /// One of the entries behind the first is writable, young or dirty.
    pub(super) any_write: bool,
    pub(super) any_young: bool,
    pub(super) any_dirty: bool,
}

/// What may differ between the entries of a run besides being young.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ignore {
    pub(super) write: bool,
    pub(super) dirty: bool,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `vm_normal_folio`: what stands behind a leaf that is present for software.
    pub(super) fn normal_folio(&self, level: Level, word: u64) -> Option<Folio> {
        let format = self.format();
        let user = if level == Level::Pte { helpers(&format) } else { huge_helpers(&format) };
        if user.special(word) { None } else { self.machine.folios.at(user.frame(level, word)) }
    }

    /// Whether no folio stands behind a present leaf (`pte_special`, or `vm_normal_page` knows it from the area).
    pub(super) fn is_special(&self, word: u64) -> bool {
        let format = self.format();
        let user = helpers(&format);
        user.special(word) || (!user.marks_special() && self.normal_folio(Level::Pte, word).is_none())
    }

    /// The entries from `first`, whose word is `word`, of at most `limit`. Small folios are not looked at: 1.
    pub(super) fn folio_pte_batch(
        &mut self,
        folio: Option<Folio>,
        first: Entry<'_>,
        word: u64,
        limit: u64,
        ignore: Ignore,
    ) -> Run<Batch> {
        let format = self.format();
        let user = helpers(&format);
        let page = self.geometry().page_size();
        let mut batch =
            Batch { count: 1, any_write: user.write(word), any_young: user.young(word), any_dirty: user.dirty(word) };
        let Some(folio) = folio.filter(|f| f.bytes > page && limit > 1) else {
            return Ok(batch);
        };
        let plain = |word: u64| {
            let word = user.comparable(word);
            let word = if ignore.dirty { user.mkclean(word) } else { word };
            if ignore.write { format.wrprotect(word) } else { word }
        };
        let start = user.frame(Level::Pte, word);
        let limit = limit.min((folio.start + folio.bytes - start) / page);
        while batch.count < limit {
            let at = self.entry_behind(first, batch.count);
            let next = B::ptep_get(self, at)?;
            if plain(next) != plain(user.advance(word, batch.count * page)) {
                break;
            }
            batch.any_write |= user.write(next);
            batch.any_young |= user.young(next);
            batch.any_dirty |= user.dirty(next);
            batch.count += 1;
        }
        Ok(batch)
    }

    /// The entry so many places behind another one.
    pub(crate) fn entry_behind<'t>(&self, first: Entry<'t>, n: u64) -> Entry<'t> {
        let page = self.geometry().page_size();
        Entry::new(first.table, first.index + n as usize, first.va.wrapping_add(n * page), first.mm)
    }
}
