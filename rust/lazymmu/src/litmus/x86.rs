//! Placeholder to be replaced.
use super::assembly::Parsed;
use super::error::{LitmusError, Result};
use super::program::Thread;

pub(super) fn parse(_thread: &mut Thread, line: usize, text: &str) -> Result<Parsed> {
    Err(LitmusError::unsupported(line, text))
}

pub(super) fn full_register(name: &str) -> String {
    name.to_owned()
}
