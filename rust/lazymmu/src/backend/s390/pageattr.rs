//! `__set_memory` of s390 (`arch/s390/mm/pageattr.c` of 6.12): each entry is replaced and leaves all TLBs at the same moment
//! (CRDTE), so nothing is flushed behind. Rights to write are changed for the alias in the linear map, too.
//!
//! Not modelled: CSPG where the CPU lacks EDAT-2; large leaves, of which nothing here makes any.

use super::S390Backend;
use crate::descriptor::Format;
use crate::descriptor::s390::{INVALID, NOEXEC, PAGE_KERNEL, S390};
use crate::descriptor::user::UserFormat;
use crate::event::codes::{Resched, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{AreaFlags, INIT_MM};
use crate::memory::Table;
use crate::stop::{Run, errno};
use crate::walk::{LinearMap, MemoryChange, SetMemory};

type K<W> = Kernel<S390Backend, W>;

const EINVAL: i64 = errno::EINVAL;
/// Not an error: there is nothing more to change.
const ENDED: i64 = 1;

/// `__set_memory`.
pub(super) fn set_memory<W: Watch>(k: &mut K<W>, request: &SetMemory) -> Run<i64> {
    if request.pages == 0 {
        return Ok(0);
    }
    let (start, end) = (request.va, request.va + request.pages * k.geometry().page_size());
    let ret = change(k, start, end, request.change)?;
    match request.linear {
        Some(linear) if ret == 0 && matches!(request.change, MemoryChange::Ro | MemoryChange::Rw) => {
            change_alias(k, &linear, start, end, request.change)
        }
        _ => Ok(ret),
    }
}

/// `change_page_attr_alias`: as far as the addresses are those of `vmalloc`.
fn change_alias<W: Watch>(k: &mut K<W>, linear: &LinearMap, start: u64, end: u64, how: MemoryChange) -> Run<i64> {
    let page = k.geometry().page_size();
    for va in (start..end).step_by(page as usize) {
        if k.machine.areas.find(va).is_none_or(|area| area.flags != AreaFlags::Alloc) {
            return Ok(0);
        }
        // Of an area's pages its entries tell.
        let Some((table, index)) = k.lookup_address(va)? else { continue };
        let word = k.look(Entry::new(table.view(), index, va, INIT_MM));
        if let Some(alias) = linear.address(k.format().address(table.level, word)) {
            let ret = change(k, alias, alias + page, how)?;
            if ret != 0 {
                return Ok(ret);
            }
        }
    }
    Ok(0)
}

/// `change_page_attr`. The levels that the tree does not have are loops of one turn.
fn change<W: Watch>(k: &mut K<W>, start: u64, end: u64, how: MemoryChange) -> Run<i64> {
    let root = k.open_root(INIT_MM);
    let ret = change_below(k, &root, start, end, how)?;
    let ret = if ret == ENDED { 0 } else { ret };
    if root.level < Level::P4d {
        k.resched_point(Resched::CondResched)?;
    }
    if root.level < Level::Pgd && ret == 0 {
        k.resched_point(Resched::CondResched)?;
    }
    Ok(ret)
}

fn change_below<W: Watch>(k: &mut K<W>, table: &Table, start: u64, end: u64, how: MemoryChange) -> Run<i64> {
    let mut before = false;
    k.each_entry(table, INIT_MM, start, end, |k, entry, next| {
        let level = entry.level();
        let word = k.look(entry);
        if k.format().none(level, word) {
            // The loop over a root of five levels ends there, and says how the entry before went.
            return Ok(if level == Level::Pgd && before { ENDED } else { EINVAL });
        }
        before = true;
        if level == Level::Pte {
            replace(k, entry, changed(k.format(), word, how))?;
            k.resched_point(Resched::CondResched)?;
            return Ok(0);
        }
        let below = k.open_below(entry)?;
        let ret = change_below(k, &below, entry.va, next, how)?;
        if ret == 0 || matches!(level, Level::Pud | Level::P4d) {
            k.resched_point(Resched::CondResched)?;
        }
        Ok(ret)
    })
}

fn changed(format: S390, word: u64, how: MemoryChange) -> u64 {
    match how {
        MemoryChange::Ro => format.wrprotect(word),
        MemoryChange::Rw => format.mkwrite(format.mkdirty(word)),
        MemoryChange::X => word & !NOEXEC,
        MemoryChange::Nx => word | NOEXEC,
        MemoryChange::Invalid => word | INVALID,
        MemoryChange::Default => (word & !0xfff) | PAGE_KERNEL,
    }
}

/// `pgt_set`: CRDTE.
fn replace<W: Watch>(k: &mut K<W>, entry: Entry<'_>, word: u64) -> Run<()> {
    let page = k.geometry().page_size();
    let start = entry.va & !(page - 1);
    k.store(entry, word, Store::Protect)?;
    let event = Event::of(Kind::TLBI).range(start, start.wrapping_add(page)).aux(Tlbi::Crdte as u32);
    k.emit(Event { old: 1, ..event })
}
