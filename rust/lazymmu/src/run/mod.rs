//! Runs programs: one machine, one step function, a result for each operation.

mod boot;
mod concurrent;
mod execute;
mod full;
mod runner;
pub(crate) mod stage;
mod user;

pub(crate) use boot::build;
pub use boot::{BootError, LOG_LIMIT, ProgramRunError, Spec, boot, run_program};
pub(crate) use concurrent::check as check_concurrent;
pub use execute::{Ending, OpError, OpResult};
pub use full::{Full, Injected, Quiet};
pub use runner::{AnyRunner, GoOn, Mode, Output, RunError, Runner, op_name};
pub use stage::Leaf;
