//! What there is: backends, geometries, schemes, hazards, event kinds, codes, operations, options.

use std::collections::BTreeMap;

use lazymmu::descriptor::Attributes;
use lazymmu::event::Kind;
use lazymmu::geometry::{self, Level};
use lazymmu::scenario::Op;
use lazymmu::{backend, check, run, scheme};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;

/// The version of the core.
#[pyfunction]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// `debug` or `release`.
#[pyfunction]
pub(crate) fn build_profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Name, one line, and geometries of every backend, default first.
#[pyfunction]
pub(crate) fn backends() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    backend::ALL.iter().map(|b| (b.name, b.about, b.geometries.to_vec())).collect()
}

/// The counts that matter on each backend.
#[pyfunction]
pub(crate) fn shown_counts() -> BTreeMap<&'static str, Vec<&'static str>> {
    backend::ALL.iter().map(|b| (b.name, b.shown.to_vec())).collect()
}

/// Names that `uname -m` has for kernels that a backend models.
#[pyfunction]
pub(crate) fn machines() -> Vec<(&'static str, Vec<&'static str>)> {
    backend::ALL.iter().map(|b| (b.name, b.machines.to_vec())).collect()
}

/// Every geometry by name, as dictionaries.
#[pyfunction]
pub(crate) fn geometries(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for g in geometry::ALL.iter() {
        all.set_item(g.name, describe(py, g)?)?;
    }
    Ok(all)
}

/// A geometry with its layout.
pub(crate) fn describe<'py>(py: Python<'py>, g: &geometry::Geometry) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("name", g.name)?;
    out.set_item("page_shift", g.page_shift)?;
    out.set_item("entry_bytes", g.entry_bytes)?;
    out.set_item("root_bytes", g.root_bytes)?;
    out.set_item("slot_shift", g.slot_shift)?;
    out.set_item("long_bits", g.long_bits)?;
    out.set_item("va_bits", g.va_bits)?;
    out.set_item("pa_bits", g.pa_bits)?;
    out.set_item("cont_ptes", g.cont_ptes)?;
    out.set_item("cont_pmds", g.cont_pmds)?;
    let levels: Vec<_> = Level::ALL
        .iter()
        .filter(|l| !g.folded(**l))
        .map(|l| (l.number(), l.name(), g.shift(*l), g.entries(*l)))
        .collect();
    out.set_item("levels", levels)?;
    let l = &g.layout;
    for (name, value) in [
        ("task_size", l.task_size),
        ("kernel_start", l.kernel_start),
        ("vmalloc_start", l.vmalloc_start),
        ("vmalloc_end", l.vmalloc_end),
        ("fixaddr_top", l.fixaddr_top),
        ("table_frames", l.table_frames),
        ("highmem_frames", l.highmem_frames),
    ] {
        out.set_item(name, value)?;
    }
    Ok(out)
}

/// Name, one line and base of every scheme, oldest first.
#[pyfunction]
pub(crate) fn schemes() -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    scheme::ALL.iter().map(|s| (s.name(), s.about(), s.base().map(|b| b.name()))).collect()
}

/// Code, name, rule and source of every hazard.
#[pyfunction]
pub(crate) fn hazards() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    check::infos().into_iter().map(|i| (i.code, i.name, i.rule, i.source)).collect()
}

/// Code, name and meaning of the fields of every event kind: level, va, addr, old, new, aux, and of the event itself.
#[pyfunction]
pub(crate) fn event_kinds() -> Vec<(u8, &'static str, [&'static str; 7])> {
    Kind::FIELDS.iter().map(|(kind, fields)| (*kind as u8, kind.name(), *fields)).collect()
}

/// The small vocabularies: name, and code and text of each value.
#[pyfunction]
pub(crate) fn codes() -> Vec<(&'static str, Vec<(u32, &'static str)>)> {
    lazymmu::event::codes::vocabularies()
}

/// Code and name of every operation.
#[pyfunction]
pub(crate) fn operations() -> Vec<(u32, String)> {
    Op::names()
}

/// Name, default, values and meaning of an option.
type OptionRow = (&'static str, &'static str, Vec<&'static str>, &'static str);

/// Every option, with its default under this scheme.
#[pyfunction]
pub(crate) fn options(scheme: &str) -> PyResult<Vec<OptionRow>> {
    let scheme = scheme::by_name(scheme).ok_or_else(|| {
        let known: Vec<_> = scheme::ALL.iter().map(|s| s.name()).collect();
        errors::config(format!("unknown scheme {scheme:?}: expected one of {}", known.join(", ")))
    })?;
    let entries = scheme.options().entries();
    let about = scheme::Options::ALL.iter().map(|(_, meaning)| *meaning);
    Ok(entries.into_iter().zip(about).map(|((name, value, values), meaning)| (name, value, values, meaning)).collect())
}

/// Protection names of a backend's format with their bits.
#[pyfunction]
#[pyo3(signature = (backend, geometry=None))]
pub(crate) fn protections(backend: &str, geometry: Option<&str>) -> PyResult<Vec<(&'static str, u64)>> {
    let spec = run::Spec { backend, geometry, scheme: "v6.12", ..run::Spec::default() };
    let setup = lazymmu::kernel::Setup { cpus: 1, mms: 0, tasks: Vec::new() };
    let machine = run::boot(&spec, &setup, run::Mode::Quiet).map_err(errors::config)?;
    Ok(machine.format().prots())
}

/// What a leaf grants, in the words of the portable API.
pub(crate) fn attributes<'py>(py: Python<'py>, a: &Attributes) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for (name, value) in [
        ("write", a.write),
        ("exec", a.exec),
        ("user", a.user),
        ("global", a.global),
        ("accessed", a.accessed),
        ("dirty", a.dirty),
        ("contiguous", a.contiguous),
    ] {
        out.set_item(name, value)?;
    }
    out.set_item("memory", a.memory.name())?;
    Ok(out)
}
