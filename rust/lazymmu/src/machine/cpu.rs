//! What belongs to a CPU.

use super::{INIT_MM, MmId, TaskId};
use crate::event::codes::{Context, Irq};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CpuId(pub u8);

/// One CPU.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    pub current: TaskId,
    /// What it runs when nothing else wants it.
    pub idle: TaskId,
    /// The address space whose root is loaded; a kernel thread borrows the one before it.
    pub active_mm: MmId,
    /// Interrupts being handled, outermost first.
    pub interrupts: Vec<Irq>,
}

impl Cpu {
    #[must_use]
    pub fn new(current: TaskId, idle: TaskId) -> Cpu {
        Cpu { current, idle, active_mm: INIT_MM, interrupts: Vec::new() }
    }

    /// The innermost interrupt, or task context with or without bottom halves.
    #[inline]
    #[must_use]
    pub fn context(&self, bh_disabled: bool) -> Context {
        match self.interrupts.last() {
            Some(Irq::Nmi) => Context::Nmi,
            Some(Irq::Hard) => Context::HardIrq,
            Some(Irq::Soft) => Context::SoftIrq,
            None if bh_disabled => Context::SoftIrq,
            None => Context::Task,
        }
    }
}
