//! How far a search goes, and what it reports.

use std::path::PathBuf;
use std::time::Duration;

/// Where a search stops although there is more. `None`: nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub states: Option<u64>,
    /// Steps from an initial state.
    pub depth: Option<u32>,
    /// Bytes that seen states may take.
    pub memory: Option<u64>,
    pub time: Option<Duration>,
    /// Outcomes after which nobody wants more.
    pub outcomes: Option<usize>,
}

/// How to search.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub bounds: Bounds,
    /// 0: one for each core.
    pub threads: usize,
    /// Looks at one process alone where its next steps concern no other.
    pub partial_order: bool,
    /// Looks at one of several states that differ by a symmetry.
    pub symmetry: bool,
    /// Tells the states of a program apart by the way to them, whatever they are: no two ways are taken for one. For small
    /// programs, to check what is taken for one otherwise.
    pub every_path: bool,
    /// Keeps 64 bits of each state instead of the state.
    pub fingerprint: bool,
    /// Where the search is kept on disk, and how often.
    pub checkpoint: Option<(PathBuf, Duration)>,
    /// Goes on from the checkpoint.
    pub resume: bool,
    /// Looks at no more than this many states of each depth, chosen by this seed.
    pub sample: Option<(u64, usize)>,
}

/// The bound at which a search stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    States(u64),
    Depth(u32),
    Memory(u64),
    Time(Duration),
    Outcomes(usize),
    /// Only samples were looked at.
    Swarm {
        seeds: u64,
        width: usize,
    },
    /// The caller wanted no more.
    Interrupted,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::States(n) => write!(f, "{n} states"),
            Bound::Depth(n) => write!(f, "depth {n}"),
            Bound::Memory(n) => write!(f, "{n} bytes"),
            Bound::Time(t) => write!(f, "{} s", t.as_secs_f64()),
            Bound::Outcomes(n) => write!(f, "{n} outcomes"),
            Bound::Swarm { seeds, width } => write!(f, "{seeds} samples of {width} states a depth"),
            Bound::Interrupted => f.write_str("an interruption"),
        }
    }
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    pub states: u64,
    pub steps: u64,
    pub depth: u32,
    /// States that still have to be looked at.
    pub frontier: u64,
    /// Bytes that seen states take.
    pub memory: u64,
    pub seconds: f64,
    pub outcomes: usize,
}

impl Progress {
    /// States a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.states as f64 / self.seconds } else { 0.0 }
    }
}

/// An outcome, and a shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The outcome as the system encoded it.
    pub words: Vec<u64>,
    /// Labels of the steps.
    pub path: Vec<u16>,
    /// The states passed, the initial one first and the outcome last; empty where only fingerprints were kept.
    pub states: Vec<Vec<u64>>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Different states seen.
    pub states: u64,
    pub steps: u64,
    /// Steps on the longest of the shortest paths.
    pub depth: u32,
    /// States without a step that are no outcome.
    pub dead_ends: u64,
    /// Why the search is not complete.
    pub bound: Option<Bound>,
    pub outcomes: Vec<Found>,
    /// Bytes that seen states take, tables and slack included.
    pub memory: u64,
    pub seconds: f64,
    /// An upper bound of the probability that two different states were taken for one.
    pub error_probability: f64,
}

impl Report {
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.bound.is_none()
    }

    /// Bytes a state.
    #[must_use]
    pub fn bytes_per_state(&self) -> f64 {
        if self.states == 0 { 0.0 } else { self.memory as f64 / self.states as f64 }
    }
}

/// The probability that among `n` states two that differ have the same `bits`, at most.
pub(super) fn collision(n: u64, bits: u32) -> f64 {
    let n = n as f64;
    (n * (n - 1.0) / 2.0 / 2f64.powi(bits as i32)).clamp(0.0, 1.0)
}
