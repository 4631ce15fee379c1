//! What belongs to a task.

use super::{CpuId, MmId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u16);

/// `struct lazy_mmu_state` of 7.x: both counters are `u8` and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LazyMmuState {
    pub enable_count: u8,
    pub pause_count: u8,
}

impl LazyMmuState {
    /// Both counters as events carry them.
    #[inline]
    #[must_use]
    pub const fn packed(self) -> u64 {
        self.enable_count as u64 | (self.pause_count as u64) << 8
    }

    #[inline]
    #[must_use]
    pub const fn active(self) -> bool {
        self.enable_count > 0 && self.pause_count == 0
    }
}

/// Thread-info flags that lazy MMU mode uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ThreadFlags {
    /// arm64 `TIF_LAZY_MMU`, and the seed's "kernel mappings batch is active".
    pub lazy: bool,
    /// arm64 `TIF_LAZY_MMU_PENDING`.
    pub pending: bool,
    /// Xen `TIF_LAZY_MMU_UPDATES`: the task was switched out in lazy mode.
    pub updates: bool,
}

impl ThreadFlags {
    /// The flags as events carry them: 1 lazy, 2 pending, 4 updates.
    #[inline]
    #[must_use]
    pub const fn packed(self) -> u64 {
        self.lazy as u64 | (self.pending as u64) << 1 | (self.updates as u64) << 2
    }

    /// The flags of this number; other bits are ignored.
    #[must_use]
    pub const fn from_packed(bits: u64) -> ThreadFlags {
        ThreadFlags { lazy: bits & 1 != 0, pending: bits & 2 != 0, updates: bits & 4 != 0 }
    }
}

/// A temporary mapping that a task holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KmapSlot {
    pub va: u64,
    pub page: u64,
    /// Index of the slot; `None` when the page was lowmem and needed none.
    pub slot: Option<u32>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    pub mm: MmId,
    pub cpu: CpuId,
    pub lazy: LazyMmuState,
    pub flags: ThreadFlags,
    pub bh_count: u32,
    /// Page-table locks held; sleeping under one is a bug.
    pub locks: u32,
    /// `TIF_NEED_RESCHED`: another task waits for the CPU.
    pub need_resched: bool,
    pub kmaps: Vec<KmapSlot>,
    /// Forked, and never run.
    pub fresh: bool,
    /// A kernel BUG ended it.
    pub dead: bool,
}

impl Task {
    #[must_use]
    pub fn new(mm: MmId, cpu: CpuId) -> Task {
        Task {
            mm,
            cpu,
            lazy: LazyMmuState::default(),
            flags: ThreadFlags::default(),
            bh_count: 0,
            locks: 0,
            need_resched: false,
            kmaps: Vec::new(),
            fresh: false,
            dead: false,
        }
    }
}
