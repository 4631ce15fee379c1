//! Where things stand in a TOML text, for error messages.

use pyo3::prelude::*;
use toml::de::{DeTable, DeValue};

/// Line (from 1) of the value or key at a path; of the nearest thing around it where there is none. None: not TOML.
#[pyfunction]
pub(crate) fn toml_line(text: &str, path: Vec<String>) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut value: &DeValue<'_> = &DeValue::Table(root.into_inner());
    for part in &path {
        match value {
            DeValue::Table(table) => {
                let Some((key, below)) = table.iter().find(|(key, _)| key.get_ref().as_ref() == part) else { break };
                at = Some(key.span().start);
                value = below.get_ref();
            }
            DeValue::Array(array) => {
                let Some(below) = part.parse().ok().and_then(|n: usize| array.get(n)) else { break };
                at = Some(below.span().start);
                value = below.get_ref();
            }
            _ => break,
        }
    }
    let start = at.unwrap_or(0).min(text.len());
    Some(text.get(..start)?.matches('\n').count() + 1)
}
