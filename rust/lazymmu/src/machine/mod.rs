//! The machine as a value: CPUs, tasks, address spaces and the memory that holds their tables.

mod areas;
mod cpu;
mod data;
mod folios;
mod mm;
mod task;

pub use areas::{AreaError, AreaFlags, VmArea, VmAreas};
pub use cpu::{Cpu, CpuId};
pub use data::DataPages;
pub use folios::{Folio, Folios, Unlinked};
pub use mm::{INIT_MM, Mm, MmId};
pub use task::{KmapSlot, LazyMmuState, Task, TaskId, ThreadFlags};

use crate::geometry::Geometry;
use crate::memory::{Frames, Memory, TableId};

/// CPUs, tasks, contexts and tables. What hooks are called, and what they do, is not known here.
#[derive(Debug)]
pub struct Machine {
    pub geometry: Geometry,
    pub memory: Memory,
    pub frames: Frames,
    pub mms: Vec<Mm>,
    pub tasks: Vec<Task>,
    pub cpus: Vec<Cpu>,
    pub areas: VmAreas,
    pub data: DataPages,
    /// Roots that `arch_sync_kernel_mappings` visits, newest first (`pgd_list`).
    pub pgd_list: Vec<MmId>,
    /// A page-table dump holds init_mm's mmap lock for writing.
    pub ptdump: bool,
    /// What user mappings map.
    pub folios: Folios,
}

impl Machine {
    /// A machine with `cpus` CPUs and no address space yet. `tasks` says on which CPU each task is; the first of a CPU
    /// runs there. All are kernel threads for now; behind them come the idle tasks.
    #[must_use]
    pub fn new(geometry: Geometry, cpus: usize, tasks: &[CpuId]) -> Machine {
        let mut machine = Machine {
            geometry,
            memory: Memory::new(),
            frames: Frames::new(&geometry),
            mms: Vec::new(),
            tasks: Vec::new(),
            cpus: Vec::new(),
            areas: VmAreas::new(&geometry),
            data: DataPages::new(&geometry),
            pgd_list: Vec::new(),
            ptdump: false,
            folios: Folios::default(),
        };
        let idle = (0..cpus).map(|n| CpuId(n as u8));
        machine.tasks = tasks.iter().copied().chain(idle).map(|cpu| Task::new(INIT_MM, cpu)).collect();
        for n in 0..cpus {
            let idle = TaskId((tasks.len() + n) as u16);
            let first = tasks.iter().position(|cpu| usize::from(cpu.0) == n);
            machine.cpus.push(Cpu::new(first.map_or(idle, |t| TaskId(t as u16)), idle));
        }
        machine
    }

    #[inline]
    #[must_use]
    pub fn mm(&self, id: MmId) -> &Mm {
        &self.mms[usize::from(id.0)]
    }

    #[inline]
    #[must_use]
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[usize::from(id.0)]
    }

    #[inline]
    pub fn task_mut(&mut self, id: TaskId) -> &mut Task {
        &mut self.tasks[usize::from(id.0)]
    }

    #[inline]
    #[must_use]
    pub fn cpu(&self, id: CpuId) -> &Cpu {
        &self.cpus[usize::from(id.0)]
    }

    #[inline]
    pub fn cpu_mut(&mut self, id: CpuId) -> &mut Cpu {
        &mut self.cpus[usize::from(id.0)]
    }

    /// The root table of an address space.
    #[inline]
    #[must_use]
    pub fn root(&self, mm: MmId) -> TableId {
        self.mm(mm).root
    }

    /// A copy that shares table pages until either side changes them.
    #[must_use]
    pub fn snapshot(&mut self) -> Machine {
        Machine {
            geometry: self.geometry,
            memory: self.memory.snapshot(),
            frames: self.frames.clone(),
            mms: self.mms.clone(),
            tasks: self.tasks.clone(),
            cpus: self.cpus.clone(),
            areas: self.areas.clone(),
            data: self.data.clone(),
            pgd_list: self.pgd_list.clone(),
            ptdump: self.ptdump,
            folios: self.folios.clone(),
        }
    }
}
