//! H38: work that nothing required.

use crate::check::{Info, Report, Rule, Scene, Severity, Track};
use crate::event::cycle::Turning;
use crate::event::{Event, Kind};

static H38: Info = Info {
    code: "H38",
    name: "superfluous barrier or sync",
    rule: "a barrier with no store to complete, or a sync with no change at a level of the mask",
    source: "facts 8 H38; museum A2",
};

#[derive(Clone, Debug)]
pub(super) struct Superfluous;

impl Rule for Superfluous {
    fn info(&self) -> &'static Info {
        &H38
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::BAR, Kind::SYNC]
    }

    fn defers(&self, _kind: u8) -> bool {
        true
    }

    /// In a settled cycle each barrier completes a store.
    fn at_rest(&self, cycle: &[Turning], track: &Track) -> bool {
        track.completed_something() && cycle.iter().all(|turning| turning.event().kind != Kind::SYNC as u8)
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.kind == Kind::BAR as u8 {
            if !scene.track.completed_something() {
                report.add(&H38, Severity::Cost, event, scene, || "no store waited for this barrier".to_owned());
            }
            return;
        }
        let laws = &scene.track.laws;
        if scene.track.walk(event).is_some_and(|w| !w.stored.meets(laws.sync_mask)) {
            report.add(&H38, Severity::Cost, event, scene, || {
                "the mask names a level at which nothing was stored".to_owned()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Cost;
    use crate::check::rules::testing::{link, map, on, unmap};

    #[test]
    fn unmapping_needs_no_barrier() {
        let page = on("arm64", "begin-end").page(0);
        let program = json!([link(page), map(page, 4), unmap(page, 4 * 4096)]);
        assert_eq!(on("arm64", "begin-end").severities("H38", &program), [Cost]);
        assert!(on("arm64", "begin-end").severities("H38", &json!([link(page), map(page, 4)])).is_empty());
        assert!(on("arm64", "v6.12").severities("H38", &program).is_empty());
    }
}
