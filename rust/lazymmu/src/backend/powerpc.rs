//! What the two Book3S backends share: the roots, plain stores, and `ptesync`.

use super::{Backend, add_mm, alloc_root, generic};
use crate::descriptor::powerpc::user::SOFT_DIRTY;
use crate::descriptor::powerpc::{ACCESSED, DIRTY, EXEC, PTE, PowerPc, READ, WRITE};
use crate::event::codes::Store;
use crate::event::{Event, Kind};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId};
use crate::stop::{Run, Step};

/// `DSB` with this: ptesync.
const PTESYNC: u32 = 5;

pub(super) fn ptesync<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Step {
    k.emit(Event::of(Kind::DSB).aux(PTESYNC))
}

/// `__set_pte_at`: whatever is set says that it is a leaf.
#[inline]
pub(super) fn set_pte<B: Backend<Format = PowerPc>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    why: Store,
) -> Step {
    k.store(entry, word | PTE, why)
}

/// `ptep_modify_prot_start` of each entry of a run by `clear`: the first word, with what was young or dirty in any.
pub(super) fn modify_prot_start<B: Backend<Format = PowerPc>, W: Watch>(
    k: &mut Kernel<B, W>,
    first: Entry<'_>,
    count: u64,
    mut clear: impl FnMut(&mut Kernel<B, W>, Entry<'_>) -> Run<u64>,
) -> Run<u64> {
    let format = k.format();
    let mut word = 0;
    for n in 0..count {
        let at = k.entry_behind(first, n);
        let old = clear(k, at)?;
        word = if n == 0 { old } else { generic::collect(&format, word, old) };
    }
    Ok(word)
}

/// `ptep_set_access_flags`: what the fault grants is added. `ignored`: bits that say nothing of the mapping (`pte_same`).
pub(super) fn set_access_flags<B: Backend<Format = PowerPc>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    ignored: u64,
) -> Run<bool> {
    let old = k.read(entry)?;
    let changed = (old ^ word) & !ignored != 0;
    if changed {
        let granted = word & (DIRTY | ACCESSED | READ | WRITE | EXEC | SOFT_DIRTY);
        k.store(entry, entry.word() | granted, Store::Flags)?;
    }
    Ok(changed)
}

/// `pgd_alloc` of 6.12: nothing of the kernel's is copied, for kernel addresses are looked up in init_mm's tree.
pub(super) fn pgd_alloc<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Run<Option<MmId>> {
    let Some(root) = alloc_root(k)? else { return Ok(None) };
    add_mm(k, &root, false).map(Some)
}

#[inline]
pub(super) fn root_for<B: Backend, W: Watch>(k: &Kernel<B, W>, mm: MmId, va: u64) -> Option<MmId> {
    if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
}
