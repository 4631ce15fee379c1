//! `arch_update_kernel_mappings_begin/end` around the whole walk, as posted in February 2025 (v2).

use super::v6_12::V6_12;
use super::{Arm64Barriers, Hooks, Options, Scheme, SchemeRef, Walk};
use crate::event::codes::Site;
use crate::machine::INIT_MM;
use crate::modmask::ModMask;
use crate::stop::Step;

#[derive(Debug)]
pub struct BeginEnd;

/// The four functions that the patch touches; with patch 13/14 user address spaces are left out.
fn placed(kernel: &dyn Hooks, walk: &Walk) -> bool {
    match walk.site {
        Site::VmapPageRange | Site::VunmapRangeNoflush | Site::VmapPagesRangeNoflush => true,
        Site::ApplyToPageRange => walk.mm == INIT_MM || !kernel.options().begin_end_init_mm_only,
        _ => false,
    }
}

impl Scheme for BeginEnd {
    fn name(&self) -> &'static str {
        "begin-end"
    }

    fn about(&self) -> &'static str {
        "arch_update_kernel_mappings_begin/end around the whole walk, as posted; arm64 overrides them"
    }

    fn base(&self) -> Option<SchemeRef> {
        Some(&V6_12)
    }

    fn options(&self) -> Options {
        Options { arm64_barriers: Arm64Barriers::BeginEnd, huge_table_trylock: false, ..Options::BASE }
    }

    fn walk_begin(&self, kernel: &mut dyn Hooks, walk: Walk) -> Step {
        if placed(kernel, &walk) { kernel.begin(walk) } else { Ok(()) }
    }

    fn walk_end(&self, kernel: &mut dyn Hooks, walk: Walk, mask: ModMask) -> Step {
        if placed(kernel, &walk) { kernel.end(walk, mask) } else { Ok(()) }
    }
}
