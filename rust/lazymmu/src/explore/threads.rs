//! The threads of a program as a system to search: every order of their micro-steps, and all that may come in between.
//!
//! Walkers are functions that run to their end, so a state cannot be gone back to. It is a path: the decisions made where
//! there was more than one choice. To look at a state the program is run again by its path, which costs a few
//! microseconds, and to compare states their machines and histories are digested.

use std::sync::{Arc, Mutex, PoisonError};

use super::bounds::{Found, Options, Progress, Report};
use super::engine::{SearchError, search};
use super::swarm::{Swarm, swarm};
use super::system::{Path, Steps, System};
use crate::backend::Backend;
use crate::kernel::Kernel;
use crate::run::stage::{self, Choice, Crew, End, Guide, Leaf, Stage};
use crate::run::{Full, RunError};
use crate::scenario::{Concurrent, Decision, Program};

/// What distinguishes an outcome from a state that goes on.
const OUTCOME: u64 = 1 << 63;
/// Bits of a state's digest; one says that it is an outcome.
const DIGEST_BITS: u32 = 127;

/// An outcome of a program, and one of the shortest ways to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What to decide otherwise than usual, as a program's `schedule`.
    pub schedule: Vec<Decision>,
    /// Threads wait for each other's locks for ever.
    pub deadlock: bool,
    /// Every mapping there is.
    pub leaves: Vec<Leaf>,
    /// Table pages there are.
    pub tables: usize,
}

/// All that can come of a program.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// How far the search went. Its outcomes are those of `reached`, in the same order.
    pub report: Report,
    pub reached: Vec<Reached>,
    /// The program that was explored; with a schedule it replays.
    pub program: Program,
}

/// Why a program cannot be explored.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Search(#[from] SearchError<RunError>),
}

/// One machine to run the program on, again and again.
struct Executor<B: Backend> {
    template: Kernel<B, Full>,
    crew: Option<Crew>,
}

/// How one run ended.
struct Ran<B: Backend> {
    kernel: Kernel<B, Full>,
    stage: Box<Stage>,
    words: [u64; 2],
}

struct Threads<B: Backend> {
    plan: Arc<Concurrent>,
    first: u32,
    symmetry: bool,
    every_path: bool,
    identity: u64,
    /// What executors are copied from.
    template: Mutex<Kernel<B, Full>>,
    idle: Mutex<Vec<Executor<B>>>,
}

/// A state: how to get there, and what may happen then.
struct Node {
    labels: Vec<u16>,
    offered: Vec<Choice>,
    /// Where the first choice leads, and whether it concerns its thread alone.
    ahead: ([u64; 2], bool),
}

impl<B: Backend> Threads<B> {
    fn executor(&self) -> Result<Executor<B>, RunError> {
        if let Some(executor) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(executor);
        }
        let mut template = self.template.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = template.watch.clone();
        let template = template.snapshot(watch);
        let crew = match self.plan.threads.len() {
            1 => None,
            n => Some(stage::crew::<B>(n).map_err(|e| RunError::Concurrent(format!("no host threads: {e}")))?),
        };
        Ok(Executor { template, crew })
    }

    /// Runs the program by a path; `beyond` goes one choice further.
    fn run(&self, labels: Vec<u16>, beyond: bool) -> Result<Ran<B>, RunError> {
        let mut executor = self.executor()?;
        let watch = executor.template.watch.clone();
        let mut kernel = executor.template.snapshot(watch);
        let way = self.every_path.then(|| labels.clone());
        let guide = Guide::Labels { labels, next: 0, beyond };
        let about = (&kernel.machine, Arc::new(kernel.format()) as Arc<_>);
        let stage = Stage::new(&self.plan, guide, about, self.first, self.symmetry);
        kernel.watch.enter(&kernel.machine, stage);
        stage::perform(&mut kernel, executor.crew.as_ref());
        let lost = || RunError::Concurrent("a host thread was lost".to_owned());
        let stage = kernel.watch.stage.take().ok_or_else(lost)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(executor);
        let words = match (&stage.end, stage.key) {
            (Some(End::Halted), _) if let Some(mut way) = way => {
                way.extend(stage.offered.first().filter(|_| beyond).map(|choice| choice.label()));
                let [low, high] = stage::History::of(way).parts();
                [low, high & !OUTCOME]
            }
            (Some(End::Halted), Some([low, high])) => [low, high & !OUTCOME],
            (Some(End::Done | End::Deadlock), _) => {
                let [low, high] = stage::outcome(&kernel, &stage);
                [low, high | OUTCOME]
            }
            (&Some(End::Op { op, ref error }), _) => return Err(RunError::Op { op, error: error.clone() }),
            _ => return Err(lost()),
        };
        Ok(Ran { kernel, stage, words })
    }
}

impl<B: Backend> System for Threads<B> {
    type State = Node;
    type Error = RunError;

    fn words(&self) -> usize {
        2
    }

    fn fingerprint(&self) -> u64 {
        self.identity
    }

    fn initial(&self, push: &mut dyn FnMut(&[u64])) -> Result<(), RunError> {
        push(&self.run(Vec::new(), false)?.words);
        Ok(())
    }

    fn restore(&self, _words: &[u64], path: &Path<'_>) -> Result<Node, RunError> {
        let labels = path.labels();
        let ran = self.run(labels.clone(), true)?;
        Ok(Node { labels, offered: ran.stage.offered.clone(), ahead: (ran.words, ran.stage.local) })
    }

    fn processes(&self, _state: &Node) -> usize {
        self.plan.threads.len()
    }

    fn steps(&self, state: &mut Node, process: usize, steps: &mut Steps) -> Result<(), RunError> {
        for (n, choice) in state.offered.iter().enumerate().filter(|(_, choice)| choice.thread == process) {
            let (words, local) = if n == 0 {
                state.ahead
            } else {
                let mut labels = state.labels.clone();
                labels.push(choice.label());
                let ran = self.run(labels, false)?;
                (ran.words, ran.stage.local)
            };
            steps.push(choice.label(), local, &words);
        }
        Ok(())
    }

    fn outcome(&self, words: &[u64]) -> bool {
        words[1] & OUTCOME != 0
    }

    fn batch(&self) -> usize {
        256
    }

    fn digest_bits(&self) -> Option<u32> {
        Some(DIGEST_BITS)
    }
}

/// Explores a program whose first operations the machine has carried out; its threads come now.
pub(crate) fn explore<B: Backend>(
    kernel: &mut Kernel<B, Full>,
    program: Program,
    options: &Options,
    samples: Option<Swarm>,
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Exploration, ExploreError> {
    let first = program.ops.len() as u32;
    crate::run::check_concurrent(&kernel.machine, first, &program.concurrent)?;
    let watch = kernel.watch.clone();
    let template = kernel.snapshot(watch);
    let text = format!("{}{program:?}{:?}{:?}", template.scheme.name(), template.options, template.machine.geometry);
    let system = Threads {
        plan: Arc::new(Concurrent { schedule: Vec::new(), ..program.concurrent.clone() }),
        first,
        symmetry: options.symmetry,
        every_path: options.every_path,
        identity: stage::History::of((text, std::any::type_name::<B>())).parts()[0],
        template: Mutex::new(template),
        idle: Mutex::new(Vec::new()),
    };
    let report = match samples {
        Some(how) => swarm(&system, options, how, progress)?,
        None => search(&system, options, progress)?,
    };
    let reach = |found: &Found| -> Result<Reached, RunError> {
        let ran = system.run(found.path.clone(), false)?;
        Ok(Reached {
            schedule: ran.stage.trail.clone(),
            deadlock: ran.stage.end == Some(End::Deadlock),
            leaves: stage::leaves(&ran.kernel),
            tables: ran.kernel.machine.memory.len(),
        })
    };
    let reached = report.outcomes.iter().map(reach).collect::<Result<_, _>>()?;
    Ok(Exploration { report, reached, program })
}
