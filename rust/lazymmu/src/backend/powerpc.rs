//! What the two Book3S backends share: the roots, plain stores, and `ptesync`.

use super::{Backend, add_mm, alloc_root};
use crate::descriptor::powerpc::{PTE, PowerPc};
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

/// `pgd_alloc` of 6.12: nothing of the kernel's is copied, for kernel addresses are looked up in init_mm's tree.
pub(super) fn pgd_alloc<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Run<Option<MmId>> {
    let Some(root) = alloc_root(k)? else { return Ok(None) };
    add_mm(k, &root, false).map(Some)
}

#[inline]
pub(super) fn root_for<B: Backend, W: Watch>(k: &Kernel<B, W>, mm: MmId, va: u64) -> Option<MmId> {
    if k.geometry().is_kernel(va) { Some(INIT_MM) } else { (mm != INIT_MM).then_some(mm) }
}
