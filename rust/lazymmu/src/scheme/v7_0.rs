//! v7.0: the same places as v6.16, through the counted, nestable API. Defaults are those of 7.3.4, which was recorded.

use super::v6_16::V6_16;
use super::{Arm64Barriers, ChildErrors, LazyApi, Options, Scheme, SchemeRef, XenLazy};

#[derive(Debug)]
pub(super) struct V7_0;

impl Scheme for V7_0 {
    fn name(&self) -> &'static str {
        "v7.0"
    }

    fn about(&self) -> &'static str {
        "counted, nestable enable/disable/pause/resume, as recorded on 7.3.4"
    }

    fn base(&self) -> Option<SchemeRef> {
        Some(&V6_16)
    }

    fn options(&self) -> Options {
        Options {
            child_errors: ChildErrors::Unchanged,
            vmap_alignment_check: true,
            huge_table_trylock: true,
            lazy_api: LazyApi::Counted,
            arm64_barriers: Arm64Barriers::LazyActive,
            arm64_table_af: true,
            arm64_tlbi_all_at_limit: true,
            batched_user_ptes: true,
            pt_reclaim: true,
            arm64_flush_valid_only: true,
            arm64_flush_relaxed_local: true,
            x86_pud_free_scratch: false,
            xen_lazy: XenLazy::TaskCounts,
            s390_present_bits: true,
            ..V6_16.options()
        }
    }
}
