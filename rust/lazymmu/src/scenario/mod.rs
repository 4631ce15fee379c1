//! The executable form of a scenario: CPUs, tasks, operations, and what happens in between.
//!
//! Addresses are numbers here; what people write, with names and units, is resolved for one geometry before it comes to
//! this. The JSON form of these types is the exchange format between languages.

mod concurrent;

use serde::{Deserialize, Serialize};

pub use concurrent::{Concurrent, Decision, Interrupt, Migration, Preemption, Thread, Where};

use crate::kernel::{Setup, TaskSetup};
use crate::walk::{LinearMap, MemoryChange, Pages, PteFnKind};

/// An address: a number, or a place in what an earlier operation returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Addr {
    Number(u64),
    Slot(SlotAddr),
}

/// `offset` bytes into the area whose address operation results are kept under `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotAddr {
    pub slot: u32,
    #[serde(default)]
    pub offset: u64,
}

impl From<u64> for Addr {
    fn from(va: u64) -> Addr {
        Addr::Number(va)
    }
}

/// A protection: a name of the format, or its bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProtSpec {
    Bits(u64),
    Name(String),
}

impl Default for ProtSpec {
    fn default() -> ProtSpec {
        ProtSpec::Name("PAGE_KERNEL".to_owned())
    }
}

/// A callback of `apply_to_page_range`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackSpec {
    pub kind: PteFnKind,
    #[serde(default)]
    pub pa: u64,
    #[serde(default)]
    pub prot: ProtSpec,
    #[serde(default)]
    pub set: u64,
    #[serde(default)]
    pub clear: u64,
    #[serde(default)]
    pub fail_at: u64,
    #[serde(default)]
    pub error: i64,
}

/// What a step does to one leaf entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PteStep {
    /// `set_pte_at` of `word`.
    Set,
    Clear,
    GetAndClear,
    /// `ptep_try_set` of `word`.
    TrySet,
    /// `set_pte_at` of the entry without write permission.
    Wrprotect,
    /// `ptep_get`.
    Read,
}

/// How an address is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessKind {
    #[default]
    Read,
    Write,
    Exec,
}

/// Which interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IrqKind {
    #[default]
    Hard,
    Soft,
    Nmi,
}

/// What an area is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AreaKind {
    #[default]
    Map,
    Ioremap,
    Alloc,
}

macro_rules! ops {
    ($($(#[$meta:meta])* $code:literal $name:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty,)* })*) => {
        /// One operation. The names are those of the kernel functions.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Op {
            $($(#[$meta])* $name { $($(#[$fmeta])* $field: $type,)* },)*
        }

        impl Op {
            /// The stable code that `OP` events carry.
            #[must_use]
            pub const fn code(&self) -> u32 {
                match self { $(Op::$name { .. } => $code,)* }
            }

            /// The name of the variant as JSON has it.
            #[must_use]
            pub fn names() -> Vec<(u32, String)> {
                vec![$(($code, snake(stringify!($name))),)*]
            }
        }
    };
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

ops! {
    /// Nothing.
    0 Nop {}
    /// Maps a physical range without execute permission.
    1 VmapPageRange { va: Addr, size: u64, pa: u64, #[serde(default)] prot: ProtSpec, }
    /// The same without `pgprot_nx` and cache flush, with leaves up to `1 << max_shift`.
    2 VmapRangeNoflush { va: Addr, size: u64, pa: u64, #[serde(default)] prot: ProtSpec, max_shift: u32, }
    /// `vmap_page_range` of an area reserved for it.
    3 IoremapPageRange { va: Addr, size: u64, pa: u64, #[serde(default)] prot: ProtSpec, }
    /// Maps an array of pages. `page_shift` 0: the base page size.
    4 VmapPagesRange {
        va: Addr,
        pages: Pages,
        #[serde(default)] prot: ProtSpec,
        #[serde(default)] page_shift: u32,
        #[serde(default)] noflush: bool,
    }
    /// Unmaps a range.
    5 VunmapRange { va: Addr, size: u64, #[serde(default)] noflush: bool, }
    /// Calls back for each entry; without `create` only for those that exist.
    6 ApplyToPageRange {
        #[serde(default)] mm: u16,
        va: Addr,
        size: u64,
        #[serde(default)] callback: Option<CallbackSpec>,
        #[serde(default = "yes")] create: bool,
    }
    /// Allocates pages and maps them; the address is kept under `slot`.
    7 Vmalloc {
        slot: u32,
        size: u64,
        #[serde(default)] at: Option<u64>,
        #[serde(default)] align: u64,
        #[serde(default)] huge: bool,
        #[serde(default)] pages: Option<Pages>,
        #[serde(default)] prot: Option<ProtSpec>,
    }
    /// Maps existing pages at a new address.
    8 Vmap { slot: u32, pages: Pages, #[serde(default)] at: Option<u64>, #[serde(default)] prot: ProtSpec, }
    /// The same for short use, without a guard page.
    9 VmMapRam { slot: u32, pages: Pages, #[serde(default)] at: Option<u64>, }
    /// Maps a device range at a new address.
    10 Ioremap {
        slot: u32,
        pa: u64,
        size: u64,
        #[serde(default)] at: Option<u64>,
        #[serde(default)] prot: Option<ProtSpec>,
    }
    /// `vfree`, `vunmap`, `iounmap`, `vm_unmap_ram`.
    11 Free { va: Addr, }
    /// `vm_unmap_aliases`.
    12 Purge {}
    /// Reserves vmalloc addresses.
    13 Area { slot: u32, size: u64, #[serde(default)] at: Option<u64>, #[serde(default)] kind: AreaKind, }
    /// Uses an address.
    14 Access { va: Addr, #[serde(default)] kind: AccessKind, }
    /// Works on one leaf entry whose table exists.
    15 Pte {
        #[serde(default)] mm: u16,
        va: Addr,
        step: PteStep,
        #[serde(default)] word: u64,
        /// Instead of `word`: the frame to map ...
        #[serde(default)] pa: Option<u64>,
        /// ... with this protection.
        #[serde(default)] prot: ProtSpec,
    }
    16 LazyEnable {}
    17 LazyDisable {}
    18 LazyPause {}
    19 LazyResume {}
    20 LazyFlush {}
    21 BhDisable {}
    22 BhEnable {}
    /// Gives up the CPU for a while.
    23 Sleep {}
    24 CondResched {}
    25 MightSleep {}
    /// Switches the CPU to another task.
    26 Switch { to: u16, }
    /// Moves the task to another CPU.
    27 Migrate { to: u8, }
    /// Creates a task like this one.
    28 Fork { #[serde(default)] mm: Option<u16>, }
    /// Takes an interrupt and runs operations in it.
    29 Irq { #[serde(default)] kind: IrqKind, ops: Vec<Op>, }
    /// `pgd_alloc`.
    30 NewMm {}
    31 FlushTlbKernelRange { va: Addr, size: u64, }
    /// Links the tables of one kernel address directly, past the walkers. `sync` as `pgd_populate_kernel` has it.
    32 PopulateKernel { va: Addr, #[serde(default)] sync: bool, }
    /// `kmap_local_page`; the address is kept under `slot`.
    33 KmapLocal { slot: u32, page: u64, }
    34 KunmapLocal { slot: u32, }
    /// A page-table dump takes or releases init_mm's mmap lock.
    35 Ptdump { running: bool, }
    /// Links the tables of one user address, as a page fault does.
    36 PopulateUser { mm: u16, va: Addr, }
    /// `set_memory_*`, `set_direct_map_*`: protections of kernel memory, and of its alias in the linear map.
    37 SetMemory {
        va: Addr,
        #[serde(default = "one_page")] pages: u64,
        change: MemoryChange,
        #[serde(default)] linear: Option<LinearMap>,
    }
    /// What whoever has set kernel entries by himself owes before they are used.
    38 FlushCacheVmap { va: Addr, size: u64, }
    /// Another task waits for the CPU: loops that ask `need_resched` end early, and the next `cond_resched` gives way.
    39 NeedResched {}
    /// A fault maps anonymous memory; without `write` the zero page.
    60 DoAnonymousPage {
        mm: u16,
        va: Addr,
        pa: u64,
        #[serde(default = "one_page")] pages: u64,
        #[serde(default = "yes")] write: bool,
        #[serde(default = "readonly")] prot: ProtSpec,
    }
    /// A fault maps pages of a file.
    61 FinishFault {
        mm: u16,
        va: Addr,
        pa: u64,
        #[serde(default = "one_page")] pages: u64,
        #[serde(default)] write: bool,
        #[serde(default = "shared")] prot: ProtSpec,
    }
    /// A fault maps anonymous memory with a large leaf.
    62 DoHugePmdAnonymousPage {
        mm: u16,
        va: Addr,
        pa: u64,
        #[serde(default = "yes")] write: bool,
        #[serde(default = "readonly")] prot: ProtSpec,
    }
    /// A write fault on a page that may not be written: a copy at `pa`, or the page itself becomes writable.
    63 DoWpPage {
        mm: u16,
        va: Addr,
        #[serde(default)] pa: Option<u64>,
        #[serde(default = "readonly")] prot: ProtSpec,
    }
    /// A fault on a page that is mapped and allowed: its flags are set.
    64 HandlePteFault { mm: u16, va: Addr, #[serde(default)] write: bool, }
    /// Fork copies an area of `mm` to `to`.
    65 CopyPageRange { mm: u16, to: u16, va: Addr, size: u64, #[serde(default)] shared: bool, }
    66 FlushTlbMm { mm: u16, }
    /// `MADV_DONTNEED`.
    67 ZapPageRange { mm: u16, va: Addr, size: u64, }
    /// `munmap`: areas go, and tables that nothing between `floor` and `ceiling` needs.
    68 UnmapRegion {
        mm: u16,
        vmas: Vec<VmaSpec>,
        #[serde(default)] floor: u64,
        #[serde(default)] ceiling: u64,
    }
    /// The whole address space goes.
    69 ExitMmap { mm: u16, vmas: Vec<VmaSpec>, }
    /// `mprotect`.
    70 ChangeProtection {
        mm: u16,
        va: Addr,
        size: u64,
        prot: ProtSpec,
        #[serde(default)] try_writable: bool,
        #[serde(default)] shared: bool,
    }
    /// `mremap`.
    71 MovePageTables { mm: u16, va: Addr, to: u64, size: u64, }
    /// Maps memory that has no folios.
    72 RemapPfnRange { mm: u16, va: Addr, size: u64, pa: u64, #[serde(default = "shared")] prot: ProtSpec, }
    /// `MADV_COLD`, `MADV_FREE`.
    73 Madvise { mm: u16, va: Addr, size: u64, advice: AdviceKind, }
    /// The multi-generational LRU looks who was used.
    74 WalkPteRange { mm: u16, va: Addr, size: u64, }
    /// Reclaim asks whether one page was used.
    75 PtepClearFlushYoung { mm: u16, va: Addr, }
    /// A large leaf becomes a table.
    76 SplitHugePmd { mm: u16, va: Addr, #[serde(default = "readonly")] prot: ProtSpec, }
}

/// An area of a user address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmaSpec {
    pub start: u64,
    pub end: u64,
    #[serde(default)]
    pub pfnmap: bool,
}

/// What `madvise` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdviceKind {
    Cold,
    Free,
}

const fn one_page() -> u64 {
    1
}

fn readonly() -> ProtSpec {
    ProtSpec::Name("PAGE_READONLY".to_owned())
}

fn shared() -> ProtSpec {
    ProtSpec::Name("PAGE_SHARED".to_owned())
}

const fn yes() -> bool {
    true
}

/// An operation of the program: who runs it, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpStep {
    #[serde(default)]
    pub task: u16,
    pub op: Op,
    /// The table allocation of this operation, counted from 0, that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_alloc: Option<u64>,
}

impl From<Op> for OpStep {
    fn from(op: Op) -> OpStep {
        OpStep { task: 0, op, fail_alloc: None }
    }
}

/// A point between two micro-steps of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Index of the operation.
    pub op: u32,
    /// Right after the event of this index among the operation's own events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// Or right after an event of this kind ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// ... the `nth`, counted from 0.
    #[serde(default)]
    pub nth: u32,
}

/// What happens at a point: in an interrupt, in another task on this CPU, on another CPU, or simply here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    pub at: Point,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irq: Option<IrqKind>,
    /// Preempts in favour of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u8>,
    pub ops: Vec<Op>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    #[serde(default = "one")]
    pub cpus: u8,
    /// User address spaces, numbered from 1.
    #[serde(default)]
    pub mms: u16,
    #[serde(default)]
    pub tasks: Vec<TaskSetup>,
    pub ops: Vec<OpStep>,
    #[serde(default)]
    pub injections: Vec<Injection>,
    /// What runs at the same time, behind `ops`.
    #[serde(default, skip_serializing_if = "Concurrent::is_empty")]
    pub concurrent: Concurrent,
}

const fn one() -> u8 {
    1
}

impl Program {
    /// Operations of one task on one CPU.
    #[must_use]
    pub fn of(ops: impl IntoIterator<Item = Op>) -> Program {
        Program { cpus: 1, ops: ops.into_iter().map(OpStep::from).collect(), ..Program::default() }
    }

    /// Reads the JSON form.
    pub fn from_json(text: &str) -> Result<Program, ProgramError> {
        Ok(serde_json::from_str(text)?)
    }

    #[must_use]
    pub fn setup(&self) -> Setup {
        Setup { cpus: self.cpus, mms: self.mms, tasks: self.tasks.clone() }
    }
}

/// A program that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("not a program: {0}")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip_and_errors() {
        let text = r#"{"ops": [{"op": {"vmap_pages_range": {"va": 18446683600570023936, "pages": {"count": 3}}}}]}"#;
        let program = Program::from_json(text).expect("valid");
        let again = Program::from_json(&serde_json::to_string(&program).expect("serialisable")).expect("valid");
        assert_eq!(program, again);
        let bad = text.replace("count", "cuont");
        let error = Program::from_json(&bad).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("cuont")), "the message names the key");
    }

    #[test]
    fn names_of_operations_are_those_of_json() {
        let names = Op::names();
        assert!(names.contains(&(1, "vmap_page_range".to_owned())));
        assert!(names.contains(&(30, "new_mm".to_owned())));
        let op = serde_json::to_string(&Op::VmMapRam { slot: 0, pages: Pages::run(0, 1), at: None });
        assert!(op.is_ok_and(|text| text.starts_with("{\"vm_map_ram\"")));
    }
}
