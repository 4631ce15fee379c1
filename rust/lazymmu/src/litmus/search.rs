//! Every log a test can end with, and its final states.
//!
//! The search goes over logs, not over interleavings of instructions: threads run alone, each over the whole log, and
//! only effects that others can notice are ordered against each other. The visited set is exact.

use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::visibility::{ENVIRONMENT, Effect, Log, Source};

use super::condition::{Formula, Place, Quantifier};
use super::lens::{Lens, Sight, append};
use super::program::{Litmus, Width};
use super::state::{Event, Fault};
use super::thread::{Final, explore};

/// Effects in a log, at most: a thread keeps track of its own in a word of bits.
const LONGEST: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Logs to look at before giving up.
    pub logs: usize,
    /// Leave out logs that differ only by what no thread can tell apart.
    pub reduce: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { logs: 2_000_000, reduce: true }
    }
}

/// A final state as far as the test observes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Outcome {
    pub values: Vec<u64>,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Forbidden,
    Required,
    NotRequired,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub verdict: Verdict,
    pub outcomes: BTreeSet<Outcome>,
    /// Outcomes that satisfy the body of the condition.
    pub satisfying: usize,
    pub witness: Vec<Event>,
    /// Logs looked at.
    pub explored: usize,
    /// Why the answer does not cover everything.
    pub bound: Option<String>,
}

struct Search<'a> {
    test: &'a Litmus,
    effects: Vec<Effect>,
    numbers: FxHashMap<Effect, u16>,
    visited: FxHashSet<Box<[u16]>>,
    observed: Vec<Vec<u8>>,
    outcomes: BTreeSet<Outcome>,
    /// The shortest log found that satisfies the condition, with what its threads ended with.
    best: Option<(Box<[u16]>, Vec<Final>)>,
    /// What logs came to, by their threads' findings and what is observed of memory: the length of the shortest.
    ended: FxHashMap<(Vec<u32>, Vec<Option<u64>>), usize>,
    bound: Option<String>,
    hardware: bool,
    footprints: Vec<(u64, Width)>,
    lenses: Vec<Lens>,
}

/// Decides a test.
///
/// # Errors
/// What the program does that is not modelled.
pub fn decide(test: &Litmus, limits: Limits) -> Result<Answer, String> {
    let observed = (0..test.threads.len())
        .map(|t| {
            let mut regs: Vec<u8> = test
                .condition
                .places
                .iter()
                .filter_map(|(place, _)| match place {
                    Place::Register { thread, reg } if usize::from(*thread) == t => Some(*reg),
                    _ => None,
                })
                .collect();
            regs.dedup();
            regs
        })
        .collect();
    let mut search = Search {
        test,
        effects: Vec::new(),
        numbers: FxHashMap::default(),
        visited: FxHashSet::default(),
        observed,
        outcomes: BTreeSet::new(),
        best: None,
        ended: FxHashMap::default(),
        bound: None,
        hardware: test.threads.iter().any(|t| t.hardware_access || t.hardware_dirty),
        footprints: Vec::new(),
        lenses: (0..test.threads.len()).map(|id| Lens::new(id as u8)).collect(),
    };
    search.run(limits)?;
    let body = &test.condition.body;
    let satisfying = search.outcomes.iter().filter(|o| holds(test, body, o)).count();
    let verdict = match test.condition.quantifier {
        Quantifier::Exists | Quantifier::NotExists if satisfying > 0 => Verdict::Allowed,
        Quantifier::Exists | Quantifier::NotExists => Verdict::Forbidden,
        Quantifier::Forall if satisfying == search.outcomes.len() => Verdict::Required,
        Quantifier::Forall => Verdict::NotRequired,
    };
    let witness = search.witness()?;
    Ok(Answer {
        verdict,
        satisfying,
        witness,
        explored: search.visited.len(),
        bound: search.bound,
        outcomes: search.outcomes,
    })
}

impl Search<'_> {
    fn number(&mut self, effect: Effect) -> u16 {
        if let Some(&n) = self.numbers.get(&effect) {
            return n;
        }
        let n = self.effects.len() as u16;
        self.effects.push(effect.clone());
        self.numbers.insert(effect, n);
        n
    }

    /// Refuses accesses of different sizes to the same bytes.
    fn footprint(&mut self, cell: u64, width: Width) -> Result<(), String> {
        if self.footprints.contains(&(cell, width)) {
            return Ok(());
        }
        let end = cell + width.bytes();
        if self.footprints.iter().any(|(other, w)| *other < end && cell < *other + w.bytes()) {
            return Err(format!("accesses of different sizes to {}", self.test.names.cell(cell)));
        }
        self.footprints.push((cell, width));
        Ok(())
    }

    /// What every thread can do over a log. Says whether some thread turned out to see more than was known.
    fn findings(&mut self, settled: &[Effect], reduce: bool) -> Result<(Vec<Sight>, bool), String> {
        let mut all = Vec::with_capacity(self.test.threads.len());
        let mut grown = false;
        for id in 0..self.test.threads.len() {
            let sight = if reduce {
                let (sight, more) = self.lenses[id].findings(self.test, settled, &self.observed[id]);
                grown |= more;
                sight
            } else {
                let mut findings = explore(self.test, id as u8, settled, &self.observed[id], false, None);
                let proposals = std::mem::take(&mut findings.proposals);
                Sight { findings: Rc::new(findings), number: 0, proposals }
            };
            let found = &sight.findings;
            if let Some(why) = &found.unsupported {
                return Err(why.clone());
            }
            if found.cut {
                self.bound = Some("a loop is followed a few rounds only".to_owned());
            }
            for &(cell, width) in &found.footprints {
                self.footprint(cell, width)?;
            }
            all.push(sight);
        }
        Ok((all, grown))
    }

    fn run(&mut self, limits: Limits) -> Result<(), String> {
        // Exchanges of neighbours are sound for what every thread is known to see: when that grows, start again.
        while !self.pass(limits)? {
            self.visited.clear();
        }
        Ok(())
    }

    fn pass(&mut self, limits: Limits) -> Result<bool, String> {
        let mut waiting: Vec<Box<[u16]>> = vec![Box::new([])];
        self.visited.insert(Box::new([]));
        let mut exchanged = false;
        while let Some(log) = waiting.pop() {
            let settled: Vec<Effect> = log.iter().map(|&n| self.effects[usize::from(n)].clone()).collect();
            let (mut all, grown) = self.findings(&settled, limits.reduce)?;
            if grown && exchanged {
                return Ok(false);
            }
            // A log that some thread can neither end with nor extend is no prefix of an execution.
            let stuck = |s: &Sight| s.findings.finals.is_empty() && s.proposals.is_empty() && !s.findings.waits;
            if all.iter().any(stuck) {
                continue;
            }
            self.finish(&log, &settled, &all, limits.reduce);
            if log.len() >= LONGEST {
                self.bound = Some(format!("a log longer than {LONGEST} effects"));
                continue;
            }
            let mut next = self.spontaneous(&settled);
            next.extend(all.iter_mut().flat_map(|f| f.proposals.drain(..)));
            for effect in next {
                let longer: Box<[u16]> = if limits.reduce {
                    let (longer, moved) = append(&settled, effect, &self.lenses);
                    exchanged |= moved;
                    longer.into_iter().map(|e| self.number(e)).collect()
                } else {
                    let mut longer = log.to_vec();
                    longer.push(self.number(effect));
                    longer.into_boxed_slice()
                };
                if !self.visited.contains(&longer) {
                    self.visited.insert(longer.clone());
                    waiting.push(longer);
                }
            }
            if self.visited.len() > limits.logs {
                self.bound = Some(format!("{} logs", limits.logs));
                break;
            }
        }
        Ok(true)
    }

    /// Access flags the hardware may set for no access at all.
    fn spontaneous(&self, settled: &[Effect]) -> Vec<Effect> {
        if !self.hardware {
            return Vec::new();
        }
        let log = Log { initial: &self.test.initial, settled, ahead: &[] };
        let format = self.test.profile.format();
        self.test
            .managed
            .iter()
            .filter_map(|&cell| {
                let (_, value) = log.value_at(cell, log.now());
                let entry = format.decode(3, value);
                (entry.kind == crate::visibility::entry::Kind::Leaf && !entry.accessed).then(|| Effect::Write {
                    cpu: ENVIRONMENT,
                    cell,
                    value: format.set_accessed(value),
                    source: Source::Walker,
                })
            })
            .collect()
    }

    fn finish(&mut self, numbers: &[u16], settled: &[Effect], all: &[Sight], reduce: bool) {
        if all.iter().any(|s| s.findings.finals.is_empty()) {
            return;
        }
        let log = Log { initial: &self.test.initial, settled, ahead: &[] };
        let memory: Vec<Option<u64>> = self
            .test
            .condition
            .places
            .iter()
            .map(|(place, _)| match place {
                Place::Memory(cell) => Some(log.value_at(*cell, log.now()).1),
                Place::Register { .. } => None,
            })
            .collect();
        if reduce {
            let key = (all.iter().map(|s| s.number).collect(), memory.clone());
            let shortest = self.ended.entry(key).or_insert(usize::MAX);
            if *shortest <= numbers.len() {
                return;
            }
            *shortest = numbers.len();
        }
        let mut pick = vec![0usize; all.len()];
        loop {
            let finals: Vec<&Final> = pick.iter().zip(all).map(|(&i, s)| &s.findings.finals[i]).collect();
            let outcome = self.outcome(&memory, &finals);
            let passes = self.test.condition.filter.as_ref().is_none_or(|f| holds(self.test, f, &outcome));
            if passes {
                let shorter = self.best.as_ref().is_none_or(|(log, _)| numbers.len() < log.len());
                let wanted = match self.test.condition.quantifier {
                    Quantifier::Forall => !holds(self.test, &self.test.condition.body, &outcome),
                    _ => holds(self.test, &self.test.condition.body, &outcome),
                };
                if shorter && wanted {
                    self.best = Some((numbers.into(), finals.into_iter().cloned().collect()));
                }
                self.outcomes.insert(outcome);
            }
            let mut i = 0;
            loop {
                if i == pick.len() {
                    return;
                }
                pick[i] += 1;
                if pick[i] < all[i].findings.finals.len() {
                    break;
                }
                pick[i] = 0;
                i += 1;
            }
        }
    }

    fn outcome(&self, memory: &[Option<u64>], finals: &[&Final]) -> Outcome {
        let values = self
            .test
            .condition
            .places
            .iter()
            .zip(memory)
            .map(|((place, _), value)| match place {
                Place::Memory(_) => value.unwrap_or(0),
                Place::Register { thread, reg } => {
                    let t = usize::from(*thread);
                    let at = self.observed[t].iter().position(|r| r == reg).unwrap_or(0);
                    finals[t].registers[at]
                }
            })
            .collect();
        let mut faults: Vec<Fault> = finals.iter().flat_map(|f| f.faults.iter().cloned()).collect();
        faults.sort();
        Outcome { values, faults }
    }

    /// The events of the shortest execution found.
    fn witness(&self) -> Result<Vec<Event>, String> {
        let Some((log, finals)) = &self.best else { return Ok(Vec::new()) };
        let settled: Vec<Effect> = log.iter().map(|&n| self.effects[usize::from(n)].clone()).collect();
        let mut events = Vec::new();
        for (id, wanted) in finals.iter().enumerate() {
            let found = explore(self.test, id as u8, &settled, &self.observed[id], false, Some(wanted));
            if let Some(why) = found.unsupported {
                return Err(why);
            }
            events.extend(found.told.and_then(|s| s.story).unwrap_or_default());
        }
        for (i, effect) in settled.iter().enumerate() {
            if let Effect::Write { cpu: ENVIRONMENT, cell, value, .. } = effect {
                let value = self.test.names.word(*cell, *value, &self.test.profile);
                let what = format!("hardware writes {} = {value}, for no access", self.test.names.entry(*cell));
                events.push(Event { thread: ENVIRONMENT, at: None, what, time: i as u16 + 1 });
            }
        }
        Ok(events)
    }
}

/// Whether an outcome satisfies a formula.
#[must_use]
pub fn holds(test: &Litmus, formula: &Formula, outcome: &Outcome) -> bool {
    match formula {
        Formula::True => true,
        Formula::False => false,
        Formula::Equal { place, value, mask } => outcome.values[*place] & mask == value & mask,
        Formula::Same { place, other } => outcome.values[*place] == outcome.values[*other],
        Formula::Fault(atom) => outcome.faults.iter().any(|fault| {
            let line = test.threads[usize::from(fault.thread)].code.get(usize::from(fault.at));
            fault.thread == atom.thread
                && atom.label.as_ref().is_none_or(|l| line.is_some_and(|line| line.labels.contains(l)))
                && atom.kind.as_ref().is_none_or(|k| fault.kind == k)
                && atom.address.is_none_or(|a| match fault.address {
                    Some(b) => a == b || (a >> 12 == b >> 12 && !test.is_direct(a)),
                    None => false,
                })
        }),
        Formula::Not(inner) => !holds(test, inner, outcome),
        Formula::And(all) => all.iter().all(|f| holds(test, f, outcome)),
        Formula::Or(any) => any.iter().any(|f| holds(test, f, outcome)),
        Formula::Implies(a, b) => !holds(test, a, outcome) || holds(test, b, outcome),
    }
}
