//! What is wrong with a litmus file.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LitmusError {
    /// The file makes no sense.
    #[error("line {line}: {what}")]
    Bad { line: usize, what: String },
    /// The file is fine, and asks for something that is not modelled.
    #[error("line {line}: outside the subset: {what}")]
    Unsupported { line: usize, what: String },
}

impl LitmusError {
    pub(super) fn bad(line: usize, what: impl Into<String>) -> LitmusError {
        LitmusError::Bad { line, what: what.into() }
    }

    pub(super) fn unsupported(line: usize, what: impl Into<String>) -> LitmusError {
        LitmusError::Unsupported { line, what: what.into() }
    }
}

pub(super) type Result<T> = std::result::Result<T, LitmusError>;
