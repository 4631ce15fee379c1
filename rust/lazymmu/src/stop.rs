//! Why a run of kernel code ends before its return.

use crate::event::codes::BugCode;

/// The code that ran does not return to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// A kernel BUG, or an access that the kernel cannot repair: the task dies.
    Bug(BugCode),
    /// A user-supplied hook failed, or an injected operation makes no sense; the reason is kept elsewhere.
    Abort,
    /// The driver suspends the operation here.
    Suspend,
}

/// One step of kernel code.
pub type Step = Result<(), Stop>;

/// Kernel code with a value.
pub type Run<T> = Result<T, Stop>;

/// Kernel error numbers that the modelled code returns.
pub mod errno {
    pub const ENOMEM: i64 = -12;
    pub const EFAULT: i64 = -14;
    pub const EBUSY: i64 = -16;
    pub const EINVAL: i64 = -22;
    pub const ENOSPC: i64 = -28;
    pub const ERANGE: i64 = -34;
}
