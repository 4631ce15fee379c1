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
