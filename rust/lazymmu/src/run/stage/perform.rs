//! Running threads: who has the machine, and what happens to it next.

use std::sync::Arc;

use super::baton::{Baton, Crew, Received};
use super::{Choice, End, Guide, How, Stage, Status, key};
use crate::backend::Backend;
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::run::execute::{Ending, OpResult};
use crate::run::full::{Full, inject_interrupt};
use crate::run::runner::step;
use crate::stop::{Run, Step, Stop};

type Running<B> = Kernel<B, Full>;

/// Host threads for these many threads.
pub(crate) fn crew<B: Backend>(threads: usize) -> std::io::Result<Crew> {
    Crew::new(threads, member::<B>)
}

/// A host thread: runs its thread's operations whenever it gets the machine.
fn member<B: Backend>(baton: &Baton, me: usize) {
    loop {
        match baton.wait(me, false) {
            Received::Machine(parcel) => {
                if let Ok(kernel) = parcel.downcast::<Running<B>>() {
                    let mut kernel = *kernel;
                    if taken(&mut kernel, me).is_ok() {
                        operations(&mut kernel, me);
                    }
                }
                baton.outside();
            }
            Received::Abandoned => {}
            Received::Quit => return,
        }
    }
}

/// Runs the threads of the stage that the kernel's watch has, from the first point to the end.
pub(crate) fn perform<B: Backend>(kernel: &mut Running<B>, crew: Option<&Crew>) {
    let cpu = kernel.cpu();
    let Some(stage) = stage(kernel) else { return };
    stage.baton = crew.map(|crew| Arc::clone(&crew.baton));
    stage.running = true;
    stage.points = 1;
    if let Ok(Some(next)) = choose_next(kernel) {
        let mine = if next == 0 { Ok(()) } else { hand(kernel, next) };
        if mine.is_ok() && stage_ref(kernel).is_some_and(|s| s.end.is_none()) {
            operations(kernel, 0);
        }
    }
    if let Some(crew) = crew {
        crew.baton.settle();
    }
    if let Some(stage) = kernel.watch.stage.as_mut() {
        stage.running = false;
        stage.baton = None;
    }
    kernel.run_on(cpu);
}

fn stage<B: Backend>(kernel: &mut Running<B>) -> Option<&mut Stage> {
    kernel.watch.stage.as_deref_mut()
}

fn stage_ref<B: Backend>(kernel: &Running<B>) -> Option<&Stage> {
    kernel.watch.stage.as_deref()
}

/// The operations of a thread, one after the other; behind the last the machine goes to whoever is next.
fn operations<B: Backend>(kernel: &mut Running<B>, me: usize) {
    let Some(stage) = stage(kernel) else { return };
    let (plan, first, base) = (Arc::clone(&stage.plan), stage.actors[me].first, stage.first());
    stage.actors[me].status = Status::Ready;
    for (n, op) in plan.threads[me].ops.iter().enumerate() {
        let index = first + n as u32;
        if let Some(stage) = kernel.watch.stage.as_mut() {
            let actor = &mut stage.actors[me];
            (actor.op, actor.allocs) = (index, 0);
        }
        let done = step(kernel, index, op);
        // A thread that has lost the machine has a hollow one, and nothing more to do.
        if kernel.watch.stage.is_none() {
            return;
        }
        let done = match kernel.watch.error.take() {
            Some(error) => Err(error),
            None => done,
        };
        let Some(stage) = kernel.watch.stage.as_mut() else { return };
        match done {
            Ok(OpResult { ending: Ending::Suspended }) => return,
            Ok(result) => {
                stage.results[(index - base) as usize] = Some(result);
                if let Some(seen) = stage.actors[me].seen.last_mut() {
                    *seen = super::History::default();
                }
            }
            Err(error) => {
                stage.end = Some(End::Op { op: index, error });
                give_back(kernel, me);
                return;
            }
        }
    }
    finish(kernel, me);
}

fn finish<B: Backend>(kernel: &mut Running<B>, me: usize) {
    let Some(stage) = stage(kernel) else { return };
    if stage.end.is_some() {
        return give_back(kernel, me);
    }
    stage.actors[me].status = Status::Done;
    stage.points += 1;
    match choose_next(kernel) {
        Ok(Some(next)) => {
            // The first thread comes back here when everything is over.
            let _ = if me == 0 { hand(kernel, next) } else { give(kernel, next) };
        }
        _ => give_back(kernel, me),
    }
}

/// Gives the machine to the one who runs everything, if that is somebody else.
fn give_back<B: Backend>(kernel: &mut Running<B>, me: usize) {
    if me != 0 {
        let _ = give(kernel, 0);
    }
}

/// At a point where the current thread cannot go on: who does, and after what. `None`: the run is over.
fn choose_next<B: Backend>(kernel: &mut Running<B>) -> Run<Option<usize>> {
    let Kernel { machine, watch, .. } = kernel;
    let Some(stage) = watch.stage.as_mut() else { return Err(Stop::Abort) };
    stage.offer(machine);
    let Some(choice) = stage.take() else {
        note_state(kernel);
        return Ok(None);
    };
    stage.wake = choice.how;
    Ok(Some(choice.thread))
}

impl Stage {
    /// What the guide wants to happen at this point. `None`: the run ends here.
    fn take(&mut self) -> Option<Choice> {
        let point = self.point();
        let Some(&usual) = self.choices.first() else {
            let done = self.actors.iter().all(|a| a.status == Status::Done);
            self.end = Some(if done { End::Done } else { End::Deadlock });
            return None;
        };
        let choice = match &mut self.guide {
            Guide::Schedule { next } => match self.plan.schedule.get(*next) {
                Some(decision) if decision.at <= point => {
                    let entry = *next;
                    *next += 1;
                    let choice = Choice::decided(decision, self.current);
                    if decision.at < point || !self.choices.contains(&choice) {
                        let reason = self.why_not(decision.at, point, choice);
                        self.end = Some(End::Schedule { entry, reason });
                        return None;
                    }
                    choice
                }
                _ => usual,
            },
            Guide::Labels { .. } if self.choices.len() == 1 => usual,
            Guide::Labels { labels, next, beyond } => {
                let (known, last) = (labels.get(*next).copied(), *next + 1 == labels.len());
                *next += 1;
                let found = match known {
                    Some(label) => self.choices.iter().copied().find(|c| c.label() == label),
                    None if *beyond => Some(usual),
                    None => None,
                };
                if (last && !*beyond) || (known.is_none() && *beyond) {
                    self.offered.clone_from(&self.choices);
                    self.local = true;
                }
                if known.is_none() {
                    *beyond = false;
                }
                match found {
                    Some(choice) => choice,
                    None => {
                        self.end = Some(End::Halted);
                        return None;
                    }
                }
            }
        };
        if choice != usual {
            self.trail.push(choice.decision(point, self.current));
        }
        match choice.how {
            How::Interrupt(n) => {
                self.local = false;
                self.used[n] += 1;
            }
            How::Migrate(n) => self.migrated[n] = true,
            How::Step | How::Fail => {}
        }
        Some(choice)
    }

    fn why_not(&self, at: u32, point: u32, choice: Choice) -> String {
        if at < point {
            return format!("point {at} is past: entries are in ascending order, one for a point");
        }
        let known = self.choices.iter().map(|c| c.decision(point, usize::MAX)).map(|d| {
            let mut text = format!("thread {}", d.thread.unwrap_or_default());
            for (name, value) in [("interrupt", d.interrupt), ("migrate", d.migrate)] {
                if let Some(n) = value {
                    text += &format!(" {name} {n}");
                }
            }
            text + if d.fail { " fail" } else { "" }
        });
        let known: Vec<_> = known.collect();
        format!("thread {} cannot do that at point {point}: possible are {}", choice.thread, known.join(", "))
    }
}

/// The machine is between two micro-steps, and more than one thing may happen.
pub(in crate::run) fn decide<B: Backend>(kernel: &mut Running<B>) -> Step {
    let me = stage_ref(kernel).map_or(0, |s| s.current);
    let mut how = match choose_here(kernel)? {
        choice if choice.thread == me => choice.how,
        choice => {
            if let Some(stage) = stage(kernel) {
                stage.wake = choice.how;
            }
            hand(kernel, choice.thread)?;
            return Ok(());
        }
    };
    loop {
        how = match between(kernel, how)? {
            None => return Ok(()),
            Some(next) => next,
        };
    }
}

/// Does what comes before the current thread's next step. Behind an interrupt there is another point, and another choice.
fn between<B: Backend>(kernel: &mut Running<B>, how: How) -> Run<Option<How>> {
    let me = stage_ref(kernel).map_or(0, |s| s.current);
    match how {
        How::Step | How::Fail => return Ok(None),
        How::Migrate(n) => {
            let to = stage_ref(kernel).map_or(0, |s| s.plan.migrations[n].to);
            switching(kernel, me, true);
            kernel.migrate(CpuId(to))?;
            switching(kernel, me, false);
            return Ok(None);
        }
        How::Interrupt(n) => {
            let Some(stage) = stage(kernel) else { return Ok(None) };
            let (plan, op) = (Arc::clone(&stage.plan), kernel.op);
            let status = if let Some(stage) = kernel.watch.stage.as_mut() {
                stage.actors[me].seen.push(super::History::default());
                std::mem::replace(&mut stage.actors[me].status, Status::Ready)
            } else {
                Status::Ready
            };
            inject_interrupt(kernel, n as u32, &plan.interrupts[n])?;
            kernel.op = op;
            if let Some(stage) = kernel.watch.stage.as_mut() {
                stage.actors[me].status = status;
            }
        }
    }
    let (cpu, task) = (kernel.cpu(), kernel.current());
    let Kernel { machine, watch, .. } = kernel;
    let Some(stage) = watch.stage.as_mut() else { return Ok(None) };
    let actor = &mut stage.actors[me];
    actor.seen.pop();
    (actor.cpu, actor.task) = (cpu, task);
    stage.points += 1;
    stage.offer(machine);
    let choice = choose_here(kernel)?;
    if choice.thread == me {
        return Ok(Some(choice.how));
    }
    if let Some(stage) = kernel.watch.stage.as_mut() {
        stage.wake = choice.how;
    }
    hand(kernel, choice.thread)?;
    Ok(None)
}

/// The choice at a point that has been offered; where there is none the machine goes back and the thread is suspended.
fn choose_here<B: Backend>(kernel: &mut Running<B>) -> Run<Choice> {
    let Some(stage) = stage(kernel) else { return Err(Stop::Suspend) };
    if let Some(choice) = stage.take() {
        return Ok(choice);
    }
    let me = stage.current;
    note_state(kernel);
    give_back(kernel, me);
    Err(Stop::Suspend)
}

/// Where a run is halted: what tells this point from others.
fn note_state<B: Backend>(kernel: &mut Running<B>) {
    let key = match stage_ref(kernel) {
        Some(stage) if stage.end == Some(End::Halted) => Some(key::state(kernel, stage)),
        _ => None,
    };
    if let Some(stage) = stage(kernel) {
        stage.key = key;
    }
}

/// Gives the machine away; what is left is hollow.
fn give<B: Backend>(kernel: &mut Running<B>, to: usize) -> Step {
    let (cpu, task, op) = (kernel.cpu(), kernel.current(), kernel.op);
    let Some(stage) = stage(kernel) else { return Err(Stop::Suspend) };
    let actor = &mut stage.actors[stage.current];
    if matches!(actor.status, Status::Ready | Status::Waiting(_)) {
        (actor.cpu, actor.task, actor.op) = (cpu, task, op);
    }
    let Some(baton) = stage.baton.clone() else { return Err(Stop::Suspend) };
    if stage.end.is_none() {
        stage.current = to;
    }
    let hollow = kernel.hollow();
    let whole = std::mem::replace(kernel, hollow);
    baton.give(to, Box::new(whole));
    Ok(())
}

/// Gives the machine to another thread and waits until it comes back.
fn hand<B: Backend>(kernel: &mut Running<B>, to: usize) -> Step {
    let Some(stage) = stage(kernel) else { return Err(Stop::Suspend) };
    let (me, baton) = (stage.current, stage.baton.clone());
    let Some(baton) = baton else { return Err(Stop::Suspend) };
    give(kernel, to)?;
    let overrides = kernel.overrides.clone();
    let mut received = None;
    let mut wait = || received = Some(baton.wait(me, true));
    match &overrides {
        Some(overrides) => overrides.blocking(&mut wait),
        None => wait(),
    }
    let Some(Received::Machine(parcel)) = received else { return Err(Stop::Suspend) };
    let Ok(whole) = parcel.downcast::<Running<B>>() else { return Err(Stop::Suspend) };
    *kernel = *whole;
    taken(kernel, me)
}

/// A thread has got the machine: it goes on where it was, with its task back on its CPU.
fn taken<B: Backend>(kernel: &mut Running<B>, me: usize) -> Step {
    let Some(stage) = stage(kernel) else { return Err(Stop::Suspend) };
    if stage.end.is_some() {
        return Err(Stop::Suspend);
    }
    stage.current = me;
    let how = std::mem::replace(&mut stage.wake, How::Step);
    let (status, cpu, task, op) = {
        let actor = &stage.actors[me];
        (actor.status, actor.cpu, actor.task, actor.op)
    };
    if status == Status::New || status == Status::Done {
        return Ok(());
    }
    kernel.op = op;
    kernel.run_on(cpu);
    if kernel.current() != task {
        // What the scheduler does is not what the thread has seen: it comes back to the same state.
        switching(kernel, me, true);
        kernel.switch_to(task)?;
        switching(kernel, me, false);
    }
    let mut how = how;
    while let Some(next) = between(kernel, how)? {
        how = next;
    }
    Ok(())
}

fn switching<B: Backend>(kernel: &mut Running<B>, me: usize, on: bool) {
    let Some(stage) = stage(kernel) else { return };
    let actor = &mut stage.actors[me];
    actor.switching = on;
    if on {
        actor.seen.push(super::History::default());
    } else {
        actor.seen.pop();
    }
}

/// Whether the allocation that is about to be made fails: as its operation says, or as the guide decides.
pub(in crate::run) fn alloc_fails<B: Backend>(kernel: &mut Running<B>) -> Run<bool> {
    let Kernel { watch, .. } = kernel;
    let Some(stage) = watch.stage.as_mut() else { return Ok(false) };
    if !stage.running || stage.end.is_some() {
        return Ok(false);
    }
    let me = stage.current;
    let (op, first) = (stage.actors[me].op, stage.actors[me].first);
    let number = stage.actors[me].allocs;
    stage.actors[me].allocs += 1;
    let step = stage.plan.threads[me].ops.get((op - first) as usize);
    if stage.actors[me].seen.len() == 1 && step.and_then(|s| s.fail_alloc) == Some(number) {
        return Ok(true);
    }
    stage.points += 1;
    stage.choices.clear();
    stage.choices.push(Choice::step(me));
    if stage.plan.may_fail_alloc {
        stage.choices.push(Choice { thread: me, how: How::Fail });
    }
    if stage.choices.len() == 1 && !stage.scheduled() {
        return Ok(false);
    }
    choose_here(kernel).map(|choice| choice.how == How::Fail)
}

/// Takes a lock, or waits until its owner gives it back.
pub(in crate::run) fn lock<B: Backend>(kernel: &mut Running<B>, lock: u64) -> Step {
    loop {
        let (cpu, task) = (kernel.cpu(), kernel.current());
        let Some(stage) = kernel.watch.stage.as_mut().filter(|s| s.running) else { return Ok(()) };
        let me = stage.current;
        stage.local = false;
        if !stage.owned(lock, me) {
            stage.locks.push((lock, me));
            stage.actors[me].status = Status::Ready;
            return Ok(());
        }
        stage.actors[me].status = Status::Waiting(lock);
        (stage.actors[me].cpu, stage.actors[me].task) = (cpu, task);
        stage.points += 1;
        wait_turn(kernel, me)?;
    }
}

fn wait_turn<B: Backend>(kernel: &mut Running<B>, me: usize) -> Step {
    let Kernel { machine, watch, .. } = kernel;
    if let Some(stage) = watch.stage.as_mut() {
        stage.offer(machine);
    }
    let choice = choose_here(kernel)?;
    if choice.thread != me {
        if let Some(stage) = kernel.watch.stage.as_mut() {
            stage.wake = choice.how;
        }
        return hand(kernel, choice.thread);
    }
    let mut how = choice.how;
    while let Some(next) = between(kernel, how)? {
        how = next;
    }
    Ok(())
}

/// Gives a lock back.
pub(in crate::run) fn unlock<B: Backend>(kernel: &mut Running<B>, lock: u64) {
    if let Some(stage) = kernel.watch.stage.as_mut().filter(|s| s.running)
        && let Some(at) = stage.locks.iter().rposition(|(l, owner)| *l == lock && *owner == stage.current)
    {
        stage.locks.remove(at);
    }
}
