//! H7: an operation returns with another lazy state than it was called with.

use crate::check::{Info, Report, Rule, Scene, Section, Severity};
use crate::event::{Event, Kind};

static H7: Info = Info {
    code: "H7",
    name: "unbalanced exit",
    rule: "the lazy depth at the return differs from the depth at the call",
    source: "facts 8 H7; fea18c686320",
};

#[derive(Clone, Debug)]
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
            report.add(&H7, severity, event, scene, || story(before, after));
        }
    }
}

fn story(before: Section, after: Section) -> String {
    let counts = [
        ("lazy depth", before.depth, after.depth),
        ("enable count", i32::from(before.enable), i32::from(after.enable)),
        ("pause count", i32::from(before.pause), i32::from(after.pause)),
        ("open begin/end", i32::from(before.scope), i32::from(after.scope)),
    ];
    let differing = counts.iter().filter(|(_, before, after)| before != after);
    let parts: Vec<_> = differing.map(|(what, b, a)| format!("{what} {b} at the call, {a} at the return")).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{link, map, map_without, on};

    #[test]
    fn an_error_path_leaves_the_section_open() {
        let page = on("arm64", "v6.16").page(0);
        let fails = json!([link(page), map_without(page, 0)]);
        assert_eq!(on("arm64", "v6.16-rc1").severities("H7", &fails), [Breaks]);
        assert!(on("arm64", "v6.16").severities("H7", &fails).is_empty());
        assert!(on("arm64", "v6.16-rc1").severities("H7", &json!([link(page), map(page, 4)])).is_empty());
    }
}
