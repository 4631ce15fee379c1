//! H8: an entry was stored at a level that the modification mask does not name.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H8: Info = Info {
    code: "H8",
    name: "mask bit lost",
    rule: "a walk returns without the bit of a level at which it stored",
    source: "facts 8 H8; fea18c686320",
};

#[derive(Clone, Debug)]
pub(super) struct MaskBitLost;

impl Rule for MaskBitLost {
    fn info(&self) -> &'static Info {
        &H8
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::WALK_END]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let Some(walk) = scene.track.walk(event) else { return };
        let mask = event.mask();
        if !mask.contains(walk.stored) {
            let (stored, site) = (walk.stored, walk.site.map_or("?", crate::event::codes::Site::text));
            report.add(&H8, Severity::Contract, event, scene, || {
                format!("{site}: stored at {stored}, the mask is {mask}")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Contract;
    use crate::check::rules::testing::{link, map_without, on};

    #[test]
    fn an_error_path_forgets_the_pte_bit() {
        let page = on("x86-64", "v6.16").page(0);
        let fails_at = |n| json!([link(page), map_without(page, n)]);
        assert_eq!(on("x86-64", "v6.16-rc1").severities("H8", &fails_at(2)), [Contract]);
        assert!(on("x86-64", "v6.16-rc1").severities("H8", &fails_at(0)).is_empty(), "nothing was stored");
        assert!(on("x86-64", "v6.16").severities("H8", &fails_at(2)).is_empty());
    }
}
