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
