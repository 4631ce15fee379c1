//! From a description to a machine that runs.

use super::full::{Full, Quiet};
use super::runner::{AnyRunner, Mode, Output, RunError, Runner};
use crate::backend::{self, Backend, BackendError};
use crate::check::Checker;
use crate::geometry::Layout;
use crate::kernel::{Config, Kernel, Setup};
use crate::scenario::Program;
use crate::scheme::{self, OptionError};
use crate::stop::Stop;

/// A machine that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("unknown scheme {name:?}: expected one of {}", .known.join(", "))]
    Scheme { name: String, known: Vec<&'static str> },
    #[error(transparent)]
    Option(#[from] OptionError),
    #[error("{what} {index} does not exist: expected below {limit}")]
    Setup { what: &'static str, index: u64, limit: u64 },
    #[error("{what}: {value} is not between {low} and {high}")]
    Limit { what: &'static str, value: u64, low: u64, high: u64 },
    #[error("the machine stopped while booting: {0:?}")]
    Stopped(Stop),
}

/// Bytes that the log of a run may take, unless somebody wants more.
pub const LOG_LIMIT: u64 = 2 << 30;

/// Which machine to build.
#[derive(Clone, Debug, Default)]
pub struct Spec<'a> {
    pub backend: &'a str,
    /// `None`: the backend's default.
    pub geometry: Option<&'a str>,
    pub scheme: &'a str,
    pub options: &'a [(String, String)],
    /// Replaces parts of the geometry's address layout.
    pub layout: Option<Layout>,
    /// Bytes that the log of a run may take; `None`: [`LOG_LIMIT`].
    pub log_limit: Option<u64>,
    /// Every event is logged and checked by itself. Slower, with the same results: tests compare both ways.
    pub one_by_one: bool,
}

/// Builds a machine.
pub fn boot(spec: &Spec<'_>, setup: &Setup, mode: Mode) -> Result<Box<dyn AnyRunner>, BootError> {
    let registration = backend::by_name(spec.backend)?;
    let geometry = backend::geometry(registration, spec.geometry)?;
    let scheme = scheme::by_name(spec.scheme).ok_or_else(|| BootError::Scheme {
        name: spec.scheme.to_owned(),
        known: scheme::ALL.iter().map(|s| s.name()).collect(),
    })?;
    let mut options = scheme.options();
    for (name, value) in spec.options {
        options.set(name, value)?;
    }
    check_setup(setup)?;
    let geometry = geometry.with_layout(spec.layout.unwrap_or(geometry.layout));
    let layout = &geometry.layout;
    if layout.highmem_frames != 0 && layout.table_frames >= layout.highmem_frames {
        let (value, high) = (layout.table_frames, layout.highmem_frames - 1);
        return Err(BootError::Limit { what: "table_frames (low memory ends at highmem_frames)", value, low: 0, high });
    }
    if layout.highmem_frames != 0 && layout.fixaddr_top == 0 {
        let what = "highmem_frames (without fixaddr_top nothing maps highmem)";
        return Err(BootError::Limit { what, value: layout.highmem_frames, low: 0, high: 0 });
    }
    let config = Config { geometry, scheme, options };
    let full = || Full::new(mode == Mode::Logged, spec.log_limit.unwrap_or(LOG_LIMIT), spec.one_by_one);
    (registration.boot)(&config, setup, (mode != Mode::Quiet).then(full))
}

fn check_setup(setup: &Setup) -> Result<(), BootError> {
    let limit = |what, value: u64, low, high| {
        if value < low || value > high { Err(BootError::Limit { what, value, low, high }) } else { Ok(()) }
    };
    limit("cpus", u64::from(setup.cpus), 1, 16)?;
    limit("mms", u64::from(setup.mms), 0, 4096)?;
    limit("tasks", setup.tasks.len() as u64, 0, 4096)?;
    for task in &setup.tasks {
        if task.cpu >= setup.cpus {
            return Err(BootError::Setup { what: "CPU", index: u64::from(task.cpu), limit: u64::from(setup.cpus) });
        }
        if task.mm > setup.mms {
            return Err(BootError::Setup { what: "mm", index: u64::from(task.mm), limit: u64::from(setup.mms) + 1 });
        }
    }
    Ok(())
}

/// Builds a machine of this backend. Without a watch, nothing but results is kept.
pub(crate) fn build<B: Backend>(
    config: &Config,
    setup: &Setup,
    watch: Option<Full>,
) -> Result<Box<dyn AnyRunner>, BootError> {
    let backend = B::new(&config.geometry, &config.options, usize::from(setup.cpus));
    let Some(watch) = watch else {
        let kernel = Kernel::boot(config, setup, backend, Quiet::default()).map_err(BootError::Stopped)?;
        return Ok(Box::new(Runner { kernel }));
    };
    let mut kernel = Kernel::boot(config, setup, backend, watch).map_err(BootError::Stopped)?;
    let laws = B::laws(&kernel);
    kernel.watch.check(Checker::new(laws));
    Ok(Box::new(Runner { kernel }))
}

/// Builds a machine, runs a program on it, and forgets it.
pub fn run_program(spec: &Spec<'_>, program: &Program, mode: Mode) -> Result<Output, ProgramRunError> {
    let mut machine = boot(spec, &program.setup(), mode)?;
    Ok(machine.perform(program, &mut || true)?)
}

/// Either half of [`run_program`] can fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramRunError {
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Run(#[from] RunError),
}
