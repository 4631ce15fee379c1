//! begin-end, and a backend that has a lazy mode enters it in begin and leaves it in end.

use super::begin_end::BeginEnd;
use super::{Options, Scheme, SchemeRef};

#[derive(Debug)]
pub(super) struct BeginEndLazy;

impl Scheme for BeginEndLazy {
    fn name(&self) -> &'static str {
        "begin-end-lazy"
    }

    fn about(&self) -> &'static str {
        "begin-end, and every backend with a lazy mode enters it in begin and leaves it in end"
    }

    fn base(&self) -> Option<SchemeRef> {
        Some(&BeginEnd)
    }

    fn options(&self) -> Options {
        Options { begin_end_lazy: true, ..BeginEnd.options() }
    }
}
