//! Everything that can come of a program.

use std::time::Duration;

use lazymmu::explore::{Bounds, Exploration, ExploreError, Options, Progress, SearchError, Swarm};
use pyo3::prelude::*;

use crate::errors;
use crate::machine::Machine;
use crate::program::Program;

/// mm, va, level, physical address (None: not reached), word.
type LeafRow = (u16, u64, u8, Option<u64>, u64);
/// Schedule as JSON, whether threads wait for ever, mappings, tables.
type ReachedRow = (String, bool, Vec<LeafRow>, usize);

/// How a search is bounded and carried out; see `lazymmu.explore`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    max_states: Option<u64>,
    max_depth: Option<u32>,
    max_memory: Option<u64>,
    max_seconds: Option<f64>,
    max_outcomes: Option<usize>,
    threads: usize,
    partial_order: bool,
    symmetry: bool,
    every_path: bool,
    fingerprint: bool,
    checkpoint: Option<std::path::PathBuf>,
    checkpoint_every: f64,
    resume: bool,
    /// First seed, seeds, states of a depth.
    swarm: Option<(u64, u64, usize)>,
}

/// What a search found.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct RawExploration {
    inner: Exploration,
}

#[pymethods]
impl RawExploration {
    #[getter]
    fn states(&self) -> u64 {
        self.inner.report.states
    }

    #[getter]
    fn steps(&self) -> u64 {
        self.inner.report.steps
    }

    #[getter]
    fn depth(&self) -> u32 {
        self.inner.report.depth
    }

    /// The bound at which the search stopped.
    #[getter]
    fn bound(&self) -> Option<String> {
        self.inner.report.bound.map(|bound| bound.to_string())
    }

    #[getter]
    fn memory(&self) -> u64 {
        self.inner.report.memory
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.inner.report.seconds
    }

    #[getter]
    fn error_probability(&self) -> f64 {
        self.inner.report.error_probability
    }

    #[getter]
    fn outcomes(&self) -> PyResult<Vec<ReachedRow>> {
        let row = |r: &lazymmu::explore::Reached| {
            let leaves = r.leaves.iter().map(|l| (l.mm, l.va, l.level, l.pa, l.word)).collect();
            let schedule = serde_json::to_string(&r.schedule).map_err(errors::program)?;
            Ok((schedule, r.deadlock, leaves, r.tables))
        };
        self.inner.reached.iter().map(row).collect()
    }

    /// The program that was explored.
    fn program(&self) -> Program {
        Program { inner: self.inner.program.clone() }
    }
}

/// A length of time; one that no clock can measure is refused.
fn seconds(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| errors::config(format!("{what}: {value} is no length of time: expected seconds from 0 up")))
}

fn options(settings: &Settings) -> PyResult<(Options, Option<Swarm>)> {
    let bounds = Bounds {
        states: settings.max_states,
        depth: settings.max_depth,
        memory: settings.max_memory,
        time: settings.max_seconds.map(|s| seconds(s, "max_seconds")).transpose()?,
        outcomes: settings.max_outcomes,
    };
    let every = seconds(settings.checkpoint_every, "checkpoint_every")?;
    let options = Options {
        bounds,
        threads: settings.threads,
        partial_order: settings.partial_order,
        symmetry: settings.symmetry,
        every_path: settings.every_path,
        fingerprint: settings.fingerprint,
        checkpoint: settings.checkpoint.clone().map(|path| (path, every)),
        resume: settings.resume,
        sample: None,
    };
    Ok((options, settings.swarm.map(|(seed, seeds, width)| Swarm { seed, seeds, width })))
}

/// Explores on this machine; `progress` gets states, steps, depth, frontier, memory, seconds and outcomes, and says
/// whether to go on.
pub(crate) fn explore(
    py: Python<'_>,
    machine: &mut Machine,
    program: &Program,
    settings: &Settings,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<RawExploration> {
    let (options, samples) = options(settings)?;
    let progress: Option<Py<PyAny>> = progress.map(|p| p.clone().unbind());
    let mut failed = None;
    let mut report = |p: &Progress| {
        let said = Python::attach(|py| {
            py.check_signals()?;
            let row = (p.states, p.steps, p.depth, p.frontier, p.memory, p.seconds, p.outcomes);
            progress.as_ref().map_or(Ok(true), |call| call.call1(py, row)?.bind(py).ne(false))
        });
        said.unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    };
    let runner = machine.runner_mut();
    let explored = py.detach(|| runner.explore(&program.inner, &options, samples, &mut report));
    if let Some(error) = failed {
        return Err(error);
    }
    match explored {
        Ok(inner) => Ok(RawExploration { inner }),
        Err(ExploreError::Run(error) | ExploreError::Search(SearchError::System(error))) => Err(errors::run(&error)),
        Err(ExploreError::Search(SearchError::Checkpoint(error))) => Err(errors::config(error)),
        Err(error) => Err(errors::config(error)),
    }
}
