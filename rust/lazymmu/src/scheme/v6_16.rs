//! v6.16: lazy MMU mode around every PTE loop, with the fixes for interrupts, nesting and the error path.

use super::v6_12::V6_12;
use super::{Arm64Barriers, Hooks, LazyIrq, Options, Scheme, SchemeRef, XenLazy};
use crate::event::codes::Site;
use crate::stop::Step;

#[derive(Debug)]
pub(super) struct V6_16;

impl Scheme for V6_16 {
    fn name(&self) -> &'static str {
        "v6.16"
    }

    fn about(&self) -> &'static str {
        "lazy MMU mode around the PTE loops, with its fixes"
    }

    fn base(&self) -> Option<SchemeRef> {
        Some(&V6_12)
    }

    fn options(&self) -> Options {
        Options {
            lazy_irq: LazyIrq::Ignored,
            arm64_barriers: Arm64Barriers::LazyFlag,
            arm64_cont_vmap: true,
            partial_unmap_warn: true,
            huge_table_trylock: false,
            xen_lazy: XenLazy::Single,
            ..Options::BASE
        }
    }

    fn pte_begin(&self, kernel: &mut dyn Hooks, _site: Site) -> Step {
        kernel.lazy_enable()
    }

    fn pte_end(&self, kernel: &mut dyn Hooks, _site: Site) -> Step {
        kernel.lazy_disable()
    }
}
