//! H16: the lazy API has an effect in interrupt context.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::Context;
use crate::event::{Event, Kind};

static H16: Info = Info {
    code: "H16",
    name: "lazy mode changed from an interrupt",
    rule: "enter or leave in interrupt context changes the interrupted task's state",
    source: "facts 8 H16; b81c688426a9",
};

#[derive(Clone, Debug)]
pub(super) struct IrqEnter;

impl Rule for IrqEnter {
    fn info(&self) -> &'static Info {
        &H16
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ENTER, Kind::LEAVE]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.context != Context::Task as u8 && event.old != event.new {
            report.add(&H16, Severity::Contract, event, scene, || {
                format!("state {:#x} becomes {:#x}", event.old, event.new)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Contract;
    use crate::check::rules::testing::{link, map, on};

    #[test]
    fn a_walk_in_an_interrupt_enters() {
        for (scheme, found) in [("v6.16-rc1", vec![Contract]), ("v6.16", vec![]), ("v7.0", vec![])] {
            let bench = on("arm64", scheme);
            let page = bench.page(0);
            let program = json!([link(page), { "irq": { "ops": [map(page, 1)] } }]);
            assert_eq!(bench.severities("H16", &program), found, "{scheme}");
            assert!(bench.severities("H16", &json!([link(page), map(page, 1)])).is_empty(), "{scheme} in the task");
        }
    }
}
