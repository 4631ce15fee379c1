//! One thread on its way through its program over one log.

use crate::visibility::{Effect, FaultKind, Invalidation, Ordering, Time, View};

use super::program::{Litmus, Operand, Reg, Thread};

/// A fault taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fault {
    pub thread: u8,
    /// The instruction.
    pub at: u16,
    pub address: Option<u64>,
    pub kind: &'static str,
}

/// What the file calls a fault of this kind.
pub(super) fn fault_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Translation => "MMU:Translation",
        FaultKind::AccessFlag => "MMU:AccessFlag",
        FaultKind::Permission => "MMU:Permission",
    }
}

/// One row of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    pub thread: u8,
    /// The instruction, where one caused it.
    pub at: Option<u16>,
    pub what: String,
    /// Where in the log: writes stand there, reads and walks see it up to there.
    pub time: Time,
}

/// An exclusive monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Monitor {
    pub cell: u64,
    pub from: Time,
    pub view: View,
}

/// A translation root written by the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Root {
    pub hypervisor: bool,
    pub root: u64,
    pub asid: u16,
    pub view: View,
    /// Context was synchronised since.
    pub synchronised: bool,
    /// Own invalidations made before it was replaced do not reach what was cached later.
    pub replaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub pc: u16,
    pub level: u8,
    pub own_stack: bool,
    /// In the handler of a fault.
    pub handling: bool,
    /// Runs an instruction again that has faulted.
    pub again: bool,
    pub steps: u16,
    pub registers: Vec<(u64, View)>,
    pub cpu: Ordering,
    /// Effects this thread would add to the log.
    pub ahead: Vec<Effect>,
    /// Which settled effects of this thread the run has come by.
    pub met: u128,
    /// Effects that could come next.
    pub proposals: Vec<Effect>,
    pub faults: Vec<Fault>,
    pub monitor: Option<Monitor>,
    /// Broadcast invalidations that no barrier has waited for.
    pub pending: Vec<Invalidation>,
    pub roots: Vec<Root>,
    /// Backward branches taken: from where, how often, and with which register values last.
    pub loops: Vec<(u16, u8, u64)>,
    /// Invalid entries used after memory had replaced them.
    pub stale: Vec<(u64, Time)>,
    pub story: Option<Vec<Event>>,
}

impl State {
    pub(super) fn new(test: &Litmus, id: u8, told: bool) -> State {
        let thread = &test.threads[usize::from(id)];
        let roots = thread
            .roots
            .iter()
            .enumerate()
            .map(|(i, &(root, asid))| Root {
                hypervisor: i == 1,
                root,
                asid,
                view: View::default(),
                synchronised: true,
                replaced: false,
            })
            .collect();
        State {
            pc: 0,
            level: thread.level,
            own_stack: thread.own_stack,
            handling: false,
            again: false,
            steps: 0,
            registers: thread.initial.iter().map(|&v| (v, View::default())).collect(),
            cpu: Ordering::new(id),
            ahead: Vec::new(),
            met: 0,
            proposals: Vec::new(),
            faults: Vec::new(),
            monitor: None,
            pending: Vec::new(),
            roots,
            loops: Vec::new(),
            stale: Vec::new(),
            story: told.then(Vec::new),
        }
    }

    pub(super) fn get(&self, operand: Operand) -> (u64, View) {
        match operand {
            Operand::Reg(reg) => self.registers[usize::from(reg)],
            Operand::Imm(value) => (value, View::default()),
        }
    }

    pub(super) fn set(&mut self, reg: Reg, value: u64, view: View) {
        self.registers[usize::from(reg)] = (value, view);
    }

    /// Sets a register by name, where the test has it.
    pub(super) fn set_named(&mut self, thread: &Thread, name: &str, value: u64) {
        if let Some(reg) = thread.register(name) {
            self.set(reg, value, View::default());
        }
    }

    pub(super) fn named(&self, thread: &Thread, name: &str) -> Option<u64> {
        thread.register(name).map(|reg| self.registers[usize::from(reg)].0)
    }

    pub(super) fn tell(&mut self, at: Option<u16>, time: Time, what: impl FnOnce() -> String) {
        let thread = self.cpu.id;
        if let Some(story) = &mut self.story {
            story.push(Event { thread, at, what: what(), time });
        }
    }
}
