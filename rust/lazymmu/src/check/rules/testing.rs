//! Short programs that a rule must notice, and near misses that it must not.

use serde_json::{Value, json};

use crate::backend;
use crate::check::{Finding, Severity};
use crate::geometry::{Geometry, Level};
use crate::run::{Mode, Spec, boot};
use crate::scenario::Program;

/// A frame that nothing else uses.
pub(super) const RAM: u64 = 0x1800_0000;
/// A frame of 32-bit high memory.
pub(super) const HIGH: u64 = 0x4000_0000;

/// The machine that a program runs on.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    backend: &'static str,
    geometry: &'static Geometry,
    scheme: &'static str,
    options: Vec<(String, String)>,
}

/// A machine of the backend's first geometry.
pub(super) fn on(backend: &'static str, scheme: &'static str) -> Bench {
    Bench { backend, geometry: geometry(backend, None), scheme, options: Vec::new() }
}

fn geometry(backend: &'static str, name: Option<&str>) -> &'static Geometry {
    let registration = backend::by_name(backend).expect("a backend");
    backend::geometry(registration, name).expect("one of its geometries")
}

impl Bench {
    pub(super) fn geometry(self, name: &str) -> Bench {
        Bench { geometry: geometry(self.backend, Some(name)), ..self }
    }

    pub(super) fn option(mut self, name: &str, value: &str) -> Bench {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The `n`th page of the vmalloc space.
    pub(super) fn page(&self, n: u64) -> u64 {
        self.geometry.layout.vmalloc_start + n * self.geometry.page_size()
    }

    /// An address under the `n`th root entry behind those of the vmalloc space: boot makes no tables there.
    pub(super) fn beyond(&self, n: u64) -> u64 {
        let size = self.geometry.size(Level::Pgd);
        self.geometry.layout.vmalloc_end.next_multiple_of(size) + n * size
    }

    /// What is found in programs that run one after the other on one machine: the setup is that of the first.
    pub(super) fn runs(&self, programs: &[Value]) -> Vec<Vec<Finding>> {
        let programs: Vec<_> = programs.iter().map(program).collect();
        let spec = Spec {
            backend: self.backend,
            geometry: Some(self.geometry.name),
            scheme: self.scheme,
            options: &self.options,
            ..Spec::default()
        };
        let setup = programs.first().expect("a program").setup();
        let mut machine = boot(&spec, &setup, Mode::Checked).expect("a machine");
        let mut run = |p: &Program| machine.run(&p.ops, &p.injections, &mut || true).expect("a program that runs");
        programs.iter().map(|p| run(p).findings).collect()
    }

    /// How bad the findings of this code are, in order.
    pub(super) fn severities(&self, code: &str, program: &Value) -> Vec<Severity> {
        let found = self.runs(std::slice::from_ref(program)).remove(0);
        found.iter().filter(|f| f.code == code).map(|f| f.severity).collect()
    }
}

/// A list is the operations of the first task.
fn program(value: &Value) -> Program {
    let whole = match value {
        Value::Array(ops) => json!({ "ops": steps(ops) }),
        other => other.clone(),
    };
    serde_json::from_value(whole).expect("a program")
}

fn steps(ops: &[Value]) -> Value {
    ops.iter().map(|op| json!({ "op": op })).collect()
}

/// Operations, and others right after the first event of a kind of the last one. `place` says in what context.
pub(super) fn inject(ops: &[Value], kind: &str, place: &Value, injected: &[Value]) -> Value {
    let mut injection = json!({ "at": { "op": ops.len() - 1, "kind": kind }, "ops": injected });
    for (key, value) in place.as_object().into_iter().flatten() {
        injection[key] = value.clone();
    }
    json!({ "cpus": 2, "ops": steps(ops), "injections": [injection] })
}

/// The same with user address spaces.
pub(super) fn with_mms(count: u16, ops: &[Value]) -> Value {
    json!({ "mms": count, "ops": steps(ops) })
}

pub(super) fn link(va: u64) -> Value {
    json!({ "populate_kernel": { "va": va } })
}

pub(super) fn map(va: u64, count: u64) -> Value {
    json!({ "vmap_pages_range": { "va": va, "pages": { "count": count, "start": RAM } } })
}

/// Maps four pages, of which the `n`th is NULL.
pub(super) fn map_without(va: u64, n: u64) -> Value {
    json!({ "vmap_pages_range": { "va": va, "pages": { "count": 4, "start": RAM, "null_at": n } } })
}

pub(super) fn unmap(va: u64, size: u64) -> Value {
    json!({ "vunmap_range": { "va": va, "size": size } })
}

pub(super) fn set(va: u64) -> Value {
    json!({ "pte": { "va": va, "step": "set", "pa": RAM } })
}

pub(super) fn access(va: u64) -> Value {
    json!({ "access": { "va": va } })
}

pub(super) fn apply(va: u64, kind: &str) -> Value {
    json!({ "apply_to_page_range": { "va": va, "size": 4096, "callback": { "kind": kind, "pa": RAM } } })
}

/// An operation without arguments.
pub(super) fn plain(name: &str) -> Value {
    json!({ name: {} })
}
