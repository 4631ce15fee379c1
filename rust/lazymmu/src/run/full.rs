//! The watches of the drivers: one that keeps everything, one that keeps nothing.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use super::execute::limits::free_task;
use super::execute::{Ending, OpError, OpResult, execute};
use super::stage::{self, Stage};
use crate::backend::Backend;
use crate::check::Checker;
use crate::check::Severity;
use crate::event::codes::Irq;
use crate::event::cycle::{Cycles, Words};
use crate::event::{Counts, Event, Kind, Log};
use crate::geometry::Level;
use crate::kernel::{Kernel, Watch};
use crate::machine::{CpuId, KmapSlot, Machine};
use crate::scenario::{Injection, Interrupt, IrqKind, Op};
use crate::stop::{Run, Step, Stop};

/// What operations leave for later ones.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    addresses: FxHashMap<u32, u64>,
    kmaps: FxHashMap<u32, KmapSlot>,
}

impl Slots {
    pub(super) fn set(&mut self, slot: u32, address: Option<u64>) {
        match address {
            Some(address) => self.addresses.insert(slot, address),
            None => self.addresses.remove(&slot),
        };
    }

    pub(super) fn get(&self, slot: u32) -> Option<u64> {
        self.addresses.get(&slot).copied()
    }

    pub(super) fn set_kmap(&mut self, slot: u32, kmap: KmapSlot) {
        self.kmaps.insert(slot, kmap);
    }

    pub(super) fn kmap(&self, slot: u32) -> Option<KmapSlot> {
        self.kmaps.get(&slot).copied()
    }

    pub(super) fn forget_kmap(&mut self, slot: u32) {
        self.kmaps.remove(&slot);
    }

    fn digest(&self, h: &mut impl Hasher) {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_unstable();
        addresses.hash(h);
        let mut kmaps: Vec<_> = self.kmaps.iter().map(|(slot, k)| (slot, k.va, k.page, k.slot)).collect();
        kmaps.sort_unstable();
        kmaps.hash(h);
    }
}

/// A watch that a runner can drive.
pub trait Drive: Watch + Clone {
    fn slots(&mut self) -> &mut Slots;
    /// The user's begin and end postpone something.
    fn scope_batches(&mut self) {}
    /// From here on events are the operation's own: injections may strike.
    fn op_begins(&mut self, _machine: &Machine) {}
    /// Somebody else says which allocations fail.
    fn staged(&self) -> bool {
        false
    }
    /// No other thread is inside an operation: an RCU grace period can end.
    fn quiescent(&self) -> bool {
        true
    }
}

/// No event is made: operations run at full speed.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    slots: Slots,
}

impl Watch for Quiet {
    const WATCHES: bool = false;
    const HOOKED: bool = false;

    #[inline]
    fn event(&mut self, _machine: &Machine, _event: &Event) -> bool {
        false
    }

    fn hollow(&mut self) -> Quiet {
        Quiet::default()
    }

    fn interrupted<B: Backend>(_kernel: &mut Kernel<B, Quiet>) -> Step {
        Ok(())
    }
}

impl Drive for Quiet {
    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }
}

/// The result of an injected operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The operation that was interrupted.
    pub op: u32,
    /// Index of the injection in the program, and of the operation in it.
    pub injection: u32,
    pub step: u32,
    pub result: OpResult,
}

/// Events are counted, logged and checked, and operations interrupted as a program says.
#[derive(Clone, Debug, Default)]
pub struct Full {
    armed: bool,
    pub(super) log: Option<Log>,
    pub(super) counts: Counts,
    pub(super) checker: Option<Checker>,
    /// Events of this run, without those of a resting cycle.
    events: u64,
    /// Bytes that the log may take.
    limit: u64,
    cycles: Cycles,
    /// No cycle is ever begun.
    one_by_one: bool,
    /// Neither checker nor driver needs to see the events of the open cycle one by one.
    resting: bool,
    slots: Slots,
    /// Injections of the next operation, with their index in the program.
    next: Vec<(u32, Injection)>,
    /// Those of the running operation.
    waiting: Vec<(u32, Injection)>,
    /// Those whose point has just come.
    due: Vec<(u32, Injection)>,
    /// Own events of the running operation, and how many of each kind.
    own: u32,
    kinds: Vec<u32>,
    /// Depth of injections being run: their events are not the operation's own.
    depth: u32,
    pub(super) injected: Vec<Injected>,
    /// Threads that run at the same time.
    pub(crate) stage: Option<Box<Stage>>,
    pub(super) error: Option<OpError>,
}

impl Full {
    #[must_use]
    pub fn new(log: bool, limit: u64, one_by_one: bool) -> Full {
        Full { log: log.then(Log::new), limit, one_by_one, ..Full::default() }
    }

    pub(super) fn check(&mut self, checker: Checker) {
        self.checker = Some(checker);
    }

    /// These interrupt the next operation.
    pub(super) fn plan_injections(&mut self, machine: &Machine, injections: Vec<(u32, Injection)>) {
        self.settle(machine);
        self.next = injections;
        self.own = 0;
        self.kinds.clear();
        if self.next.iter().any(|(_, i)| i.at.kind.is_some()) {
            self.kinds.resize(256, 0);
        }
    }

    /// Adds what later events and verdicts depend on to a digest.
    pub(super) fn digest(&self, h: &mut stage::History) {
        self.slots.digest(h);
        if let Some(checker) = &self.checker {
            checker.digest(h);
        }
        h.words(self.verdicts().parts());
    }

    /// What was found: where, but not when.
    pub(super) fn verdicts(&self) -> stage::History {
        let findings = self.checker.iter().flat_map(|c| c.findings());
        let mut found: Vec<_> =
            findings.filter(|f| f.severity != Severity::Cost).map(|f| (f.code, f.severity, f.op)).collect();
        found.sort_unstable();
        stage::History::of(found)
    }

    /// Threads run at the same time from now on.
    pub(crate) fn enter(&mut self, machine: &Machine, stage: Stage) {
        self.settle(machine);
        self.stage = Some(Box::new(stage));
    }

    /// Injections whose point did not come.
    pub(super) fn end_op(&mut self) -> Vec<u32> {
        self.waiting.drain(..).chain(self.next.drain(..)).map(|(n, _)| n).collect()
    }

    /// An operation could not be carried out: nothing of the run is kept, and whatever was open in it is over.
    pub(super) fn cut_short(&mut self, machine: &Machine) {
        self.settle(machine);
        self.next.clear();
        self.waiting.clear();
        self.due.clear();
        self.depth = 0;
        self.error = None;
        self.counts = Counts::default();
        self.events = 0;
        self.injected.clear();
        if let Some(log) = &mut self.log {
            *log = Log::new();
        }
        if let Some(checker) = &mut self.checker {
            checker.take_findings();
            checker.cut_short();
        }
    }

    /// The next run counts from 0.
    pub(super) fn forget(&mut self) {
        self.events = 0;
    }

    /// Counts, logs and checks what the open cycle has kept back.
    pub(super) fn settle(&mut self, machine: &Machine) {
        if !self.cycles.is_open() {
            return;
        }
        let stretch = self.cycles.stretch();
        if let Some(log) = &mut self.log {
            log.push_stretch(&stretch);
        }
        if self.resting && stretch.events > 0 {
            self.events += stretch.events;
            self.counts.add_stretch(&stretch);
            if let Some(checker) = &mut self.checker {
                checker.see_stretch(machine, &stretch);
            }
        }
        self.resting = false;
        self.cycles.close();
    }

    /// An event that was not noted with the resting cycle. True when the driver wants to act.
    #[inline(never)]
    fn single(&mut self, machine: &Machine, event: &Event) -> bool {
        let words = Words::from(event);
        let expected = self.cycles.expected(&words);
        if !expected {
            self.settle(machine);
            if let Some(log) = &mut self.log {
                log.push(*event);
            }
        } else if self.resting {
            return false;
        }
        self.events += 1;
        self.counts.add(event);
        if let Some(checker) = &mut self.checker {
            checker.see(machine, event);
        }
        if !expected && !self.one_by_one && self.stage.is_none() && self.cycles.note(&words) {
            let at_rest = self.checker.as_ref().is_none_or(|checker| checker.defers(self.cycles.cycle()));
            self.resting = at_rest && self.waiting.is_empty();
            if self.resting {
                self.cycles.ease();
            }
        }
        if let Some(log) = &self.log
            && log.bytes() > self.limit
        {
            self.error.get_or_insert(OpError::LogFull { limit: self.limit, events: log.len() });
            return true;
        }
        if let Some(stage) = &mut self.stage {
            return stage.event(machine, event);
        }
        if self.waiting.is_empty() || self.depth > 0 {
            return false;
        }
        self.find_due(event)
    }

    fn find_due(&mut self, event: &Event) -> bool {
        let own = self.own;
        self.own += 1;
        let nth = if self.kinds.is_empty() {
            0
        } else {
            let seen = &mut self.kinds[usize::from(event.kind)];
            *seen += 1;
            *seen - 1
        };
        let name = event.kind().map_or("", Kind::name);
        let is_due = |i: &Injection| match (&i.at.event, &i.at.kind) {
            (Some(at), _) => *at == own,
            (None, Some(kind)) => kind == name && i.at.nth == nth,
            (None, None) => own == 0,
        };
        self.due = self.waiting.extract_if(.., |(_, i)| is_due(i)).collect();
        !self.due.is_empty()
    }
}

impl Watch for Full {
    const WATCHES: bool = true;
    const HOOKED: bool = true;

    fn start(&mut self) {
        self.armed = true;
    }

    #[inline]
    fn event(&mut self, machine: &Machine, event: &Event) -> bool {
        self.armed && self.single(machine, event)
    }

    #[inline(always)]
    fn again(&mut self, key: u64, moving: [u64; 4]) -> bool {
        self.cycles.again(key, moving)
    }

    fn turned(&mut self) {
        self.cycles.tighten();
    }

    fn seen(&self) -> u64 {
        self.events + if self.resting { self.cycles.came() } else { 0 }
    }

    fn hollow(&mut self) -> Full {
        Full::default()
    }

    #[inline]
    fn read(&mut self, level: Level, word: u64) {
        if let Some(stage) = &mut self.stage {
            stage.read(level, word);
        }
    }

    fn alloc_fails<B: Backend>(kernel: &mut Kernel<B, Full>) -> Run<bool> {
        stage::alloc_fails(kernel)
    }

    fn lock<B: Backend>(kernel: &mut Kernel<B, Full>, lock: u64) -> Step {
        stage::lock(kernel, lock)
    }

    fn unlock<B: Backend>(kernel: &mut Kernel<B, Full>, lock: u64) {
        stage::unlock(kernel, lock);
    }

    fn interrupted<B: Backend>(kernel: &mut Kernel<B, Full>) -> Step {
        if kernel.watch.error.is_some() {
            return Err(Stop::Abort);
        }
        if kernel.watch.stage.is_some() {
            return stage::decide(kernel);
        }
        for (index, injection) in std::mem::take(&mut kernel.watch.due) {
            kernel.watch.depth += 1;
            let Injection { irq, task, cpu, ops, .. } = &injection;
            let done = inject(kernel, index, &Between { irq: *irq, task: *task, cpu: *cpu, ops });
            kernel.watch.depth -= 1;
            done?;
        }
        Ok(())
    }
}

impl Drive for Full {
    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    fn scope_batches(&mut self) {
        if let Some(checker) = &mut self.checker {
            checker.scope_batches();
        }
    }

    fn op_begins(&mut self, machine: &Machine) {
        self.settle(machine);
        self.waiting = std::mem::take(&mut self.next);
    }

    fn staged(&self) -> bool {
        self.stage.is_some()
    }

    fn quiescent(&self) -> bool {
        self.stage.as_ref().is_none_or(|stage| stage.alone())
    }
}

/// What comes between two micro-steps, and where it runs.
struct Between<'a> {
    irq: Option<IrqKind>,
    task: Option<u16>,
    cpu: Option<u8>,
    ops: &'a [Op],
}

/// An interrupt of a thread comes now.
pub(super) fn inject_interrupt<B: Backend>(k: &mut Kernel<B, Full>, index: u32, interrupt: &Interrupt) -> Step {
    let Interrupt { irq, task, on, ops, .. } = interrupt;
    inject(k, index, &Between { irq: *irq, task: *task, cpu: *on, ops })
}

fn inject<B: Backend>(k: &mut Kernel<B, Full>, index: u32, injection: &Between<'_>) -> Step {
    let cpu = k.cpu();
    if let Some(other) = injection.cpu {
        k.run_on(CpuId(other));
    }
    let task = k.current();
    if let Some(next) = injection.task {
        match free_task(k, next) {
            Ok(next) => k.switch_to(next)?,
            Err(error) => return refused(k, error),
        }
    }
    let irq = injection.irq.map(irq_of);
    if let Some(irq) = irq {
        k.irq_enter(irq)?;
    }
    let mut ended = Ok(());
    for (step, op) in injection.ops.iter().enumerate() {
        ended = inject_op(k, index, step as u32, op);
        if ended.is_err() {
            break;
        }
    }
    match (irq, ended) {
        (Some(irq), Ok(())) => k.irq_exit(irq)?,
        (Some(_), Err(_)) => k.irq_abandon(),
        (None, _) => {}
    }
    if ended.is_ok() && injection.task.is_some() {
        match free_task(k, task.0) {
            Ok(task) => k.switch_to(task)?,
            Err(error) => return refused(k, error),
        }
    }
    if injection.cpu.is_some() {
        k.run_on(cpu);
    }
    ended
}

fn inject_op<B: Backend>(k: &mut Kernel<B, Full>, injection: u32, step: u32, op: &Op) -> Step {
    let op_index = k.op;
    let result = match execute(k, op) {
        Ok(result) => result,
        Err(error) => return refused(k, error),
    };
    let stop = result.stop();
    if result.ending == Ending::Suspended {
        return Err(Stop::Suspend);
    }
    k.watch.injected.push(Injected { op: op_index, injection, step, result });
    stop.map_or(Ok(()), Err)
}

/// What an injection asks for makes no sense.
fn refused<B: Backend>(k: &mut Kernel<B, Full>, error: OpError) -> Step {
    k.watch.error.get_or_insert(error);
    Err(Stop::Abort)
}

pub(super) const fn irq_of(kind: IrqKind) -> Irq {
    match kind {
        IrqKind::Hard => Irq::Hard,
        IrqKind::Soft => Irq::Soft,
        IrqKind::Nmi => Irq::Nmi,
    }
}
