//! The barriers behind stores to kernel entries, now or at the end of what the task is in (`queue_pte_barriers`,
//! `emit_pte_barriers` of 6.16; before that each store has its own).

use super::Arm64Backend;
use crate::event::{Event, Kind};
use crate::kernel::{Barrier, Kernel, Watch};
use crate::machine::ThreadFlags;
use crate::scheme::{Arm64Barriers, LazyIrq};
use crate::stop::Step;

/// `emit_pte_barriers`.
#[inline(always)]
pub(super) fn emit_pte_barriers<W: Watch>(k: &mut Kernel<Arm64Backend, W>) -> Step {
    k.emit_kind(Kind::BAR)
}

pub(super) fn flags<W: Watch>(k: &Kernel<Arm64Backend, W>) -> ThreadFlags {
    k.machine.task(k.current()).flags
}

/// `__set_pte_complete`: only a valid kernel mapping needs barriers.
#[inline(always)]
pub(super) fn complete<W: Watch>(k: &mut Kernel<Arm64Backend, W>, word: u64) -> Step {
    match k.barrier() {
        Barrier::Noted => Ok(()),
        Barrier::Later => complete_later(k, word),
        Barrier::Now if W::WATCHES && k.backend.format.valid_not_user(word) => emit_pte_barriers(k),
        Barrier::Now => Ok(()),
    }
}

#[cold]
fn complete_later<W: Watch>(k: &mut Kernel<Arm64Backend, W>, word: u64) -> Step {
    if k.backend.format.valid_not_user(word) { defer_barrier(k) } else { Ok(()) }
}

/// `queue_pte_barriers`: at once, or at the end of what the task is in.
pub(super) fn queue_barrier<W: Watch>(k: &mut Kernel<Arm64Backend, W>) -> Step {
    match k.barrier() {
        Barrier::Noted => Ok(()),
        Barrier::Now => emit_pte_barriers(k),
        Barrier::Later => defer_barrier(k),
    }
}

#[cold]
fn defer_barrier<W: Watch>(k: &mut Kernel<Arm64Backend, W>) -> Step {
    let before = flags(k);
    let after = ThreadFlags { pending: before.pending || records(k), ..before };
    k.set_flags(after);
    let aux = u32::from(k.in_interrupt());
    k.emit(Event::of(Kind::DEFER).change(before.packed(), after.packed()).aux(aux))
}

/// begin/end v2 keeps no record of what it owes.
pub(super) fn records<W: Watch>(k: &Kernel<Arm64Backend, W>) -> bool {
    k.options.arm64_barriers != Arm64Barriers::BeginEnd || k.options.begin_end_pending
}

/// Drains what `queue_pte_barriers` owes.
pub(super) fn flush_pending<W: Watch>(k: &mut Kernel<Arm64Backend, W>) -> Step {
    let before = flags(k);
    if before.pending {
        k.set_flags(ThreadFlags { pending: false, ..before });
        return emit_pte_barriers(k);
    }
    Ok(())
}

/// The plain API takes no notice of calls from an interrupt, once that was fixed.
pub(super) fn ignores_irq<W: Watch>(k: &Kernel<Arm64Backend, W>) -> bool {
    k.options.arm64_barriers == Arm64Barriers::LazyFlag && k.options.lazy_irq == LazyIrq::Ignored && k.in_interrupt()
}
