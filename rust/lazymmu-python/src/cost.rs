//! Cost tables.

use std::collections::BTreeMap;

use lazymmu::cost;
use pyo3::prelude::*;

use crate::errors;

/// Weights that turn counts into one figure. `text` is TOML; None: the table that comes with the package.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct CostTable {
    inner: cost::CostTable,
}

#[pymethods]
impl CostTable {
    #[new]
    #[pyo3(signature = (text=None))]
    fn new(text: Option<&str>) -> PyResult<CostTable> {
        let inner = text.map_or_else(|| Ok(cost::CostTable::built_in()), cost::CostTable::parse);
        Ok(CostTable { inner: inner.map_err(errors::config)? })
    }

    #[getter]
    fn unit(&self) -> &str {
        &self.inner.unit
    }

    /// The weighted sum of counts by name. A name that nothing is counted under weighs 0.
    fn cost(&self, backend: &str, counts: BTreeMap<String, u64>) -> f64 {
        counts.iter().map(|(name, n)| self.inner.weight(backend, name) * *n as f64).sum()
    }

    /// Every weight: backend, quantity, weight.
    fn weights(&self) -> Vec<(String, String, f64)> {
        self.inner.weights().map(|(b, q, w)| (b.to_owned(), q.to_owned(), w)).collect()
    }
}
