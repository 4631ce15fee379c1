//! What a CPU finds at a virtual address, from the words in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Kernel, Watch};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Access, BugCode, Handler, Outcome};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::MmId;
use crate::memory::TableId;
use crate::stop::{Run, Step};

/// The result of a hardware walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// A leaf was found: its level, its word, and the physical address of the byte.
    Leaf { level: Level, word: u64, pa: u64 },
    /// The walk ended at this level: its entry is not valid.
    Fault { level: Level, word: u64 },
}

/// How an access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessResult {
    pub outcome: Outcome,
    pub pa: u64,
}

/// What many addresses translate to, in columns. Where the level is 0 there is no translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translations {
    pub pa: Vec<u64>,
    pub level: Vec<u8>,
    pub word: Vec<u64>,
}

impl Translations {
    fn with_capacity(n: usize) -> Translations {
        Translations { pa: Vec::with_capacity(n), level: Vec::with_capacity(n), word: Vec::with_capacity(n) }
    }

    fn extend(&mut self, batch: &Batch, len: usize) {
        self.pa.extend_from_slice(&batch.pa[..len]);
        self.level.extend_from_slice(&batch.level[..len]);
        self.word.extend_from_slice(&batch.word[..len]);
    }
}

/// Translations on their way into the columns.
struct Batch {
    pa: [u64; AT_ONCE],
    level: [u8; AT_ONCE],
    word: [u64; AT_ONCE],
}

const AT_ONCE: usize = 256;

/// A leaf table found before, and the addresses (without offset and last index) for which it was.
#[derive(Clone, Copy)]
struct Found<'m> {
    key: u64,
    words: &'m [AtomicU64],
}

/// Leaf tables that a batch of translations remembers, at most.
const REMEMBERED: usize = 4096;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Walks the tables of an address space as hardware does: words in memory, nothing else.
    #[must_use]
    pub fn translate(&self, mm: MmId, va: u64) -> Translation {
        let geometry = &self.machine.geometry;
        match B::root_for(self, mm, va) {
            Some(mm) if geometry.accepts(va) => match self.descend(mm, va) {
                Ok(table) => self.leaf(self.machine.memory.words(table), va),
                Err(found) => found,
            },
            _ => Translation::Fault { level: geometry.root(), word: 0 },
        }
    }

    /// The same for many addresses. The tables do not change meanwhile, so a leaf table is looked for once.
    #[must_use]
    pub fn translate_many(&self, mm: MmId, vas: &[u64]) -> Translations {
        let shift = self.machine.geometry.shift(Level::Pmd);
        let slots = vas.len().next_power_of_two().min(REMEMBERED);
        let mut remembered = vec![Found { key: u64::MAX, words: &[] }; slots];
        let mut out = Translations::with_capacity(vas.len());
        let mut batch = Batch { pa: [0; AT_ONCE], level: [0; AT_ONCE], word: [0; AT_ONCE] };
        for some in vas.chunks(AT_ONCE) {
            for (n, &va) in some.iter().enumerate() {
                // The two upper parts of the key differ between halves and areas; the sum spreads them.
                let key = va >> shift;
                let slot = &mut remembered[(key ^ (key >> 12)) as usize & (slots - 1)];
                let mut above = None;
                if slot.key != key {
                    match self.leaf_table(mm, va) {
                        Ok(words) => *slot = Found { key, words },
                        Err(found) => above = Some(found),
                    }
                }
                let found = match above {
                    None => self.leaf(slot.words, va),
                    Some(found) => found,
                };
                (batch.pa[n], batch.level[n], batch.word[n]) = match found {
                    Translation::Leaf { level, word, pa } => (pa, level.number(), word),
                    Translation::Fault { .. } => (0, 0, 0),
                };
            }
            out.extend(&batch, some.len());
        }
        out
    }

    #[inline(never)]
    fn leaf_table(&self, mm: MmId, va: u64) -> Result<&[AtomicU64], Translation> {
        let geometry = &self.machine.geometry;
        match B::root_for(self, mm, va) {
            Some(mm) if geometry.accepts(va) => self.descend(mm, va).map(|table| self.machine.memory.words(table)),
            _ => Err(Translation::Fault { level: geometry.root(), word: 0 }),
        }
    }

    /// The leaf table for an address, or the translation that ends above it.
    fn descend(&self, mm: MmId, va: u64) -> Result<TableId, Translation> {
        let memory = &self.machine.memory;
        let geometry = &self.machine.geometry;
        // What is not the kernel's is used by user mode, which may run on a root of its own.
        let users = self.machine.mm(mm).user_root.filter(|_| !geometry.is_kernel(va));
        let mut id = users.unwrap_or(self.machine.root(mm));
        loop {
            let level = memory.level(id);
            if level == Level::Pte {
                return Ok(id);
            }
            let word = memory.word(id, geometry.index(level, va));
            if !self.format().walkable(level, word) {
                return Err(Translation::Fault { level, word });
            }
            if self.format().leaf(level, word) {
                let offset = va & (geometry.size(level) - 1);
                let pa = B::leaf_pa(self, level, word) + offset;
                return Err(Translation::Leaf { level, word, pa });
            }
            id = memory.at(B::table_pa(self, level, word)).ok_or(Translation::Fault { level, word })?;
        }
    }

    #[inline]
    fn leaf(&self, words: &[AtomicU64], va: u64) -> Translation {
        let geometry = &self.machine.geometry;
        let level = Level::Pte;
        let word = words[geometry.hardware_index(level, va)].load(Ordering::Relaxed);
        if !self.format().walkable(level, word) {
            return Translation::Fault { level, word };
        }
        let pa = B::leaf_pa(self, level, word) + (va & (geometry.page_size() - 1));
        Translation::Leaf { level, word, pa }
    }

    /// Whether the leaf allows the access: by the kernel to its own half, by the user to the other.
    fn permits(&self, level: Level, word: u64, va: u64, access: Access) -> bool {
        let attributes = self.format().attributes(level, word);
        let kernel = self.machine.geometry.is_kernel(va);
        let right = match access {
            Access::Read => self.format().readable(word),
            Access::Write => attributes.write,
            Access::Exec => self.format().executable(level, word, kernel),
        };
        right && (kernel || attributes.user)
    }

    /// The executing CPU uses an address. A kernel fault that the architecture repairs is repaired and tried again.
    pub fn access(&mut self, va: u64, access: Access) -> Run<AccessResult> {
        let loaded = self.machine.cpu(self.cpu()).active_mm;
        let mm = B::root_for(self, loaded, va).unwrap_or(loaded);
        B::walker_updates(self, mm, va, access)?;
        let mut handler = Handler::Nobody;
        let found = match self.translate(loaded, va) {
            Translation::Fault { level, word } => {
                handler =
                    if self.geometry().is_kernel(va) { B::kernel_fault_handler(self, va) } else { Handler::Nobody };
                let aux = access as u32 | (handler as u32) << 8;
                let event = Event::of(Kind::FAULT).at(level, va, 0).aux(aux);
                self.emit(Event { mm: mm.0, old: word, ..event })?;
                if handler == Handler::Nobody {
                    Translation::Fault { level, word }
                } else {
                    B::repair_kernel_fault(self, va)?;
                    self.translate(loaded, va)
                }
            }
            found @ Translation::Leaf { .. } => found,
        };
        let (outcome, pa, level, word) = match found {
            Translation::Leaf { level, word, pa } if self.permits(level, word, va, access) => {
                let outcome = if handler == Handler::Nobody { Outcome::Ok } else { Outcome::Repaired };
                if level == Level::Pte {
                    // Another CPU may change the entry while it is used for the first time.
                    let word = B::used(self, mm, va, word, access)?;
                    let pa = B::leaf_pa(self, level, word) + (va & (self.geometry().page_size() - 1));
                    match (self.format().walkable(level, word), self.permits(level, word, va, access)) {
                        (true, true) => (outcome, pa, level, word),
                        (true, false) => (Outcome::Permission, 0, level, word),
                        (false, _) => (Outcome::NotPresent, 0, level, word),
                    }
                } else {
                    (outcome, pa, level, word)
                }
            }
            Translation::Leaf { level, word, .. } => (Outcome::Permission, 0, level, word),
            Translation::Fault { level, word } => (Outcome::NotPresent, 0, level, word),
        };
        let aux = access as u32 | (outcome as u32) << 8;
        let event = Event::of(Kind::ACCESS).at(level, va, pa).aux(aux);
        self.emit(Event { mm: mm.0, old: word, ..event })?;
        Ok(AccessResult { outcome, pa })
    }

    /// Kernel code uses an address that has to be mapped; a fault ends the task.
    pub(crate) fn touch(&mut self, va: u64, access: Access) -> Step {
        match self.access(va, access)?.outcome {
            Outcome::Ok | Outcome::Repaired => Ok(()),
            Outcome::NotPresent | Outcome::Permission => self.bug(BugCode::KernelFault, va),
        }
    }
}
