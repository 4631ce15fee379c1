//! The core's errors as exceptions of `lazymmu.errors`.

use std::fmt::Display;

use lazymmu::descriptor::decode::DescriptorError;
use lazymmu::run::RunError;
use pyo3::prelude::*;

mod classes {
    pyo3::import_exception!(lazymmu.errors, ConfigError);
    pyo3::import_exception!(lazymmu.errors, ImageError);
    pyo3::import_exception!(lazymmu.errors, DescriptorError);
    pyo3::import_exception!(lazymmu.errors, KernelStopped);
    pyo3::import_exception!(lazymmu.errors, LitmusError);
    pyo3::import_exception!(lazymmu.errors, ProgramError);
    pyo3::import_exception!(lazymmu.errors, RunError);
}

/// A machine that cannot be built.
pub(crate) fn config(error: impl Display) -> PyErr {
    classes::ConfigError::new_err(error.to_string())
}

/// A word, or fields, that do not exist at their level; the exception knows field, value and limit. `record` is the
/// index in an array.
pub(crate) fn descriptor(error: &DescriptorError, record: Option<usize>) -> PyErr {
    let message = match record {
        Some(n) => format!("record {n}: {error}"),
        None => error.to_string(),
    };
    let (field, value, limit) = match error {
        DescriptorError::Level { value, limit, .. } => ("level", Some(u64::from(*value)), limit.to_string()),
        DescriptorError::NoFormat { geometry, .. } => ("geometry", None, (*geometry).to_owned()),
        DescriptorError::PhysicalWidth { value, limit, .. } => ("pa_bits", Some(u64::from(*value)), limit.to_string()),
        DescriptorError::Word { value, bits, .. } => ("word", Some(*value), format!("{bits} bits")),
        DescriptorError::Field { problem, .. } => (problem.field, Some(problem.value), problem.limit.clone()),
        DescriptorError::UnknownKind { known, .. } => ("kind", None, known.join(", ")),
        DescriptorError::UnknownField { known, .. } => ("fields", None, known.join(", ")),
    };
    classes::DescriptorError::new_err((message, field, value, limit))
}

/// A program that cannot be read.
pub(crate) fn program(error: impl Display) -> PyErr {
    classes::ProgramError::new_err(error.to_string())
}

/// A request that the machine cannot carry out.
pub(crate) fn request(error: impl Display) -> PyErr {
    classes::RunError::new_err(error.to_string())
}

/// A program that cannot be carried out; the exception knows the operation.
pub(crate) fn run(error: &RunError) -> PyErr {
    let op = match error {
        RunError::Op { op, .. } => Some(*op),
        _ => None,
    };
    classes::RunError::new_err((error.to_string(), op))
}

/// A table image that cannot be read or walked.
pub(crate) fn image(path: &str, error: &lazymmu::memory::image::ImageError) -> PyErr {
    classes::ImageError::new_err((path.to_owned(), error.place.clone(), error.problem.clone()))
}

/// A hook asked for something, and the modelled kernel stopped the task there.
pub(crate) fn stopped() -> PyErr {
    classes::KernelStopped::new_err("the modelled kernel stopped this task")
}

pub(crate) fn is_stopped(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<classes::KernelStopped>(py)
}

/// A litmus test that makes no sense; the caller knows the file.
pub(crate) fn litmus(line: usize, what: &str) -> PyErr {
    let place = if line == 0 { String::new() } else { format!("line {line}") };
    classes::LitmusError::new_err(("", place, what.to_owned()))
}
