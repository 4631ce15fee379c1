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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::{Breaks, Contract};
    use crate::check::rules::testing::{RAM, map, on, unmap};

    #[test]
    fn a_range_is_mapped_twice() {
        let bench = on("x86-64", "v6.12");
        let page = bench.page(0);
        let physical = json!({ "vmap_page_range": { "va": page, "size": 4096, "pa": RAM } });
        for (mapping, found) in [(physical, Breaks), (map(page, 1), Contract)] {
            assert_eq!(bench.severities("H26", &json!([mapping, mapping])), [found]);
            assert!(bench.severities("H26", &json!([mapping, unmap(page, 4096), mapping])).is_empty());
        }
    }
}
