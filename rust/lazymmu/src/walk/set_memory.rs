//! `set_memory_*` and `set_direct_map_*`: protections of kernel memory change, and with them those of its alias in the
//! linear map. How, is each architecture's own; what they share stands here.
//!
//! Not modelled: aliases in the kernel image's own mapping, and what protects text and read-only data from changes.

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::INIT_MM;
use crate::memory::{FrameError, Table, Zone};
use crate::stop::Run;

/// What becomes of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryChange {
    /// `set_memory_ro`, `_rw`, `_x`, `_nx`.
    Ro,
    Rw,
    X,
    Nx,
    /// `set_direct_map_invalid_noflush`, `set_direct_map_default_noflush`: page by page.
    Invalid,
    Default,
}

/// Where all memory is mapped a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearMap {
    /// `PAGE_OFFSET`.
    pub start: u64,
    /// Its first address behind the end of memory.
    pub end: u64,
    /// The memory that is mapped at `start`.
    #[serde(default)]
    pub pa: u64,
}

impl LinearMap {
    #[must_use]
    pub const fn holds(&self, va: u64) -> bool {
        self.start <= va && va < self.end
    }

    /// `__va`, of memory that has a linear address.
    #[must_use]
    pub fn address(&self, pa: u64) -> Option<u64> {
        let va = pa.checked_sub(self.pa)?.checked_add(self.start)?;
        self.holds(va).then_some(va)
    }
}

/// A request to change the protections of whole pages.
#[derive(Clone, Copy, Debug)]
pub struct SetMemory {
    pub va: u64,
    pub pages: u64,
    pub change: MemoryChange,
    pub linear: Option<LinearMap>,
}

/// `aux` of `ALLOC`: the table takes the place of a large leaf.
const SPLIT: u32 = 2;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Changes protections; the kernel's return value.
    pub fn set_memory(&mut self, request: &SetMemory) -> Run<i64> {
        if !matches!(request.change, MemoryChange::Invalid | MemoryChange::Default) {
            return B::set_memory(self, request);
        }
        let page = self.geometry().page_size();
        for n in 0..request.pages {
            let ret = B::set_memory(self, &SetMemory { va: request.va + n * page, pages: 1, ..*request })?;
            if ret != 0 {
                return Ok(ret);
            }
        }
        Ok(0)
    }

    /// `lookup_address`: where the tables of an address end, at a leaf of any size, at an entry that is not present, or in
    /// a leaf table. `None`: at an empty entry above that.
    pub(crate) fn lookup_address(&mut self, va: u64) -> Run<Option<(Table, usize)>> {
        let mut table = self.open_root(INIT_MM);
        loop {
            let (level, index) = (table.level, self.geometry().index(table.level, va));
            if level == Level::Pte {
                return Ok(Some((table, index)));
            }
            let entry = Entry::new(table.view(), index, va, INIT_MM);
            let word = self.read(entry)?;
            if self.format().none(level, word) {
                return Ok(None);
            }
            let through = level == Level::Pgd || self.format().present(level, word);
            if !through || self.format().leaf(level, word) {
                return Ok(Some((table, index)));
            }
            table = self.open_below(entry)?;
        }
    }

    /// The page of a table that a large leaf is split into; nothing links it yet. `None`: no memory.
    pub(crate) fn table_for_split(&mut self, leaf: Entry<'_>) -> Run<Option<Table>> {
        let level = leaf.level().below();
        let base = leaf.va & !(self.geometry().size(leaf.level()) - 1);
        match self.alloc_frame(level, base, Zone::Low)? {
            Ok(pa) => {
                let table = self.insert_table(pa, level, true);
                self.emit(Event::of(Kind::ALLOC).at(level, base, pa).aux(SPLIT))?;
                Ok(Some(table))
            }
            Err(error) => {
                let injected = u32::from(error == FrameError::Injected);
                self.emit(Event::of(Kind::ALLOC_FAIL).at(level, base, 0).aux(injected))?;
                Ok(None)
            }
        }
    }
}
