//! What a CPU finds at a virtual address, from the words in memory.

use super::{Kernel, Watch};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Access, BugCode, Handler, Outcome};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::MmId;
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

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Walks the tables of an address space as hardware does: words in memory, nothing else.
    #[must_use]
    pub fn translate(&self, mm: MmId, va: u64) -> Translation {
        let memory = &self.machine.memory;
        let geometry = &self.machine.geometry;
        let mut id = self.machine.root(mm);
        loop {
            let level = memory.level(id);
            let word = memory.word(id, geometry.index(level, va));
            if !self.format().valid(word) {
                return Translation::Fault { level, word };
            }
            if level == Level::Pte || self.format().leaf(level, word) {
                let offset = va & (geometry.size(level) - 1);
                let pa = B::leaf_pa(self, level, word) + offset;
                return Translation::Leaf { level, word, pa };
            }
            match memory.at(B::table_pa(self, level, word)) {
                Some(below) => id = below,
                None => return Translation::Fault { level, word },
            }
        }
    }

    /// Whether the leaf allows the access.
    fn permits(&self, level: Level, word: u64, va: u64, access: Access) -> bool {
        let attributes = self.format().attributes(level, word);
        let user = !self.machine.geometry.is_kernel(va);
        let right = match access {
            Access::Read => true,
            Access::Write => attributes.write,
            Access::Exec => attributes.exec,
        };
        right && (!user || attributes.user)
    }

    /// The executing CPU uses an address. A kernel fault that the architecture repairs is repaired and tried again.
    pub fn access(&mut self, va: u64, access: Access) -> Run<AccessResult> {
        let mm = B::translating_mm(self, va);
        let mut handler = Handler::Nobody;
        let found = match self.translate(mm, va) {
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
                    self.translate(mm, va)
                }
            }
            found @ Translation::Leaf { .. } => found,
        };
        let (outcome, pa, level, word) = match found {
            Translation::Leaf { level, word, pa } if self.permits(level, word, va, access) => {
                let outcome = if handler == Handler::Nobody { Outcome::Ok } else { Outcome::Repaired };
                (outcome, pa, level, word)
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
