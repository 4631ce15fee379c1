//! What is said of a test.

use serde::Serialize;

use crate::visibility::ENVIRONMENT;

use super::condition::Quantifier;
use super::program::Litmus;
use super::search::{Answer, Outcome, Verdict, holds};
use super::state::{Event, Fault};

/// One final state: what the condition and the `locations` clause name, and the faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateRow {
    pub values: Vec<(String, String)>,
    pub faults: Vec<String>,
    /// Whether it satisfies the body of the condition.
    pub satisfies: bool,
}

/// One line of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Position in the log: a write stands there, a read or walk sees the log up to there.
    pub time: u16,
    /// `P0`, or `hardware`.
    pub who: String,
    pub instruction: String,
    pub event: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub name: String,
    pub variant: String,
    /// `Allowed` or `Forbidden` of a state; `Required` where all satisfy a `forall`, else `Not required`.
    pub verdict: &'static str,
    /// herd's word: `Always`, `Sometimes`, `Never`.
    pub observation: &'static str,
    pub condition: String,
    pub states: Vec<StateRow>,
    pub witness: Vec<EventRow>,
    pub explored: usize,
    pub bound: Option<String>,
}

fn fault_text(test: &Litmus, fault: &Fault) -> String {
    let line = test.threads[usize::from(fault.thread)].code.get(usize::from(fault.at));
    let label = line.and_then(|l| l.labels.first()).map_or(String::new(), |l| format!(":{l}"));
    let address = fault.address.map_or(String::new(), |a| format!(",{}", test.names.address(a)));
    format!("fault(P{}{label}{address},{})", fault.thread, fault.kind)
}

fn state_row(test: &Litmus, outcome: &Outcome) -> StateRow {
    let places = &test.condition.places;
    let values = places
        .iter()
        .zip(&outcome.values)
        .map(|((place, name), value)| {
            let shown = match place {
                super::condition::Place::Memory(cell) => test.names.word(*cell, *value, &test.profile),
                super::condition::Place::Register { .. } => test.names.value(*value, &test.profile),
            };
            (name.clone(), shown)
        })
        .collect();
    let mut faults: Vec<String> = outcome.faults.iter().map(|f| fault_text(test, f)).collect();
    faults.sort();
    faults.dedup();
    StateRow { values, faults, satisfies: holds(test, &test.condition.body, outcome) }
}

fn event_row(test: &Litmus, event: &Event) -> EventRow {
    let (who, instruction) = if event.thread == ENVIRONMENT {
        ("hardware".to_owned(), String::new())
    } else {
        let code = &test.threads[usize::from(event.thread)].code;
        let line = event.at.and_then(|at| code.get(usize::from(at)));
        let text = line.map_or(String::new(), |l| match l.labels.first() {
            Some(label) => format!("{label}: {}", l.text),
            None => l.text.clone(),
        });
        (format!("P{}", event.thread), text)
    };
    EventRow { time: event.time, who, instruction, event: event.what.clone() }
}

/// Puts an answer into words.
#[must_use]
pub fn report(test: &Litmus, answer: &Answer) -> Report {
    let total = answer.outcomes.len();
    let observation = match answer.satisfying {
        0 => "Never",
        n if n == total => "Always",
        _ => "Sometimes",
    };
    let verdict = match answer.verdict {
        Verdict::Allowed => "Allowed",
        Verdict::Forbidden => "Forbidden",
        Verdict::Required => "Required",
        Verdict::NotRequired => "Not required",
    };
    let mut events: Vec<&Event> = answer.witness.iter().collect();
    // Writes stand before what sees them; program order is kept within a thread.
    let mut rows: Vec<EventRow> = Vec::with_capacity(events.len());
    let mut seen: Vec<u16> = vec![0; test.threads.len() + 1];
    let mut keyed: Vec<(u16, usize, EventRow)> = Vec::new();
    for (i, event) in events.drain(..).enumerate() {
        let thread = usize::from(event.thread).min(test.threads.len());
        // A store that becomes visible late does not move what its thread does next.
        if !event.what.contains("writes") {
            seen[thread] = seen[thread].max(event.time);
        }
        keyed.push((
            event.time.max(if event.what.contains("writes") { 0 } else { seen[thread] }),
            i,
            event_row(test, event),
        ));
    }
    keyed.sort_by_key(|(time, i, row)| (*time, !row.event.contains("writes"), *i));
    rows.extend(keyed.into_iter().map(|(.., row)| row));
    Report {
        name: test.name.clone(),
        variant: test.variants.join(","),
        verdict,
        observation,
        condition: match test.condition.quantifier {
            Quantifier::Exists => "exists",
            Quantifier::NotExists => "~exists",
            Quantifier::Forall => "forall",
        }
        .to_owned(),
        states: answer.outcomes.iter().map(|o| state_row(test, o)).collect(),
        witness: rows,
        explored: answer.explored,
        bound: answer.bound.clone(),
    }
}
