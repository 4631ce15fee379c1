//! Litmus tests.

use lazymmu::litmus::{Limits, LitmusError, Syntax, decide, read, report};
use pyo3::prelude::*;

use crate::errors;

/// Decides one litmus test, and returns the report as JSON text. A test outside the subset gives
/// `{"unsupported": why}`.
#[pyfunction]
#[pyo3(signature = (text, isla, variants, max_logs, reduce))]
pub(crate) fn litmus(
    py: Python<'_>,
    text: String,
    isla: bool,
    variants: Vec<String>,
    max_logs: usize,
    reduce: bool,
) -> PyResult<String> {
    let syntax = if isla { Syntax::Isla } else { Syntax::Herd };
    let answer = py.detach(move || -> Result<Result<String, String>, LitmusError> {
        let test = read(&text, syntax, &variants)?;
        Ok(decide(&test, Limits { logs: max_logs, reduce })
            .and_then(|answer| serde_json::to_string(&report(&test, &answer)).map_err(|error| error.to_string())))
    });
    let unsupported = |why: &str| serde_json::json!({ "unsupported": why }).to_string();
    match answer {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(why)) => Ok(unsupported(&why)),
        Err(LitmusError::Unsupported { line, what }) => Ok(unsupported(&format!("line {line}: {what}"))),
        Err(LitmusError::Bad { line, what }) => Err(errors::litmus(line, &what)),
    }
}
