//! The sparc64 geometries: every level has as many entries as fit a page of 8 KiB.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries { order: 60, all: &[&SPARC64_8K, &SPARC64_8K_SUN4U] };

/// `VMALLOC_START`. Users have an address space of their own that overlaps the kernel's; here the two are told apart by
/// address, so that users end where vmalloc begins.
const VMALLOC_START: u64 = 1 << 32;
/// `sparc64_va_hole_bottom` of a SPARC T4 and later sun4v CPUs.
const VA_HOLE_BOTTOM: u64 = 1 << 51;
/// Of UltraSPARC I to IV.
const SUN4U_VA_HOLE_BOTTOM: u64 = 1 << 43;

const SHAPE: Shape = Shape {
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
};

pub static SPARC64_8K: Geometry = Geometry::new(&SHAPE);
/// Entries are sun4u's: another format, with `pa[42:13]`.
pub static SPARC64_8K_SUN4U: Geometry = Geometry::new(&Shape {
    name: "sparc64-8k-sun4u",
    pa_bits: 43,
    layout: Layout { vmalloc_end: (SUN4U_VA_HOLE_BOTTOM >> 1) + (SUN4U_VA_HOLE_BOTTOM >> 2), ..SHAPE.layout },
    ..SHAPE
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
        assert_eq!(SPARC64_8K_SUN4U.layout.vmalloc_end, 0x600_0000_0000);
    }
}
