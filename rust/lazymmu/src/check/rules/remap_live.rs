//! H26: an entry that is in use is mapped again.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::{BugCode, Warning};
use crate::event::{Event, Kind};

static H26: Info = Info {
    code: "H26",
    name: "remap of a live entry",
    rule: "vmap_pte_range finds an entry that is not none (BUG), or vmap_pages_pte_range does (-EBUSY)",
    source: "facts 8 H26",
};

#[derive(Clone, Debug)]
pub(super) struct RemapLive;

impl Rule for RemapLive {
    fn info(&self) -> &'static Info {
        &H26
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::BUG, Kind::WARN]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.kind == Kind::BUG as u8 && event.aux == BugCode::RemapLive as u32 {
            report.add(&H26, Severity::Breaks, event, scene, || BugCode::RemapLive.text().to_owned());
        }
        if event.kind == Kind::WARN as u8 && event.aux == Warning::VmapPagesBusy as u32 {
            report.add(&H26, Severity::Contract, event, scene, || Warning::VmapPagesBusy.text().to_owned());
        }
    }
}
