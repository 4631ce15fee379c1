//! Entries taken apart and put together: `lazymmu.descriptor`.

use lazymmu::descriptor::batch::Codec as Batch;
use lazymmu::descriptor::decode::{Decoded, DescriptorError, Place};
use lazymmu::descriptor::field::Kind;
use lazymmu::descriptor::{AnyFormat, Grants};
use lazymmu::geometry::Level;
use lazymmu::kernel::Setup;
use lazymmu::{backend, geometry, run};
use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::lists::attributes;

/// The format of one level of a geometry.
#[pyclass(frozen, module = "lazymmu._native")]
pub(crate) struct Codec {
    backend: &'static str,
    level: Level,
    format: Box<dyn AnyFormat>,
    batch: Batch,
}

/// Name, parts (high, low, at), role, meaning, values, and whether the word holds the complement.
type FieldRow = (&'static str, Vec<(u8, u8, u8)>, &'static str, &'static str, Vec<(u64, &'static str)>, bool);

#[pymethods]
impl Codec {
    #[new]
    #[pyo3(signature = (backend, geometry, level, pa_bits=None, scheme="v6.12"))]
    fn new(backend: Option<&str>, geometry: &str, level: u8, pa_bits: Option<u8>, scheme: &str) -> PyResult<Codec> {
        let found = match backend {
            Some(name) => backend::ALL.iter().find(|b| b.name == name),
            None => backend::ALL.iter().find(|b| b.geometries.contains(&geometry)),
        };
        let name = found.map_or(backend.unwrap_or_default(), |b| b.name);
        let shape =
            geometry::by_name(geometry).ok_or_else(|| errors::config(format!("unknown geometry {geometry:?}")))?;
        let spec = run::Spec { backend: name, geometry: Some(geometry), scheme, ..run::Spec::default() };
        let setup = Setup { cpus: 1, mms: 0, tasks: Vec::new() };
        let machine = run::boot(&spec, &setup, run::Mode::Quiet).map_err(errors::config)?;
        let level = Level::from_number(level).ok_or_else(|| {
            let (limit, root) = (shape.levels, shape.root().name());
            let error = DescriptorError::Level { geometry: shape.name, level: "?", value: level, limit, root };
            errors::descriptor(&error, None)
        })?;
        let format = machine.format().boxed();
        let place = Place::new(&*format, shape, level, pa_bits).map_err(|e| errors::descriptor(&e, None))?;
        let batch = Batch::new(place).map_err(|e| errors::descriptor(&e, None))?;
        Ok(Codec { backend: found.map_or("", |b| b.name), level, format, batch })
    }

    #[getter]
    fn backend(&self) -> &'static str {
        self.backend
    }

    /// Name, what hardware makes of it, meaning, mask and value of every kind of entry, in the order of their codes.
    #[getter]
    fn kinds(&self) -> Vec<(&'static str, &'static str, &'static str, u64, u64)> {
        self.batch.place().layouts.iter().map(|l| (l.name, l.kind.name(), l.about, l.mask, l.value)).collect()
    }

    /// The fields of every kind, lowest first.
    #[getter]
    fn fields(&self) -> Vec<Vec<FieldRow>> {
        let row = |field: &lazymmu::descriptor::field::Field| {
            let parts = field.parts.iter().map(|p| (p.high, p.low, p.at)).collect();
            (field.name, parts, field.role.name(), field.about, field.values.to_vec(), field.inverted)
        };
        self.batch.place().layouts.iter().map(|l| l.fields.iter().map(row).collect()).collect()
    }

    /// Name, offset and bytes of the columns of a record.
    #[getter]
    fn columns(&self) -> Vec<(&'static str, usize, usize)> {
        self.batch.columns().iter().map(|c| (c.name, c.offset, c.bytes)).collect()
    }

    /// 64-bit lanes of a record.
    #[getter]
    fn lanes(&self) -> usize {
        self.batch.lanes()
    }

    #[getter]
    fn pa_bits(&self) -> u8 {
        self.batch.place().pa_bits
    }

    fn decode<'py>(&self, py: Python<'py>, word: u64, strict: bool) -> PyResult<Bound<'py, PyDict>> {
        let place = self.batch.place();
        let decoded = place.decode(word).map_err(|e| errors::descriptor(&e, None))?;
        if strict {
            place.refuse(&decoded).map_err(|e| errors::descriptor(&e, None))?;
        }
        self.describe(py, &decoded)
    }

    fn encode(&self, kind: Option<&str>, fields: Vec<(String, u64)>) -> PyResult<u64> {
        self.batch.place().encode(kind, &fields).map_err(|e| errors::descriptor(&e, None))
    }

    /// Fills `out`, which holds the records as 64-bit lanes.
    fn decode_many(
        &self,
        py: Python<'_>,
        words: PyReadonlyArray1<'_, u64>,
        mut out: PyReadwriteArray1<'_, u64>,
    ) -> PyResult<()> {
        let (words, out) = (words.as_slice()?, out.as_slice_mut()?);
        same_length(words.len(), out.len(), self.batch.lanes())?;
        py.detach(|| self.batch.decode(words, out)).map_err(|e| errors::descriptor(&e, None))
    }

    /// Fills `out` with the words of the records.
    fn encode_many(
        &self,
        py: Python<'_>,
        records: PyReadonlyArray1<'_, u64>,
        mut out: PyReadwriteArray1<'_, u64>,
    ) -> PyResult<()> {
        let (records, out) = (records.as_slice()?, out.as_slice_mut()?);
        same_length(out.len(), records.len(), self.batch.lanes())?;
        py.detach(|| self.batch.encode(records, out)).map_err(|(n, e)| errors::descriptor(&e, Some(n)))
    }
}

impl Codec {
    fn describe<'py>(&self, py: Python<'py>, decoded: &Decoded<'_>) -> PyResult<Bound<'py, PyDict>> {
        let (level, word, layout) = (self.level, decoded.word, decoded.layout);
        let out = PyDict::new(py);
        out.set_item("kind", layout.name)?;
        out.set_item("values", &decoded.values)?;
        let address = layout.address().map(|field| field.get(word));
        out.set_item("address", address)?;
        out.set_item("verdict", decoded.verdict.name())?;
        let problems: Vec<_> =
            decoded.problems.iter().map(|p| (p.field, p.value, p.limit.as_str(), p.verdict.name())).collect();
        out.set_item("problems", problems)?;
        let leaf = layout.kind == Kind::Leaf;
        out.set_item("attributes", leaf.then(|| attributes(py, &self.format.attributes(level, word))).transpose()?)?;
        let table = layout.kind == Kind::Table;
        out.set_item("grants", table.then(|| grants(py, self.format.table_grants(level, word))).transpose()?)?;
        let software = PyDict::new(py);
        software.set_item("none", self.format.none(level, word))?;
        software.set_item("present", self.format.present(level, word))?;
        software.set_item("leaf", self.format.leaf(level, word))?;
        software.set_item("bad", (level != Level::Pte).then(|| self.format.bad(level, word)))?;
        out.set_item("software", software)?;
        Ok(out)
    }
}

/// What a table entry leaves to the leaves below it.
fn grants<'py>(py: Python<'py>, grants: Grants) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("write", grants.write)?;
    out.set_item("user", grants.user)?;
    out.set_item("kernel_exec", grants.kernel_exec)?;
    out.set_item("user_exec", grants.user_exec)?;
    Ok(out)
}

fn same_length(words: usize, records: usize, lanes: usize) -> PyResult<()> {
    if words.checked_mul(lanes) == Some(records) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("{words} words need {lanes} lanes each, got {records} lanes")))
}
