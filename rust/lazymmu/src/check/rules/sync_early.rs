//! H10: the sync ran before everything that it has to copy was there, or its own copies were postponed.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H10: Info = Info {
    code: "H10",
    name: "sync too early",
    rule: "a level of the sync mask is stored after the last sync of the walk, or the sync's own stores wait in a queue",
    source: "facts 8 H10; 3.4 P2 and P6",
};

#[derive(Clone, Debug)]
pub(super) struct SyncEarly;

impl Rule for SyncEarly {
    fn info(&self) -> &'static Info {
        &H10
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::SYNC_END, Kind::WALK_END]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let laws = &scene.track.laws;
        let severity = if laws.fault_repairs { Severity::Contract } else { Severity::Breaks };
        let Some(walk) = scene.track.walk(event) else { return };
        if event.kind == Kind::SYNC_END as u8 {
            if walk.sync_queued && scene.track.queue_waits(event.cpu) {
                report.add(&H10, severity, event, scene, || {
                    "the copies are still queued when the sync returns: another CPU does not have them".to_owned()
                });
            }
            return;
        }
        let late = walk.since_sync & laws.sync_mask;
        if scene.track.outermost(event) && walk.synced.is_some() && !late.is_empty() {
            report.add(&H10, severity, event, scene, || format!("{late} stored after the last sync"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{inject, map, on, with_mms};

    #[test]
    fn copies_are_queued_when_the_sync_returns() {
        for (scheme, found) in [("begin-end-lazy", vec![Breaks]), ("v6.12", vec![])] {
            let bench = on("xen-pv", scheme).option("begin_end_flush_links", "true");
            let program = with_mms(1, &[map(bench.beyond(0), 1)]);
            assert_eq!(bench.severities("H10", &program), found, "{scheme}");
        }
    }

    #[test]
    fn a_root_entry_is_stored_behind_the_sync() {
        let bench = on("x86-64", "v6.12");
        for (sync, found) in [(false, vec![Breaks]), (true, vec![])] {
            let late = json!({ "populate_kernel": { "va": bench.beyond(1), "sync": sync } });
            let program = inject(&[map(bench.beyond(0), 1)], "SYNC_END", &json!({}), &[late]);
            assert_eq!(bench.severities("H10", &program), found, "sync {sync}");
        }
    }
}
