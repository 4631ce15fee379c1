//! The sparc64 geometry: every level has as many entries as fit a page of 8 KiB.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries { order: 60, all: &[&SPARC64_8K] };

/// `VMALLOC_START`. Users have an address space of their own that overlaps the kernel's; here the two are told apart by
/// address, so that users end where vmalloc begins.
const VMALLOC_START: u64 = 1 << 32;
/// `sparc64_va_hole_bottom` of a SPARC T4 and later sun4v CPUs.
const VA_HOLE_BOTTOM: u64 = 1 << 51;

pub static SPARC64_8K: Geometry = Geometry::new(&Shape {
    name: "sparc64-8k",
    page_shift: 13,
    index_bits: &[10, 10, 10, 10],
    entry_bytes: 8,
    long_bits: 64,
    va_bits: 53,
    pa_bits: 53,
    cont_ptes: 0,
    cont_pmds: 0,
    // arch/sparc/include/asm/pgtable_64.h and mm/init_64.c of 6.12.
    layout: Layout {
        task_size: VMALLOC_START,
        kernel_start: VMALLOC_START,
        vmalloc_start: VMALLOC_START,
        vmalloc_end: (VA_HOLE_BOTTOM >> 1) + (VA_HOLE_BOTTOM >> 2),
        fixaddr_top: 0,
        table_frames: 0x0800_0000,
        highmem_frames: 0,
    },
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;

    #[test]
    fn levels_cover_53_bits() {
        let g = &SPARC64_8K;
        assert_eq!([g.shift(Level::Pmd), g.shift(Level::Pud), g.shift(Level::P4d)], [23, 33, 43]);
        assert_eq!(g.layout.vmalloc_end, 0x6_0000_0000_0000);
    }
}
