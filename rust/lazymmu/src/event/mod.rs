//! The one vocabulary of micro-steps, as fixed-size records.
//!
//! What the fields of each kind mean is said once, in [`Kind::FIELDS`]; the Python package and the docs show that table.

pub mod codes;
mod counts;
pub mod cycle;
mod log;

use bytemuck::{Pod, Zeroable};

pub use counts::Counts;
pub use log::Log;

use crate::geometry::Level;
use crate::modmask::ModMask;

macro_rules! kinds {
    ($($name:ident = $code:literal, $level:literal, $va:literal, $addr:literal, $old:literal, $new:literal, $aux:literal, $doc:literal;)*) => {
        /// What happened. Codes are stable.
        #[allow(missing_docs, reason = "each kind is described in FIELDS")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(clippy::upper_case_acronyms, reason = "the names are those of the facts and the manuals")]
        #[allow(non_camel_case_types, reason = "the names are those of the facts and the manuals")]
        pub enum Kind { $($name = $code,)* }

        impl Kind {
            /// Every kind in the order of codes.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// What a record of this kind says: `[level, va, addr, old, new, aux, meaning]`; empty where unused.
            pub const FIELDS: &'static [(Kind, [&'static str; 7])] =
                &[$((Kind::$name, [$level, $va, $addr, $old, $new, $aux, $doc]),)*];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => stringify!($name),)* }
            }

            #[must_use]
            pub const fn from_code(code: u8) -> Option<Kind> {
                match code { $($code => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    OP = 1, "", "first address", "", "", "end", "operation code", "an operation of the program begins";
    OP_END = 2, "", "", "", "return value (two's complement)", "callbacks made", "final modification mask", "the operation is over";
    WALK = 3, "", "start", "", "", "end", "site", "a walk function begins";
    SLOT = 4, "root", "start of the slot", "", "return value", "end of the slot", "mask so far", "the walk is done with one root entry";
    WALK_END = 5, "", "start", "", "return value", "end", "site | mask << 8", "a walk function is about to return";
    STORE = 10, "of the entry", "first address it maps", "of the entry", "word before", "word after", "store code", "a store to a table word completed";
    QUEUE = 11, "of the entry", "first address it maps", "of the entry", "word in memory", "word queued", "store code", "a store went to the backend's queue";
    STALE_READ = 12, "of the entry", "first address it maps", "of the entry", "word read", "word queued", "", "software read a word whose new value is still queued";
    ALLOC = 13, "of the table", "first address it maps", "of the table", "", "", "1: highmem; 2: in place of a large leaf", "a table page was allocated and zeroed";
    ALLOC_FAIL = 14, "of the table", "first address it maps", "", "", "", "1: injected", "a table page could not be allocated";
    FREE = 15, "of the table, 0: no table", "first address it mapped", "of the page", "", "", "data pages", "a table page, or the pages of a folio, were freed";
    DEFER = 16, "", "", "", "flags before", "flags after", "1: in interrupt context", "a barrier is left to the end of the section or scope";
    NEW_VALID_MAP = 17, "", "start", "", "", "end", "", "riscv marks for every CPU that a kernel mapping is new";
    DEFER_TLBI = 18, "", "start", "", "invalidations in the batch", "end", "", "an entry is gone, and its invalidation waits in this CPU's batch";
    TSB_INSERT = 19, "", "start", "", "entries", "end", "", "a fault has filled entries, and puts them into the TSB of their address space";
    WMB = 20, "", "", "", "", "", "", "smp_wmb: DMB ISHST on arm64, a compiler barrier on x86";
    BAR = 21, "", "", "", "", "", "0: DSB ISHST and ISB, 1: DBAR 0b11000", "a store to a kernel entry is completed";
    DSB = 22, "", "", "", "", "", "1: ISHST, 2: ISH, 3: NSHST, 4: NSH, 5: ptesync", "DSB alone";
    ISB = 23, "", "", "", "", "", "", "ISB alone";
    TLBI = 24, "last level", "start", "", "instructions", "end", "TLBI code", "TLB invalidation on this CPU, or broadcast";
    IPI = 25, "", "", "", "", "", "CPUs reached", "the other CPUs run the invalidation too";
    HYPERCALL = 26, "", "", "", "updates", "calls", "hypercall code", "the hypervisor is entered";
    FLUSH = 27, "", "", "", "updates", "calls", "reason", "the backend's queue is drained (also when it is empty)";
    CR3 = 28, "", "", "root", "", "", "", "the CPU loads a root";
    FLUSH_CACHE = 29, "", "start", "", "", "end", "0: vmap, 1: vunmap", "flush_cache_vmap or flush_cache_vunmap is called";
    BEGIN = 30, "", "start", "", "", "end", "site", "arch_update_kernel_mappings_begin";
    END = 31, "", "start", "", "", "end", "site | mask << 8", "arch_update_kernel_mappings_end";
    SYNC = 32, "", "start", "", "", "end", "site | mask << 8", "arch_sync_kernel_mappings is called";
    SYNC_ONE = 33, "of the entry", "address", "root", "word in that root", "word in init_mm", "1: copied", "one root is compared with init_mm";
    SYNC_END = 34, "", "start", "", "entries copied", "end", "", "arch_sync_kernel_mappings returns";
    ENTER = 35, "", "", "", "flags before", "flags after", "", "arch_enter_lazy_mmu_mode";
    LEAVE = 36, "", "", "", "flags before", "flags after", "", "arch_leave_lazy_mmu_mode";
    LAZY_FLUSH = 37, "", "", "", "flags before", "flags after", "", "arch_flush_lazy_mmu_mode";
    ENABLE = 38, "", "", "", "enable | pause << 8 before", "after", "1: ignored", "lazy_mmu_mode_enable";
    DISABLE = 39, "", "", "", "enable | pause << 8 before", "after", "1: ignored", "lazy_mmu_mode_disable";
    PAUSE = 40, "", "", "", "enable | pause << 8 before", "after", "1: ignored, 2: by the context switch", "lazy_mmu_mode_pause";
    RESUME = 41, "", "", "", "enable | pause << 8 before", "after", "1: ignored, 2: by the context switch", "lazy_mmu_mode_resume";
    KMAP = 50, "", "slot", "page", "", "", "1: reached through the direct map", "kmap_local_page returns";
    KUNMAP = 51, "", "slot", "page", "", "", "1: reached through the direct map", "kunmap_local returns";
    LOCK = 52, "", "", "table", "", "", "", "a page-table lock is taken";
    UNLOCK = 53, "", "", "table", "", "", "", "a page-table lock is released";
    ACCESS = 54, "of the leaf", "address", "physical address reached", "leaf word", "", "access | outcome << 8", "a CPU uses a virtual address";
    FAULT = 55, "where the walk stopped", "address", "", "word there", "", "access | handler << 8", "the access faulted; the handler runs";
    RESCHED = 56, "", "", "", "", "", "1: cond_resched, 2: might_sleep, 3: sleeps", "a point where the task may, or does, give up the CPU";
    SWITCH = 57, "", "", "", "task before", "task after", "", "the CPU runs another task";
    IRQ_IN = 58, "", "", "", "", "", "interrupt code", "an interrupt is taken";
    IRQ_OUT = 59, "", "", "", "", "", "interrupt code", "the interrupt returns";
    MIGRATE = 60, "", "", "", "CPU before", "CPU after", "", "the task moves to another CPU";
    FORK = 61, "", "", "", "parent", "child", "enable | pause << 8 of the child", "a task is created";
    MM = 62, "", "", "root", "", "", "", "an mm is created; its root holds what the kernel half needs";
    BH = 63, "", "", "", "", "bottom-half count", "1: disabled, 0: enabled", "local_bh_disable or local_bh_enable";
    CALL_RCU = 65, "", "", "", "tables", "", "", "table pages are handed to RCU: freed when the operation ends";
    WARN = 70, "", "address", "", "", "", "warning code", "the kernel would print a warning";
    BUG = 71, "", "address", "", "", "", "bug code", "the kernel would stop the task";
}

/// One micro-step: 48 bytes, the same in memory, in a file and in NumPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Event {
    /// A [`Kind`].
    pub kind: u8,
    /// A level number 1 to 5, or 0.
    pub level: u8,
    pub cpu: u8,
    /// See [`codes::Context`].
    pub context: u8,
    pub task: u16,
    pub mm: u16,
    /// Index of the operation in the program.
    pub op: u32,
    pub aux: u32,
    pub va: u64,
    pub addr: u64,
    pub old: u64,
    pub new: u64,
}

impl Event {
    /// A record of this kind with nothing else filled in; the machine adds who and where.
    #[inline]
    #[must_use]
    pub const fn of(kind: Kind) -> Event {
        Event {
            kind: kind as u8,
            level: 0,
            cpu: 0,
            context: 0,
            task: 0,
            mm: 0,
            op: 0,
            aux: 0,
            va: 0,
            addr: 0,
            old: 0,
            new: 0,
        }
    }

    #[inline]
    #[must_use]
    pub const fn range(self, start: u64, end: u64) -> Event {
        Event { va: start, new: end, ..self }
    }

    #[inline]
    #[must_use]
    pub const fn aux(self, aux: u32) -> Event {
        Event { aux, ..self }
    }

    #[inline]
    #[must_use]
    pub const fn change(self, old: u64, new: u64) -> Event {
        Event { old, new, ..self }
    }

    #[inline]
    #[must_use]
    pub const fn at(self, level: Level, va: u64, addr: u64) -> Event {
        Event { level: level.number(), va, addr, ..self }
    }

    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind)
    }

    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        Level::from_number(self.level)
    }

    /// The modification mask that `END`, `SYNC` and `WALK_END` carry above the site.
    #[must_use]
    pub const fn mask(&self) -> ModMask {
        ModMask::from_bits((self.aux >> 8) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_no_padding() {
        assert_eq!(std::mem::size_of::<Event>(), 48);
        let event = Event::of(Kind::BAR).aux(0x0102_0304);
        assert_eq!(bytemuck::bytes_of(&event)[0], 21);
    }

    #[test]
    fn codes_are_unique_and_round_trip() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind as u8), Some(kind));
        }
        assert_eq!(Kind::from_code(0), None);
    }
}
