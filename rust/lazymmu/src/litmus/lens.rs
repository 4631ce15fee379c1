//! What of a log one thread can notice.
//!
//! Two reductions rest on it. A thread over two logs that look alike to it finds the same, so its findings are kept by
//! what it sees. Two neighbouring effects that no thread sees both of can change places, so of logs that differ only in
//! that one is looked at.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::visibility::{Cpu, ENVIRONMENT, Effect, Invalidation, Time};

use super::program::Litmus;
use super::thread::{Findings, explore};

/// One thread's view of logs.
pub(super) struct Lens {
    cpu: Cpu,
    /// Cells whose writes it can notice, as far as known.
    cells: Vec<u64>,
    known: FxHashMap<Vec<Effect>, Known>,
    /// Findings so far.
    found: u32,
}

/// Findings, and a number that no others of this thread have.
type Known = (Rc<Findings>, u32);

/// What a thread can do over a log.
pub(super) struct Sight {
    pub(super) findings: Rc<Findings>,
    /// The same number: the same findings.
    pub(super) number: u32,
    /// The findings' proposals, with times in the whole log.
    pub(super) proposals: Vec<Effect>,
}

/// A log as a thread sees it: the effects, and where each stands in the whole log.
struct Seen {
    effects: Vec<Effect>,
    times: Vec<Time>,
}

impl Lens {
    pub(super) fn new(cpu: Cpu) -> Lens {
        Lens { cpu, cells: Vec::new(), known: FxHashMap::default(), found: 0 }
    }

    /// Whether the thread can notice an effect.
    pub(super) fn sees(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Write { cpu, cell, .. } => *cpu == self.cpu || self.cells.contains(cell),
            Effect::Completed { cpu, invalidations } => {
                *cpu == self.cpu || invalidations.iter().any(|i| i.reaches.is_none_or(|c| c == self.cpu))
            }
        }
    }

    fn look(&self, log: &[Effect]) -> Seen {
        let mut seen = Seen { effects: Vec::with_capacity(log.len()), times: Vec::with_capacity(log.len()) };
        for (i, effect) in log.iter().enumerate() {
            if self.sees(effect) {
                // How many of the effects seen are not later.
                let earlier = |since: Time| seen.times.iter().filter(|t| **t <= since).count() as Time;
                let effect = moved(effect, &earlier);
                seen.effects.push(effect);
                seen.times.push(i as Time + 1);
            }
        }
        seen
    }

    /// What the thread can do over `log`, and whether it turned out to see more than was known.
    pub(super) fn findings(&mut self, test: &Litmus, log: &[Effect], observed: &[u8]) -> (Sight, bool) {
        let mut grown = false;
        loop {
            let seen = self.look(log);
            let (findings, number) = match self.known.get(&seen.effects) {
                Some((found, number)) => (Rc::clone(found), *number),
                None => {
                    let found = Rc::new(explore(test, self.cpu, &seen.effects, observed, true, None));
                    let before = self.cells.len();
                    for cell in &found.touched {
                        if !self.cells.contains(cell) {
                            self.cells.push(*cell);
                        }
                    }
                    if self.cells.len() > before {
                        self.known.clear();
                        grown = true;
                        continue;
                    }
                    self.found += 1;
                    self.known.insert(seen.effects, (Rc::clone(&found), self.found));
                    (found, self.found)
                }
            };
            let whole = |since: Time| if since == 0 { 0 } else { seen.times[usize::from(since) - 1] };
            let proposals = findings.proposals.iter().map(|effect| moved(effect, &whole)).collect();
            return (Sight { findings, number, proposals }, grown);
        }
    }
}

/// An effect with the times in it changed.
fn moved(effect: &Effect, to: &dyn Fn(Time) -> Time) -> Effect {
    match effect {
        Effect::Completed { cpu, invalidations } => {
            let invalidations: Arc<[Invalidation]> =
                invalidations.iter().map(|i| Invalidation { since: to(i.since), ..*i }).collect();
            Effect::Completed { cpu: *cpu, invalidations }
        }
        Effect::Write { .. } => effect.clone(),
    }
}

/// The order in which effects that can change places stand: it does not look at times.
fn rank(effect: &Effect) -> (Cpu, u64, u64) {
    match effect {
        Effect::Write { cpu, cell, value, .. } => (*cpu, *cell, *value),
        Effect::Completed { cpu, .. } => (*cpu, u64::MAX, 0),
    }
}

/// Whether two effects have to keep their order.
fn dependent(a: &Effect, b: &Effect, lenses: &[Lens]) -> bool {
    let same_cell = match (a.write(), b.write()) {
        (Some((a, _)), Some((b, _))) => a == b,
        _ => false,
    };
    same_cell
        || (a.cpu() == b.cpu() && a.cpu() != ENVIRONMENT)
        || lenses.iter().any(|lens| lens.sees(a) && lens.sees(b))
}

/// Puts `effect` behind `log`, in the order that stands for all logs that differ only by exchanges of neighbours that
/// nobody sees both of (the lexicographic normal form of the trace). Says whether it moved.
pub(super) fn append(log: &[Effect], effect: Effect, lenses: &[Lens]) -> (Vec<Effect>, bool) {
    let mut first = log.len();
    while first > 0 && !dependent(&log[first - 1], &effect, lenses) {
        first -= 1;
    }
    let at = (first..log.len()).find(|&i| rank(&effect) < rank(&log[i])).unwrap_or(log.len());
    let mut longer = Vec::with_capacity(log.len() + 1);
    longer.extend_from_slice(&log[..at]);
    longer.push(effect);
    let pushed = |since: Time| if usize::from(since) > at { since + 1 } else { since };
    longer.extend(log[at..].iter().map(|e| moved(e, &pushed)));
    (longer, at < log.len())
}
