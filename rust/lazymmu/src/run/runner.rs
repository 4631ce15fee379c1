//! A machine that programs run on, whatever its backend.

use std::sync::Arc;

use super::concurrent;
use super::execute::limits::known_task;
use super::execute::{Ending, OpError, OpResult, execute, op_event, range_of};
use super::full::{Drive, Full, Injected, Quiet};
use crate::backend::Backend;
use crate::check::Finding;
use crate::descriptor::{AnyFormat, Format, UnknownProt};
use crate::event::{Counts, Event, Kind, Log};
use crate::explore::{self, Exploration, ExploreError, Progress, Swarm};
use crate::kernel::{Hook, Kernel, Overrides, Translation, Translations, Watch};
use crate::machine::{LazyMmuState, Machine, MmId, TaskId};
use crate::memory::TableId;
use crate::modmask::ModMask;
use crate::scenario::{Concurrent, Injection, Op, OpStep, Program, ProtSpec};
use crate::scheme::Options;
use crate::stop::Stop;

/// What is kept of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing but results: full speed.
    Quiet,
    /// Counts and findings.
    Checked,
    /// Counts, findings and every event.
    Logged,
}

/// A program that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("op {op}: {error}")]
    Op { op: u32, error: OpError },
    #[error("injection {injection}: op {op} does not exist: expected below {limit}")]
    InjectionOp { injection: u32, op: u32, limit: u32 },
    #[error("injection {injection}: unknown event kind {kind:?}")]
    InjectionKind { injection: u32, kind: String },
    #[error("injection {injection}: {what} {index} does not exist: expected below {limit}")]
    Injection { injection: u32, what: &'static str, index: u64, limit: u64 },
    #[error("injections, threads and exploration need a mode that watches events")]
    NeedsWatch,
    #[error("{0}")]
    Concurrent(String),
    #[error("schedule entry {entry}: {reason}")]
    Schedule { entry: usize, reason: String },
}

/// What a run leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub results: Vec<OpResult>,
    pub injected: Vec<Injected>,
    /// Injections whose point never came.
    pub missed: Vec<u32>,
    pub events: Log,
    /// The caller wanted no more: operations behind the last result did not run.
    pub interrupted: bool,
    /// Events that happened, logged or not.
    pub total: u64,
    pub counts: Counts,
    pub findings: Vec<Finding>,
}

/// A machine with its backend.
#[derive(Debug)]
pub struct Runner<B: Backend, W: Drive> {
    pub(super) kernel: Kernel<B, W>,
}

/// Whether to start the next operation.
pub type GoOn<'a> = dyn FnMut() -> bool + 'a;

/// A machine of some backend.
pub trait AnyRunner: Send + Sync + std::fmt::Debug {
    /// Runs a program's operations. Its setup is not looked at: the machine exists. `go_on` is asked before each.
    fn run(&mut self, ops: &[OpStep], injections: &[Injection], go_on: &mut GoOn<'_>) -> Result<Output, RunError>;
    /// The same with the program's threads behind its operations.
    fn perform(&mut self, program: &Program, go_on: &mut GoOn<'_>) -> Result<Output, RunError>;
    /// Everything that can come of a program. Its first operations are carried out here; what its threads may do is not.
    fn explore(
        &mut self,
        program: &Program,
        options: &explore::Options,
        samples: Option<Swarm>,
        progress: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Exploration, ExploreError>;
    fn machine(&self) -> &Machine;
    fn machine_mut(&mut self) -> &mut Machine;
    fn format(&self) -> &dyn AnyFormat;
    fn options(&self) -> &Options;
    fn sync_mask(&self) -> ModMask;
    fn translate(&self, mm: MmId, va: u64) -> Translation;
    fn translate_many(&self, mm: MmId, vas: &[u64]) -> Translations;
    fn set_overrides(&mut self, overrides: Option<Arc<dyn Overrides>>);
    /// Sets a task's counters, as a debugger would.
    fn set_lazy(&mut self, task: TaskId, state: LazyMmuState);
    /// Says which machine frame stands behind a guest frame; only a hypervisor's guest has such.
    fn map_frame(&mut self, guest: u64, machine: u64);
    fn set_ram_end(&mut self, end: u64);
    /// The tables of an address space, root first.
    fn reachable(&self, mm: MmId) -> Vec<TableId>;
    /// `pfn_pte` with a protection of the format.
    fn pte_word(&self, pa: u64, prot: &ProtSpec) -> Result<u64, UnknownProt>;
    /// Where the table is that a word at this level points to.
    fn table_pa(&self, level: crate::geometry::Level, word: u64) -> u64;
    /// The word that links the table at `pa` into init_mm.
    fn table_word(&self, level: crate::geometry::Level, pa: u64) -> u64;
    /// A copy that shares tables until one of both changes them.
    fn snapshot(&mut self) -> Box<dyn AnyRunner>;
}

impl<B: Backend, W: Drive> Runner<B, W> {
    #[must_use]
    pub fn new(kernel: Kernel<B, W>) -> Self {
        Runner { kernel }
    }

    pub fn kernel(&mut self) -> &mut Kernel<B, W> {
        &mut self.kernel
    }
}

/// One operation on its task, with its failures.
pub(super) fn step<B: Backend, W: Drive>(k: &mut Kernel<B, W>, index: u32, step: &OpStep) -> Result<OpResult, OpError> {
    k.op = index;
    let task = known_task(k, step.task)?;
    if k.machine.task(task).dead {
        return Ok(OpResult { ending: Ending::NotRun });
    }
    let cpu = k.machine.task(task).cpu;
    k.run_on(cpu);
    if k.current() != task
        && let Err(stop) = k.switch_to(task)
    {
        return Ok(stopped(k, stop));
    }
    k.watch.op_begins(&k.machine);
    if !k.watch.staged() {
        k.machine.frames.fail_at(step.fail_alloc);
    }
    let range = range_of(k, &step.op);
    if let Err(stop) = k.emit(op_event(Kind::OP, &step.op, range)) {
        return Ok(stopped(k, stop));
    }
    let result = execute(k, &step.op)?;
    if let Some(stop) = result.stop() {
        return Ok(stopped(k, stop));
    }
    if k.watch.quiescent()
        && let Err(stop) = k.rcu_quiescent()
    {
        return Ok(stopped(k, stop));
    }
    let (ret, calls, mask) = match result.ending {
        Ending::Returned { ret, mask, calls } => (ret, calls, mask),
        _ => (0, 0, ModMask::NONE),
    };
    let event = Event::of(Kind::OP_END).change(ret as u64, calls).aux(u32::from(mask.bits()));
    let ended = k.emit(event);
    k.machine.frames.fail_at(None);
    match ended {
        Ok(()) => Ok(result),
        Err(stop) => Ok(stopped(k, stop)),
    }
}

/// What a stop does to the task that ran.
fn stopped<B: Backend, W: Drive>(k: &mut Kernel<B, W>, stop: Stop) -> OpResult {
    let ending = match stop {
        Stop::Bug(code) => Ending::Died(code),
        Stop::Abort => Ending::HookFailed,
        Stop::Suspend => Ending::Suspended,
    };
    abandon(k);
    OpResult { ending }
}

/// An operation stopped in the middle: the interrupts that were being handled are over, and locks are broken.
fn abandon<B: Backend, W: Drive>(k: &mut Kernel<B, W>) {
    for cpu in &mut k.machine.cpus {
        cpu.interrupts.clear();
    }
    for task in &mut k.machine.tasks {
        task.locks = 0;
    }
    k.machine.frames.fail_at(None);
    k.run_on(k.cpu());
}

fn check_injections(machine: &Machine, ops: usize, injections: &[Injection]) -> Result<(), RunError> {
    for (n, injection) in injections.iter().enumerate() {
        let n = n as u32;
        if injection.at.op as usize >= ops {
            return Err(RunError::InjectionOp { injection: n, op: injection.at.op, limit: ops as u32 });
        }
        if let Some(kind) = &injection.at.kind
            && !Kind::ALL.iter().any(|k| k.name() == kind)
        {
            return Err(RunError::InjectionKind { injection: n, kind: kind.clone() });
        }
        let beyond = |what, index: Option<u64>, limit: usize| match index {
            Some(index) if index >= limit as u64 => {
                Err(RunError::Injection { injection: n, what, index, limit: limit as u64 })
            }
            _ => Ok(()),
        };
        beyond("CPU", injection.cpu.map(u64::from), machine.cpus.len())?;
        beyond("task", injection.task.map(u64::from), machine.tasks.len())?;
    }
    Ok(())
}

impl<B: Backend> Runner<B, Full> {
    fn run_full(
        &mut self,
        ops: &[OpStep],
        injections: &[Injection],
        concurrent: &Concurrent,
        go_on: &mut GoOn<'_>,
    ) -> Result<Output, RunError> {
        check_injections(&self.kernel.machine, ops.len(), injections)?;
        concurrent::check(&self.kernel.machine, ops.len() as u32, concurrent)?;
        let mut output = Output { results: Vec::with_capacity(ops.len()), ..Output::default() };
        for (n, op) in ops.iter().enumerate() {
            if !go_on() {
                output.interrupted = true;
                break;
            }
            let index = n as u32;
            let due = injections.iter().enumerate().filter(|(_, i)| i.at.op == index);
            let k = &mut self.kernel;
            k.watch.plan_injections(&k.machine, due.map(|(n, i)| (n as u32, i.clone())).collect());
            let done = step(&mut self.kernel, index, op);
            output.missed.extend(self.kernel.watch.end_op());
            let nested = self.kernel.watch.error.take();
            match (done, nested) {
                (Ok(result), None) => {
                    output.results.push(result);
                    if result.ending == Ending::HookFailed {
                        break;
                    }
                }
                (Err(error), _) | (Ok(_), Some(error)) => {
                    let k = &mut self.kernel;
                    k.watch.cut_short(&k.machine);
                    abandon(&mut self.kernel);
                    return Err(RunError::Op { op: index, error });
                }
            }
        }
        if !concurrent.threads.is_empty() && !output.interrupted {
            let done = concurrent::run(&mut self.kernel, concurrent, ops.len() as u32, &mut output);
            if done.is_err() {
                let k = &mut self.kernel;
                k.watch.cut_short(&k.machine);
                abandon(&mut self.kernel);
            }
            done?;
        }
        self.take(&mut output);
        Ok(output)
    }

    /// Takes what the watch has gathered.
    fn take(&mut self, output: &mut Output) {
        let watch = &mut self.kernel.watch;
        watch.settle(&self.kernel.machine);
        output.total = watch.seen();
        output.injected = std::mem::take(&mut watch.injected);
        output.counts = std::mem::take(&mut watch.counts);
        watch.forget();
        if let Some(log) = &mut watch.log {
            output.events = std::mem::take(log);
        }
        if let Some(checker) = &mut watch.checker {
            output.findings = checker.take_findings();
        }
    }
}

impl<B: Backend> Runner<B, Full> {
    fn explore_full(
        &mut self,
        program: &Program,
        options: &explore::Options,
        samples: Option<Swarm>,
        progress: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Exploration, ExploreError> {
        let program = program.threaded();
        concurrent::check(&self.kernel.machine, program.ops.len() as u32, &program.concurrent)?;
        let setup = Program { concurrent: Concurrent::default(), ..program.clone() };
        for (n, op) in setup.ops.iter().enumerate() {
            let due = setup.injections.iter().enumerate().filter(|(_, i)| i.at.op == n as u32);
            let k = &mut self.kernel;
            k.watch.plan_injections(&k.machine, due.map(|(n, i)| (n as u32, i.clone())).collect());
            let done = step(&mut self.kernel, n as u32, op);
            self.kernel.watch.end_op();
            if let (Err(error), _) | (Ok(_), Some(error)) = (done, self.kernel.watch.error.take()) {
                return Err(RunError::Op { op: n as u32, error }.into());
            }
        }
        explore::explore(&mut self.kernel, program, options, samples, progress)
    }
}

impl<B: Backend> Runner<B, Quiet> {
    fn explore_quiet(
        &mut self,
        _program: &Program,
        _options: &explore::Options,
        _samples: Option<Swarm>,
        _progress: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Exploration, ExploreError> {
        Err(RunError::NeedsWatch.into())
    }

    fn run_quiet(
        &mut self,
        ops: &[OpStep],
        injections: &[Injection],
        concurrent: &Concurrent,
        go_on: &mut GoOn<'_>,
    ) -> Result<Output, RunError> {
        if !injections.is_empty() || !concurrent.threads.is_empty() {
            return Err(RunError::NeedsWatch);
        }
        let mut output = Output { results: Vec::with_capacity(ops.len()), ..Output::default() };
        for (n, op) in ops.iter().enumerate() {
            if !go_on() {
                output.interrupted = true;
                break;
            }
            match step(&mut self.kernel, n as u32, op) {
                Ok(result) => output.results.push(result),
                Err(error) => {
                    abandon(&mut self.kernel);
                    return Err(RunError::Op { op: n as u32, error });
                }
            }
        }
        Ok(output)
    }
}

macro_rules! any_runner {
    ($watch:ty, $run:ident, $explore:ident) => {
        impl<B: Backend> AnyRunner for Runner<B, $watch> {
            fn run(
                &mut self,
                ops: &[OpStep],
                injections: &[Injection],
                go_on: &mut GoOn<'_>,
            ) -> Result<Output, RunError> {
                self.$run(ops, injections, &Concurrent::default(), go_on)
            }

            fn perform(&mut self, program: &Program, go_on: &mut GoOn<'_>) -> Result<Output, RunError> {
                self.$run(&program.ops, &program.injections, &program.concurrent, go_on)
            }

            fn explore(
                &mut self,
                program: &Program,
                options: &explore::Options,
                samples: Option<Swarm>,
                progress: &mut dyn FnMut(&Progress) -> bool,
            ) -> Result<Exploration, ExploreError> {
                self.$explore(program, options, samples, progress)
            }

            fn machine(&self) -> &Machine {
                &self.kernel.machine
            }

            fn machine_mut(&mut self) -> &mut Machine {
                &mut self.kernel.machine
            }

            fn format(&self) -> &dyn AnyFormat {
                self.kernel.any_format()
            }

            fn options(&self) -> &Options {
                &self.kernel.options
            }

            fn sync_mask(&self) -> ModMask {
                B::sync_mask(&self.kernel)
            }

            fn translate(&self, mm: MmId, va: u64) -> Translation {
                self.kernel.translate(mm, va)
            }

            fn translate_many(&self, mm: MmId, vas: &[u64]) -> Translations {
                self.kernel.translate_many(mm, vas)
            }

            fn set_overrides(&mut self, overrides: Option<Arc<dyn Overrides>>) {
                if overrides.as_ref().is_some_and(|o| o.hooks().contains(Hook::Begin)) {
                    self.kernel.watch.scope_batches();
                }
                self.kernel.set_overrides(overrides);
            }

            fn set_lazy(&mut self, task: TaskId, state: LazyMmuState) {
                self.kernel.machine.task_mut(task).lazy = state;
                self.kernel.run_on(self.kernel.cpu());
            }

            fn map_frame(&mut self, guest: u64, machine: u64) {
                self.kernel.backend.map_frame(guest, machine);
            }

            fn set_ram_end(&mut self, end: u64) {
                self.kernel.backend.set_ram_end(end);
            }

            fn reachable(&self, mm: MmId) -> Vec<TableId> {
                self.kernel.reachable(mm)
            }

            fn pte_word(&self, pa: u64, prot: &ProtSpec) -> Result<u64, UnknownProt> {
                let format = self.kernel.format();
                let prot = match prot {
                    ProtSpec::Bits(bits) => *bits,
                    ProtSpec::Name(name) => format.prot(name)?,
                };
                Ok(format.pte(pa, prot))
            }

            fn table_pa(&self, level: crate::geometry::Level, word: u64) -> u64 {
                B::table_pa(&self.kernel, level, word)
            }

            fn table_word(&self, level: crate::geometry::Level, pa: u64) -> u64 {
                B::table_word(&self.kernel, level, pa, true)
            }

            fn snapshot(&mut self) -> Box<dyn AnyRunner> {
                let watch = self.kernel.watch.clone();
                let kernel = self.kernel.snapshot(watch);
                Box::new(Runner { kernel })
            }
        }
    };
}

any_runner!(Full, run_full, explore_full);
any_runner!(Quiet, run_quiet, explore_quiet);

/// The operation's name, as messages and lists have it.
#[must_use]
pub fn op_name(op: &Op) -> String {
    Op::names().into_iter().find(|(code, _)| *code == op.code()).map_or_else(String::new, |(_, name)| name)
}
