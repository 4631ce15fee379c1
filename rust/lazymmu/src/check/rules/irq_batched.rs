//! H15: what an interrupt writes is postponed to the end of the interrupted task's section.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H15: Info = Info {
    code: "H15",
    name: "interrupt's write batched into the interrupted section",
    rule: "in interrupt context a kernel entry is stored and its completion left to the interrupted task",
    source: "facts 8 H15; b81c688426a9",
};

#[derive(Clone, Debug)]
pub(super) struct IrqBatched;

impl Rule for IrqBatched {
    fn info(&self) -> &'static Info {
        &H15
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::IRQ_OUT]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let left = scene.track.pending().iter().find(|p| p.cpu == event.cpu && p.by_interrupt() && !p.dsb_done);
        if let Some(p) = left {
            let at = Event { va: p.start, level: p.level, ..*event };
            report.add(&H15, Severity::Breaks, &at, scene, || {
                format!("the store at event {} waits for the end of the interrupted section", p.event)
            });
        }
    }
}
