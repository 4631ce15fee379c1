//! Table pages: opening, allocating, linking and freeing them.

use rustc_hash::FxHashSet;

use super::{Entry, Kernel, Watch};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{BugCode, Store, Warning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::{INIT_MM, MmId};
use crate::memory::{FrameError, Table, TableId, Zone, blank_words};
use crate::modmask::ModMask;
use crate::stop::{Run, Step, Stop};

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// The root table of an address space.
    #[inline]
    pub fn open_root(&mut self, mm: MmId) -> Table {
        let root = self.machine.root(mm);
        self.machine.memory.open(root)
    }

    /// `pXd_offset`: the table that an entry points to, read as software reads it.
    ///
    /// An entry that is empty, or points nowhere, leads the kernel astray: it would take arbitrary memory for a table.
    #[inline]
    pub fn open_below(&mut self, entry: Entry<'_>) -> Run<Table> {
        let word = self.read(entry)?;
        let pa = B::table_pa(self, entry.level(), word);
        match self.machine.memory.at(pa) {
            Some(id) if !self.format.leaf(entry.level(), word) => Ok(self.machine.memory.open(id)),
            _ => self.bug(BugCode::StrayWalk, entry.va),
        }
    }

    /// Whether an entry is empty, in software's view.
    #[inline]
    pub(crate) fn entry_none(&mut self, entry: Entry<'_>) -> Run<bool> {
        let word = self.read(entry)?;
        Ok(self.format.none(entry.level(), word))
    }

    /// Takes a frame for a table, or for a page that is none.
    pub(crate) fn alloc_frame(&mut self, level: Level, va: u64, zone: Zone) -> Run<Result<u64, FrameError>> {
        if W::WATCHES && W::alloc_fails(self)? {
            return Ok(Err(FrameError::Injected));
        }
        Ok(self.machine.frames.alloc(level, va, zone))
    }

    /// `__pXd_alloc`: allocates a table and links it into `entry`, unless another CPU has been faster. False: no memory.
    pub(crate) fn alloc_below(&mut self, entry: Entry<'_>, zone: Zone) -> Run<bool> {
        let level = entry.level().below();
        let base = entry.va & !(self.machine.geometry.size(entry.level()) - 1);
        let pa = match self.alloc_frame(level, base, zone)? {
            Ok(pa) => pa,
            Err(error) => {
                let injected = u32::from(error == FrameError::Injected);
                let event = Event { mm: entry.mm.0, ..Event::of(Kind::ALLOC_FAIL).at(level, base, 0).aux(injected) };
                self.emit(event)?;
                return Ok(false);
            }
        };
        let id = self.insert_table(pa, level, entry.mm == INIT_MM).id;
        let high = u32::from(self.machine.frames.is_high(pa));
        self.emit(Event { mm: entry.mm.0, ..Event::of(Kind::ALLOC).at(level, base, pa).aux(high) })?;
        // mm->page_table_lock, or the lock of the table; one for each address space is as good here.
        let lock = u64::from(entry.mm.0);
        W::lock(self, lock)?;
        if !self.entry_none(entry)? {
            W::unlock(self, lock);
            self.machine.memory.remove(id);
            self.machine.frames.free(pa);
            self.emit(Event { mm: entry.mm.0, ..Event::of(Kind::FREE).at(level, base, pa) })?;
            return Ok(true);
        }
        self.emit_kind(Kind::WMB)?;
        B::table_linked(self, entry, pa)?;
        let word = B::table_word(self, entry.level(), pa, entry.mm == INIT_MM);
        self.set_entry(entry, word, Store::Populate)?;
        W::unlock(self, lock);
        if self.options.begin_end_flush_links {
            crate::scheme::Hooks::lazy_flush(self)?;
        }
        Ok(true)
    }

    /// A table in which nothing is mapped.
    pub(crate) fn insert_table(&mut self, pa: u64, level: Level, init_mm: bool) -> Table {
        let words = self.machine.geometry.words(level);
        self.machine.memory.insert(pa, level, words, self.format.blank(level, init_mm))
    }

    /// `pXd_alloc_track`, `pte_alloc_kernel_track`: the table below, allocated if need be. The bit is set whenever the
    /// test found nothing and the allocation succeeded.
    #[inline]
    pub(crate) fn alloc_track(&mut self, entry: Entry<'_>, mask: &mut ModMask) -> Run<Option<Table>> {
        if self.entry_none(entry)? {
            if !self.alloc_below(entry, Zone::Low)? {
                return Ok(None);
            }
            *mask |= ModMask::of(entry.level());
        }
        self.open_below(entry).map(Some)
    }

    /// The leaf entry of a kernel address whose tables exist.
    pub(crate) fn kernel_pte(&mut self, va: u64) -> Run<(Table, usize)> {
        let mut table = self.open_root(INIT_MM);
        loop {
            let index = self.machine.geometry.index(table.level, va);
            if table.level == Level::Pte {
                return Ok((table, index));
            }
            table = self.open_below(Entry::new(table.view(), index, va, INIT_MM))?;
        }
    }

    /// Links empty tables into init_mm down to `level` for an address, as early boot code does. Their words are shared
    /// until somebody opens them.
    pub(crate) fn early_tables(&mut self, va: u64, level: Level) {
        let mut table = self.open_root(INIT_MM);
        while table.level != level {
            let (upper, below) = (table.level, table.level.below());
            let index = self.machine.geometry.index(upper, va);
            let word = table.get(index);
            let id = if self.format.none(upper, word) {
                let base = va & !(self.machine.geometry.size(upper) - 1);
                let Ok(pa) = self.machine.frames.alloc(below, base, Zone::Low) else {
                    return;
                };
                let blank = blank_words(self.machine.geometry.words(below), self.format.blank(below, true));
                table.set(index, B::table_word(self, upper, pa, true));
                Some(self.machine.memory.insert_shared(pa, below, &blank))
            } else {
                self.machine.memory.at(B::table_pa(self, upper, word))
            };
            let Some(id) = id else { return };
            table = self.machine.memory.open(id);
        }
    }

    /// The tables that a walk of this address space can reach, root first.
    #[must_use]
    pub fn reachable(&self, mm: MmId) -> Vec<TableId> {
        let memory = &self.machine.memory;
        let mut found = vec![self.machine.root(mm)];
        found.extend(self.machine.mm(mm).user_root);
        let mut seen: FxHashSet<TableId> = found.iter().copied().collect();
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            next += 1;
            let level = memory.level(id);
            if level == Level::Pte {
                continue;
            }
            for index in 0..memory.entries(id) {
                let word = memory.word(id, index);
                if !self.format.walkable(level, word) || self.format.leaf(level, word) {
                    continue;
                }
                if let Some(below) = memory.at(B::table_pa(self, level, word))
                    && seen.insert(below)
                {
                    found.push(below);
                }
            }
        }
        found
    }

    /// Frees a table page.
    pub(crate) fn free_table(&mut self, pa: u64, va: u64, mm: MmId) -> Step {
        if let Some(id) = self.machine.memory.at(pa) {
            let level = self.machine.memory.level(id);
            self.machine.memory.remove(id);
            self.machine.frames.free(pa);
            return self.emit(Event { mm: mm.0, ..Event::of(Kind::FREE).at(level, va, pa) });
        }
        Ok(())
    }

    /// `pXd_none_or_clear_bad`.
    pub(crate) fn none_or_clear_bad(&mut self, entry: Entry<'_>) -> Run<bool> {
        let word = self.read(entry)?;
        if self.format.none(entry.level(), word) {
            return Ok(true);
        }
        if self.format.bad(entry.level(), word) {
            self.clear_bad(entry)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// `pXd_clear_bad`: says so, and forgets what was there.
    pub(crate) fn clear_bad(&mut self, entry: Entry<'_>) -> Step {
        self.warn(Warning::BadPmd, entry.va)?;
        self.set_entry(entry, self.format.empty(entry.level()), Store::ClearBad)
    }

    /// `set_pmd`, `set_pud`, `set_p4d`, `set_pgd`.
    #[inline]
    pub fn set_entry(&mut self, entry: Entry<'_>, word: u64, why: Store) -> Step {
        if W::HOOKED && self.overridden(super::Hook::SetEntry) {
            return self.call_set_entry(entry, word, why);
        }
        B::set_entry(self, entry, word, why)
    }

    /// `set_pte_at` of one entry.
    #[inline(always)]
    pub fn set_pte(&mut self, entry: Entry<'_>, word: u64, why: Store) -> Step {
        if W::HOOKED && self.overridden(super::Hook::SetPte) {
            return self.call_set_pte(entry, word, why);
        }
        B::set_pte(self, entry, word, why)
    }

    /// `pte_clear`.
    #[inline]
    pub fn pte_clear(&mut self, entry: Entry<'_>) -> Step {
        if W::HOOKED && self.overridden(super::Hook::PteClear) {
            return self.call_pte_clear(entry);
        }
        B::pte_clear(self, entry)
    }

    /// `ptep_get_and_clear`.
    #[inline(always)]
    pub fn ptep_get_and_clear(&mut self, entry: Entry<'_>) -> Run<u64> {
        if W::HOOKED && self.overridden(super::Hook::PtepGetAndClear) {
            return self.call_ptep_get_and_clear(entry);
        }
        B::ptep_get_and_clear(self, entry)
    }

    /// The kernel stops the task here.
    #[cold]
    pub(crate) fn bug<T>(&mut self, code: BugCode, va: u64) -> Run<T> {
        self.emit(Event { va, ..Event::of(Kind::BUG).aux(code as u32) })?;
        let task = self.current();
        self.machine.task_mut(task).dead = true;
        Err(Stop::Bug(code))
    }

    /// The kernel prints a warning here and goes on.
    #[cold]
    pub(crate) fn warn(&mut self, warning: Warning, va: u64) -> Step {
        self.emit(Event { va, ..Event::of(Kind::WARN).aux(warning as u32) })
    }
}
