//! Which backends there are. Each file of this folder with a `REGISTRATION` is one.

use std::sync::LazyLock;

use super::{Backend, PARTS};
use crate::geometry::{self, Geometry};
use crate::kernel::{Config, Setup};
use crate::run::{AnyRunner, BootError, Full, build};

/// A combination of backend, geometry and options that cannot exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error("unknown backend {name:?}: expected one of {}", .known.join(", "))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("backend {backend} has no geometry {geometry:?}: expected one of {}", .known.join(", "))]
    Geometry { backend: &'static str, geometry: String, known: Vec<&'static str> },
}

/// A backend as lists and messages know it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub name: &'static str,
    pub about: &'static str,
    /// Place in lists.
    pub order: u32,
    /// The first is the default.
    pub geometries: &'static [&'static str],
    /// `uname -m` of kernels that it models.
    pub machines: &'static [&'static str],
    /// The counts that matter here.
    pub shown: &'static [&'static str],
    /// What each counted thing costs, roughly: nanoseconds of nobody's measurement.
    pub weights: &'static [(&'static str, f64)],
}

/// How a machine of one backend is built.
type Boot = fn(&Config, &Setup, Option<Full>) -> Result<Box<dyn AnyRunner>, BootError>;

/// A backend that there is.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    pub info: &'static Info,
    pub(crate) boot: Boot,
}

impl Registration {
    #[must_use]
    pub const fn of<B: Backend>() -> Registration {
        Registration { info: &B::INFO, boot: build::<B> }
    }
}

/// Every backend, in the order of lists.
pub static ALL: LazyLock<Vec<&'static Info>> = LazyLock::new(|| {
    let mut all: Vec<_> = PARTS.iter().map(|part| part.info).collect();
    all.sort_by_key(|info| (info.order, info.name));
    all
});

/// The backend of this name.
pub fn by_name(name: &str) -> Result<&'static Registration, BackendError> {
    PARTS
        .iter()
        .copied()
        .find(|part| part.info.name == name)
        .ok_or_else(|| BackendError::Unknown { name: name.to_owned(), known: ALL.iter().map(|b| b.name).collect() })
}

/// The geometry of this name, or the backend's default.
pub fn geometry(backend: &Registration, name: Option<&str>) -> Result<&'static Geometry, BackendError> {
    let info = backend.info;
    let name = name.unwrap_or(info.geometries[0]);
    info.geometries.iter().find(|g| **g == name).and_then(|g| geometry::by_name(g)).ok_or_else(|| {
        BackendError::Geometry { backend: info.name, geometry: name.to_owned(), known: info.geometries.to_vec() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Counts;

    #[test]
    fn what_backends_say_of_themselves_exists() {
        let counts: Vec<_> = Counts::default().entries().iter().map(|(name, _)| *name).collect();
        for info in ALL.iter() {
            assert!(info.geometries.iter().all(|g| geometry::by_name(g).is_some()), "{}", info.name);
            assert!(info.shown.iter().all(|name| counts.contains(name)), "{}", info.name);
            assert!(info.weights.iter().all(|(name, _)| counts.contains(name)), "{}", info.name);
        }
    }
}
