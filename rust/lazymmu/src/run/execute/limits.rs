//! What an operation may name: addresses, sizes, words, tasks and address spaces.

use super::{OpError, address};
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::kernel::Kernel;
use crate::machine::{CpuId, INIT_MM, MmId, TaskId};
use crate::run::full::Drive;
use crate::scenario::{Addr, ProtSpec};
use crate::walk::Pages;

pub(in crate::run) fn canonical<B: Backend, W: Drive>(k: &mut Kernel<B, W>, addr: Addr) -> Result<u64, OpError> {
    let va = address(k, addr)?;
    if k.geometry().accepts(va) {
        return Ok(va);
    }
    Err(OpError::Canonical { va, bits: k.geometry().va_bits })
}

pub(super) fn in_kernel_half<B: Backend, W: Drive>(k: &Kernel<B, W>, va: u64) -> Result<(), OpError> {
    if k.geometry().is_kernel(va) { Ok(()) } else { Err(OpError::Half { va, half: "kernel" }) }
}

pub(in crate::run) fn aligned(what: &'static str, value: u64, page: u64) -> Result<(), OpError> {
    if value & (page - 1) == 0 { Ok(()) } else { Err(OpError::Misaligned { what, value, page }) }
}

/// A range of kernel addresses, page aligned. Only 7.3's walker answers to an unaligned end; others would run past it.
pub(super) fn kernel_range<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    addr: Addr,
    size: u64,
    may_be_ragged: bool,
) -> Result<(u64, u64), OpError> {
    let va = canonical(k, addr)?;
    in_kernel_half(k, va)?;
    let page = k.geometry().page_size();
    aligned("address", va, page)?;
    if !(may_be_ragged && k.options.vmap_alignment_check) {
        aligned("size", size, page)?;
    }
    let top = k.geometry().long_mask();
    if size == 0 || size - 1 > top - va {
        return Err(OpError::Range { va, size });
    }
    let end = va.wrapping_add(size) & top;
    if end == 0 || !k.geometry().accepts(end - 1) {
        // The kernel's own walkers refuse a range that ends at the wrap.
        return Err(OpError::Range { va, size });
    }
    Ok((va, end))
}

/// A range of whole pages in the half that the address space is about.
pub(super) fn range_in<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    mm: MmId,
    addr: Addr,
    size: u64,
) -> Result<(u64, u64), OpError> {
    if mm == INIT_MM {
        return kernel_range(k, addr, size, false);
    }
    let va = canonical(k, addr)?;
    let page = k.geometry().page_size();
    aligned("address", va, page)?;
    aligned("size", size, page)?;
    let top = k.geometry().layout.task_size;
    if size == 0 {
        return Err(OpError::Range { va, size });
    }
    if k.geometry().is_kernel(va) || va > top || size > top - va {
        return Err(OpError::Half { va, half: "user" });
    }
    Ok((va, va + size))
}

/// The shift of `vmap_pages_range`; 0 is the base page's. Each page of a huge one stands for `1 << shift` bytes, so the
/// last may reach beyond the pages given.
pub(super) fn page_shift_of<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    given: u32,
    start: u64,
    size: u64,
    pages: &Pages,
) -> Result<u32, OpError> {
    let (base, max) = (k.geometry().page_shift, 47);
    let shift = if given == 0 { base } else { given };
    if !B::huge_vmalloc(k) {
        // Only warned about, and not looked at any more.
        return Ok(shift);
    }
    if shift < base || shift > max {
        return Err(OpError::Shift { shift, base, max });
    }
    if shift > base {
        let block = 1u64 << shift;
        kernel_range(k, Addr::Number(start), size.next_multiple_of(block), false)?;
        let step = 1u64 << (shift - base);
        let last = (pages.count - 1) & !(step - 1);
        let from = if pages.list.is_empty() { last } else { 0 };
        for n in (from..=last).step_by(step as usize) {
            if let Some(pa) = pages.address(n, k.geometry().page_size()) {
                physical(k, pa, block)?;
            }
        }
    }
    Ok(shift)
}

pub(in crate::run) fn physical<B: Backend, W: Drive>(k: &Kernel<B, W>, pa: u64, size: u64) -> Result<u64, OpError> {
    let bits = k.geometry().pa_bits;
    aligned("physical address", pa, k.geometry().page_size())?;
    let last = pa.checked_add(size.saturating_sub(1)).ok_or(OpError::Physical { pa, bits })?;
    if bits < 64 && last >> bits != 0 { Err(OpError::Physical { pa, bits }) } else { Ok(pa) }
}

pub(super) fn check_pages<B: Backend, W: Drive>(k: &Kernel<B, W>, pages: &Pages) -> Result<(), OpError> {
    let page = k.geometry().page_size();
    if pages.count == 0 {
        return Err(OpError::NoPages);
    }
    if pages.list.is_empty() {
        aligned("step", pages.step, page)?;
        physical(k, pages.start, 1)?;
        let step = if pages.step == 0 { page } else { pages.step };
        let beyond = OpError::Physical { pa: pages.start, bits: k.geometry().pa_bits };
        let last = (pages.count - 1).checked_mul(step).and_then(|n| n.checked_add(pages.start)).ok_or(beyond)?;
        return physical(k, last, page).map(|_| ());
    }
    if pages.list.len() as u64 != pages.count {
        return Err(OpError::PageCount { count: pages.list.len() as u64, expected: pages.count });
    }
    pages.list.iter().try_for_each(|pa| physical(k, *pa, 1).map(|_| ()))
}

pub(in crate::run) fn prot_of<B: Backend, W: Drive>(k: &Kernel<B, W>, prot: &ProtSpec) -> Result<Prot, OpError> {
    match prot {
        ProtSpec::Bits(bits) => fits(k, "protection", *bits),
        ProtSpec::Name(name) => Ok(k.format().prot(name)?),
    }
}

/// A word of the format's size.
pub(super) fn fits<B: Backend, W: Drive>(k: &Kernel<B, W>, what: &'static str, word: u64) -> Result<u64, OpError> {
    let bits = 8 * u32::from(k.geometry().entry_bytes);
    if bits < 64 && word >> bits != 0 { Err(OpError::Word { what, word }) } else { Ok(word) }
}

pub(in crate::run) fn known_mm<B: Backend, W: Drive>(k: &Kernel<B, W>, mm: u16) -> Result<MmId, OpError> {
    let limit = k.machine.mms.len() as u64;
    if u64::from(mm) < limit { Ok(MmId(mm)) } else { Err(OpError::Unknown { what: "mm", index: u64::from(mm), limit }) }
}

pub(in crate::run) fn known_task<B: Backend, W: Drive>(k: &Kernel<B, W>, task: u16) -> Result<TaskId, OpError> {
    let limit = k.machine.tasks.len() as u64;
    if u64::from(task) < limit {
        Ok(TaskId(task))
    } else {
        Err(OpError::Unknown { what: "task", index: u64::from(task), limit })
    }
}

/// Tasks and address spaces have 16-bit numbers.
pub(super) fn room(what: &'static str, limit: usize) -> Result<(), OpError> {
    if limit > usize::from(u16::MAX) { Err(OpError::Full { what, limit }) } else { Ok(()) }
}

/// A task that the executing CPU can switch to: alive, not running on another CPU, and not another CPU's idle task.
pub(in crate::run) fn free_task<B: Backend, W: Drive>(k: &Kernel<B, W>, task: u16) -> Result<TaskId, OpError> {
    let id = known_task(k, task)?;
    if k.machine.task(id).dead {
        return Err(OpError::Dead { task });
    }
    let elsewhere = k.machine.cpus.iter().enumerate().find(|(n, c)| c.current == id && *n != usize::from(k.cpu().0));
    if let Some((cpu, _)) = elsewhere {
        return Err(OpError::Elsewhere { task, cpu: cpu as u8 });
    }
    stays_at_home(k, id, k.cpu())?;
    Ok(id)
}

/// An idle task runs on its own CPU only.
pub(super) fn stays_at_home<B: Backend, W: Drive>(k: &Kernel<B, W>, task: TaskId, on: CpuId) -> Result<(), OpError> {
    match k.machine.cpus.iter().position(|c| c.idle == task) {
        Some(cpu) if cpu != usize::from(on.0) => Err(OpError::Idle { task: task.0, cpu: cpu as u8 }),
        _ => Ok(()),
    }
}
