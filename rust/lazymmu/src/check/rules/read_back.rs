//! H3: software reads an entry whose new value still waits in a queue.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H3: Info = Info {
    code: "H3",
    name: "read-back of a queued store",
    rule: "an entry is read while a store to it is queued",
    source: "facts 8 H3; 4.1 failure if violated",
};

#[derive(Clone, Debug)]
pub(super) struct ReadBack;

impl Rule for ReadBack {
    fn info(&self) -> &'static Info {
        &H3
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::STALE_READ]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        report.add(&H3, Severity::Breaks, event, scene, || {
            format!("memory has {:#x}, {:#x} is queued", event.old, event.new)
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{apply, link, on};

    #[test]
    fn a_callback_reads_what_it_has_just_set() {
        for (backend, callback, found) in
            [("xen-pv", "set-read-back", vec![Breaks]), ("xen-pv", "set", vec![]), ("arm64", "set-read-back", vec![])]
        {
            let bench = on(backend, "v6.16");
            let page = bench.page(0);
            let program = json!([link(page), apply(page, callback)]);
            assert_eq!(bench.severities("H3", &program), found, "{callback} on {backend}");
        }
    }
}
