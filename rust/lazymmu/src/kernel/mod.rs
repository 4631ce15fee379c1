//! The running kernel: a machine, what its hooks do, where they are called, and who watches.
//!
//! Walkers are methods of [`Kernel`], generic over the backend and the watch. A watch that watches nothing costs
//! nothing; a backend is chosen once, at the edge of an operation.

mod access;
mod context;
mod kmap;
mod lazy;
mod overrides;
mod tables;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub use access::{AccessResult, Translation, Translations};
pub use overrides::{Call, Generic, Hook, HookSet, Host, HostHandle, Overrides, OwnedEntry, Place};
pub use watch::{Silent, Watch};

use crate::backend::Backend;
use crate::descriptor::AnyFormat;
use crate::event::codes::Context;
use crate::event::cycle::key;
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::machine::{CpuId, LazyMmuState, Machine, MmId, TaskId, ThreadFlags};
use crate::memory::TableView;
use crate::scheme::{Options, SchemeRef};
use crate::stop::{Run, Step};

/// An entry of an open table, and the address for which it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'t> {
    pub table: TableView<'t>,
    pub index: usize,
    pub va: u64,
    pub mm: MmId,
    cell: &'t AtomicU64,
}

impl<'t> Entry<'t> {
    #[inline]
    #[must_use]
    pub fn new(table: TableView<'t>, index: usize, va: u64, mm: MmId) -> Entry<'t> {
        Entry { table, index, va, mm, cell: table.cell(index) }
    }

    /// The entries of a table from `first`, for addresses a page apart from `va`.
    #[inline]
    pub(crate) fn run(
        table: TableView<'t>,
        first: usize,
        count: usize,
        va: u64,
        page: u64,
        mm: MmId,
    ) -> impl Iterator<Item = Entry<'t>> {
        let mut next = va;
        table.cells(first, count).iter().enumerate().map(move |(n, cell)| {
            let va = next;
            next = next.wrapping_add(page);
            Entry { table, index: first + n, va, mm, cell }
        })
    }

    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        self.table.level
    }

    /// The word in memory. Software that must see a stale value of a queueing backend uses [`Kernel::read`].
    #[inline]
    #[must_use]
    pub fn word(&self) -> u64 {
        self.cell.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, word: u64) {
        self.cell.store(word, Ordering::Relaxed);
    }
}

/// Backend-independent configuration of a run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub geometry: Geometry,
    pub scheme: SchemeRef,
    pub options: Options,
}

/// A task of the setup: its address space (0: kernel thread) and its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSetup {
    #[serde(default)]
    pub mm: u16,
    #[serde(default)]
    pub cpu: u8,
}

/// What exists before the first operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    pub cpus: u8,
    /// User address spaces, numbered from 1.
    pub mms: u16,
    /// Empty: one kernel thread a CPU.
    pub tasks: Vec<TaskSetup>,
}

/// Who executes, as events say it.
#[derive(Clone, Copy, Debug)]
struct Who {
    cpu: u8,
    context: Context,
    task: u16,
}

/// A machine running kernel code.
#[derive(Debug)]
pub struct Kernel<B: Backend, W: Watch> {
    pub machine: Machine,
    pub backend: B,
    pub scheme: SchemeRef,
    pub options: Options,
    pub watch: W,
    pub(crate) overrides: Option<Arc<dyn Overrides>>,
    /// Index of the running operation.
    pub op: u32,
    cpu: CpuId,
    who: Who,
    format: B::Format,
    /// What a store that needs a barrier does about it; see [`Backend::barrier`].
    barrier: Barrier,
}

/// What becomes of the barrier behind a store that needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// It is issued at once.
    Now,
    /// It is left for later, and that has to be noted.
    Later,
    /// It is left for later, and that has been noted.
    Noted,
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Boots a machine: init_mm with the tables that the architecture sets up before anything is mapped, the address
    /// spaces that the setup asks for, and its tasks. Nothing is reported before [`Watch::start`].
    pub fn boot(config: &Config, setup: &Setup, backend: B, watch: W) -> Run<Self> {
        let cpus = usize::from(setup.cpus.max(1));
        let everywhere: Vec<_> = (0..cpus).map(|n| TaskSetup { mm: 0, cpu: n as u8 }).collect();
        let tasks = if setup.tasks.is_empty() { &everywhere } else { &setup.tasks };
        let homes: Vec<_> = tasks.iter().map(|t| CpuId(t.cpu)).collect();
        let mut machine = Machine::new(config.geometry, cpus, &homes);
        machine.areas.set_cpus(cpus);
        let format = backend.format();
        let mut kernel = Kernel {
            machine,
            backend,
            scheme: config.scheme,
            options: config.options,
            watch,
            overrides: None,
            op: 0,
            cpu: CpuId(0),
            who: Who { cpu: 0, context: Context::Task, task: 0 },
            format,
            barrier: Barrier::Now,
        };
        B::boot(&mut kernel)?;
        for _ in 0..setup.mms {
            kernel.new_mm()?;
        }
        for (n, task) in tasks.iter().enumerate() {
            let id = TaskId(n as u16);
            kernel.machine.task_mut(id).mm = MmId(task.mm);
            let cpu = kernel.machine.cpu_mut(CpuId(task.cpu));
            if cpu.current == id {
                cpu.active_mm = MmId(task.mm);
            } else {
                B::parked(&mut kernel, id);
            }
        }
        for n in 0..cpus {
            let cpu = kernel.machine.cpu(CpuId(n as u8));
            let (idle, running) = (cpu.idle, cpu.current);
            if idle != running {
                B::parked(&mut kernel, idle);
            }
        }
        B::booted(&mut kernel);
        kernel.refresh();
        kernel.watch.start();
        Ok(kernel)
    }

    /// A kernel in the same state that shares table pages until either side changes them.
    #[must_use]
    pub fn snapshot(&mut self, watch: W) -> Self {
        Kernel {
            machine: self.machine.snapshot(),
            backend: self.backend.clone(),
            scheme: self.scheme,
            options: self.options,
            watch,
            overrides: self.overrides.clone(),
            op: self.op,
            cpu: self.cpu,
            who: self.who,
            format: self.format,
            barrier: self.barrier,
        }
    }

    /// Replaces hooks by a user's own.
    pub fn set_overrides(&mut self, overrides: Option<Arc<dyn Overrides>>) {
        self.overrides = overrides;
    }

    #[inline]
    #[must_use]
    pub fn format(&self) -> B::Format {
        self.format
    }

    /// The format, for whoever does not know its type.
    #[must_use]
    pub fn any_format(&self) -> &dyn AnyFormat {
        &self.format
    }

    #[inline]
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.machine.geometry
    }

    #[inline]
    #[must_use]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    #[inline]
    #[must_use]
    pub fn current(&self) -> TaskId {
        self.machine.cpu(self.cpu).current
    }

    #[inline]
    #[must_use]
    pub fn context(&self) -> Context {
        self.who.context
    }

    /// `in_interrupt()`: also true while bottom halves are disabled.
    #[inline]
    #[must_use]
    pub fn in_interrupt(&self) -> bool {
        self.who.context != Context::Task
    }

    /// Recomputes who executes after a change of CPU, task or context.
    pub(crate) fn refresh(&mut self) {
        let cpu = self.machine.cpu(self.cpu);
        let bh = self.machine.task(cpu.current).bh_count > 0;
        let (context, task) = (cpu.context(bh), cpu.current.0);
        self.who = Who { cpu: self.cpu.0, context, task };
        self.watch.turned();
        self.barrier = B::barrier(self);
    }

    /// What a store that needs a barrier does about it now.
    #[inline]
    #[must_use]
    pub fn barrier(&self) -> Barrier {
        self.barrier
    }

    /// Changes the lazy state of a task.
    pub(crate) fn set_lazy(&mut self, task: TaskId, state: LazyMmuState) {
        self.machine.task_mut(task).lazy = state;
        self.barrier = B::barrier(self);
    }

    /// Changes the thread flags of the running task.
    pub(crate) fn set_flags(&mut self, flags: ThreadFlags) {
        let task = self.current();
        self.machine.task_mut(task).flags = flags;
        self.barrier = B::barrier(self);
    }

    /// Reports a micro-step that has just happened; whatever the driver wants to happen next happens here.
    #[inline]
    pub fn emit(&mut self, event: Event) -> Step {
        if W::WATCHES {
            let event =
                Event { cpu: self.who.cpu, context: self.who.context as u8, task: self.who.task, op: self.op, ..event };
            if self.watch.event(&self.machine, &event) {
                return W::interrupted(self);
            }
        }
        Ok(())
    }

    /// The physical address of an entry.
    #[inline]
    #[must_use]
    pub fn entry_pa(&self, entry: &Entry<'_>) -> u64 {
        entry.table.pa + entry.index as u64 * u64::from(self.machine.geometry.bytes(entry.table.level))
    }

    /// An event about an entry.
    #[inline]
    pub(crate) fn about(&self, kind: Kind, entry: &Entry<'_>) -> Event {
        let level = entry.level();
        let va = entry.va & !(self.machine.geometry.size(level) - 1);
        Event { mm: entry.mm.0, ..Event::of(kind).at(level, va, self.entry_pa(entry)) }
    }

    /// Software's view of an entry: what `READ_ONCE` returns.
    #[inline]
    pub fn read(&mut self, entry: Entry<'_>) -> Run<u64> {
        let word = B::read(self, entry)?;
        if W::WATCHES {
            self.watch.read(entry.level(), word);
        }
        Ok(word)
    }

    /// An entry's word as code sees it that goes past [`Backend::read`]. What software reads and goes on to use behind another
    /// event has to be read here or there: an exploration knows a thread's locals by what it has read.
    #[inline]
    pub(crate) fn look(&mut self, entry: Entry<'_>) -> u64 {
        let word = entry.word();
        if W::WATCHES {
            self.watch.read(entry.level(), word);
        }
        word
    }

    /// A completed store to a table word.
    #[inline(always)]
    pub(crate) fn store(&mut self, entry: Entry<'_>, word: u64, why: crate::event::codes::Store) -> Step {
        if !W::WATCHES {
            entry.set(word);
            return Ok(());
        }
        let old = entry.word();
        entry.set(word);
        let at = self.entry_pa(&entry);
        // An address inside what the entry maps is expected of nobody.
        let key = key(Kind::STORE as u8, entry.level().number(), entry.mm.0, why as u32);
        if self.watch.again(key, [entry.va, at, old, word]) {
            return Ok(());
        }
        self.report_store(entry.level(), entry.mm, (entry.va, at), (old, word), why)
    }

    /// The entry comes in pieces, so that a loop that seldom calls this can keep it in registers.
    #[cold]
    #[inline(never)]
    fn report_store(
        &mut self,
        level: Level,
        mm: MmId,
        (va, addr): (u64, u64),
        (old, new): (u64, u64),
        why: crate::event::codes::Store,
    ) -> Step {
        let va = va & !(self.machine.geometry.size(level) - 1);
        let event = Event::of(Kind::STORE).at(level, va, addr).change(old, new).aux(why as u32);
        self.emit(Event { mm: mm.0, ..event })
    }

    /// Reports a micro-step about which there is nothing to say but that it happened.
    #[inline(always)]
    pub(crate) fn emit_kind(&mut self, kind: Kind) -> Step {
        if W::WATCHES && self.watch.again(key(kind as u8, 0, 0, 0), [0; 4]) {
            return Ok(());
        }
        self.emit(Event::of(kind))
    }
}
