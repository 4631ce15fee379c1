//! The lazy MMU API of generic code: plain enter and leave, and the counted form of v7.0 (`include/linux/pgtable.h`).

use super::{Hook, Kernel, Watch};
use crate::backend::{Backend, PteRange};
use crate::event::codes::{Site, Warning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::{LazyMmuState, MmId, TaskId};
use crate::memory::Table;
use crate::modmask::ModMask;
use crate::scheme::{Hooks, LazyApi, Options, Walk};
use crate::stop::Step;

/// A counter event carries this where the call had no effect.
const IGNORED: u32 = 1;
/// The context switch made the call, on the task's behalf.
const BY_SWITCH: u32 = 2;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `is_lazy_mmu_mode_active()` of the counted API.
    #[inline]
    #[must_use]
    pub fn lazy_active(&self) -> bool {
        !self.in_interrupt() && self.machine.task(self.current()).lazy.active()
    }

    fn count_event(kind: Kind, before: LazyMmuState, after: LazyMmuState, aux: u32) -> Event {
        Event::of(kind).change(before.packed(), after.packed()).aux(aux)
    }

    fn ignored(&mut self, kind: Kind) -> Step {
        let state = self.machine.task(self.current()).lazy;
        self.emit(Self::count_event(kind, state, state, IGNORED))
    }

    fn enable(&mut self) -> Step {
        let task = self.current();
        let before = self.machine.task(task).lazy;
        if self.in_interrupt() || before.pause_count > 0 {
            return self.ignored(Kind::ENABLE);
        }
        if before.enable_count == u8::MAX {
            self.warn(Warning::EnableOverflow, 0)?;
        }
        let before = self.machine.task(task).lazy;
        let after = LazyMmuState { enable_count: before.enable_count.wrapping_add(1), ..before };
        self.set_lazy(task, after);
        self.emit(Self::count_event(Kind::ENABLE, before, after, 0))?;
        if before.enable_count == 0 { self.arch_enter() } else { Ok(()) }
    }

    fn disable(&mut self) -> Step {
        let task = self.current();
        let before = self.machine.task(task).lazy;
        if self.in_interrupt() || before.pause_count > 0 {
            return self.ignored(Kind::DISABLE);
        }
        if before.enable_count == 0 {
            self.warn(Warning::DisableUnderflow, 0)?;
        }
        let before = self.machine.task(task).lazy;
        let after = LazyMmuState { enable_count: before.enable_count.wrapping_sub(1), ..before };
        self.set_lazy(task, after);
        self.emit(Self::count_event(Kind::DISABLE, before, after, 0))?;
        if after.enable_count == 0 { self.arch_leave() } else { self.arch_flush() }
    }

    fn pause(&mut self) -> Step {
        if self.in_interrupt() {
            return self.ignored(Kind::PAUSE);
        }
        self.task_pause(self.current(), 0)
    }

    fn resume(&mut self) -> Step {
        if self.in_interrupt() {
            return self.ignored(Kind::RESUME);
        }
        self.task_resume(self.current(), 0)
    }

    /// `__task_lazy_mmu_mode_pause`, as the context switch calls it.
    pub(crate) fn switch_pause(&mut self, task: TaskId) -> Step {
        self.task_pause(task, BY_SWITCH)
    }

    /// `__task_lazy_mmu_mode_resume`, as the context switch calls it.
    pub(crate) fn switch_resume(&mut self, task: TaskId) -> Step {
        self.task_resume(task, BY_SWITCH)
    }

    fn task_pause(&mut self, task: TaskId, aux: u32) -> Step {
        let before = self.machine.task(task).lazy;
        if before.pause_count == u8::MAX {
            self.warn(Warning::PauseOverflow, 0)?;
        }
        let before = self.machine.task(task).lazy;
        let after = LazyMmuState { pause_count: before.pause_count.wrapping_add(1), ..before };
        self.set_lazy(task, after);
        self.emit(Self::count_event(Kind::PAUSE, before, after, aux))?;
        if before.pause_count == 0 && before.enable_count > 0 { self.arch_leave() } else { Ok(()) }
    }

    fn task_resume(&mut self, task: TaskId, aux: u32) -> Step {
        let before = self.machine.task(task).lazy;
        if before.pause_count == 0 {
            self.warn(Warning::ResumeUnderflow, 0)?;
        }
        let before = self.machine.task(task).lazy;
        let after = LazyMmuState { pause_count: before.pause_count.wrapping_sub(1), ..before };
        self.set_lazy(task, after);
        self.emit(Self::count_event(Kind::RESUME, before, after, aux))?;
        if after.pause_count == 0 && after.enable_count > 0 { self.arch_enter() } else { Ok(()) }
    }

    /// One of the architecture's three functions, replaced or not: with its event.
    fn arch_lazy(&mut self, hook: Hook, kind: Kind) -> Step {
        let before = B::lazy_state(self);
        let first = B::lazy_event_first(self, kind);
        if first {
            self.emit(Event::of(kind).change(before, before))?;
        }
        if W::HOOKED && self.overridden(hook) {
            self.call_simple(hook)?;
        } else {
            self.native_lazy(hook)?;
        }
        if first { Ok(()) } else { self.emit(Event::of(kind).change(before, B::lazy_state(self))) }
    }

    /// What the architecture does in one of them.
    pub(crate) fn native_lazy(&mut self, hook: Hook) -> Step {
        match hook {
            Hook::Enter => B::lazy_enter(self),
            Hook::Leave => B::lazy_leave(self),
            _ => B::lazy_flush(self),
        }
    }

    /// `arch_enter_lazy_mmu_mode`.
    pub(crate) fn arch_enter(&mut self) -> Step {
        self.arch_lazy(Hook::Enter, Kind::ENTER)
    }

    /// `arch_leave_lazy_mmu_mode`.
    pub(crate) fn arch_leave(&mut self) -> Step {
        self.arch_lazy(Hook::Leave, Kind::LEAVE)
    }

    /// `arch_flush_lazy_mmu_mode`.
    pub(crate) fn arch_flush(&mut self) -> Step {
        self.arch_lazy(Hook::Flush, Kind::LAZY_FLUSH)
    }

    fn has_lazy_mode(&self) -> bool {
        let replaced = [Hook::Enter, Hook::Leave, Hook::Flush];
        B::has_lazy_mode(self) || (W::HOOKED && replaced.into_iter().any(|hook| self.overridden(hook)))
    }

    /// begin of an architecture that does not override it.
    pub(crate) fn default_begin(&mut self) -> Step {
        if self.options.begin_end_lazy && self.has_lazy_mode() { self.arch_enter() } else { Ok(()) }
    }

    /// end of an architecture that does not override it.
    pub(crate) fn default_end(&mut self, walk: Walk, mask: ModMask) -> Step {
        self.sync_if_modified(walk, mask)?;
        if self.options.begin_end_lazy && self.has_lazy_mode() { self.arch_leave() } else { Ok(()) }
    }

    pub(crate) fn native_pause(&mut self) -> Step {
        match (self.has_lazy_mode(), self.options.lazy_api) {
            (false, _) => Ok(()),
            (true, LazyApi::Plain) => self.arch_leave(),
            (true, LazyApi::Counted) => self.pause(),
        }
    }

    pub(crate) fn native_resume(&mut self) -> Step {
        match (self.has_lazy_mode(), self.options.lazy_api) {
            (false, _) => Ok(()),
            (true, LazyApi::Plain) => self.arch_enter(),
            (true, LazyApi::Counted) => self.resume(),
        }
    }

    /// `flush_tlb_kernel_range`.
    pub fn flush_tlb_kernel_range(&mut self, start: u64, end: u64) -> Step {
        B::flush_tlb_kernel_range(self, start, end)
    }

    /// `arch_sync_kernel_mappings`.
    pub(crate) fn arch_sync(&mut self, walk: Walk, mask: ModMask) -> Step {
        let aux = walk.site as u32 | u32::from(mask.bits()) << 8;
        self.emit(Event::of(Kind::SYNC).range(walk.start, walk.end).aux(aux))?;
        let copied = if W::HOOKED && self.overridden(Hook::Sync) {
            self.call_walk(Hook::Sync, walk, mask)?
        } else {
            B::sync_kernel_mappings(self, walk.start, walk.end)?
        };
        self.emit(Event { old: copied, ..Event::of(Kind::SYNC_END).range(walk.start, walk.end) })
    }

    pub(crate) fn walk_begin(&mut self, walk: Walk) -> Step {
        if W::HOOKED && self.overridden(Hook::WalkBegin) {
            return self.call_walk(Hook::WalkBegin, walk, ModMask::NONE).map(|_| ());
        }
        self.scheme.walk_begin(self, walk)
    }

    pub(crate) fn walk_end(&mut self, walk: Walk, mask: ModMask) -> Step {
        if W::HOOKED && self.overridden(Hook::WalkEnd) {
            return self.call_walk(Hook::WalkEnd, walk, mask).map(|_| ());
        }
        self.scheme.walk_end(self, walk, mask)
    }

    #[inline]
    pub(crate) fn pte_begin(&mut self, site: Site) -> Step {
        if W::HOOKED && self.overridden(Hook::PteBegin) {
            return self.call_site(Hook::PteBegin, site);
        }
        self.scheme.pte_begin(self, site)
    }

    /// The same where it is known which entries of which address space the section is about
    /// (`lazy_mmu_mode_enable_for_pte_range`, list, 2026).
    #[inline]
    pub(crate) fn pte_begin_range(&mut self, site: Site, table: &Table, mm: MmId, start: u64, end: u64) -> Step {
        if !B::TAKES_RANGES {
            return self.pte_begin(site);
        }
        let index = self.geometry().index(Level::Pte, start);
        let count = (end.wrapping_sub(start) / self.geometry().page_size()) as usize;
        let outer = B::declare_range(self, Some(PteRange { table: table.id, pa: table.pa, mm, start, index, count }));
        let done = self.pte_begin(site);
        B::declare_range(self, outer);
        done
    }

    #[inline]
    pub(crate) fn pte_end(&mut self, site: Site) -> Step {
        if W::HOOKED && self.overridden(Hook::PteEnd) {
            return self.call_site(Hook::PteEnd, site);
        }
        self.scheme.pte_end(self, site)
    }
}

impl<B: Backend, W: Watch> Hooks for Kernel<B, W> {
    fn begin(&mut self, walk: Walk) -> Step {
        self.emit(Event { mm: walk.mm.0, ..Event::of(Kind::BEGIN).range(walk.start, walk.end).aux(walk.site as u32) })?;
        if W::HOOKED && self.overridden(Hook::Begin) {
            return self.call_walk(Hook::Begin, walk, ModMask::NONE).map(|_| ());
        }
        B::begin(self, walk)
    }

    fn end(&mut self, walk: Walk, mask: ModMask) -> Step {
        if W::HOOKED && self.overridden(Hook::End) {
            self.call_walk(Hook::End, walk, mask)?;
        } else {
            B::end(self, walk, mask)?;
        }
        let aux = walk.site as u32 | u32::from(mask.bits()) << 8;
        self.emit(Event { mm: walk.mm.0, ..Event::of(Kind::END).range(walk.start, walk.end).aux(aux) })
    }

    fn sync_if_modified(&mut self, walk: Walk, mask: ModMask) -> Step {
        if mask.meets(B::sync_mask(self)) { self.arch_sync(walk, mask) } else { Ok(()) }
    }

    fn lazy_enable(&mut self) -> Step {
        match (self.has_lazy_mode(), self.options.lazy_api) {
            (false, _) => Ok(()),
            (true, LazyApi::Plain) => self.arch_enter(),
            (true, LazyApi::Counted) => self.enable(),
        }
    }

    fn lazy_disable(&mut self) -> Step {
        match (self.has_lazy_mode(), self.options.lazy_api) {
            (false, _) => Ok(()),
            (true, LazyApi::Plain) => self.arch_leave(),
            (true, LazyApi::Counted) => self.disable(),
        }
    }

    fn lazy_flush(&mut self) -> Step {
        if self.has_lazy_mode() { self.arch_flush() } else { Ok(()) }
    }

    fn lazy_pause(&mut self) -> Step {
        if W::HOOKED && self.overridden(Hook::Pause) {
            return self.call_simple(Hook::Pause);
        }
        self.native_pause()
    }

    fn lazy_resume(&mut self) -> Step {
        if W::HOOKED && self.overridden(Hook::Resume) {
            return self.call_simple(Hook::Resume);
        }
        self.native_resume()
    }

    fn options(&self) -> &Options {
        &self.options
    }
}
