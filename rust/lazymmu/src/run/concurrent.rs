//! The part of a program whose threads run at the same time, by a schedule.

use std::sync::Arc;

use super::execute::{Ending, OpResult};
use super::full::Full;
use super::runner::{Output, RunError};
use super::stage::{self, End, Guide, MOST_INTERRUPTS, MOST_THREADS, Stage};
use crate::backend::Backend;
use crate::event::Kind;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::scenario::{Concurrent, Program, Thread};

/// Whether threads and what may happen to them make sense on this machine. Their operations are numbered from `first`.
pub(crate) fn check(machine: &Machine, first: u32, plan: &Concurrent) -> Result<(), RunError> {
    let wrong = |message: String| Err(RunError::Concurrent(message));
    if plan.threads.is_empty() {
        let without = [
            ("interrupts", plan.interrupts.is_empty()),
            ("migrations", plan.migrations.is_empty()),
            ("schedule", plan.schedule.is_empty()),
        ];
        return match without.iter().find(|(_, empty)| !empty) {
            Some((what, _)) => wrong(format!("{what} without threads: nothing runs that they could come between")),
            None => Ok(()),
        };
    }
    let limit = |what: &str, value: usize, most: usize| match value > most {
        true => wrong(format!("{value} {what}: at most {most} can be told apart")),
        false => Ok(()),
    };
    limit("threads", plan.threads.len(), MOST_THREADS)?;
    limit("interrupts", plan.interrupts.len(), MOST_INTERRUPTS)?;
    limit("migrations", plan.migrations.len(), MOST_INTERRUPTS)?;
    let exists = |place: String, what: &str, index: u64, limit: usize| match index >= limit as u64 {
        true => wrong(format!("{place}: {what} {index} does not exist: expected below {limit}")),
        false => Ok(()),
    };
    let mut owners: Vec<(u16, usize)> = Vec::new();
    for (n, thread) in plan.threads.iter().enumerate() {
        for step in &thread.ops {
            exists(format!("thread {n}"), "task", u64::from(step.task), machine.tasks.len())?;
            match owners.iter().find(|(task, _)| *task == step.task) {
                Some((task, other)) if *other != n => {
                    return wrong(format!("task {task} cannot run in two threads, {other} and {n}"));
                }
                Some(_) => {}
                None => owners.push((step.task, n)),
            }
        }
    }
    if plan.threads.len() > 1 {
        for n in 0..plan.threads.len() {
            let tasks = owners.iter().filter(|(_, owner)| *owner == n).count();
            if tasks > 1 {
                return wrong(format!("thread {n} runs {tasks} tasks: beside other threads it can be one only"));
            }
        }
    }
    let ops = plan.threads.iter().map(|t| t.ops.len()).sum::<usize>();
    for (n, interrupt) in plan.interrupts.iter().enumerate() {
        let place = || format!("interrupt {n}");
        if let Some(op) = interrupt.at.ops.iter().find(|op| **op < first || **op >= first + ops as u32) {
            return wrong(format!(
                "interrupt {n}: op {op} is in no thread: expected {first} to {}",
                (first + ops as u32).saturating_sub(1)
            ));
        }
        if let Some(kind) = &interrupt.at.kind
            && !Kind::ALL.iter().any(|k| k.name() == kind)
        {
            return wrong(format!("interrupt {n}: unknown event kind {kind:?}"));
        }
        for cpu in interrupt.cpu.iter().chain(&interrupt.on) {
            exists(place(), "CPU", u64::from(*cpu), machine.cpus.len())?;
        }
        if let Some(task) = interrupt.task {
            exists(place(), "task", u64::from(task), machine.tasks.len())?;
        }
    }
    for (n, migration) in plan.migrations.iter().enumerate() {
        exists(format!("migration {n}"), "thread", u64::from(migration.thread), plan.threads.len())?;
        exists(format!("migration {n}"), "CPU", u64::from(migration.to), machine.cpus.len())?;
    }
    Ok(())
}

/// Runs the threads by the schedule.
pub(super) fn run<B: Backend>(
    kernel: &mut Kernel<B, Full>,
    plan: &Concurrent,
    first: u32,
    output: &mut Output,
) -> Result<(), RunError> {
    let crew = match plan.threads.len() {
        1 => None,
        n => Some(stage::crew::<B>(n).map_err(|error| RunError::Concurrent(format!("no host threads: {error}")))?),
    };
    let plan = Arc::new(plan.clone());
    let stage =
        Stage::new(&plan, Guide::Schedule { next: 0 }, (&kernel.machine, Arc::new(kernel.format())), first, false);
    kernel.watch.enter(&kernel.machine, stage);
    stage::perform(kernel, crew.as_ref());
    let Some(stage) = kernel.watch.stage.take() else {
        return Err(RunError::Concurrent("a host thread was lost".to_owned()));
    };
    let missing =
        OpResult { ending: if stage.end == Some(End::Deadlock) { Ending::Suspended } else { Ending::NotRun } };
    output.results.extend(stage.results.iter().map(|result| result.unwrap_or(missing)));
    match stage.end {
        Some(End::Op { op, error }) => Err(RunError::Op { op, error }),
        Some(End::Schedule { entry, reason }) => Err(RunError::Schedule { entry, reason }),
        Some(End::Halted) | None => Err(RunError::Concurrent("the threads came to no end".to_owned())),
        Some(End::Done | End::Deadlock) => match stage.guide {
            Guide::Schedule { next } if next < plan.schedule.len() => {
                let at = plan.schedule[next].at;
                Err(RunError::Schedule { entry: next, reason: format!("point {at} never came") })
            }
            _ => Ok(()),
        },
    }
}

impl Program {
    /// The program with threads. One that has none becomes a single thread, from the first operation that anything can
    /// happen to; its injections become interrupts that may come at any point of their operation.
    #[must_use]
    pub fn threaded(&self) -> Program {
        if !self.concurrent.threads.is_empty() {
            return self.clone();
        }
        let hit = self.injections.iter().map(|i| i.at.op as usize).min().unwrap_or(self.ops.len());
        let first = if self.concurrent.may_fail_alloc { 0 } else { hit.min(self.ops.len()) };
        let mut program = Program { injections: Vec::new(), ..self.clone() };
        let ops = program.ops.split_off(first);
        program.concurrent.threads = vec![Thread { ops }];
        program.concurrent.interrupts.extend(self.injections.iter().map(Into::into));
        program
    }
}
