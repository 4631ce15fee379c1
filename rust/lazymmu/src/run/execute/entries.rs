//! Operations on single entries: callbacks, one leaf entry, the links of one address.

use super::limits::{aligned, fits, in_kernel_half, known_mm, physical, prot_of, range_in};
use super::{Ending, Executed, OpError, ended};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Site, Store};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel};
use crate::machine::{INIT_MM, MmId};
use crate::memory::{Table, Zone};
use crate::modmask::ModMask;
use crate::run::full::Drive;
use crate::scenario::{Addr, CallbackSpec, PteStep};
use crate::scheme::{Hooks, Walk};
use crate::stop::Run;
use crate::walk::{ApplyResult, LinearMap, MemoryChange, PteFn, SetMemory};

pub(super) fn apply<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    mm: u16,
    va: Addr,
    size: u64,
    callback: Option<&CallbackSpec>,
    create: bool,
) -> Executed {
    let mm = known_mm(k, mm)?;
    let (va, _) = range_in(k, mm, va, size)?;
    let callback = match callback {
        Some(spec) => {
            let prot = prot_of(k, &spec.prot)?;
            if spec.kind.maps() {
                physical(k, spec.pa, size)?;
            }
            Some(PteFn {
                kind: spec.kind,
                pa: spec.pa,
                prot,
                set: fits(k, "set", spec.set)?,
                clear: spec.clear,
                fail_at: spec.fail_at,
                error: spec.error,
            })
        }
        None => None,
    };
    let run = k.apply_to_page_range(mm, va, size, callback.as_ref(), create);
    Ok(ended(run, |ApplyResult { ret, mask, calls }| Ending::Returned { ret, mask, calls }))
}

/// Whole pages of the kernel's half, and a linear map that lies in it.
pub(super) fn set_memory<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    va: Addr,
    pages: u64,
    change: MemoryChange,
    linear: Option<LinearMap>,
) -> Executed {
    if !B::sets_memory(k) {
        return Err(OpError::Unmodelled { what: "changes of kernel protections", backend: B::INFO.name });
    }
    let page = k.geometry().page_size();
    let size = pages.checked_mul(page).ok_or(OpError::Range { va: 0, size: pages })?;
    let (va, _) = range_in(k, INIT_MM, va, size)?;
    if let Some(LinearMap { start, end, pa }) = linear {
        in_kernel_half(k, start)?;
        aligned("linear map's start", start, page)?;
        aligned("linear map's end", end, page)?;
        let size = end.checked_sub(start).filter(|size| *size > 0).ok_or(OpError::Range { va: start, size: 0 })?;
        range_in(k, INIT_MM, Addr::Number(start), size)?;
        physical(k, pa, size)?;
    }
    let run = k.set_memory(&SetMemory { va, pages, change, linear });
    Ok(ended(run, |ret| Ending::Returned { ret, mask: ModMask::NONE, calls: 0 }))
}

/// The leaf table of an address, if there is one.
fn leaf_table<B: Backend, W: Drive>(k: &mut Kernel<B, W>, mm: MmId, va: u64) -> Option<Table> {
    let mut table = k.open_root(mm);
    while table.level != Level::Pte {
        let index = k.geometry().index(table.level, va);
        let word = k.look(Entry::new(table.view(), index, va, mm));
        if k.format().none(table.level, word) || k.format().leaf(table.level, word) {
            return None;
        }
        let below = B::table_pa(k, table.level, word);
        let id = k.machine.memory.at(below)?;
        table = k.machine.memory.open(id);
    }
    Some(table)
}

pub(super) fn pte<B: Backend, W: Drive>(k: &mut Kernel<B, W>, mm: u16, va: Addr, step: PteStep, word: u64) -> Executed {
    let mm = known_mm(k, mm)?;
    let (va, _) = range_in(k, mm, va, k.geometry().page_size())?;
    let word = fits(k, "word", word)?;
    let table = leaf_table(k, mm, va).ok_or(OpError::NoTable { va })?;
    let index = k.geometry().index(Level::Pte, va);
    let entry = Entry::new(table.view(), index, va, mm);
    Ok(match step {
        PteStep::Set => ended(k.set_pte(entry, word, Store::Set), |()| Ending::Done),
        PteStep::Clear => ended(k.pte_clear(entry), |()| Ending::Done),
        PteStep::GetAndClear => ended(k.ptep_get_and_clear(entry), Ending::Word),
        PteStep::TrySet => {
            let done = |set| Ending::Returned { ret: i64::from(set), mask: ModMask::NONE, calls: 0 };
            ended(B::ptep_try_set(k, entry, word), done)
        }
        PteStep::Wrprotect => {
            let run = k.read(entry).and_then(|old| {
                if !k.format().present(Level::Pte, old) {
                    return Ok(());
                }
                let new = k.format().wrprotect(old);
                k.set_pte(entry, new, Store::Protect)
            });
            ended(run, |()| Ending::Done)
        }
        PteStep::Read => ended(k.read(entry), Ending::Word),
    })
}

/// Links tables down to the leaf table, as early and hotplug code does for the kernel, and a page fault for a user. With
/// `sync`, `pgd_populate_kernel` and `p4d_populate_kernel` call the sync hook for the one address.
pub(super) fn populate<B: Backend, W: Drive>(k: &mut Kernel<B, W>, mm: MmId, va: u64, sync: bool) -> Run<()> {
    let mut table = k.open_root(mm);
    while table.level != Level::Pte {
        let level = table.level;
        let index = k.geometry().index(level, va);
        let entry = Entry::new(table.view(), index, va, mm);
        if k.entry_none(entry)? {
            let high = mm != INIT_MM && level == Level::Pmd && B::highpte(k);
            if !k.alloc_below(entry, if high { Zone::High } else { Zone::Low })? {
                return Ok(());
            }
            if sync && level >= Level::P4d {
                let walk = Walk { site: Site::PopulateKernel, mm, start: va, end: va };
                k.sync_if_modified(walk, ModMask::of(level))?;
            }
        }
        table = k.open_below(entry)?;
    }
    Ok(())
}
