//! An address space.

use crate::memory::TableId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MmId(pub u16);

/// The kernel's own address space.
pub const INIT_MM: MmId = MmId(0);

/// One `mm_struct`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mm {
    pub root: TableId,
    pub root_pa: u64,
    /// The root that user mode runs on, where that is another one (x86 with page-table isolation).
    pub user_root: Option<TableId>,
}
