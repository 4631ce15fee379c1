//! Hypercalls: when they are queued, and what the hypervisor does when the queue is drained.

use super::XenPv;
use super::multicall::Queued;
use crate::descriptor::x86::{ACCESSED, DIRTY};
use crate::event::codes::{FlushReason, Hypercall, Store, Tlbi, Warning};
use crate::event::{Event, Kind};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::scheme::{LazyApi, XenLazy};
use crate::stop::{Run, Step};

pub(super) fn cpu<W: Watch>(k: &Kernel<XenPv, W>) -> usize {
    usize::from(k.cpu().0)
}

/// `xen_get_lazy_mode() == XEN_LAZY_MMU`, or its 7.x successor.
pub(super) fn batching<W: Watch>(k: &Kernel<XenPv, W>) -> bool {
    match k.options.xen_lazy {
        XenLazy::TaskCounts if k.options.lazy_api == LazyApi::Counted => k.lazy_active(),
        _ => !k.in_interrupt() && k.backend.lazy[cpu(k)].mmu,
    }
}

/// Whether the task's counters are the mode.
pub(super) fn task_counts<W: Watch>(k: &Kernel<XenPv, W>) -> bool {
    k.options.xen_lazy == XenLazy::TaskCounts && k.options.lazy_api == LazyApi::Counted
}

/// `xen_mc_flush`.
pub(super) fn flush<W: Watch>(k: &mut Kernel<XenPv, W>, reason: FlushReason) -> Step {
    let cpu = cpu(k);
    let (items, calls) = k.backend.queues[cpu].take();
    let updates = items.iter().filter(|i| matches!(i, Queued::Update { .. })).count() as u64;
    k.emit(Event::of(Kind::FLUSH).change(updates, calls).aux(reason as u32))?;
    if calls > 0 {
        let code = match (calls, items.first()) {
            (1, Some(Queued::Update { .. })) => Hypercall::MmuUpdate,
            (1, Some(Queued::Protect)) => Hypercall::UpdateVaMapping,
            (1, _) => Hypercall::MmuextOp,
            _ => Hypercall::Multicall,
        };
        k.emit(Event::of(Kind::HYPERCALL).change(updates, calls).aux(code as u32))?;
    }
    for item in items {
        match item {
            Queued::Update { table, pa, index, va, mm, word, keep } => {
                let table = k.machine.memory.open(table);
                if table.pa == pa {
                    let entry = Entry::new(table.view(), index, va, mm);
                    let word = if keep { word | (entry.word() & (ACCESSED | DIRTY)) } else { word };
                    k.store(entry, word, Store::Drain)?;
                } else {
                    k.warn(Warning::MulticallFailed, va)?;
                }
            }
            Queued::Invlpg { start, end, mm } => tlbi(k, start, end, mm, Tlbi::Mmuext)?,
            Queued::FlushAll { start, end, mm } => tlbi(k, start, end, mm, Tlbi::MmuextAll)?,
            Queued::Protect | Queued::Pin => {}
        }
    }
    Ok(())
}

pub(super) fn tlbi<W: Watch>(k: &mut Kernel<XenPv, W>, start: u64, end: u64, mm: MmId, code: Tlbi) -> Step {
    k.emit(Event { old: 1, mm: mm.0, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
}

/// Puts a call into the queue, draining it first if there is no room.
pub(super) fn enqueue<W: Watch>(k: &mut Kernel<XenPv, W>, item: Queued) -> Step {
    let cpu = cpu(k);
    if !k.backend.queues[cpu].has_room(&item) {
        flush(k, FlushReason::Full)?;
    }
    k.backend.queues[cpu].push(item);
    Ok(())
}

/// `xen_extend_mmu_update`.
pub(super) fn queue_update<W: Watch>(
    k: &mut Kernel<XenPv, W>,
    entry: Entry<'_>,
    word: u64,
    why: Store,
    keep: bool,
) -> Step {
    let Entry { table, index, va, mm, .. } = entry;
    enqueue(k, Queued::Update { table: table.id, pa: table.pa, index, va, mm, word, keep })?;
    let event = k.about(Kind::QUEUE, &entry).change(entry.word(), word).aux(why as u32);
    k.emit(event)
}

/// `xen_mc_issue(XEN_LAZY_MMU)`.
pub(super) fn issue<W: Watch>(k: &mut Kernel<XenPv, W>) -> Step {
    if batching(k) { Ok(()) } else { flush(k, FlushReason::Issue) }
}

/// A write instruction hits the read-only table page; the hypervisor emulates it at once, past the queue.
/// `change` makes the new word of the one that is there then; `None`: the instruction changes nothing. What was there.
pub(super) fn emulate<W: Watch>(
    k: &mut Kernel<XenPv, W>,
    entry: Entry<'_>,
    why: Store,
    change: impl FnOnce(u64) -> Option<u64>,
) -> Run<u64> {
    k.emit(Event::of(Kind::HYPERCALL).change(1, 1).aux(Hypercall::Emulate as u32))?;
    let old = k.look(entry);
    if let Some(word) = change(old) {
        k.store(entry, word, why)?;
    }
    Ok(old)
}
