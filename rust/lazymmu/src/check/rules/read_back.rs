//! H3: software reads an entry whose new value still waits in a queue.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H3: Info = Info {
    code: "H3",
    name: "read-back of a queued store",
    rule: "an entry is read while a store to it is queued",
    source: "facts 8 H3; 4.1 failure if violated",
};

#[derive(Clone, Debug)]
pub(super) struct ReadBack;

impl Rule for ReadBack {
    fn info(&self) -> &'static Info {
        &H3
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::STALE_READ]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        report.add(&H3, Severity::Breaks, event, scene, || {
            format!("memory has {:#x}, {:#x} is queued", event.old, event.new)
        });
    }
}
