//! H6: the task may, or does, give up the CPU inside a section.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::Resched;
use crate::event::{Event, Kind};

static H6: Info = Info {
    code: "H6",
    name: "sleep in a lazy section",
    rule: "cond_resched, might_sleep or a sleep while stores or barriers are postponed and not paused",
    source: "facts 8 H6; 4.7",
};

#[derive(Clone, Debug)]
pub(super) struct SleepInLazy;

impl Rule for SleepInLazy {
    fn info(&self) -> &'static Info {
        &H6
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::RESCHED]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let section = scene.track.section(event.task);
        let counted = scene.track.laws.counted && section.enable > 0 && section.pause == 0;
        if section.open() || counted {
            let what = Resched::from_code(event.aux).map_or("?", Resched::text);
            report.add(&H6, Severity::Contract, event, scene, || what.to_owned());
        }
    }
}
