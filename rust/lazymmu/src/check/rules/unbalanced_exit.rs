//! H7: an operation returns with another lazy state than it was called with.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H7: Info = Info {
    code: "H7",
    name: "unbalanced exit",
    rule: "the lazy depth at the return differs from the depth at the call",
    source: "facts 8 H7; fea18c686320",
};

#[derive(Debug)]
pub(super) struct UnbalancedExit;

impl Rule for UnbalancedExit {
    fn info(&self) -> &'static Info {
        &H7
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::WALK_END]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if !scene.track.outermost(event) {
            return;
        }
        let Some(before) = scene.track.walk_section(event) else { return };
        let after = scene.track.section(event.task);
        let left_open = after.depth > before.depth || after.enable > before.enable || (after.scope && !before.scope);
        let differs = after.depth != before.depth
            || after.enable != before.enable
            || after.pause != before.pause
            || after.scope != before.scope;
        if differs {
            // What stays open postpones the stores of others without end; what was closed only costs speed.
            let severity = if left_open { Severity::Breaks } else { Severity::Contract };
            report.add(&H7, severity, event, scene, || {
                format!(
                    "depth {} at the call, {} at the return; enable {} and {}; pause {} and {}",
                    before.depth, after.depth, before.enable, after.enable, before.pause, after.pause
                )
            });
        }
    }
}
