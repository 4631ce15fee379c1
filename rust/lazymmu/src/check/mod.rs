//! Hazards: rules over the event stream and what it says about the machine.
//!
//! A rule is one file: it names the kinds of events it wants, keeps its own state, and reports findings with its stable
//! code. What several rules need to know (sections, pending stores, open walks) is tracked once, in [`track`].

mod laws;
mod pending;
mod rules;
mod settle;
mod track;

use std::fmt;
use std::hash::Hasher;

use serde::Serialize;

pub use laws::Laws;
pub use pending::Pending;
use rules::ALL;
pub use track::{OpenWalk, Section, Track};

use crate::event::cycle::{Stretch, Turning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::Machine;

/// How bad a finding is on this backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Some legal machine of this backend can now fault, use a stale translation or lose an update.
    Breaks,
    /// A documented rule is violated that this backend survives.
    Contract,
    /// Work is done twice.
    Cost,
}

impl Severity {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Breaks => "breaks",
            Severity::Contract => "contract",
            Severity::Cost => "cost",
        }
    }
}

/// What a rule is, for lists and docs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Info {
    /// Stable; see the docs page of the same name.
    pub code: &'static str,
    pub name: &'static str,
    /// When it fires, in one line.
    pub rule: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
}

/// One rule at work.
pub trait Rule: CloneRule + fmt::Debug + Send + Sync {
    fn info(&self) -> &'static Info;
    /// The kinds of events it wants to see.
    fn kinds(&self) -> &'static [Kind];
    /// Whether it judges events of this kind by themselves and by the tracked state, and never looks at the machine: then
    /// it may see them later.
    fn defers(&self, _kind: u8) -> bool {
        false
    }
    /// Whether it would find nothing, and keep nothing, in further turns of a cycle of which the tracked state has seen
    /// some and will not change.
    fn at_rest(&self, _cycle: &[Turning], _track: &Track) -> bool {
        false
    }
    /// Looks at an event that has already been tracked.
    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report);
    /// Adds to a digest what the rule remembers, if it does.
    fn digest(&self, _h: &mut dyn Hasher) {}
}

/// Rules are copied with the run that they watch.
pub trait CloneRule {
    fn boxed(&self) -> Box<dyn Rule>;
}

impl<T: Rule + Clone + 'static> CloneRule for T {
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Rule> {
    fn clone(&self) -> Box<dyn Rule> {
        (**self).boxed()
    }
}

/// What a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub machine: &'a Machine,
    pub track: &'a Track,
    /// Index of the event since the machine was made, as [`Pending::event`] has it.
    pub index: u64,
    /// That of the first event of the run.
    pub start: u64,
}

impl Scene<'_> {
    /// What a message calls the event of this index.
    #[must_use]
    pub fn event(&self, index: u64) -> String {
        index
            .checked_sub(self.start)
            .map_or_else(|| "an event of an earlier run".to_owned(), |index| format!("event {index}"))
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    /// The rule's name.
    pub rule: &'static str,
    /// Index of the event at which it was found, in its run.
    pub event: u64,
    pub op: u32,
    pub cpu: u8,
    pub task: u16,
    pub va: u64,
    /// A level number, or 0.
    pub level: u8,
    pub message: String,
    /// How often the same was found in this operation.
    pub count: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = Level::from_number(self.level).map_or("-", Level::name);
        write!(
            f,
            "{} {} cpu{} {:#x} {} event {}: {}: {}",
            self.code,
            self.severity.name(),
            self.cpu,
            self.va,
            level,
            self.event,
            self.rule,
            self.message
        )?;
        if self.count > 1 { write!(f, " ({} times)", self.count) } else { Ok(()) }
    }
}

/// Findings of a run. The same code, severity, operation and task is kept once, with a count.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        info: &'static Info,
        severity: Severity,
        event: &Event,
        scene: &Scene<'_>,
        message: impl FnOnce() -> String,
    ) {
        let same = |f: &&mut Finding| {
            f.code == info.code && f.severity == severity && f.op == event.op && f.task == event.task
        };
        if let Some(finding) = self.findings.iter_mut().find(same) {
            finding.count += 1;
            return;
        }
        self.findings.push(Finding {
            code: info.code,
            severity,
            rule: info.name,
            event: scene.index - scene.start,
            op: event.op,
            cpu: event.cpu,
            task: event.task,
            va: event.va,
            level: event.level,
            message: message(),
            count: 1,
        });
    }

    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

const KINDS: usize = 256;

/// All rules over one run.
#[derive(Clone, Debug)]
pub struct Checker {
    track: Track,
    rules: Vec<Box<dyn Rule>>,
    /// Which rules want which kind.
    wanted: Vec<Vec<u8>>,
    report: Report,
    index: u64,
    /// Index of the first event of this run.
    start: u64,
}

impl Checker {
    /// Every rule, judged by these laws.
    #[must_use]
    pub fn new(laws: Laws) -> Checker {
        let rules: Vec<Box<dyn Rule>> = ALL.iter().map(|make| make()).collect();
        let mut wanted = vec![Vec::new(); KINDS];
        for (n, rule) in rules.iter().enumerate() {
            for kind in rule.kinds() {
                wanted[*kind as usize].push(n as u8);
            }
        }
        Checker { track: Track::new(laws), rules, wanted, report: Report::default(), index: 0, start: 0 }
    }

    /// Takes note of the next event.
    #[inline]
    pub fn see(&mut self, machine: &Machine, event: &Event) {
        self.track.before(event, self.index);
        let wanted = &self.wanted[usize::from(event.kind)];
        if !wanted.is_empty() {
            let scene = Scene { machine, track: &self.track, index: self.index, start: self.start };
            for n in wanted {
                self.rules[usize::from(*n)].see(event, &scene, &mut self.report);
            }
        }
        self.track.after(event);
        self.index += 1;
    }

    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.report.findings()
    }

    fn wanting(&self, event: &Event) -> impl Iterator<Item = &dyn Rule> {
        self.wanted[usize::from(event.kind)].iter().map(|n| &*self.rules[usize::from(*n)])
    }

    /// Whether a stretch of this cycle may be handed to [`Checker::see_stretch`] when it is over.
    #[must_use]
    pub fn defers(&self, cycle: &[Turning]) -> bool {
        cycle.iter().map(Turning::event).all(|event| self.wanting(&event).all(|rule| rule.defers(event.kind)))
    }

    /// Takes note of a stretch of a cycle. What comes of it is what [`Checker::see`] makes of each of its events; turns
    /// between the first and the last that change nothing are skipped.
    pub fn see_stretch(&mut self, machine: &Machine, stretch: &Stretch<'_>) {
        let (cycle, period) = (stretch.cycle, stretch.cycle.len() as u64);
        let first = period.min(stretch.events);
        (0..first).for_each(|n| self.see(machine, &stretch.event(n)));
        let middle = (stretch.events / period).saturating_sub(2) * period;
        let at_rest = |event: Event| self.wanting(&event).all(|rule| rule.at_rest(cycle, &self.track));
        let skip = middle > 0
            && self.track.settled(cycle)
            && self.track.uniform(stretch)
            && cycle.iter().map(Turning::event).all(at_rest);
        let skipped = if skip { middle } else { 0 };
        if skip {
            self.track.skip(cycle, skipped);
            self.index += skipped;
        }
        (first + skipped..stretch.events).for_each(|n| self.see(machine, &stretch.event(n)));
    }

    /// A user's begin and end postpone something, whatever the backend's own do.
    pub(crate) fn scope_batches(&mut self) {
        self.track.laws.scope_batches = true;
    }

    /// A run was cut short: what was open in it is over.
    pub(crate) fn cut_short(&mut self) {
        self.track.cut_short();
    }

    /// Adds what later verdicts depend on to a digest.
    pub(crate) fn digest(&self, h: &mut dyn Hasher) {
        self.track.digest(h);
        self.rules.iter().for_each(|rule| rule.digest(h));
    }

    /// Hands out what was found since the last time; events are numbered from then.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        self.start = self.index;
        std::mem::take(&mut self.report.findings)
    }
}

/// Rule information, in the order of codes.
#[must_use]
pub fn infos() -> Vec<&'static Info> {
    ALL.iter().map(|make| make().info()).collect()
}
