//! Programs, parsed once.

use lazymmu::scenario;
use pyo3::prelude::*;

use crate::errors;

/// A program in its executable form: parsed and checked for shape once, run as often as wanted.
///
/// `json` is the text that `docs/model/program.md` describes. Raises `ProgramError`, which names the key and the
/// place, for anything else.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) inner: scenario::Program,
}

#[pymethods]
impl Program {
    #[new]
    fn new(json: &str) -> PyResult<Program> {
        Ok(Program { inner: scenario::Program::from_json(json).map_err(errors::program)? })
    }

    /// The program as text, with all defaults filled in.
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&self.inner).map_err(errors::program)
    }

    /// CPUs, user address spaces, and tasks as (mm, cpu).
    #[getter]
    fn setup(&self) -> (u8, u16, Vec<(u16, u8)>) {
        (self.inner.cpus, self.inner.mms, self.inner.tasks.iter().map(|t| (t.mm, t.cpu)).collect())
    }

    fn __len__(&self) -> usize {
        self.inner.ops.len()
    }

    fn __repr__(&self) -> String {
        format!("<Program of {} operations>", self.inner.ops.len())
    }
}
