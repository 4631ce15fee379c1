//! BUG and WARN: what the kernel itself notices and no other rule explains.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::{BugCode, Warning};
use crate::event::{Event, Kind};

static BUG: Info = Info {
    code: "BUG",
    name: "kernel BUG",
    rule: "the kernel stops the task",
    source: "BUG_ON and faults of the modelled code",
};

static WARN: Info = Info {
    code: "WARN",
    name: "kernel WARN",
    rule: "the kernel prints a warning",
    source: "WARN_ON of the modelled code",
};

#[derive(Clone, Debug)]
pub(super) struct KernelBug;

#[derive(Clone, Debug)]
pub(super) struct KernelWarning;

impl Rule for KernelBug {
    fn info(&self) -> &'static Info {
        &BUG
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::BUG]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        match BugCode::from_code(event.aux) {
            Some(BugCode::RemapLive | BugCode::SyncMismatch | BugCode::LazyNested) | None => {}
            Some(code) => report.add(&BUG, Severity::Breaks, event, scene, || code.text().to_owned()),
        }
    }
}

impl Rule for KernelWarning {
    fn info(&self) -> &'static Info {
        &WARN
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::WARN]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        match Warning::from_code(event.aux) {
            Some(
                Warning::VmapPagesBusy
                | Warning::LazyNested
                | Warning::EnableOverflow
                | Warning::DisableUnderflow
                | Warning::PauseOverflow
                | Warning::ResumeUnderflow,
            )
            | None => {}
            Some(code) => report.add(&WARN, Severity::Contract, event, scene, || code.text().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::{Breaks, Contract};
    use crate::check::rules::testing::{HIGH, RAM, on, unmap};

    #[test]
    fn slots_are_released_in_the_wrong_order() {
        let bench = on("x86-32", "v6.12");
        let kmap = |slot| json!({ "kmap_local": { "slot": slot, "page": HIGH } });
        let kunmap = |slot| json!({ "kunmap_local": { "slot": slot } });
        assert_eq!(bench.severities("BUG", &json!([kmap(0), kmap(1), kunmap(0)])), [Breaks]);
        assert!(bench.severities("BUG", &json!([kmap(0), kmap(1), kunmap(1), kunmap(0)])).is_empty());
    }

    #[test]
    fn a_huge_leaf_is_unmapped_in_part() {
        let page = on("x86-64", "v6.16").page(0);
        let program =
            |size: u64| json!([{ "vmap_page_range": { "va": page, "size": 0x20_0000, "pa": RAM } }, unmap(page, size)]);
        assert_eq!(on("x86-64", "v6.16").severities("WARN", &program(4096)), [Contract]);
        assert!(on("x86-64", "v6.16").severities("WARN", &program(0x20_0000)).is_empty());
        assert!(on("x86-64", "v6.12").severities("WARN", &program(4096)).is_empty());
    }

    #[test]
    fn other_rules_explain_some() {
        let bench = on("x86-64", "v6.12");
        let page = bench.page(0);
        let twice = json!({ "vmap_page_range": { "va": page, "size": 4096, "pa": RAM } });
        assert!(bench.severities("BUG", &json!([twice, twice])).is_empty());
        let busy = json!({ "vmap_pages_range": { "va": page, "pages": { "count": 1, "start": RAM } } });
        assert!(bench.severities("WARN", &json!([busy, busy])).is_empty());
    }
}
