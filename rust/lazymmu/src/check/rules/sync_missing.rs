//! H9: entries that other roots need were changed, and no sync covered them.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H9: Info = Info {
    code: "H9",
    name: "sync missing or too short",
    rule: "a walk changed a level of ARCH_PAGE_TABLE_SYNC_MASK and returns without a sync of its whole range",
    source: "facts 8 H9; 3.4 P1 to P3",
};

#[derive(Clone, Debug)]
pub(super) struct SyncMissing;

impl Rule for SyncMissing {
    fn info(&self) -> &'static Info {
        &H9
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::WALK_END]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let laws = &scene.track.laws;
        let Some(walk) = scene.track.walk(event) else { return };
        let changed = walk.stored & laws.sync_mask;
        if !scene.track.outermost_of_init_mm(event) || changed.is_empty() || walk.mm != 0 {
            return;
        }
        let covered = walk.synced.is_some_and(|(start, end)| start <= walk.start && end >= walk.end);
        if covered {
            return;
        }
        // A fault handler repairs what is missing elsewhere, but never sees what is there and wrong.
        let stale = walk.removed.meets(laws.sync_mask);
        let severity = if laws.fault_repairs && !stale { Severity::Contract } else { Severity::Breaks };
        let synced = walk.synced;
        report.add(&H9, severity, event, scene, || match synced {
            None => format!("{changed} changed, no sync"),
            Some((start, end)) => format!("{changed} changed, synced only [{start:#x}, {end:#x})"),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::{Breaks, Contract};
    use crate::check::rules::testing::{RAM, on};

    #[test]
    fn the_scope_is_opened_by_the_caller_only() {
        let x86_64 = on("x86-64", "begin-end");
        let range = json!({ "va": x86_64.beyond(0), "size": 4096, "pa": RAM, "max_shift": 12 });
        let inner = json!([{ "vmap_range_noflush": range }]);
        assert_eq!(x86_64.severities("H9", &inner), [Breaks]);
        assert!(on("x86-64", "v6.12").severities("H9", &inner).is_empty());
        let outer = json!([{ "vmap_page_range": { "va": x86_64.beyond(0), "size": 4096, "pa": RAM } }]);
        assert!(x86_64.severities("H9", &outer).is_empty());
        let linked = json!([{ "vmap_page_range": { "va": x86_64.page(0), "size": 4096, "pa": RAM } }]);
        assert!(x86_64.severities("H9", &linked).is_empty(), "no level of the mask changes");
    }

    #[test]
    fn a_fault_handler_repairs_what_is_missing() {
        let bench = on("x86-32", "begin-end");
        let range = json!({ "va": bench.page(0), "size": 4096, "pa": RAM, "max_shift": 12 });
        assert_eq!(bench.severities("H9", &json!([{ "vmap_range_noflush": range }])), [Contract]);
    }
}
