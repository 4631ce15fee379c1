//! H5: a table page is allocated inside a section that postpones stores or barriers.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};
use crate::geometry::Level;

static H5: Info = Info {
    code: "H5",
    name: "table allocation in a lazy section",
    rule: "a table page is allocated while stores or barriers are postponed",
    source: "facts 8 H5; 4.7; the seed mail",
};

#[derive(Clone, Debug)]
pub(super) struct AllocInLazy;

impl Rule for AllocInLazy {
    fn info(&self) -> &'static Info {
        &H5
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ALLOC]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.level == 0 || !scene.track.section(event.task).open() {
            return;
        }
        let level = Level::from_number(event.level).map_or("", Level::name);
        report.add(&H5, Severity::Contract, event, scene, || {
            format!("a {level} table; reaching it may need a mapping that takes effect at once")
        });
    }
}
