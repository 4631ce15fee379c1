//! Litmus tests: small programs with a question about their final states.
//!
//! Front ends read herd's `.litmus` and isla's `.litmus.toml` into one [`Litmus`]; [`decide`] goes through every log
//! of [`crate::visibility`] that it can end with.

mod aarch64;
mod access;
mod assembly;
mod condition;
mod error;
pub mod herd;
pub mod isla;
mod lens;
mod lexer;
mod names;
mod program;
mod report;
mod riscv;
mod search;
mod state;
mod system;
mod thread;
mod x86;

pub use condition::{Condition, FaultAtom, Formula, Place, Quantifier};
pub use error::LitmusError;
pub use program::*;
pub use report::{EventRow, Report, StateRow, report};
pub use search::{Answer, Limits, Outcome, Verdict, decide, holds};
pub use state::{Event, Fault};

/// Which format a file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    Herd,
    Isla,
}

/// Reads a test in either format.
///
/// # Errors
/// What in which line makes no sense, or is outside the subset.
pub fn read(text: &str, syntax: Syntax, variants: &[String]) -> Result<Litmus, LitmusError> {
    match syntax {
        Syntax::Herd => herd::read(text, variants),
        Syntax::Isla => isla::read(text, variants),
    }
}
