//! BUG and WARN: what the kernel itself notices and no other rule explains.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::{BugCode, Warning};
use crate::event::{Event, Kind};

static BUG: Info = Info {
    code: "BUG",
    name: "kernel BUG",
    rule: "the kernel stops the task",
    source: "BUG_ON and faults of the modelled code",
};

static WARN: Info = Info {
    code: "WARN",
    name: "kernel WARN",
    rule: "the kernel prints a warning",
    source: "WARN_ON of the modelled code",
};

#[derive(Clone, Debug)]
pub(super) struct KernelBug;

#[derive(Clone, Debug)]
pub(super) struct KernelWarning;

impl Rule for KernelBug {
    fn info(&self) -> &'static Info {
        &BUG
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::BUG]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        match BugCode::from_code(event.aux) {
            Some(BugCode::RemapLive | BugCode::SyncMismatch | BugCode::LazyNested) | None => {}
            Some(code) => report.add(&BUG, Severity::Breaks, event, scene, || code.text().to_owned()),
        }
    }
}

impl Rule for KernelWarning {
    fn info(&self) -> &'static Info {
        &WARN
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::WARN]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        match Warning::from_code(event.aux) {
            Some(
                Warning::VmapPagesBusy
                | Warning::LazyNested
                | Warning::EnableOverflow
                | Warning::DisableUnderflow
                | Warning::PauseOverflow
                | Warning::ResumeUnderflow,
            )
            | None => {}
            Some(code) => report.add(&WARN, Severity::Contract, event, scene, || code.text().to_owned()),
        }
    }
}
