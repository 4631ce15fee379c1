//! Stores that something must still complete.

use crate::event::Event;

/// A run of stores that something must still complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub start: u64,
    pub end: u64,
    pub level: u8,
    pub cpu: u8,
    pub task: u16,
    /// Index of the first event of the run.
    pub event: u64,
    /// The store waits in a queue; memory does not have it.
    pub queued: bool,
    /// A store of a kmap slot.
    pub kmap: bool,
    /// DSB is done, ISB is not: the storing CPU may still hold the old fault.
    pub dsb_done: bool,
    /// CPUs that stored into a table below it, and so have read it.
    pub(super) reached: u16,
    /// Those of them that had a barrier since: a store that a CPU has read is no secret to its walker behind that.
    pub(super) settled: u16,
    /// What the next store of the run would map.
    pub(super) next: u64,
    pub(super) context: u8,
    /// In a real interrupt, not with bottom halves disabled.
    pub(super) in_irq: bool,
}

impl Pending {
    #[must_use]
    pub const fn covers(&self, va: u64) -> bool {
        va >= self.start && va < self.end
    }

    /// Whether a store is the next one of the run.
    pub(super) const fn extended_by(&self, event: &Event, queued: bool, in_irq: bool) -> bool {
        self.next == event.va
            && self.level == event.level
            && self.cpu == event.cpu
            && self.task == event.task
            && self.context == event.context
            && self.queued == queued
            && self.in_irq == in_irq
            && !self.dsb_done
            && self.reached == 0
    }

    /// Whether walkers of this other CPU see it, although its own has not completed it.
    #[must_use]
    pub const fn seen_by(&self, cpu: u8) -> bool {
        self.settled >> (cpu & 15) & 1 != 0
    }

    /// Whether an interrupt stored it.
    #[must_use]
    pub const fn by_interrupt(&self) -> bool {
        self.in_irq
    }
}
