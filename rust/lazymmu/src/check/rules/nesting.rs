//! H13: lazy mode is entered where it already is on, under an API that does not count.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::{BugCode, Warning};
use crate::event::{Event, Kind};

static H13: Info = Info {
    code: "H13",
    name: "nesting where it is not allowed",
    rule: "arch_enter_lazy_mmu_mode while lazy mode is on",
    source: "facts 8 H13; 4.1, 2.8 C",
};

#[derive(Clone, Debug)]
pub(super) struct Nesting;

impl Rule for Nesting {
    fn info(&self) -> &'static Info {
        &H13
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ENTER, Kind::WARN, Kind::BUG]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.kind == Kind::BUG as u8 {
            if event.aux == BugCode::LazyNested as u32 {
                report.add(&H13, Severity::Breaks, event, scene, || "BUG: this backend cannot nest".to_owned());
            }
        } else if event.kind == Kind::WARN as u8 {
            if event.aux == Warning::LazyNested as u32 {
                report.add(&H13, Severity::Contract, event, scene, || "the kernel warns".to_owned());
            }
        } else if !scene.track.laws.counted && scene.track.section(event.task).depth > 0 {
            report.add(&H13, Severity::Contract, event, scene, || {
                "tolerated here: the inner leave ends or drains the outer section".to_owned()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::{Breaks, Contract};
    use crate::check::rules::testing::{apply, link, on, plain};

    #[test]
    fn a_walk_enters_inside_a_section() {
        for (backend, scheme, found) in [
            ("arm64", "v6.16", vec![Contract]),
            ("arm64", "v7.0", vec![]),
            ("xen-pv", "v6.12", vec![Contract]),
            ("xen-pv", "v6.16", vec![Breaks]),
            ("xen-pv", "v7.0", vec![]),
        ] {
            let bench = on(backend, scheme);
            let page = bench.page(0);
            let nested = json!([link(page), plain("lazy_enable"), apply(page, "set"), plain("lazy_disable")]);
            assert_eq!(bench.severities("H13", &nested), found, "{backend} {scheme}");
            let apart = json!([link(page), plain("lazy_enable"), plain("lazy_disable"), apply(page, "set")]);
            assert!(bench.severities("H13", &apart).is_empty(), "{backend} {scheme}");
        }
    }
}
