//! From counts to one comparable figure, by weights that a user can replace.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::backend;
use crate::event::Counts;

/// What a unit is in the table that comes with the crate.
const UNIT: &str = "ns, estimated";

/// What is wrong with a cost table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    #[error("not a cost table: {0}")]
    Toml(String),
    #[error("{backend}: not a backend: expected one of {}", .known.join(", "))]
    Backend { backend: String, known: Vec<&'static str> },
    #[error("{backend}.{quantity}: nothing is counted under this name: expected one of {}", .known.join(", "))]
    Quantity { backend: String, quantity: String, known: Vec<&'static str> },
    #[error("{backend}.{quantity}: the weight {weight} is not a number from 0 up")]
    Weight { backend: String, quantity: String, weight: String },
}

/// Weights of the counts, by backend.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTable {
    /// What one unit is, in the table's words.
    pub unit: String,
    weights: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    unit: String,
    weights: BTreeMap<String, BTreeMap<String, f64>>,
}

impl CostTable {
    /// The table that comes with the crate: what each backend says of itself, estimates of the order of magnitude. They
    /// make runs of one backend comparable, not backends with each other.
    #[must_use]
    pub fn built_in() -> CostTable {
        let row =
            |info: &backend::Info| info.weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        CostTable {
            unit: UNIT.to_owned(),
            weights: backend::ALL.iter().map(|info| (info.name.to_owned(), row(info))).collect(),
        }
    }

    /// Reads a table: `unit = "..."` and one `[weights.BACKEND]` each, with `quantity = weight`. What is not named weighs 0.
    pub fn parse(text: &str) -> Result<CostTable, CostError> {
        let Text { unit, weights } = toml::from_str(text).map_err(|e| CostError::Toml(e.to_string()))?;
        let backends: Vec<_> = backend::ALL.iter().map(|b| b.name).collect();
        let quantities: Vec<_> = Counts::default().entries().iter().map(|(name, _)| *name).collect();
        for (backend, row) in &weights {
            if !backends.contains(&backend.as_str()) {
                return Err(CostError::Backend { backend: backend.clone(), known: backends });
            }
            for (quantity, weight) in row {
                let (backend, quantity) = (backend.clone(), quantity.clone());
                if !quantities.contains(&quantity.as_str()) {
                    return Err(CostError::Quantity { backend, quantity, known: quantities });
                }
                if !weight.is_finite() || *weight < 0.0 {
                    return Err(CostError::Weight { backend, quantity, weight: weight.to_string() });
                }
            }
        }
        Ok(CostTable { unit, weights })
    }

    /// The weight of one quantity on a backend.
    #[must_use]
    pub fn weight(&self, backend: &str, quantity: &str) -> f64 {
        self.weights.get(backend).and_then(|row| row.get(quantity)).copied().unwrap_or(0.0)
    }

    /// The weighted sum of what was counted, in the order of [`Counts::entries`].
    #[must_use]
    pub fn cost(&self, backend: &str, counts: &Counts) -> f64 {
        counts.entries().iter().map(|(name, n)| self.weight(backend, name) * *n as f64).sum()
    }

    /// Every weight: backend, quantity, weight.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.weights.iter().flat_map(|(b, row)| row.iter().map(move |(q, w)| (b.as_str(), q.as_str(), *w)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_weighs_what_each_backend_pays() {
        let table = CostTable::built_in();
        let counts = Counts { barriers: 2, stores: 10, ..Counts::default() };
        let arm64 = table.cost("arm64", &counts);
        assert_eq!(arm64, 2.0 * table.weight("arm64", "barriers") + 10.0 * table.weight("arm64", "stores"));
        assert!(arm64 > 0.0);
        for backend in backend::ALL.iter() {
            assert!(table.weight(backend.name, "stores") > 0.0, "{}", backend.name);
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = |text: &str| CostTable::parse(text).map_err(|e| e.to_string()).expect_err("invalid");
        assert!(error("unit = 1").contains("unit"));
        assert!(error("unit = 'ns'\n[weights.arm65]\nstores = 1").contains("arm65: not a backend"));
        assert!(error("unit = 'ns'\n[weights.arm64]\nstore = 1").contains("arm64.store"));
        assert!(error("unit = 'ns'\n[weights.arm64]\nstores = -1").contains("-1"));
    }
}
