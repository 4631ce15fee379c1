//! One operation: from its description to the walker, and back to a result.

mod areas;
mod entries;
pub(super) mod limits;

use areas::area;
use entries::{apply, populate, pte, set_memory};
use limits::{
    canonical, check_pages, free_task, kernel_range, known_mm, page_shift_of, physical, prot_of, range_in, room,
    stays_at_home,
};

use super::full::{Drive, irq_of};
use crate::backend::Backend;
use crate::descriptor::{Format, UnknownProt};
use crate::event::codes::{Access, BugCode, Outcome, Resched};
use crate::event::{Event, Kind};
use crate::kernel::Kernel;
use crate::machine::{CpuId, INIT_MM};
use crate::modmask::ModMask;
use crate::scenario::{AccessKind, Addr, Op};
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

/// The first and the last event of an operation.
pub(super) fn op_event(kind: Kind, op: &Op, range: (u64, u64)) -> Event {
    Event::of(kind).range(range.0, range.1).aux(op.code())
}
