//! Contexts: interrupts, bottom halves, context switches, fork and migration.

use super::{Kernel, Watch};
use crate::backend::Backend;
use crate::event::codes::{Irq, Resched, Warning};
use crate::event::{Event, Kind};
use crate::machine::{CpuId, INIT_MM, MmId, Task, TaskId};
use crate::stop::Step;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Continues on another CPU: from now on that one executes.
    pub fn run_on(&mut self, cpu: CpuId) {
        self.cpu = cpu;
        self.refresh();
    }

    /// Takes an interrupt on the executing CPU.
    pub fn irq_enter(&mut self, irq: Irq) -> Step {
        self.machine.cpu_mut(self.cpu).interrupts.push(irq);
        self.refresh();
        self.emit(Event::of(Kind::IRQ_IN).aux(irq as u32))
    }

    /// Returns from it.
    pub fn irq_exit(&mut self, irq: Irq) -> Step {
        self.emit(Event::of(Kind::IRQ_OUT).aux(irq as u32))?;
        self.irq_abandon();
        Ok(())
    }

    /// Forgets the innermost interrupt, because what it ran was stopped.
    pub(crate) fn irq_abandon(&mut self) {
        self.machine.cpu_mut(self.cpu).interrupts.pop();
        self.refresh();
    }

    /// `local_bh_disable`.
    pub fn bh_disable(&mut self) -> Step {
        self.change_bh(|count| count.saturating_add(1), 1)
    }

    /// `local_bh_enable`.
    pub fn bh_enable(&mut self) -> Step {
        self.change_bh(|count| count.saturating_sub(1), 0)
    }

    fn change_bh(&mut self, change: impl Fn(u32) -> u32, aux: u32) -> Step {
        let task = self.current();
        let count = change(self.machine.task(task).bh_count);
        self.machine.task_mut(task).bh_count = count;
        self.refresh();
        self.emit(Event { new: u64::from(count), ..Event::of(Kind::BH).aux(aux) })
    }

    /// `cond_resched` and `might_sleep`: the task could lose the CPU here. At `cond_resched` it does, if another task waits
    /// and nothing forbids it.
    pub fn resched_point(&mut self, kind: Resched) -> Step {
        if W::WATCHES {
            self.emit(Event::of(Kind::RESCHED).aux(kind as u32))?;
        }
        if kind != Resched::CondResched || !self.need_resched() || !self.may_give_way() {
            return Ok(());
        }
        self.give_way(self.current())
    }

    /// `preempt_disable`, also as part of a spin lock: the running task keeps its CPU.
    #[inline]
    pub(crate) fn preempt_disable(&mut self) {
        let task = self.current();
        self.machine.task_mut(task).locks += 1;
    }

    /// `preempt_enable`.
    #[inline]
    pub(crate) fn preempt_enable(&mut self) {
        let task = self.current();
        let locks = self.machine.task(task).locks;
        self.machine.task_mut(task).locks = locks.saturating_sub(1);
    }

    /// Whether nothing forbids that another task runs.
    pub(crate) fn may_give_way(&self) -> bool {
        !self.in_interrupt() && self.machine.task(self.current()).locks == 0
    }

    /// Another task waits for the running one's CPU: what the timer's interrupt finds out.
    pub fn set_need_resched(&mut self) {
        let task = self.current();
        self.machine.task_mut(task).need_resched = true;
    }

    /// `need_resched`.
    #[inline]
    #[must_use]
    pub fn need_resched(&self) -> bool {
        self.machine.task(self.current()).need_resched
    }

    /// Somebody else runs for a while; the idle task stands for all of them.
    fn give_way(&mut self, task: TaskId) -> Step {
        let idle = self.machine.cpu(self.cpu).idle;
        self.switch_to(idle)?;
        // The idle task itself has nobody to give way to.
        self.machine.task_mut(task).need_resched = false;
        self.switch_to(task)
    }

    /// The task sleeps: the CPU idles for a while and comes back.
    pub fn sleep(&mut self) -> Step {
        let task = self.current();
        self.emit(Event::of(Kind::RESCHED).aux(Resched::Sleep as u32))?;
        if self.in_interrupt() || self.machine.task(task).locks > 0 {
            self.warn(Warning::AtomicSleep, 0)?;
        }
        self.give_way(task)
    }

    /// The executing CPU switches to another task.
    pub fn switch_to(&mut self, next: TaskId) -> Step {
        let prev = self.current();
        if prev == next {
            return Ok(());
        }
        self.machine.task_mut(prev).need_resched = false;
        self.kmap_sched_out(prev)?;
        B::switch_out(self, prev)?;
        let mm = self.machine.task(next).mm;
        if mm != INIT_MM && mm != self.machine.cpu(self.cpu).active_mm {
            self.machine.cpu_mut(self.cpu).active_mm = mm;
            B::switch_mm(self, mm)?;
        }
        self.machine.cpu_mut(self.cpu).current = next;
        self.machine.task_mut(next).cpu = self.cpu;
        self.refresh();
        self.emit(Event::of(Kind::SWITCH).change(u64::from(prev.0), u64::from(next.0)))?;
        B::switch_in(self, next)?;
        self.machine.task_mut(next).fresh = false;
        self.kmap_sched_in(next)
    }

    /// The running task moves to another CPU and goes on there.
    pub fn migrate(&mut self, to: CpuId) -> Step {
        let task = self.current();
        let from = self.cpu;
        if from == to {
            return Ok(());
        }
        let idle = self.machine.cpu(from).idle;
        self.switch_to(idle)?;
        self.run_on(to);
        self.machine.task_mut(task).cpu = to;
        self.emit(Event::of(Kind::MIGRATE).change(u64::from(from.0), u64::from(to.0)))?;
        self.switch_to(task)
    }

    /// `fork`: a byte copy of the running task, which waits to be switched to.
    pub fn fork(&mut self, mm: MmId) -> crate::stop::Run<TaskId> {
        let parent = self.current();
        let child = TaskId(self.machine.tasks.len() as u16);
        let copy = Task {
            mm,
            cpu: self.cpu,
            kmaps: Vec::new(),
            locks: 0,
            bh_count: 0,
            need_resched: false,
            fresh: true,
            dead: false,
            ..self.machine.task(parent).clone()
        };
        self.machine.tasks.push(copy);
        let state = self.machine.task(child).lazy.packed();
        let event = Event::of(Kind::FORK).change(u64::from(parent.0), u64::from(child.0)).aux(state as u32);
        self.emit(Event { mm: mm.0, ..event })?;
        Ok(child)
    }

    /// Creates an address space: `pgd_alloc`.
    pub fn new_mm(&mut self) -> crate::stop::Run<Option<MmId>> {
        B::pgd_alloc(self)
    }
}
