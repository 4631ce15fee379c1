//! Table images.

use lazymmu::memory::image::Image;
use lazymmu::walk::image::{ImageWalk, LeafRange};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{errors, lists};

/// A walk of one address: (level, index, word) from the root down, physical address, attributes.
type Path<'py> = (Vec<(u8, usize, u64)>, Option<u64>, Option<Bound<'py, PyDict>>);

/// An image of table pages. Errors name the file.
#[pyclass(module = "lazymmu._native", frozen)]
#[derive(Debug)]
pub(crate) struct TableImage {
    path: String,
    image: Image,
}

impl TableImage {
    fn walk(&self, root: &str) -> PyResult<ImageWalk<'_>> {
        ImageWalk::new(&self.image, root).map_err(|error| errors::image(&self.path, &error))
    }
}

#[pymethods]
impl TableImage {
    #[new]
    fn new(data: Vec<u8>, path: String) -> PyResult<TableImage> {
        let image = Image::new(data).map_err(|error| errors::image(&path, &error))?;
        // An architecture that is not modelled is found out here, not in the middle of something.
        for root in image.header.roots.keys() {
            ImageWalk::new(&image, root).map_err(|error| errors::image(&path, &error))?;
        }
        Ok(TableImage { path, image })
    }

    /// The architecture that the header names.
    #[getter]
    fn arch(&self) -> &str {
        &self.image.header.arch
    }

    /// Roots by name: physical address, levels, address bits, entries.
    #[getter]
    fn roots(&self) -> Vec<(&str, u64, u8, u8, u64)> {
        let roots = self.image.header.roots.iter();
        roots.map(|(name, r)| (name.as_str(), r.pa, r.levels, r.va_bits, r.entries)).collect()
    }

    /// Physical addresses of the pages.
    #[getter]
    fn pages(&self) -> Vec<u64> {
        self.image.header.pages.clone()
    }

    /// Leaf ranges below a root: arrays by name, and for each range the index of its attributes in `attributes`.
    fn ranges<'py>(&self, py: Python<'py>, root: &str) -> PyResult<Bound<'py, PyDict>> {
        let walk = self.walk(root)?;
        let found = py.detach(|| walk.ranges()).map_err(|error| errors::image(&self.path, &error))?;
        let out = PyDict::new(py);
        let column = |of: fn(&LeafRange) -> u64| PyArray1::from_iter(py, found.iter().map(of));
        out.set_item("va", column(|r| r.va))?;
        out.set_item("last", column(|r| r.last))?;
        out.set_item("pa", column(|r| r.pa))?;
        out.set_item("page_size", column(|r| r.page_size))?;
        out.set_item("raw", column(|r| r.raw))?;
        out.set_item("level", PyArray1::from_iter(py, found.iter().map(|r| r.level.number())))?;
        let mut kinds: Vec<(bool, lazymmu::descriptor::Attributes)> = Vec::new();
        let mut prot = Vec::with_capacity(found.len());
        for range in &found {
            let kind = (range.valid, range.attributes);
            let index = kinds.iter().position(|k| *k == kind).unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            });
            prot.push(index as u32);
        }
        let described: PyResult<Vec<_>> = kinds
            .iter()
            .map(|(valid, attributes)| {
                let all = lists::attributes(py, attributes)?;
                all.set_item("valid", valid)?;
                Ok(all)
            })
            .collect();
        out.set_item("prot", PyArray1::from_vec(py, prot))?;
        out.set_item("attributes", described?)?;
        Ok(out)
    }

    /// The entries on the way to an address, where it leads, and what is granted there.
    fn path<'py>(&self, py: Python<'py>, root: &str, va: u64) -> PyResult<Path<'py>> {
        let found = self.walk(root)?.path(va).map_err(|error| errors::image(&self.path, &error))?;
        let steps = found.steps.iter().map(|s| (s.level.number(), s.index, s.raw)).collect();
        let attributes = found.attributes.map(|a| lists::attributes(py, &a)).transpose()?;
        Ok((steps, found.pa, attributes))
    }
}
