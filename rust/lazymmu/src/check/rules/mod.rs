//! The rules, one file each. To add one: write its file with its tests, list it here, and give it a page in the docs.

mod alloc_in_lazy;
mod count_misuse;
mod irq_batched;
mod irq_enter;
mod kernel_bug;
mod kmap_deferred;
mod mask_bit_lost;
mod nesting;
mod read_back;
mod remap_live;
mod sleep_in_lazy;
mod superfluous;
mod sync_early;
mod sync_mismatch;
mod sync_missing;
#[cfg(test)]
mod testing;
mod unbalanced_exit;
mod use_before_barrier;

use super::Rule;

/// Makes a rule for a new run.
pub(crate) type Make = fn() -> Box<dyn Rule>;

/// Every rule, in the order of codes.
pub(crate) static ALL: &[Make] = &[
    || Box::new(use_before_barrier::SameCpu),
    || Box::new(use_before_barrier::OtherCpu),
    || Box::new(read_back::ReadBack),
    || Box::new(kmap_deferred::KmapDeferred),
    || Box::new(alloc_in_lazy::AllocInLazy),
    || Box::new(sleep_in_lazy::SleepInLazy),
    || Box::new(unbalanced_exit::UnbalancedExit),
    || Box::new(mask_bit_lost::MaskBitLost),
    || Box::new(sync_missing::SyncMissing),
    || Box::new(sync_early::SyncEarly),
    || Box::new(sync_mismatch::SyncMismatch),
    || Box::new(nesting::Nesting),
    || Box::new(count_misuse::CountMisuse),
    || Box::new(irq_batched::IrqBatched),
    || Box::new(irq_enter::IrqEnter),
    || Box::new(remap_live::RemapLive),
    || Box::new(superfluous::Superfluous),
    || Box::new(kernel_bug::KernelBug),
    || Box::new(kernel_bug::KernelWarning),
];
