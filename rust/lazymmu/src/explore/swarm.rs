//! Samples of a system that is too large to be searched: many narrow searches, each by a seed of its own.
//!
//! A narrow search looks at no more than `width` states of each depth, chosen by hash and seed. It reaches full depth,
//! and takes memory for `width` states a depth. What several find is united; a search in which nothing was left out is
//! complete all the same.

use rustc_hash::FxHashSet;

use super::bounds::{Bound, Options, Progress, Report};
use super::engine::{SearchError, search};
use super::system::System;

/// How many samples, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    pub seed: u64,
    pub seeds: u64,
    /// States of a depth.
    pub width: usize,
}

/// Searches samples. States, steps and memory of the report are sums, its depth is the greatest.
pub fn swarm<S: System>(
    system: &S,
    options: &Options,
    how: Swarm,
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report, SearchError<S::Error>> {
    let mut all = Report::default();
    let mut seen: FxHashSet<Vec<u64>> = FxHashSet::default();
    for seed in how.seed..how.seed.saturating_add(how.seeds) {
        let narrow = Options { sample: Some((seed, how.width.max(1))), checkpoint: None, ..options.clone() };
        let report = search(system, &narrow, progress)?;
        all.states += report.states;
        all.steps += report.steps;
        all.dead_ends += report.dead_ends;
        all.depth = all.depth.max(report.depth);
        all.memory = all.memory.max(report.memory);
        all.seconds += report.seconds;
        all.error_probability = (all.error_probability + report.error_probability).min(1.0);
        for found in report.outcomes {
            if seen.insert(found.words.clone()) {
                all.outcomes.push(found);
            }
        }
        match report.bound {
            // Nothing was left out: there is no more to see.
            None => {
                all.bound = None;
                return Ok(all);
            }
            Some(Bound::Swarm { .. }) => {
                all.bound = Some(Bound::Swarm { seeds: how.seeds, width: how.width.max(1) });
            }
            bound => {
                all.bound = bound;
                return Ok(all);
            }
        }
    }
    Ok(all)
}
