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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Contract;
    use crate::check::rules::testing::{link, map, on};

    #[test]
    fn a_table_is_made_inside_the_scope() {
        let bench = on("arm64", "begin-end");
        let page = bench.page(0);
        assert_eq!(bench.severities("H5", &json!([map(page, 1)])), [Contract]);
        assert!(bench.severities("H5", &json!([link(page), map(page, 1)])).is_empty());
        assert!(on("arm64", "v6.16").severities("H5", &json!([map(page, 1)])).is_empty());
    }
}
