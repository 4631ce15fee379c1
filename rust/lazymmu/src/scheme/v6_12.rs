//! v6.12: the sync hook behind the walk; lazy MMU mode only around `apply_to_page_range` callbacks
//! and the loops over user mappings.

use super::{Hooks, Options, Scheme, Walk};
use crate::event::codes::Site;
use crate::modmask::ModMask;
use crate::stop::Step;

#[derive(Debug)]
pub(super) struct V6_12;

impl Scheme for V6_12 {
    fn name(&self) -> &'static str {
        "v6.12"
    }

    fn about(&self) -> &'static str {
        "sync hook only, after the walk"
    }

    fn options(&self) -> Options {
        Options::BASE
    }

    fn walk_end(&self, kernel: &mut dyn Hooks, walk: Walk, mask: ModMask) -> Step {
        match walk.site {
            Site::VmapRangeNoflush
            | Site::VmapSmallPagesRangeNoflush
            | Site::VunmapRangeNoflush
            | Site::ApplyToPageRange => kernel.sync_if_modified(walk, mask),
            _ => Ok(()),
        }
    }

    fn pte_begin(&self, kernel: &mut dyn Hooks, site: Site) -> Step {
        if site == Site::ApplyToPteRange || site.user() { kernel.lazy_enable() } else { Ok(()) }
    }

    fn pte_end(&self, kernel: &mut dyn Hooks, site: Site) -> Step {
        if site == Site::ApplyToPteRange || site.user() { kernel.lazy_disable() } else { Ok(()) }
    }
}
