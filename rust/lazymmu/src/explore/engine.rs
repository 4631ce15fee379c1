//! The search: breadth-first, depth by depth, on as many threads as wanted.
//!
//! A depth is worked through in batches. Threads compute the steps out of a batch's states and sort them by shard; then
//! threads add them, each to shards of its own, in the order in which the states before them came. So it does not matter
//! how many threads there are, and nothing is locked.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::bounds::{Bound, Found, Options, Progress, Report, collision};
use super::checkpoint::{self, CheckpointError};
use super::store::{INITIAL, SHARDS, Shard, Store, fold, hash, id_of, key_hash, parts, step_of};
use super::system::{Path, Steps, System};

/// Why a search could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<E> {
    #[error("{0}")]
    System(E),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("no threads: {0}")]
    Threads(String),
    /// 2^32 states in one shard.
    #[error("the search has more states than can be numbered")]
    Full,
}

/// Everything that changes while searching.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    /// States of this depth, and how many have been looked at.
    pub(super) frontier: Vec<u64>,
    pub(super) cursor: usize,
    /// States of the next depth.
    pub(super) next: Vec<u64>,
    pub(super) depth: u32,
    pub(super) steps: u64,
    pub(super) dead_ends: u64,
    /// Outcomes and their words.
    pub(super) outcomes: Vec<(u64, Vec<u64>)>,
    /// Some states were left out.
    pub(super) sampled: bool,
    /// Seconds before the last resumption.
    pub(super) before: f64,
}

/// Steps out of a part of a batch, by shard.
///
/// A row is the hash, the step, the key, and the state where that is not the key.
#[derive(Debug)]
struct Outbox {
    rows: Vec<Vec<u64>>,
    steps: u64,
    dead_ends: u64,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox { rows: vec![Vec::new(); SHARDS], steps: 0, dead_ends: 0 }
    }
}

impl Outbox {
    #[inline]
    fn put(&mut self, words: &[u64], from: u64, fingerprint: bool) {
        let h = hash(words);
        let rows = &mut self.rows[h as usize % SHARDS];
        if fingerprint {
            let key = fingerprint_of(words);
            rows.extend_from_slice(&[key_hash(&[key]), from, key]);
        } else {
            rows.extend_from_slice(&[h, from]);
        }
        rows.extend_from_slice(words);
    }

    fn clear(&mut self) {
        self.rows.iter_mut().for_each(Vec::clear);
        (self.steps, self.dead_ends) = (0, 0);
    }
}

/// 64 bits of a state that have nothing to do with its hash.
fn fingerprint_of(words: &[u64]) -> u64 {
    let step = |h: u64, word: &u64| fold(h.rotate_left(23) ^ word, 0xa076_1d64_78bd_642f);
    fold(words.iter().fold(0x1319_8a2e_0370_7344, step), 0xe703_7ed1_a0b4_28db)
}

/// Searches a system.
///
/// `progress` is called after each batch; false ends the search.
pub fn search<S: System>(
    system: &S,
    options: &Options,
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report, SearchError<S::Error>> {
    let threads = if options.threads == 0 {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        options.threads
    };
    let pool = if threads == 1 {
        None
    } else {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Some(pool.map_err(|error| SearchError::Threads(error.to_string()))?)
    };
    Search { system, options, pool, threads, spare: Vec::new() }.run(progress)
}

struct Search<'a, S: System> {
    system: &'a S,
    options: &'a Options,
    /// `None`: everything is done by the caller's thread.
    pool: Option<rayon::ThreadPool>,
    threads: usize,
    /// Outboxes to use again.
    spare: Vec<Outbox>,
}

impl<S: System> Search<'_, S> {
    fn run(mut self, progress: &mut dyn FnMut(&Progress) -> bool) -> Result<Report, SearchError<S::Error>> {
        let begun = Instant::now();
        let mut state = match &self.options.checkpoint {
            Some((path, _)) if self.options.resume && path.exists() => {
                checkpoint::read(path, self.identity(), self.system.words(), self.options.fingerprint)?
            }
            _ => self.begin()?,
        };
        let mut saved = Instant::now();
        let bound = loop {
            if state.cursor == state.frontier.len() && !self.deeper(&mut state) {
                break None;
            }
            if let Some(bound) = self.bound(&state, state.before + begun.elapsed().as_secs_f64()) {
                break Some(bound);
            }
            self.batch(&mut state)?;
            let seconds = state.before + begun.elapsed().as_secs_f64();
            if let Some((path, every)) = &self.options.checkpoint
                && saved.elapsed() >= *every
            {
                checkpoint::write(path, self.identity(), &state, seconds)?;
                saved = Instant::now();
            }
            if !progress(&self.progress(&state, seconds)) {
                break Some(Bound::Interrupted);
            }
        };
        let seconds = state.before + begun.elapsed().as_secs_f64();
        if let Some((path, _)) = &self.options.checkpoint {
            checkpoint::write(path, self.identity(), &state, seconds)?;
        }
        Ok(self.report(&state, bound, seconds))
    }

    /// What must be the same for a checkpoint to fit.
    fn identity(&self) -> u64 {
        let o = self.options;
        let flags = u64::from(o.partial_order)
            | u64::from(o.symmetry) << 1
            | u64::from(o.fingerprint) << 2
            | u64::from(o.every_path) << 3;
        let (seed, width) = o.sample.unwrap_or((0, 0));
        hash(&[self.system.fingerprint(), flags, seed, width as u64])
    }

    fn begin(&self) -> Result<State, SearchError<S::Error>> {
        let mut state = State {
            store: Store::new(self.system.words(), self.options.fingerprint),
            frontier: Vec::new(),
            cursor: 0,
            next: Vec::new(),
            depth: 0,
            steps: 0,
            dead_ends: 0,
            outcomes: Vec::new(),
            sampled: false,
            before: 0.0,
        };
        let mut first = Outbox::default();
        let symmetry = self.options.symmetry;
        let put = &mut |words: &[u64]| {
            let mut words = words.to_vec();
            if symmetry {
                self.system.canonical(&mut words);
            }
            first.put(&words, INITIAL, self.options.fingerprint);
        };
        self.system.initial(put).map_err(SearchError::System)?;
        self.add(&mut state, &[first])?;
        state.frontier = std::mem::take(&mut state.next);
        Ok(state)
    }

    /// Goes on to the next depth. False: there is none.
    fn deeper(&self, state: &mut State) -> bool {
        if state.next.is_empty() {
            return false;
        }
        if let Some((seed, width)) = self.options.sample
            && state.next.len() > width
        {
            state.sampled = true;
            let mut lots: Vec<(u64, u64)> = state
                .next
                .iter()
                .map(|id| (fold(hash(state.store.state(*id)) ^ seed, 0x94d0_49bb_1331_11eb), *id))
                .collect();
            lots.select_nth_unstable(width);
            let keep: rustc_hash::FxHashSet<u64> = lots[..width].iter().map(|(_, id)| *id).collect();
            state.next.retain(|id| keep.contains(id));
        }
        if state.store.fingerprint {
            // The states of the depth that is done are needed no more.
            let mut first = [None; SHARDS];
            for (shard, position) in state.next.iter().map(|id| parts(*id)) {
                let least = first[shard].get_or_insert(position);
                *least = position.min(*least);
            }
            for (shard, first) in first.into_iter().enumerate() {
                let from = state.store.fresh_from[shard];
                let keep = first.unwrap_or(state.store.shards[shard].len());
                state.store.shards[shard].fresh.drain(..(keep - from) * state.store.words);
                state.store.fresh_from[shard] = keep;
            }
        }
        state.frontier = std::mem::take(&mut state.next);
        state.cursor = 0;
        state.depth += 1;
        true
    }

    fn bound(&self, state: &State, seconds: f64) -> Option<Bound> {
        let bounds = &self.options.bounds;
        let states = bounds.states.filter(|n| state.store.states() >= *n).map(Bound::States);
        let depth = bounds.depth.filter(|n| state.depth >= *n).map(Bound::Depth);
        let memory = bounds.memory.filter(|n| state.store.bytes() > *n).map(Bound::Memory);
        let time = bounds.time.filter(|t| seconds >= t.as_secs_f64()).map(Bound::Time);
        let outcomes = bounds.outcomes.filter(|n| state.outcomes.len() >= *n).map(Bound::Outcomes);
        states.or(depth).or(outcomes).or(memory).or(time)
    }

    fn batch(&mut self, state: &mut State) -> Result<(), SearchError<S::Error>> {
        let left = state.frontier.len() - state.cursor;
        let mut size = left.min(self.system.batch());
        if let Some(most) = self.options.bounds.states {
            // The closer to the bound, the smaller the step.
            let room = most.saturating_sub(state.store.states()) / 4 + 1;
            size = size.min(room as usize);
        }
        let ids = &state.frontier[state.cursor..state.cursor + size];
        let store = &state.store;
        let outs = if let Some(pool) = &self.pool {
            let chunk = size.div_ceil(self.threads * 4).max(1);
            let chunks: Vec<_> = ids.chunks(chunk).collect();
            let mut outs: Vec<Outbox> = chunks.iter().map(|_| self.spare.pop().unwrap_or_default()).collect();
            let (system, options) = (self.system, self.options);
            pool.install(|| {
                outs.par_iter_mut().zip(chunks).try_for_each(|(out, ids)| expand(system, options, store, ids, out))
            })?;
            outs
        } else {
            let mut out = self.spare.pop().unwrap_or_default();
            expand(self.system, self.options, store, ids, &mut out)?;
            vec![out]
        };
        state.cursor += size;
        self.add(state, &outs)?;
        for mut out in outs {
            state.steps += out.steps;
            state.dead_ends += out.dead_ends;
            out.clear();
            self.spare.push(out);
        }
        Ok(())
    }

    /// Adds the states that steps lead to.
    fn add(&self, state: &mut State, outs: &[Outbox]) -> Result<(), SearchError<S::Error>> {
        let (width, words, fingerprint) = (state.store.width, state.store.words, state.store.fingerprint);
        let row = 2 + width + if fingerprint { words } else { 0 };
        let before: Vec<usize> = state.store.shards.iter().map(Shard::len).collect();
        let system = self.system;
        let insert = |(number, shard): (usize, &mut Shard)| {
            for out in outs {
                for row in out.rows[number].chunks_exact(row) {
                    let (head, rest) = row.split_at(2);
                    let (key, whole) = rest.split_at(width);
                    if shard.insert(head[0], key, head[1]) {
                        let whole = if fingerprint { whole } else { key };
                        if system.outcome(whole) {
                            shard.outcomes.push((shard.len() - 1) as u32);
                        }
                        if fingerprint {
                            shard.fresh.extend_from_slice(whole);
                        }
                    }
                }
            }
        };
        let total: usize = outs.iter().map(|out| out.rows.iter().map(Vec::len).sum::<usize>()).sum();
        let shards = &mut state.store.shards;
        match &self.pool {
            Some(pool) if total >= 4096 => pool.install(|| shards.par_iter_mut().enumerate().for_each(insert)),
            _ => shards.iter_mut().enumerate().for_each(insert),
        }
        for (number, before) in before.into_iter().enumerate() {
            let after = state.store.shards[number].len();
            if after >= u32::MAX as usize {
                return Err(SearchError::Full);
            }
            let found = std::mem::take(&mut state.store.shards[number].outcomes);
            let mut found = found.into_iter().peekable();
            for position in before as u32..after as u32 {
                let id = id_of(number, position);
                if found.next_if_eq(&position).is_some() {
                    state.outcomes.push((id, state.store.state(id).to_vec()));
                } else {
                    state.next.push(id);
                }
            }
        }
        Ok(())
    }

    fn progress(&self, state: &State, seconds: f64) -> Progress {
        Progress {
            states: state.store.states(),
            steps: state.steps,
            depth: state.depth,
            frontier: (state.frontier.len() - state.cursor + state.next.len()) as u64,
            memory: state.store.bytes() + 8 * (state.frontier.capacity() + state.next.capacity()) as u64,
            seconds,
            outcomes: state.outcomes.len(),
        }
    }

    fn report(&self, state: &State, bound: Option<Bound>, seconds: f64) -> Report {
        let store = &state.store;
        let found = |(id, words): &(u64, Vec<u64>)| {
            let (ids, path) = store.path(*id);
            let whole = |id: &u64| if store.fingerprint { Vec::new() } else { store.state(*id).to_vec() };
            let states = if store.fingerprint { Vec::new() } else { ids.iter().map(whole).collect() };
            Found { words: words.clone(), path, states }
        };
        let states = store.states();
        let bits = [store.fingerprint.then_some(64), self.system.digest_bits()];
        let sampled = self.options.sample.filter(|_| state.sampled);
        let deepest = state.depth + u32::from(!state.next.is_empty());
        Report {
            states,
            steps: state.steps,
            depth: deepest,
            dead_ends: state.dead_ends,
            bound: bound.or(sampled.map(|(_, width)| Bound::Swarm { seeds: 1, width })),
            outcomes: state.outcomes.iter().map(found).collect(),
            memory: self.progress(state, seconds).memory,
            seconds,
            error_probability: bits.into_iter().flatten().map(|bits| collision(states, bits)).sum::<f64>().min(1.0),
        }
    }
}

/// The steps out of some states.
fn expand<S: System>(
    system: &S,
    options: &Options,
    store: &Store,
    ids: &[u64],
    out: &mut Outbox,
) -> Result<(), SearchError<S::Error>> {
    let width = store.words;
    let mut steps = Steps::default();
    for &id in ids {
        let path = Path { labels: store, id };
        let mut state = system.restore(store.state(id), &path).map_err(SearchError::System)?;
        steps.clear();
        for process in 0..system.processes(&state) {
            let mark = steps.labels.len();
            steps.local = true;
            system.steps(&mut state, process, &mut steps).map_err(SearchError::System)?;
            if options.partial_order && steps.local && steps.labels.len() > mark {
                steps.keep_from(mark, width);
                break;
            }
        }
        out.steps += steps.labels.len() as u64;
        out.dead_ends += u64::from(steps.labels.is_empty());
        for (words, label) in steps.words.chunks_exact_mut(width).zip(&steps.labels) {
            if options.symmetry {
                system.canonical(words);
            }
            out.put(words, step_of(id, *label), store.fingerprint);
        }
    }
    Ok(())
}

/// The time after which a checkpoint is written, unless said otherwise.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
