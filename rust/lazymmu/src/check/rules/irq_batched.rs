//! H15: what an interrupt writes is postponed to the end of the interrupted task's section.

use crate::check::Pending;
use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H15: Info = Info {
    code: "H15",
    name: "interrupt's write batched into the interrupted section",
    rule: "in interrupt context a kernel entry is stored and its completion left to the interrupted task",
    source: "facts 8 H15; b81c688426a9",
};

#[derive(Clone, Debug)]
pub(super) struct IrqBatched;

impl Rule for IrqBatched {
    fn info(&self) -> &'static Info {
        &H15
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::IRQ_OUT]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        // Where setters complete nothing, the handler's own flush is missing, and nobody's section waits for anything.
        let laws = &scene.track.laws;
        let own = laws.dsb_completes || laws.fences;
        let left = |p: &&Pending| p.cpu == event.cpu && p.by_interrupt() && !p.dsb_done && (p.queued || !own);
        let left = scene.track.pending().iter().find(left);
        if let Some(p) = left {
            let at = Event { va: p.start, level: p.level, ..*event };
            report.add(&H15, Severity::Breaks, &at, scene, || {
                format!("the store at {} waits for the end of the interrupted section", scene.event(p.event))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{inject, link, map, on, set};

    #[test]
    fn a_handler_stores_inside_the_scope() {
        for (scheme, place, found) in [
            ("begin-end", json!({ "irq": "hard" }), vec![Breaks]),
            ("begin-end", json!({}), vec![]),
            ("v6.16-rc1", json!({ "irq": "hard" }), vec![Breaks]),
            ("v6.16", json!({ "irq": "hard" }), vec![]),
        ] {
            let bench = on("arm64", scheme);
            let (own, other) = (bench.page(0), bench.page(1));
            let program = inject(&[link(own), map(own, 1)], "STORE", &place, &[set(other)]);
            assert_eq!(bench.severities("H15", &program), found, "{scheme} {place}");
        }
    }

    #[test]
    fn a_setter_that_completes_nothing_leaves_nothing_to_others() {
        for backend in ["arm", "riscv", "powerpc-radix"] {
            let bench = on(backend, "v7.0");
            let (own, other) = (bench.page(0), bench.page(1));
            let program = inject(&[link(own), map(own, 1)], "STORE", &json!({ "irq": "hard" }), &[set(other)]);
            assert_eq!(bench.severities("H15", &program), vec![], "{backend}");
        }
    }

    #[test]
    fn the_address_is_that_of_the_store() {
        let bench = on("arm64", "begin-end");
        let (own, other) = (bench.page(0), bench.page(1));
        let irq = json!({ "irq": "hard" });
        let found = bench.runs(&[inject(&[link(own), map(own, 1)], "STORE", &irq, &[set(other)])]).remove(0);
        let places: Vec<_> = found.iter().filter(|f| f.code == "H15").map(|f| (f.va, f.level)).collect();
        assert_eq!(places, [(other, 1)]);
    }
}
