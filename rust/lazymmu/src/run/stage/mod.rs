//! Threads of a program that run at the same time, under a guide that decides what happens next.
//!
//! After each event, before each allocation, and where a thread cannot go on, the machine is at a *point*. The
//! [`Stage`] knows what may happen there: each thread that can run may go on, an interrupt may come, a task may be moved,
//! the allocation may fail. The guide takes one of these: a schedule that is replayed, or the labels of a path that a
//! search is on. Everything else about threads, interrupts and locks is the kernel's own code.

mod baton;
mod key;
mod perform;

use std::sync::Arc;

pub(crate) use baton::Crew;
pub(crate) use perform::{crew, perform};

use super::execute::{OpError, OpResult};
use crate::descriptor::AnyFormat;
use crate::event::codes::Irq;
use crate::event::{Event, Kind};
use crate::machine::{CpuId, Machine, TaskId};
use crate::scenario::{Concurrent, Decision, Interrupt, IrqKind, Preemption};
pub use key::Leaf;
use key::Names;
pub(crate) use key::{History, leaves, outcome};
pub(in crate::run) use perform::{alloc_fails, decide, lock, unlock};

/// A thread number needs four bits of a label, a choice's argument ten.
pub(crate) const MOST_THREADS: usize = 16;
pub(crate) const MOST_INTERRUPTS: usize = 1 << ARGUMENT_BITS;
const ARGUMENT_BITS: u32 = 10;

/// One thing that may happen at a point: a thread goes on, after what `how` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) thread: usize,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Step,
    Interrupt(usize),
    Migrate(usize),
    Fail,
}

impl Choice {
    const fn step(thread: usize) -> Choice {
        Choice { thread, how: How::Step }
    }

    /// As a step of a search is called.
    pub(crate) const fn label(self) -> u16 {
        let (kind, argument) = match self.how {
            How::Step => (0, 0),
            How::Interrupt(n) => (1, n),
            How::Migrate(n) => (2, n),
            How::Fail => (3, 0),
        };
        (self.thread << 12 | kind << ARGUMENT_BITS | argument) as u16
    }

    fn decision(self, at: u32, current: usize) -> Decision {
        let mut decision = Decision { at, ..Decision::default() };
        if self.thread != current || self.how == How::Step {
            decision.thread = Some(self.thread as u16);
        }
        match self.how {
            How::Step => {}
            How::Interrupt(n) => decision.interrupt = Some(n as u32),
            How::Migrate(n) => decision.migrate = Some(n as u32),
            How::Fail => decision.fail = true,
        }
        decision
    }

    fn decided(decision: &Decision, current: usize) -> Choice {
        let thread = decision.thread.map_or(current, usize::from);
        let how = match (decision.interrupt, decision.migrate, decision.fail) {
            (Some(n), _, _) => How::Interrupt(n as usize),
            (None, Some(n), _) => How::Migrate(n as usize),
            (None, None, true) => How::Fail,
            (None, None, false) => How::Step,
        };
        Choice { thread, how }
    }
}

/// Who decides.
#[derive(Clone, Debug)]
pub(crate) enum Guide {
    /// Whatever is not decided is as if nobody was there to interfere.
    Schedule { next: usize },
    /// Decisions where there is more than one choice, by label; behind them, if `beyond`, the first choice; then the run
    /// is halted at the next point with more than one.
    Labels { labels: Vec<u16>, next: usize, beyond: bool },
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    New,
    Ready,
    /// Waits for a lock.
    Waiting(u64),
    Done,
}

/// A thread.
#[derive(Clone, Debug)]
struct Actor {
    status: Status,
    /// The CPU and the task that it continues with.
    cpu: CpuId,
    task: TaskId,
    op: u32,
    /// Index of the first of its operations, and of the running one.
    first: u32,
    /// The kind of its last event.
    last: u8,
    /// What it has seen since the operation began; a new one for each interrupt inside.
    seen: Vec<History>,
    /// Allocations of the running operation.
    allocs: u64,
    /// The CPU is on its way to the thread's task: it cannot be preempted.
    switching: bool,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// At a point with these choices.
    Halted,
    /// All threads are done.
    Done,
    /// Threads wait for each other's locks.
    Deadlock,
    Op {
        op: u32,
        error: OpError,
    },
    Schedule {
        entry: usize,
        reason: String,
    },
}

/// Everything about running threads.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) plan: Arc<Concurrent>,
    pub(crate) guide: Guide,
    /// Tables that threads made have names that do not depend on who came first.
    pub(crate) names: Names,
    running: bool,
    current: usize,
    actors: Vec<Actor>,
    points: u32,
    used: Vec<u32>,
    migrated: Vec<bool>,
    locks: Vec<(u64, usize)>,
    pub(crate) end: Option<End>,
    /// The state at which the run is halted.
    pub(crate) key: Option<[u64; 2]>,
    /// By operation, counted from the first thread's first.
    pub(crate) results: Vec<Option<OpResult>>,
    /// What the thread that gets the machine does first.
    wake: How,
    baton: Option<Arc<baton::Baton>>,
    choices: Vec<Choice>,
    /// Choices where the last label, or what is beyond, was chosen.
    pub(crate) offered: Vec<Choice>,
    /// Everything since then concerns one thread alone.
    pub(crate) local: bool,
    /// What was decided otherwise than a schedule with nothing in it would.
    pub(crate) trail: Vec<Decision>,
    /// Threads share CPUs, or may come to.
    shared: bool,
}

impl Stage {
    /// `first` is the index of the first thread's first operation.
    pub(crate) fn new(
        plan: &Arc<Concurrent>,
        guide: Guide,
        (machine, format): (&Machine, Arc<dyn AnyFormat>),
        first: u32,
        rename: bool,
    ) -> Stage {
        let mut at = first;
        let mut actors = Vec::with_capacity(plan.threads.len());
        for thread in &plan.threads {
            let task = TaskId(thread.ops.first().map_or(0, |step| step.task));
            let cpu = machine.tasks.get(usize::from(task.0)).map_or(CpuId(0), |t| t.cpu);
            let status = if thread.ops.is_empty() { Status::Done } else { Status::New };
            let seen = vec![History::default()];
            actors.push(Actor { status, cpu, task, op: at, first: at, last: 0, seen, allocs: 0, switching: false });
            at += thread.ops.len() as u32;
        }
        let cpus: Vec<_> = actors.iter().filter(|a| a.status != Status::Done).map(|a| a.cpu).collect();
        let twice = cpus.iter().enumerate().any(|(n, cpu)| cpus[..n].contains(cpu));
        Stage {
            guide,
            names: Names::new(format, rename, machine.geometry.page_size()),
            key: None,
            running: false,
            current: 0,
            actors,
            points: 0,
            used: vec![0; plan.interrupts.len()],
            migrated: vec![false; plan.migrations.len()],
            locks: Vec::new(),
            end: None,
            results: vec![None; (at - first) as usize],
            wake: How::Step,
            baton: None,
            choices: Vec::new(),
            offered: Vec::new(),
            local: true,
            trail: Vec::new(),
            shared: twice || !plan.migrations.is_empty(),
            plan: Arc::clone(plan),
        }
    }

    fn first(&self) -> u32 {
        self.actors.first().map_or(0, |a| a.first)
    }

    fn actor(&mut self) -> &mut Actor {
        &mut self.actors[self.current]
    }

    /// Takes note of an event. True: more than one thing may happen behind it.
    pub(super) fn event(&mut self, machine: &Machine, event: &Event) -> bool {
        if !self.running || self.end.is_some() {
            return false;
        }
        self.local &= !self.shared && is_local(event);
        self.names.note(event, self.current);
        let own = self.names.renamed(event);
        let actor = &mut self.actors[self.current];
        actor.last = event.kind;
        (actor.cpu, actor.task, actor.op) = (CpuId(event.cpu), TaskId(event.task), event.op);
        if let Some(seen) = actor.seen.last_mut() {
            seen.event(&own);
        }
        self.points += 1;
        self.offer(machine);
        self.choices.len() > 1 || self.choices.first() != Some(&Choice::step(self.current)) || self.scheduled()
    }

    /// A word that the running thread has read.
    pub(super) fn read(&mut self, level: crate::geometry::Level, word: u64) {
        if !self.running || self.end.is_some() {
            return;
        }
        self.local = false;
        let word = self.names.word(level, word);
        if let Some(seen) = self.actor().seen.last_mut() {
            seen.words(word);
        }
    }

    /// Whether a schedule says something about this point.
    fn scheduled(&self) -> bool {
        match &self.guide {
            Guide::Schedule { next } => self.plan.schedule.get(*next).is_some_and(|d| d.at < self.points),
            Guide::Labels { .. } => false,
        }
    }

    /// The number of the point at which the machine is.
    const fn point(&self) -> u32 {
        self.points - 1
    }

    /// Collects what may happen now: first what goes on as if nobody was there to interfere.
    fn offer(&mut self, machine: &Machine) {
        let mut choices = std::mem::take(&mut self.choices);
        choices.clear();
        let threads = (0..self.actors.len()).filter(|t| *t != self.current);
        let order: Vec<usize> = std::iter::once(self.current).chain(threads).collect();
        for &thread in &order {
            if self.runs(machine, thread) {
                choices.push(Choice::step(thread));
            }
        }
        for &thread in &order {
            for (n, interrupt) in self.plan.interrupts.iter().enumerate() {
                if self.used[n] < interrupt.times && self.may_interrupt(machine, thread, interrupt) {
                    choices.push(Choice { thread, how: How::Interrupt(n) });
                }
            }
            for (n, migration) in self.plan.migrations.iter().enumerate() {
                if !self.migrated[n] && usize::from(migration.thread) == thread && self.may_migrate(machine, n) {
                    choices.push(Choice { thread, how: How::Migrate(n) });
                }
            }
        }
        self.choices = choices;
    }

    /// Whether a thread can go on.
    fn runs(&self, machine: &Machine, thread: usize) -> bool {
        let actor = &self.actors[thread];
        match actor.status {
            Status::Done => return false,
            Status::Waiting(lock) if self.owned(lock, thread) => return false,
            _ => {}
        }
        let Some(here) = machine.cpus.get(usize::from(actor.cpu.0)) else { return false };
        let inside = |a: &Actor| matches!(a.status, Status::Ready | Status::Waiting(_));
        let other = self.actors.iter().position(|a| inside(a) && a.cpu == actor.cpu && a.task == here.current);
        let Some(other) = other.filter(|_| here.current != actor.task) else { return true };
        let willing = match self.plan.preemption {
            Preemption::None => false,
            Preemption::Voluntary => self.actors[other].last == Kind::RESCHED as u8,
            Preemption::Full => true,
        };
        willing && self.preemptible(machine, other)
    }

    /// Whether no other thread is inside an operation.
    pub(super) fn alone(&self) -> bool {
        let inside = |a: &Actor| matches!(a.status, Status::Ready | Status::Waiting(_));
        !self.actors.iter().enumerate().any(|(n, a)| n != self.current && inside(a))
    }

    /// Whether a lock is in another thread's hands.
    fn owned(&self, lock: u64, thread: usize) -> bool {
        self.locks.iter().any(|(l, owner)| *l == lock && *owner != thread)
    }

    /// Whether a thread is where it may lose its CPU.
    fn preemptible(&self, machine: &Machine, thread: usize) -> bool {
        let actor = &self.actors[thread];
        let task = machine.task(actor.task);
        !actor.switching
            && machine.cpu(actor.cpu).interrupts.is_empty()
            && task.locks == 0
            && task.bh_count == 0
            && self.locks.iter().all(|(_, owner)| *owner != thread)
    }

    fn may_interrupt(&self, machine: &Machine, thread: usize, interrupt: &Interrupt) -> bool {
        let actor = &self.actors[thread];
        let Some(here) = machine.cpus.get(usize::from(actor.cpu.0)) else { return false };
        let inside = matches!(actor.status, Status::Ready | Status::Waiting(_)) && here.current == actor.task;
        let at = &interrupt.at;
        let last = Kind::from_code(actor.last).map_or("", Kind::name);
        if !inside
            || interrupt.cpu.is_some_and(|wanted| wanted != actor.cpu.0)
            || (!at.ops.is_empty() && !at.ops.contains(&actor.op))
            || at.kind.as_ref().is_some_and(|kind| kind != last)
        {
            return false;
        }
        match interrupt.irq {
            None if actor.seen.len() > 1 => false,
            None => interrupt.task.is_none() || self.preemptible(machine, thread),
            Some(IrqKind::Soft) if machine.task(here.current).bh_count > 0 => false,
            Some(irq) => here.interrupts.last().is_none_or(|last| rank(super::full::irq_of(irq)) > rank(*last)),
        }
    }

    fn may_migrate(&self, machine: &Machine, number: usize) -> bool {
        let migration = &self.plan.migrations[number];
        let thread = usize::from(migration.thread);
        let actor = &self.actors[thread];
        let target = CpuId(migration.to);
        let taken = self.actors.iter().any(|a| a.status != Status::Done && a.cpu == target);
        actor.status == Status::Ready && actor.seen.len() == 1 && !taken && self.preemptible(machine, thread)
    }
}

/// Which interrupt may interrupt which.
const fn rank(irq: Irq) -> u8 {
    match irq {
        Irq::Soft => 1,
        Irq::Hard => 2,
        Irq::Nmi => 3,
    }
}

/// Whether an event is about the running thread's own task alone, so that nobody sees when it happened.
fn is_local(event: &Event) -> bool {
    let direct = event.aux == 1;
    match event.kind() {
        Some(
            Kind::OP
            | Kind::OP_END
            | Kind::WALK
            | Kind::WALK_END
            | Kind::SLOT
            | Kind::BEGIN
            | Kind::END
            | Kind::ENTER
            | Kind::LEAVE
            | Kind::LAZY_FLUSH
            | Kind::ENABLE
            | Kind::DISABLE
            | Kind::PAUSE
            | Kind::RESUME
            | Kind::DEFER
            | Kind::RESCHED
            | Kind::FLUSH_CACHE
            | Kind::WMB,
        ) => true,
        Some(Kind::KMAP | Kind::KUNMAP) => direct,
        _ => false,
    }
}
