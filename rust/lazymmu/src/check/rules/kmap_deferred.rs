//! H4: a temporary mapping is used before its own entry is in place.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H4: Info = Info {
    code: "H4",
    name: "kmap deferred",
    rule: "a kmap slot is used while the store of its entry is postponed",
    source: "facts 8 H4; 5.3",
};

#[derive(Clone, Debug)]
pub(super) struct KmapDeferred;

impl Rule for KmapDeferred {
    fn info(&self) -> &'static Info {
        &H4
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ACCESS]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if !scene.track.is_kmap(event.va) {
            return;
        }
        if let Some(p) = scene.track.pending().iter().find(|p| p.covers(event.va) && p.cpu == event.cpu) {
            report.add(&H4, Severity::Breaks, event, scene, || {
                format!("the slot's entry was stored at {} and still waits", scene.event(p.event))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{HIGH, RAM, on, plain};

    #[test]
    fn a_slot_is_used_while_its_entry_is_queued() {
        for (page, flush, found) in [(HIGH, "false", vec![Breaks]), (HIGH, "true", vec![]), (RAM, "false", vec![])] {
            let bench = on("xen-pv", "v6.12").geometry("x86-32-pae").option("kmap_flush", flush);
            let program = json!([
                plain("lazy_enable"),
                { "kmap_local": { "slot": 0, "page": page } },
                { "access": { "va": { "slot": 0 } } },
                plain("lazy_disable"),
            ]);
            assert_eq!(bench.severities("H4", &program), found, "page {page:#x}, kmap_flush {flush}");
        }
    }
}
