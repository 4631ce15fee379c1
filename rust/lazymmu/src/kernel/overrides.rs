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
use crate::machine::{KmapSlot, MmId, Task};
use crate::memory::TableId;
use crate::modmask::ModMask;
use crate::scheme::{Hooks, Options, Walk};
use crate::stop::{Run, Step};

macro_rules! hooks {
    ($($name:ident = $text:literal,)*) => {
        /// What can be replaced.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Hook { $($name,)* }

        impl Hook {
            /// Every hook with the name of the method that replaces it.
            pub const ALL: &'static [(Hook, &'static str)] = &[$((Hook::$name, $text),)*];
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

/// What user code can do with the machine during a call.
pub trait Host: Send {
    fn geometry(&self) -> &Geometry;
    fn options(&self) -> &Options;
    /// The running task.
    fn task(&self) -> &Task;
    fn in_interrupt(&self) -> bool;
    /// Operation and CPU, for messages.
    fn place(&self) -> (u32, u8);
    /// What the replaced hook would have done. Values are those of `ptep_get_and_clear` and `kmap`.
    fn native(&mut self, call: &Call) -> Run<u64>;
    fn read(&mut self, entry: &OwnedEntry) -> Run<u64>;
    /// A plain store, with no barrier.
    fn store(&mut self, entry: &OwnedEntry, word: u64, why: Store) -> Step;
    /// Whether the word is a valid kernel mapping in this format.
    fn valid_kernel(&self, word: u64) -> bool;
    fn sync_mask(&self) -> ModMask;
    /// `DSB ISHST; ISB` or what the backend has for it.
    fn barrier(&mut self) -> Step;
    /// Notes that a barrier is left for later.
    fn defer(&mut self) -> Step;
    fn sync(&mut self, walk: Walk, mask: ModMask) -> Step;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The machine, lent to user code.
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
    /// and stops the operation.
    fn call(&self, host: HostHandle, call: &Call) -> (HostHandle, Run<u64>);
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
        if let Ok(kernel) = handle.0.into_any().downcast::<Self>() {
            *self = *kernel;
        }
        result
    }

    /// A kernel with nothing in it, which stands in while the real one is lent out.
    fn hollow(&mut self) -> Self {
        Kernel {
            machine: crate::machine::Machine::new(self.machine.geometry, 0, &[]),
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
        let table = self.machine.memory.open(entry.table);
        act(self, Entry::new(table.view(), entry.index, entry.va, entry.mm))
    }

    pub(crate) fn call_simple(&mut self, hook: Hook) -> Step {
        self.call_override(&Call::Simple(hook)).map(|_| ())
    }

    pub(crate) fn call_walk(&mut self, hook: Hook, walk: Walk, mask: ModMask) -> Step {
        self.call_override(&Call::Walk(hook, walk, mask)).map(|_| ())
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

    fn task(&self) -> &Task {
        self.machine.task(self.current())
    }

    fn in_interrupt(&self) -> bool {
        Kernel::in_interrupt(self)
    }

    fn place(&self) -> (u32, u8) {
        (self.op, self.cpu.0)
    }

    fn native(&mut self, call: &Call) -> Run<u64> {
        let done = |()| 0;
        match call {
            Call::Walk(Hook::WalkBegin, walk, _) => self.scheme.walk_begin(self, *walk).map(done),
            Call::Walk(Hook::WalkEnd, walk, mask) => self.scheme.walk_end(self, *walk, *mask).map(done),
            Call::Walk(Hook::Begin, walk, _) => self.native_begin(*walk).map(done),
            Call::Walk(Hook::End, walk, mask) => self.native_end(*walk, *mask).map(done),
            Call::Walk(Hook::Sync, walk, mask) => self.native_sync(*walk, *mask).map(done),
            Call::Walk(..) => Ok(0),
            Call::Site(Hook::PteBegin, site) => self.scheme.pte_begin(self, *site).map(done),
            Call::Site(_, site) => self.scheme.pte_end(self, *site).map(done),
            Call::Simple(Hook::Enter) => B::lazy_enter(self).map(done),
            Call::Simple(Hook::Leave) => B::lazy_leave(self).map(done),
            Call::Simple(Hook::Flush) => B::lazy_flush(self).map(done),
            Call::Simple(Hook::Pause) => self.native_pause().map(done),
            Call::Simple(Hook::Resume) => self.native_resume().map(done),
            Call::Simple(_) => Ok(0),
            Call::SetPte(entry, word, why) => self.at(entry, |k, e| B::set_pte(k, e, *word, *why)).map(done),
            Call::PteClear(entry) => self.at(entry, |k, e| B::pte_clear(k, e)).map(done),
            Call::PtepGetAndClear(entry) => self.at(entry, |k, e| B::ptep_get_and_clear(k, e)),
            Call::SetEntry(entry, word, why) => self.at(entry, |k, e| B::set_entry(k, e, *word, *why)).map(done),
            Call::Kmap(page) => self.native_kmap_local(*page).map(|slot| slot.va),
            Call::Kunmap(slot) => self.native_kunmap_local(*slot).map(done),
            Call::PteFn(_) => Ok(0),
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

    fn barrier(&mut self) -> Step {
        self.emit_kind(Kind::BAR)
    }

    fn defer(&mut self) -> Step {
        let aux = u32::from(Kernel::in_interrupt(self));
        self.emit(Event::of(Kind::DEFER).aux(aux))
    }

    fn sync(&mut self, walk: Walk, mask: ModMask) -> Step {
        Hooks::sync_if_modified(self, walk, mask)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
