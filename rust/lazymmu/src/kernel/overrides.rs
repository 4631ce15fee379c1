//! Hooks that a user supplies in place of native ones.
//!
//! A call is handed to the user's code together with the machine, which is lent out for the time of the call: whatever
//! the user's code keeps afterwards is empty.

use std::any::Any;
use std::fmt;

use super::{Entry, Kernel, Watch};
use crate::backend::Backend;
use crate::event::codes::{BugCode, Site, Store};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::machine::{KmapSlot, MmId, Task, TaskId, ThreadFlags};
use crate::memory::TableId;
use crate::modmask::ModMask;
use crate::scheme::{Hooks, Options, Walk};
use crate::stop::{Run, Step, Stop};

macro_rules! hooks {
    ($($name:ident = $text:literal,)*) => {
        /// What can be replaced.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Hook { $($name,)* }

        impl Hook {
            /// Every hook with the name of the method that replaces it.
            pub const ALL: &'static [(Hook, &'static str)] = &[$((Hook::$name, $text),)*];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Hook::$name => $text,)* }
            }
        }
    };
}

hooks! {
    WalkBegin = "walk_begin",
    WalkEnd = "walk_end",
    PteBegin = "pte_begin",
    PteEnd = "pte_end",
    Begin = "begin",
    End = "end",
    Sync = "sync",
    Enter = "enter",
    Leave = "leave",
    Flush = "flush",
    Pause = "pause",
    Resume = "resume",
    SetPte = "set_pte",
    PteClear = "pte_clear",
    PtepGetAndClear = "ptep_get_and_clear",
    SetEntry = "set_entry",
    Kmap = "kmap",
    Kunmap = "kunmap",
    PteFn = "pte_fn",
}

/// A set of hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookSet(u32);

impl HookSet {
    #[must_use]
    pub const fn with(self, hook: Hook) -> HookSet {
        HookSet(self.0 | 1 << hook as u32)
    }

    #[inline]
    #[must_use]
    pub const fn contains(self, hook: Hook) -> bool {
        self.0 & (1 << hook as u32) != 0
    }
}

/// An entry that user code may hold on to.
#[derive(Clone, Copy, Debug)]
pub struct OwnedEntry {
    pub table: TableId,
    pub table_pa: u64,
    pub level: Level,
    pub index: usize,
    pub va: u64,
    pub mm: MmId,
}

impl From<Entry<'_>> for OwnedEntry {
    fn from(entry: Entry<'_>) -> OwnedEntry {
        OwnedEntry {
            table: entry.table.id,
            table_pa: entry.table.pa,
            level: entry.level(),
            index: entry.index,
            va: entry.va,
            mm: entry.mm,
        }
    }
}

/// One call of a replaced hook.
#[derive(Clone, Debug)]
pub enum Call {
    /// Hooks without arguments: enter, leave, flush, pause, resume.
    Simple(Hook),
    /// `walk_begin`, `walk_end`, `begin`, `end`, `sync`.
    Walk(Hook, Walk, ModMask),
    /// `pte_begin`, `pte_end`.
    Site(Hook, Site),
    SetPte(OwnedEntry, u64, Store),
    PteClear(OwnedEntry),
    PtepGetAndClear(OwnedEntry),
    SetEntry(OwnedEntry, u64, Store),
    Kmap(u64),
    Kunmap(KmapSlot),
    /// A callback of `apply_to_page_range`.
    PteFn(OwnedEntry),
}

impl Call {
    #[must_use]
    pub const fn hook(&self) -> Hook {
        match self {
            Call::Simple(hook) | Call::Walk(hook, ..) | Call::Site(hook, _) => *hook,
            Call::SetPte(..) => Hook::SetPte,
            Call::PteClear(_) => Hook::PteClear,
            Call::PtepGetAndClear(_) => Hook::PtepGetAndClear,
            Call::SetEntry(..) => Hook::SetEntry,
            Call::Kmap(_) => Hook::Kmap,
            Call::Kunmap(_) => Hook::Kunmap,
            Call::PteFn(_) => Hook::PteFn,
        }
    }
}

/// Where a run is, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub op: u32,
    pub cpu: u8,
    /// Events seen so far.
    pub event: u64,
}

/// What user code can ask generic code to do: hooks that are replaced are called replaced.
#[derive(Clone, Copy, Debug)]
pub enum Generic {
    Begin(Walk),
    End(Walk, ModMask),
    /// `arch_sync_kernel_mappings`, if the mask meets the sync mask.
    Sync(Walk, ModMask),
    Enable,
    Disable,
    Flush,
    Pause,
    Resume,
    SetPte(OwnedEntry, u64, Store),
    PteClear(OwnedEntry),
    FlushTlbKernelRange(u64, u64),
}

/// What user code can do with the machine during a call.
pub trait Host: Send + Sync {
    fn geometry(&self) -> &Geometry;
    fn options(&self) -> &Options;
    /// The running task.
    fn task(&self) -> (TaskId, &Task);
    fn in_interrupt(&self) -> bool;
    fn place(&self) -> Place;
    /// What the replaced hook would have done. Values are those of `ptep_get_and_clear`, `kmap` and `sync`.
    fn native(&mut self, call: &Call) -> Run<u64>;
    fn generic(&mut self, call: &Generic) -> Step;
    fn read(&mut self, entry: &OwnedEntry) -> Run<u64>;
    /// A plain store, with no barrier.
    fn store(&mut self, entry: &OwnedEntry, word: u64, why: Store) -> Step;
    /// Whether the word is a valid kernel mapping in this format.
    fn valid_kernel(&self, word: u64) -> bool;
    fn sync_mask(&self) -> ModMask;
    /// The physical address of a root table.
    fn root_of(&self, mm: MmId) -> Option<u64>;
    /// `DSB ISHST; ISB`, or the event of it where the architecture has none.
    fn barrier(&mut self) -> Step;
    /// Changes the running task's thread flags.
    fn set_flags(&mut self, flags: ThreadFlags);
    /// Leaves a barrier for later: sets the flags, and says so if that changes something or happens in an interrupt.
    fn defer(&mut self, flags: ThreadFlags) -> Step;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The machine, lent out.
pub struct HostHandle(pub Box<dyn Host>);

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostHandle")
    }
}

/// User-supplied hooks.
pub trait Overrides: fmt::Debug + Send + Sync {
    fn hooks(&self) -> HookSet;
    /// Runs the user's code; the handle comes back with the machine as the code left it. `Err` keeps the user's error
    /// and stops the operation. An implementation that loses the handle loses the machine.
    fn call(&self, host: HostHandle, call: &Call) -> (Option<HostHandle>, Run<u64>);
    /// Runs something that waits for other threads, which may want to call the user's code meanwhile.
    fn blocking(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    #[inline]
    pub(crate) fn overridden(&self, hook: Hook) -> bool {
        self.overrides.as_ref().is_some_and(|o| o.hooks().contains(hook))
    }

    fn call_override(&mut self, call: &Call) -> Run<u64> {
        let Some(overrides) = self.overrides.clone() else {
            return Ok(0);
        };
        let hollow = self.hollow();
        let kernel = std::mem::replace(self, hollow);
        let (handle, result) = overrides.call(HostHandle(Box::new(kernel)), call);
        match handle.map(|handle| handle.0.into_any().downcast::<Self>()) {
            Some(Ok(kernel)) => {
                *self = *kernel;
                result
            }
            _ => Err(Stop::Abort),
        }
    }

    /// A kernel with nothing in it, which stands in while the real one is lent out.
    pub(crate) fn hollow(&mut self) -> Self {
        let mut machine = crate::machine::Machine::new(self.machine.geometry, 0, &[]);
        // Code that unwinds asks what runs where.
        machine.cpus.clone_from(&self.machine.cpus);
        machine.tasks.clone_from(&self.machine.tasks);
        Kernel {
            machine,
            backend: self.backend.clone(),
            scheme: self.scheme,
            options: self.options,
            watch: self.watch.hollow(),
            overrides: None,
            op: self.op,
            cpu: self.cpu,
            who: self.who,
            format: self.format,
            barrier: self.barrier,
        }
    }

    /// Works on an entry that user code named.
    fn at<T>(&mut self, entry: &OwnedEntry, act: impl FnOnce(&mut Self, Entry<'_>) -> Run<T>) -> Run<T> {
        let memory = &mut self.machine.memory;
        let there = memory.at(entry.table_pa) == Some(entry.table) && entry.index < memory.entries(entry.table);
        if !there {
            // The table was freed since the user's code got hold of the entry.
            return self.bug(BugCode::StrayWalk, entry.va);
        }
        let table = memory.open(entry.table);
        act(self, Entry::new(table.view(), entry.index, entry.va, entry.mm))
    }

    pub(crate) fn call_simple(&mut self, hook: Hook) -> Step {
        self.call_override(&Call::Simple(hook)).map(|_| ())
    }

    pub(crate) fn call_walk(&mut self, hook: Hook, walk: Walk, mask: ModMask) -> Run<u64> {
        self.call_override(&Call::Walk(hook, walk, mask))
    }

    pub(crate) fn call_site(&mut self, hook: Hook, site: Site) -> Step {
        self.call_override(&Call::Site(hook, site)).map(|_| ())
    }

    pub(crate) fn call_set_pte(&mut self, entry: Entry<'_>, word: u64, why: Store) -> Step {
        self.call_override(&Call::SetPte(entry.into(), word, why)).map(|_| ())
    }

    pub(crate) fn call_pte_clear(&mut self, entry: Entry<'_>) -> Step {
        self.call_override(&Call::PteClear(entry.into())).map(|_| ())
    }

    pub(crate) fn call_ptep_get_and_clear(&mut self, entry: Entry<'_>) -> Run<u64> {
        self.call_override(&Call::PtepGetAndClear(entry.into()))
    }

    pub(crate) fn call_set_entry(&mut self, entry: Entry<'_>, word: u64, why: Store) -> Step {
        self.call_override(&Call::SetEntry(entry.into(), word, why)).map(|_| ())
    }

    pub(crate) fn call_kmap(&mut self, page: u64) -> Run<KmapSlot> {
        self.call_override(&Call::Kmap(page))?;
        if !self.machine.frames.is_high(page) {
            return Ok(KmapSlot { va: 0, page, slot: None });
        }
        let task = self.current();
        match self.machine.task(task).kmaps.last() {
            Some(slot) if slot.page == page => Ok(*slot),
            // The hook mapped nothing: the page cannot be reached.
            _ => self.bug(BugCode::KernelFault, 0),
        }
    }

    pub(crate) fn call_kunmap(&mut self, slot: KmapSlot) -> Step {
        self.call_override(&Call::Kunmap(slot)).map(|_| ())
    }

    pub(crate) fn call_pte_fn(&mut self, entry: Entry<'_>) -> Run<i64> {
        self.call_override(&Call::PteFn(entry.into())).map(|value| value as i64)
    }
}

impl<B: Backend, W: Watch> Host for Kernel<B, W> {
    fn geometry(&self) -> &Geometry {
        &self.machine.geometry
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn task(&self) -> (TaskId, &Task) {
        let task = self.current();
        (task, self.machine.task(task))
    }

    fn in_interrupt(&self) -> bool {
        Kernel::in_interrupt(self)
    }

    fn place(&self) -> Place {
        Place { op: self.op, cpu: self.cpu.0, event: self.watch.seen() }
    }

    fn native(&mut self, call: &Call) -> Run<u64> {
        let done = |()| 0;
        match call {
            Call::Walk(Hook::WalkBegin, walk, _) => self.scheme.walk_begin(self, *walk).map(done),
            Call::Walk(Hook::WalkEnd, walk, mask) => self.scheme.walk_end(self, *walk, *mask).map(done),
            Call::Walk(Hook::Begin, walk, _) => B::begin(self, *walk).map(done),
            Call::Walk(Hook::End, walk, mask) => B::end(self, *walk, *mask).map(done),
            Call::Walk(_, walk, _) => B::sync_kernel_mappings(self, walk.start, walk.end),
            Call::Site(Hook::PteBegin, site) => self.scheme.pte_begin(self, *site).map(done),
            Call::Site(_, site) => self.scheme.pte_end(self, *site).map(done),
            Call::Simple(Hook::Pause) => self.native_pause().map(done),
            Call::Simple(Hook::Resume) => self.native_resume().map(done),
            Call::Simple(hook) => self.native_lazy(*hook).map(done),
            Call::SetPte(entry, word, why) => self.at(entry, |k, e| B::set_pte(k, e, *word, *why)).map(done),
            Call::PteClear(entry) => self.at(entry, |k, e| B::pte_clear(k, e)).map(done),
            Call::PtepGetAndClear(entry) => self.at(entry, |k, e| B::ptep_get_and_clear(k, e)),
            Call::SetEntry(entry, word, why) => self.at(entry, |k, e| B::set_entry(k, e, *word, *why)).map(done),
            Call::Kmap(page) => self.native_kmap_local(*page).map(|slot| slot.va),
            Call::Kunmap(slot) => self.native_kunmap_local(*slot).map(done),
            Call::PteFn(_) => Ok(0),
        }
    }

    fn generic(&mut self, call: &Generic) -> Step {
        match call {
            Generic::Begin(walk) => Hooks::begin(self, *walk),
            Generic::End(walk, mask) => Hooks::end(self, *walk, *mask),
            Generic::Sync(walk, mask) => Hooks::sync_if_modified(self, *walk, *mask),
            Generic::Enable => Hooks::lazy_enable(self),
            Generic::Disable => Hooks::lazy_disable(self),
            Generic::Flush => Hooks::lazy_flush(self),
            Generic::Pause => Hooks::lazy_pause(self),
            Generic::Resume => Hooks::lazy_resume(self),
            Generic::SetPte(entry, word, why) => self.at(entry, |k, e| k.set_pte(e, *word, *why)),
            Generic::PteClear(entry) => self.at(entry, |k, e| k.pte_clear(e)),
            Generic::FlushTlbKernelRange(start, end) => self.flush_tlb_kernel_range(*start, *end),
        }
    }

    fn read(&mut self, entry: &OwnedEntry) -> Run<u64> {
        self.at(entry, |k, e| k.read(e))
    }

    fn store(&mut self, entry: &OwnedEntry, word: u64, why: Store) -> Step {
        self.at(entry, |k, e| k.store(e, word, why))
    }

    fn valid_kernel(&self, word: u64) -> bool {
        B::valid_kernel(self, word)
    }

    fn sync_mask(&self) -> ModMask {
        B::sync_mask(self)
    }

    fn root_of(&self, mm: MmId) -> Option<u64> {
        self.machine.mms.get(usize::from(mm.0)).map(|mm| mm.root_pa)
    }

    fn barrier(&mut self) -> Step {
        self.emit_kind(Kind::BAR)
    }

    fn set_flags(&mut self, flags: ThreadFlags) {
        Kernel::set_flags(self, flags);
    }

    fn defer(&mut self, flags: ThreadFlags) -> Step {
        let before = self.machine.task(self.current()).flags;
        let irq = Kernel::in_interrupt(self);
        Kernel::set_flags(self, flags);
        if before == flags && !irq {
            return Ok(());
        }
        self.emit(Event::of(Kind::DEFER).change(before.packed(), flags.packed()).aux(u32::from(irq)))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
