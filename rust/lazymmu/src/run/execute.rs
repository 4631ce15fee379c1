//! One operation: from its description to the walker, and back to a result.

mod areas;
mod entries;

use areas::area;
use entries::{apply, populate, pte, set_memory};

use super::full::{Drive, irq_of};
use crate::backend::Backend;
use crate::descriptor::{Format, Prot, UnknownProt};
use crate::event::codes::{Access, BugCode, Outcome, Resched};
use crate::event::{Event, Kind};
use crate::kernel::Kernel;
use crate::machine::{CpuId, INIT_MM, MmId, TaskId};
use crate::modmask::ModMask;
use crate::scenario::{AccessKind, Addr, Op, ProtSpec};
use crate::scheme::Hooks;
use crate::stop::{Run, Stop};
use crate::walk::AllocError;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A void function returned.
    Done,
    /// A value was returned.
    Returned { ret: i64, mask: ModMask, calls: u64 },
    /// An address was returned, or NULL.
    Address(Option<u64>),
    /// A new task or address space.
    Created(u16),
    /// An access.
    Accessed { outcome: Outcome, pa: u64 },
    /// A word was read, or returned by `ptep_get_and_clear`.
    Word(u64),
    /// The kernel stopped the task.
    Died(BugCode),
    /// A user-supplied hook failed.
    HookFailed,
    /// The driver suspended it.
    Suspended,
    /// The task was dead already.
    NotRun,
}

/// The result of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpResult {
    pub ending: Ending,
}

impl OpResult {
    /// Why nothing behind the operation runs, if so.
    #[must_use]
    pub const fn stop(&self) -> Option<Stop> {
        match self.ending {
            Ending::Died(code) => Some(Stop::Bug(code)),
            Ending::HookFailed => Some(Stop::Abort),
            Ending::Suspended => Some(Stop::Suspend),
            _ => None,
        }
    }
}

/// An operation that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    #[error("{what} {value:#x} is not a multiple of the page size {page:#x}")]
    Misaligned { what: &'static str, value: u64, page: u64 },
    #[error("the range at {va:#x} of {size:#x} bytes is empty or wraps")]
    Range { va: u64, size: u64 },
    #[error("address {va:#x} is not canonical for {bits}-bit virtual addresses")]
    Canonical { va: u64, bits: u8 },
    #[error("address {va:#x} is not in the {half} half")]
    Half { va: u64, half: &'static str },
    #[error("physical address {pa:#x} is beyond the {bits} bits of this geometry")]
    Physical { pa: u64, bits: u8 },
    #[error("page_shift {shift}: expected {base} to {max}")]
    Shift { shift: u32, base: u32, max: u32 },
    #[error("{what} {word:#x} does not fit an entry")]
    Word { what: &'static str, word: u64 },
    #[error("no pages")]
    NoPages,
    #[error("slot {slot} holds no address")]
    EmptySlot { slot: u32 },
    #[error("there is no {what} {index}: expected below {limit}")]
    Unknown { what: &'static str, index: u64, limit: u64 },
    #[error("there are {limit} {what} already, and no more can exist")]
    Full { what: &'static str, limit: usize },
    #[error("task {task} runs on CPU {cpu}")]
    Elsewhere { task: u16, cpu: u8 },
    #[error("task {task} is dead")]
    Dead { task: u16 },
    #[error("task {task} is the idle task of CPU {cpu}, and stays there")]
    Idle { task: u16, cpu: u8 },
    #[error("bottom halves are not disabled")]
    BottomHalves,
    #[error("no table maps {va:#x}: one entry can be changed only where its table exists")]
    NoTable { va: u64 },
    #[error("{what} are not modelled on {backend}")]
    Unmodelled { what: &'static str, backend: &'static str },
    #[error("the areas are not in ascending order: one starts at {va:#x}")]
    AreaOrder { va: u64 },
    #[error("{count} pages are listed, {expected} expected")]
    PageCount { count: u64, expected: u64 },
    #[error(
        "the log is full: {events} events take more than {limit} bytes; run with a greater log_limit, or without log"
    )]
    LogFull { limit: u64, events: u64 },
    #[error(transparent)]
    Prot(#[from] UnknownProt),
    #[error(transparent)]
    Alloc(#[from] AllocError),
}

pub(super) type Executed = Result<OpResult, OpError>;

fn ended<T>(run: Run<T>, ok: impl FnOnce(T) -> Ending) -> OpResult {
    let ending = match run {
        Ok(value) => ok(value),
        Err(Stop::Bug(code)) => Ending::Died(code),
        Err(Stop::Abort) => Ending::HookFailed,
        Err(Stop::Suspend) => Ending::Suspended,
    };
    OpResult { ending }
}

pub(super) fn void(run: Run<()>) -> Executed {
    Ok(ended(run, |()| Ending::Done))
}

pub(super) fn walked(run: Run<(i64, ModMask)>) -> Executed {
    Ok(ended(run, |(ret, mask)| Ending::Returned { ret, mask, calls: 0 }))
}

fn unmapped(run: Run<(i64, ModMask)>) -> Executed {
    walked(run)
}

/// Runs an operation on the current task.
pub(super) fn execute<B: Backend, W: Drive>(k: &mut Kernel<B, W>, op: &Op) -> Executed {
    match op {
        Op::Nop {} => Ok(OpResult { ending: Ending::Done }),
        Op::VmapPageRange { va, size, pa, prot } => {
            let (start, end) = kernel_range(k, *va, *size, true)?;
            let (pa, prot) = (physical(k, *pa, *size)?, prot_of(k, prot)?);
            walked(k.vmap_page_range(start, end, pa, prot))
        }
        Op::VmapRangeNoflush { va, size, pa, prot, max_shift } => {
            let (start, end) = kernel_range(k, *va, *size, true)?;
            let (pa, prot) = (physical(k, *pa, *size)?, prot_of(k, prot)?);
            walked(k.vmap_range_noflush(start, end, pa, prot, *max_shift))
        }
        Op::IoremapPageRange { va, size, pa, prot } => {
            let (start, end) = kernel_range(k, *va, *size, false)?;
            let (pa, prot) = (physical(k, *pa, *size)?, prot_of(k, prot)?);
            walked(k.ioremap_page_range(start, end, pa, prot))
        }
        Op::VmapPagesRange { va, pages, prot, page_shift, noflush } => {
            let page = k.geometry().page_size();
            let size = pages.count.checked_mul(page).ok_or(OpError::Range { va: 0, size: pages.count })?;
            let (start, end) = kernel_range(k, *va, size, false)?;
            check_pages(k, pages)?;
            let prot = prot_of(k, prot)?;
            let shift = page_shift_of(k, *page_shift, start, size, pages)?;
            walked(if *noflush {
                k.vmap_pages_range_noflush(start, end, prot, pages, shift)
            } else {
                k.vmap_pages_range(start, end, prot, pages, shift)
            })
        }
        Op::VunmapRange { va, size, noflush } => {
            let (start, end) = kernel_range(k, *va, *size, false)?;
            unmapped(if *noflush { k.vunmap_range_noflush(start, end) } else { k.vunmap_range(start, end) })
        }
        Op::ApplyToPageRange { mm, va, size, callback, create } => {
            apply(k, *mm, *va, *size, callback.as_ref(), *create)
        }
        Op::Vmalloc { .. } | Op::Vmap { .. } | Op::VmMapRam { .. } | Op::Ioremap { .. } | Op::Area { .. } => {
            area(k, op)
        }
        Op::Free { va } => {
            let start = address(k, *va)?;
            match k.free_area(start) {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) => void(Ok(())),
                Err(stop) => void(Err(stop)),
            }
        }
        Op::Purge {} => void(k.purge()),
        Op::Access { va, kind } => {
            let va = canonical(k, *va)?;
            let access = match kind {
                AccessKind::Read => Access::Read,
                AccessKind::Write => Access::Write,
                AccessKind::Exec => Access::Exec,
            };
            Ok(ended(k.access(va, access), |a| Ending::Accessed { outcome: a.outcome, pa: a.pa }))
        }
        Op::Pte { mm, va, step, word, pa, prot } => {
            let word = match pa {
                Some(pa) => {
                    let (pa, prot) = (physical(k, *pa, 1)?, prot_of(k, prot)?);
                    k.format().pte(pa, prot)
                }
                None => *word,
            };
            pte(k, *mm, *va, *step, word)
        }
        Op::LazyEnable {} => void(k.lazy_enable()),
        Op::LazyDisable {} => void(k.lazy_disable()),
        Op::LazyPause {} => void(k.lazy_pause()),
        Op::LazyResume {} => void(k.lazy_resume()),
        Op::LazyFlush {} => void(k.lazy_flush()),
        Op::BhDisable {} => void(k.bh_disable()),
        Op::BhEnable {} => {
            if k.machine.task(k.current()).bh_count == 0 {
                return Err(OpError::BottomHalves);
            }
            void(k.bh_enable())
        }
        Op::Sleep {} => void(k.sleep()),
        Op::NeedResched {} => {
            k.set_need_resched();
            void(Ok(()))
        }
        Op::CondResched {} => void(k.resched_point(Resched::CondResched)),
        Op::MightSleep {} => void(k.resched_point(Resched::MightSleep)),
        Op::Switch { to } => {
            let task = free_task(k, *to)?;
            void(k.switch_to(task))
        }
        Op::Migrate { to } => {
            let cpus = k.machine.cpus.len() as u64;
            if u64::from(*to) >= cpus {
                return Err(OpError::Unknown { what: "CPU", index: u64::from(*to), limit: cpus });
            }
            stays_at_home(k, k.current(), CpuId(*to))?;
            void(k.migrate(CpuId(*to)))
        }
        Op::Fork { mm } => {
            room("tasks", k.machine.tasks.len())?;
            let mm = match mm {
                Some(mm) => known_mm(k, *mm)?,
                None => k.machine.task(k.current()).mm,
            };
            Ok(ended(k.fork(mm), |task| Ending::Created(task.0)))
        }
        Op::Irq { kind, ops } => {
            let irq = irq_of(*kind);
            if let Err(stop) = k.irq_enter(irq) {
                return void(Err(stop));
            }
            for op in ops {
                let result = execute(k, op)?;
                if result.stop().is_some() {
                    k.irq_abandon();
                    return Ok(result);
                }
            }
            void(k.irq_exit(irq))
        }
        Op::NewMm {} => room("address spaces", k.machine.mms.len())
            .map(|()| ended(k.new_mm(), |mm| mm.map_or(Ending::Address(None), |mm| Ending::Created(mm.0)))),
        Op::FlushTlbKernelRange { va, size } => {
            let (start, end) = kernel_range(k, *va, *size, false)?;
            void(k.flush_tlb_kernel_range(start, end))
        }
        Op::FlushCacheVmap { va, size } => {
            let (start, end) = kernel_range(k, *va, *size, false)?;
            void(k.flush_cache_vmap(start, end))
        }
        Op::SetMemory { va, pages, change, linear } => set_memory(k, *va, *pages, *change, *linear),
        Op::PopulateKernel { va, sync } => {
            let (va, _) = kernel_range(k, *va, k.geometry().page_size(), false)?;
            void(populate(k, INIT_MM, va, *sync))
        }
        Op::PopulateUser { mm, va } => {
            let mm = known_mm(k, *mm)?;
            let (va, _) = range_in(k, mm, *va, k.geometry().page_size())?;
            if mm == INIT_MM {
                return Err(OpError::Half { va, half: "user" });
            }
            void(populate(k, mm, va, false))
        }
        Op::KmapLocal { slot, page } => {
            let page = physical(k, *page, 1)?;
            let result = k.kmap_local(page);
            if let Ok(kmap) = result {
                k.watch.slots().set_kmap(*slot, kmap);
                k.watch.slots().set(*slot, Some(kmap.va));
            }
            Ok(ended(result, |kmap| Ending::Address(Some(kmap.va))))
        }
        Op::KunmapLocal { slot } => match k.watch.slots().kmap(*slot) {
            Some(kmap) => {
                let done = k.kunmap_local(kmap);
                if done.is_ok() {
                    k.watch.slots().forget_kmap(*slot);
                }
                void(done)
            }
            None => Err(OpError::EmptySlot { slot: *slot }),
        },
        Op::Ptdump { running } => {
            k.machine.ptdump = *running;
            void(Ok(()))
        }
        user => super::user::execute(k, user),
    }
}

/// The range that an `OP` event shows.
pub(super) fn range_of<B: Backend, W: Drive>(k: &mut Kernel<B, W>, op: &Op) -> (u64, u64) {
    let page = k.geometry().page_size();
    let (va, size) = match op {
        Op::VmapPageRange { va, size, .. }
        | Op::VmapRangeNoflush { va, size, .. }
        | Op::IoremapPageRange { va, size, .. }
        | Op::VunmapRange { va, size, .. }
        | Op::ApplyToPageRange { va, size, .. }
        | Op::FlushTlbKernelRange { va, size }
        | Op::FlushCacheVmap { va, size } => (*va, *size),
        Op::VmapPagesRange { va, pages, .. } => (*va, pages.count.wrapping_mul(page)),
        Op::SetMemory { va, pages, .. } => (*va, pages.wrapping_mul(page)),
        Op::Access { va, .. } => (*va, 1),
        user if user.code() >= super::user::FIRST => return super::user::range_of(k, user),
        Op::Pte { va, .. } | Op::PopulateKernel { va, .. } | Op::PopulateUser { va, .. } => (*va, page),
        _ => return (0, 0),
    };
    address(k, va).map_or((0, 0), |va| (va, va.wrapping_add(size)))
}

pub(super) fn address<B: Backend, W: Drive>(k: &mut Kernel<B, W>, addr: Addr) -> Result<u64, OpError> {
    match addr {
        Addr::Number(va) => Ok(va),
        Addr::Slot(at) => {
            let start = k.watch.slots().get(at.slot).ok_or(OpError::EmptySlot { slot: at.slot })?;
            Ok(start.wrapping_add(at.offset))
        }
    }
}

pub(super) fn canonical<B: Backend, W: Drive>(k: &mut Kernel<B, W>, addr: Addr) -> Result<u64, OpError> {
    let va = address(k, addr)?;
    if k.geometry().accepts(va) {
        return Ok(va);
    }
    Err(OpError::Canonical { va, bits: k.geometry().va_bits })
}

fn in_kernel_half<B: Backend, W: Drive>(k: &Kernel<B, W>, va: u64) -> Result<(), OpError> {
    if k.geometry().is_kernel(va) { Ok(()) } else { Err(OpError::Half { va, half: "kernel" }) }
}

pub(super) fn aligned(what: &'static str, value: u64, page: u64) -> Result<(), OpError> {
    if value & (page - 1) == 0 { Ok(()) } else { Err(OpError::Misaligned { what, value, page }) }
}

/// A range of kernel addresses, page aligned. Only 7.3's walker answers to an unaligned end; others would run past it.
fn kernel_range<B: Backend, W: Drive>(
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
fn range_in<B: Backend, W: Drive>(
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
fn page_shift_of<B: Backend, W: Drive>(
    k: &mut Kernel<B, W>,
    given: u32,
    start: u64,
    size: u64,
    pages: &crate::walk::Pages,
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

pub(super) fn physical<B: Backend, W: Drive>(k: &Kernel<B, W>, pa: u64, size: u64) -> Result<u64, OpError> {
    let bits = k.geometry().pa_bits;
    aligned("physical address", pa, k.geometry().page_size())?;
    let last = pa.checked_add(size.saturating_sub(1)).ok_or(OpError::Physical { pa, bits })?;
    if bits < 64 && last >> bits != 0 { Err(OpError::Physical { pa, bits }) } else { Ok(pa) }
}

fn check_pages<B: Backend, W: Drive>(k: &Kernel<B, W>, pages: &crate::walk::Pages) -> Result<(), OpError> {
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

pub(super) fn prot_of<B: Backend, W: Drive>(k: &Kernel<B, W>, prot: &ProtSpec) -> Result<Prot, OpError> {
    match prot {
        ProtSpec::Bits(bits) => fits(k, "protection", *bits),
        ProtSpec::Name(name) => Ok(k.format().prot(name)?),
    }
}

/// A word of the format's size.
fn fits<B: Backend, W: Drive>(k: &Kernel<B, W>, what: &'static str, word: u64) -> Result<u64, OpError> {
    let bits = 8 * u32::from(k.geometry().entry_bytes);
    if bits < 64 && word >> bits != 0 { Err(OpError::Word { what, word }) } else { Ok(word) }
}

pub(super) fn known_mm<B: Backend, W: Drive>(k: &Kernel<B, W>, mm: u16) -> Result<MmId, OpError> {
    let limit = k.machine.mms.len() as u64;
    if u64::from(mm) < limit { Ok(MmId(mm)) } else { Err(OpError::Unknown { what: "mm", index: u64::from(mm), limit }) }
}

pub(super) fn known_task<B: Backend, W: Drive>(k: &Kernel<B, W>, task: u16) -> Result<TaskId, OpError> {
    let limit = k.machine.tasks.len() as u64;
    if u64::from(task) < limit {
        Ok(TaskId(task))
    } else {
        Err(OpError::Unknown { what: "task", index: u64::from(task), limit })
    }
}

/// Tasks and address spaces have 16-bit numbers.
fn room(what: &'static str, limit: usize) -> Result<(), OpError> {
    if limit > usize::from(u16::MAX) { Err(OpError::Full { what, limit }) } else { Ok(()) }
}

/// A task that the executing CPU can switch to: alive, not running on another CPU, and not another CPU's idle task.
pub(super) fn free_task<B: Backend, W: Drive>(k: &Kernel<B, W>, task: u16) -> Result<TaskId, OpError> {
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
fn stays_at_home<B: Backend, W: Drive>(k: &Kernel<B, W>, task: TaskId, on: CpuId) -> Result<(), OpError> {
    match k.machine.cpus.iter().position(|c| c.idle == task) {
        Some(cpu) if cpu != usize::from(on.0) => Err(OpError::Idle { task: task.0, cpu: cpu as u8 }),
        _ => Ok(()),
    }
}

/// The first and the last event of an operation.
pub(super) fn op_event(kind: Kind, op: &Op, range: (u64, u64)) -> Event {
    Event::of(kind).range(range.0, range.1).aux(op.code())
}
