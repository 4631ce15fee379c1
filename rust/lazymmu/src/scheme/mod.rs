//! Where hooks are called. Each scheme is one file that only places them; what a hook does is the backend's.

pub mod begin_end;
mod begin_end_lazy;
mod options;
mod v6_12;
mod v6_16;
mod v6_16_rc1;
mod v7_0;

use std::fmt;

pub use options::{
    Arm64Barriers, ChildErrors, ErrorExit, LazyApi, LazyIrq, OptionError, OptionValue, Options, XenLazy,
};

use crate::event::codes::Site;
use crate::machine::MmId;
use crate::modmask::ModMask;
use crate::stop::Step;

/// A walk, as a scheme sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub site: Site,
    pub mm: MmId,
    pub start: u64,
    pub end: u64,
}

/// The hooks that generic code can call; the running kernel implements them.
pub trait Hooks {
    /// `arch_update_kernel_mappings_begin`.
    fn begin(&mut self, walk: Walk) -> Step;
    /// `arch_update_kernel_mappings_end`.
    fn end(&mut self, walk: Walk, mask: ModMask) -> Step;
    /// `if (mask & ARCH_PAGE_TABLE_SYNC_MASK) arch_sync_kernel_mappings(start, end)`.
    fn sync_if_modified(&mut self, walk: Walk, mask: ModMask) -> Step;
    /// `arch_enter_lazy_mmu_mode`, or `lazy_mmu_mode_enable` where the API is counted.
    fn lazy_enable(&mut self) -> Step;
    /// `arch_leave_lazy_mmu_mode`, or `lazy_mmu_mode_disable`.
    fn lazy_disable(&mut self) -> Step;
    /// `arch_flush_lazy_mmu_mode`.
    fn lazy_flush(&mut self) -> Step;
    /// `lazy_mmu_mode_pause`; with the plain API a leave.
    fn lazy_pause(&mut self) -> Step;
    /// `lazy_mmu_mode_resume`; with the plain API an enter.
    fn lazy_resume(&mut self) -> Step;
    fn options(&self) -> &Options;
}

/// One hook placement. What a scheme does not say is as in its [`base`](Scheme::base), and nothing where there is none.
pub trait Scheme: fmt::Debug + Sync {
    fn name(&self) -> &'static str;
    /// One line for lists.
    fn about(&self) -> &'static str;
    /// Defaults of the dated facts.
    fn options(&self) -> Options;
    /// The scheme that this one changes.
    fn base(&self) -> Option<SchemeRef> {
        None
    }

    /// After the range check of a walk function, before its first slot.
    fn walk_begin(&self, kernel: &mut dyn Hooks, walk: Walk) -> Step {
        self.base().map_or(Ok(()), |base| base.walk_begin(kernel, walk))
    }
    /// At the end of a walk function, also after an error.
    fn walk_end(&self, kernel: &mut dyn Hooks, walk: Walk, mask: ModMask) -> Step {
        self.base().map_or(Ok(()), |base| base.walk_end(kernel, walk, mask))
    }
    /// In a PTE loop function, when the table is at hand.
    fn pte_begin(&self, kernel: &mut dyn Hooks, site: Site) -> Step {
        self.base().map_or(Ok(()), |base| base.pte_begin(kernel, site))
    }
    /// Behind the PTE loop.
    fn pte_end(&self, kernel: &mut dyn Hooks, site: Site) -> Step {
        self.base().map_or(Ok(()), |base| base.pte_end(kernel, site))
    }
}

/// A native scheme.
pub type SchemeRef = &'static dyn Scheme;

/// Every scheme, oldest first.
pub static ALL: &[SchemeRef] = &[
    &v6_12::V6_12,
    &begin_end::BeginEnd,
    &begin_end_lazy::BeginEndLazy,
    &v6_16_rc1::V6_16Rc1,
    &v6_16::V6_16,
    &v7_0::V7_0,
];

/// The scheme of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<SchemeRef> {
    ALL.iter().copied().find(|s| s.name() == name)
}
