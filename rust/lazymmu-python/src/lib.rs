//! Python bindings: what the module `lazymmu._native` exports.

mod arrays;
mod cost;
mod descriptor;
mod errors;
mod explore;
mod frozen;
mod hooks;
mod image;
mod lists;
mod litmus;
mod machine;
mod program;
mod toml;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::cost::CostTable;
    #[pymodule_export]
    use super::descriptor::Codec;
    #[pymodule_export]
    use super::explore::RawExploration;
    #[pymodule_export]
    use super::frozen::Frozen;
    #[pymodule_export]
    use super::hooks::{Entry, Kernel, Walk};
    #[pymodule_export]
    use super::image::TableImage;
    #[pymodule_export]
    use super::lists::{
        backends, build_profile, codes, event_kinds, geometries, hazards, machines, operations, options, protections,
        schemes, shown_counts, version,
    };
    #[pymodule_export]
    use super::litmus::litmus;
    #[pymodule_export]
    use super::machine::{Machine, RawRun};
    #[pymodule_export]
    use super::program::Program;
    #[pymodule_export]
    use super::toml::toml_line;
}
