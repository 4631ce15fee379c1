//! `__set_memory` of riscv (`arch/riscv/mm/pageattr.c` of 6.12): large leaves of the linear map are split where only a
//! part of one changes, then every leaf in the range is stored, whether it changes or not.
//!
//! Not modelled: the mapping of the kernel image. Of an area's pages its entries tell.

use super::RiscvBackend;
use crate::descriptor::Format;
use crate::descriptor::riscv::{PAGE_KERNEL, R, Riscv, V, W as WRITE, X};
use crate::event::codes::{BugCode, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{AreaFlags, INIT_MM};
use crate::memory::Table;
use crate::stop::{Run, errno};
use crate::walk::{LinearMap, MemoryChange, SetMemory};

/// `struct pageattr_masks`.
#[derive(Clone, Copy)]
struct Masks {
    set: u64,
    clear: u64,
}

impl Masks {
    const fn of(change: MemoryChange) -> Masks {
        let (set, clear) = match change {
            MemoryChange::Ro => (R, WRITE),
            MemoryChange::Rw => (R | WRITE, 0),
            MemoryChange::X => (X, 0),
            MemoryChange::Nx => (0, X),
            MemoryChange::Invalid => (0, V),
            MemoryChange::Default => (PAGE_KERNEL, X),
        };
        Masks { set, clear }
    }

    const fn apply(self, word: u64) -> u64 {
        (word & !self.clear) | self.set
    }
}

/// `__set_memory`.
pub(super) fn set_memory<W: Watch>(k: &mut Kernel<RiscvBackend, W>, request: &SetMemory) -> Run<i64> {
    let (page, masks) = (k.geometry().page_size(), Masks::of(request.change));
    let (start, end) = (request.va, request.va + request.pages * page);
    if k.geometry().long_bits == 32 {
        let ret = change(k, start, end, masks)?;
        k.flush_tlb_kernel_range(start, end)?;
        return Ok(ret);
    }
    let mut ret = 0;
    if let Some(linear) = request.linear {
        ret = change_aliases(k, &linear, start, end, masks)?;
    }
    if ret == 0 {
        ret = change(k, start, end, masks)?;
    }
    // What was split is larger than the range.
    let others = k.machine.cpus.len() - 1;
    if others > 0 {
        k.emit(Event::of(Kind::IPI).aux(others as u32))?;
    }
    let everything = Event::of(Kind::TLBI).range(0, k.geometry().long_mask());
    k.emit(Event { old: 1, ..everything.aux(Tlbi::SfenceAll as u32) })?;
    Ok(ret)
}

/// The linear addresses of the memory: of an area page by page, else the range itself.
fn change_aliases<W: Watch>(
    k: &mut Kernel<RiscvBackend, W>,
    linear: &LinearMap,
    start: u64,
    end: u64,
    masks: Masks,
) -> Run<i64> {
    let page = k.geometry().page_size();
    if !k.geometry().in_vmalloc(start) {
        return if linear.holds(start) { split_and_change(k, start, end, masks) } else { Ok(0) };
    }
    // Only vmalloc keeps the pages of an area.
    if k.machine.areas.find(start).is_none_or(|area| area.flags != AreaFlags::Alloc) {
        return k.bug(BugCode::KernelFault, start);
    }
    for va in (start..end).step_by(page as usize) {
        if let Some(alias) = memory_of(k, va)?.and_then(|pa| linear.address(pa)) {
            let ret = split_and_change(k, alias, alias + page, masks)?;
            if ret != 0 {
                return Ok(ret);
            }
        }
    }
    Ok(0)
}

fn memory_of<W: Watch>(k: &mut Kernel<RiscvBackend, W>, va: u64) -> Run<Option<u64>> {
    let Some((table, index)) = k.lookup_address(va)? else { return Ok(None) };
    let word = k.read(Entry::new(table.view(), index, va, INIT_MM))?;
    if k.format().none(table.level, word) {
        return Ok(None);
    }
    Ok(Some(k.format().address(table.level, word) | (va & (k.geometry().size(table.level) - 1))))
}

fn split_and_change<W: Watch>(k: &mut Kernel<RiscvBackend, W>, start: u64, end: u64, masks: Masks) -> Run<i64> {
    let root = k.open_root(INIT_MM);
    let ret = split(k, &root, start, end)?;
    if ret != 0 { Ok(ret) } else { change(k, start, end, masks) }
}

/// `split_linear_mapping`: large leaves that the range covers in part become tables.
fn split<W: Watch>(k: &mut Kernel<RiscvBackend, W>, table: &Table, start: u64, end: u64) -> Run<i64> {
    let size = k.geometry().size(table.level);
    k.each_entry(table, INIT_MM, start, end, |k, entry, next| {
        let level = entry.level();
        if level != Level::Pgd && entry.va & (size - 1) == 0 && next - entry.va >= size {
            return Ok(0);
        }
        let word = k.read(entry)?;
        if k.format().leaf(level, word) && !split_leaf(k, entry, word)? {
            return Ok(errno::ENOMEM);
        }
        if level == Level::Pmd {
            return Ok(0);
        }
        let below = k.open_below(entry)?;
        split(k, &below, entry.va, next)
    })
}

/// A table that maps the same as a leaf. False: no memory.
fn split_leaf<W: Watch>(k: &mut Kernel<RiscvBackend, W>, leaf: Entry<'_>, word: u64) -> Run<bool> {
    let Some(table) = k.table_for_split(leaf)? else { return Ok(false) };
    let format = k.format();
    let (pa, each) = (format.address(leaf.level(), word), k.geometry().size(table.level));
    let first = leaf.va & !(k.geometry().size(leaf.level()) - 1);
    for index in 0..table.len() {
        let offset = index as u64 * each;
        let lower = Entry::new(table.view(), index, first + offset, INIT_MM);
        k.store(lower, format.pte(pa + offset, Riscv::flags(word)), Store::Set)?;
    }
    k.emit_kind(Kind::WMB)?;
    k.store(leaf, format.table(leaf.level(), table.pa, true), Store::Populate)?;
    Ok(true)
}

/// `walk_kernel_page_table_range` with `pageattr_ops`.
fn change<W: Watch>(k: &mut Kernel<RiscvBackend, W>, start: u64, end: u64, masks: Masks) -> Run<i64> {
    let root = k.open_root(INIT_MM);
    change_below(k, &root, start, end, masks)
}

fn change_below<W: Watch>(
    k: &mut Kernel<RiscvBackend, W>,
    table: &Table,
    start: u64,
    end: u64,
    masks: Masks,
) -> Run<i64> {
    k.each_entry(table, INIT_MM, start, end, |k, entry, next| {
        let level = entry.level();
        if level == Level::Pte {
            let word = k.read(entry)?;
            return k.store(entry, masks.apply(word), Store::Protect).map(|()| 0);
        }
        if matches!(level, Level::Pgd | Level::P4d) {
            if k.none_or_clear_bad(entry)? {
                return Ok(0);
            }
        } else {
            let word = k.read(entry)?;
            if k.format().none(level, word) {
                return Ok(0);
            }
            if k.format().leaf(level, word) {
                k.store(entry, masks.apply(word), Store::Protect)?;
            }
            let word = k.read(entry)?;
            if k.format().leaf(level, word) || !k.format().present(level, word) {
                return Ok(0);
            }
        }
        let below = k.open_below(entry)?;
        change_below(k, &below, entry.va, next, masks)
    })
}
