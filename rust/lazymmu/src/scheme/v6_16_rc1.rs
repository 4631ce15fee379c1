//! v6.16-rc1: lazy MMU mode around every PTE loop as first merged.

use super::v6_16::V6_16;
use super::{ErrorExit, LazyIrq, Options, Scheme, SchemeRef};

#[derive(Debug)]
pub(super) struct V6_16Rc1;

impl Scheme for V6_16Rc1 {
    fn name(&self) -> &'static str {
        "v6.16-rc1"
    }

    fn about(&self) -> &'static str {
        "lazy MMU mode around the PTE loops, as first merged"
    }

    fn base(&self) -> Option<SchemeRef> {
        Some(&V6_16)
    }

    fn options(&self) -> Options {
        Options { lazy_irq: LazyIrq::Acts, pages_error_exit: ErrorExit::Return, ..V6_16.options() }
    }
}
