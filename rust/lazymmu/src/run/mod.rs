//! Runs programs: one machine, one step function, a result for each operation.

mod concurrent;
mod execute;
mod full;
mod runner;
pub(crate) mod stage;
mod user;

pub(crate) use concurrent::check as check_concurrent;
pub use execute::{Ending, OpError, OpResult};
pub use full::{Full, Injected, Quiet};
pub(crate) use runner::build;
pub use runner::{
    AnyRunner, BootError, GoOn, LOG_LIMIT, Mode, Output, ProgramRunError, RunError, Runner, Spec, boot, op_name,
    run_program,
};
pub use stage::Leaf;
