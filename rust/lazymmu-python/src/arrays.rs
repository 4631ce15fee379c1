//! What a run leaves behind, as NumPy arrays that own the core's memory.

use bytemuck::allocation::try_cast_vec;
use lazymmu::event::Event;
use lazymmu::event::codes::Outcome;
use lazymmu::run::{Ending, OpResult};
use numpy::PyArray1;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

/// Words of one result record; `lazymmu.results` has the field names.
pub(crate) const RESULT_WORDS: usize = 5;

/// Events as 64-bit words, without a copy.
pub(crate) fn events<'py>(py: Python<'py>, events: Vec<Event>) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let words: Vec<u64> =
        try_cast_vec(events).map_err(|(error, _)| PyMemoryError::new_err(format!("event records: {error}")))?;
    Ok(PyArray1::from_vec(py, words))
}

/// Results as words: ending, outcome, mask and bug code in the bytes of the first (bit 32: the address is NULL), then
/// return value, callbacks, value and physical address.
pub(crate) fn results<'py>(py: Python<'py>, results: &[OpResult]) -> Bound<'py, PyArray1<u64>> {
    let words = results.iter().flat_map(|r| record(&r.ending)).collect();
    PyArray1::from_vec(py, words)
}

/// One result record.
pub(crate) fn record(ending: &Ending) -> [u64; RESULT_WORDS] {
    match *ending {
        Ending::Done => [0, 0, 0, 0, 0],
        Ending::Returned { ret, mask, calls } => [1 | u64::from(mask.bits()) << 16, ret.cast_unsigned(), calls, 0, 0],
        Ending::Address(Some(va)) => [2, 0, 0, va, 0],
        Ending::Address(None) => [2 | 1 << 32, 0, 0, 0, 0],
        Ending::Created(id) => [3, 0, 0, u64::from(id), 0],
        Ending::Accessed { outcome, pa } => [4 | outcome_code(outcome) << 8, 0, 0, 0, pa],
        Ending::Word(word) => [5, 0, 0, word, 0],
        Ending::Died(code) => [6 | (code as u64) << 24, 0, 0, 0, 0],
        Ending::HookFailed => [7, 0, 0, 0, 0],
        Ending::NotRun => [8, 0, 0, 0, 0],
        Ending::Suspended => [9, 0, 0, 0, 0],
    }
}

fn outcome_code(outcome: Outcome) -> u64 {
    outcome as u64
}
