//! Temporary mappings of highmem pages (`mm/highmem.c`), and page-table locks of user address spaces.

use super::{Entry, Hook, Kernel, Watch};
use crate::backend::Backend;
use crate::descriptor::Format;
use crate::event::codes::{Access, BugCode, Store};
use crate::event::{Event, Kind};
use crate::machine::{INIT_MM, KmapSlot, TaskId};
use crate::memory::Table;
use crate::stop::{Run, Step};

/// Slots of one CPU (`KM_MAX_IDX`).
const KM_MAX_IDX: u32 = 16;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `__fix_to_virt` of a kmap slot.
    fn kmap_va(&self, slot: u32) -> u64 {
        self.machine.geometry.layout.fixaddr_top - (u64::from(slot) + 1) * self.machine.geometry.page_size()
    }

    /// `kmap_local_page`: an address at which the page can be used. Lowmem needs no mapping.
    pub fn kmap_local(&mut self, page: u64) -> Run<KmapSlot> {
        if W::HOOKED && self.overridden(Hook::Kmap) {
            return self.call_kmap(page);
        }
        self.native_kmap_local(page)
    }

    pub(crate) fn native_kmap_local(&mut self, page: u64) -> Run<KmapSlot> {
        let task = self.current();
        if !self.machine.frames.is_high(page) {
            let slot = KmapSlot { va: 0, page, slot: None };
            self.emit(Event { addr: page, ..Event::of(Kind::KMAP).aux(1) })?;
            return Ok(slot);
        }
        let used = self.machine.task(task).kmaps.len() as u32;
        let index = used + KM_MAX_IDX * u32::from(self.cpu().0);
        let va = self.kmap_va(index);
        if used + 1 >= KM_MAX_IDX {
            return self.bug(BugCode::KmapFull, va);
        }
        let slot = KmapSlot { va, page, slot: Some(index) };
        self.kmap_write(va, page)?;
        self.machine.task_mut(task).kmaps.push(slot);
        self.emit(Event { va, addr: page, ..Event::of(Kind::KMAP) })?;
        Ok(slot)
    }

    fn kmap_write(&mut self, va: u64, page: u64) -> Step {
        let (table, index) = self.kernel_pte(va)?;
        let entry = Entry::new(table.view(), index, va, INIT_MM);
        if !self.entry_none(entry)? {
            return self.bug(BugCode::KmapOccupied, va);
        }
        let prot = B::kmap_prot(self);
        let word = self.format().pte(page, prot);
        self.set_pte(entry, word, Store::Kmap)?;
        B::kmap_post_map(self, va)
    }

    fn kmap_clear(&mut self, va: u64) -> Step {
        let (table, index) = self.kernel_pte(va)?;
        self.pte_clear(Entry::new(table.view(), index, va, INIT_MM))?;
        B::kmap_post_unmap(self, va)
    }

    /// `kunmap_local`: slots are given back in reverse order; the direct map needs no giving back.
    pub fn kunmap_local(&mut self, slot: KmapSlot) -> Step {
        if W::HOOKED && self.overridden(Hook::Kunmap) {
            return self.call_kunmap(slot);
        }
        self.native_kunmap_local(slot)
    }

    pub(crate) fn native_kunmap_local(&mut self, slot: KmapSlot) -> Step {
        let task = self.current();
        if slot.slot.is_some() {
            if self.machine.task(task).kmaps.last().is_none_or(|last| last.va != slot.va) {
                return self.bug(BugCode::KunmapOrder, slot.va);
            }
            self.kmap_clear(slot.va)?;
            let page = self.machine.task_mut(task).kmaps.pop().map_or(slot.page, |last| last.page);
            return self.emit(Event { va: slot.va, addr: page, ..Event::of(Kind::KUNMAP) });
        }
        self.emit(Event { va: slot.va, addr: slot.page, ..Event::of(Kind::KUNMAP).aux(1) })
    }

    /// `kmap_local_sched_out`: the task's slots, in the order of mapping, are cleared while it does not run.
    pub(crate) fn kmap_sched_out(&mut self, task: TaskId) -> Step {
        for slot in self.machine.task(task).kmaps.clone() {
            self.kmap_clear(slot.va)?;
        }
        Ok(())
    }

    /// `kmap_local_sched_in`.
    pub(crate) fn kmap_sched_in(&mut self, task: TaskId) -> Step {
        for slot in self.machine.task(task).kmaps.clone() {
            self.kmap_write(slot.va, slot.page)?;
        }
        Ok(())
    }

    /// `pte_offset_map_lock`: maps a user leaf table, if it must be mapped, and takes its lock.
    pub(crate) fn pte_map_lock(&mut self, table: &Table) -> Run<KmapSlot> {
        let slot = self.kmap_local(table.pa)?;
        W::lock(self, table.pa)?;
        self.preempt_disable();
        self.emit(Event { addr: table.pa, ..Event::of(Kind::LOCK) })?;
        self.use_mapping(slot)?;
        Ok(slot)
    }

    /// `pte_offset_map`: without the lock.
    pub(crate) fn pte_map(&mut self, pa: u64) -> Run<KmapSlot> {
        let slot = self.kmap_local(pa)?;
        self.use_mapping(slot)?;
        Ok(slot)
    }

    /// The table is read and written through this address from now on.
    fn use_mapping(&mut self, slot: KmapSlot) -> Step {
        if slot.slot.is_some() { self.touch(slot.va, Access::Write) } else { Ok(()) }
    }

    /// `pte_unmap_unlock`.
    pub(crate) fn pte_unmap_unlock(&mut self, table: &Table, slot: KmapSlot) -> Step {
        self.preempt_enable();
        W::unlock(self, table.pa);
        self.emit(Event { addr: table.pa, ..Event::of(Kind::UNLOCK) })?;
        self.kunmap_local(slot)
    }
}
