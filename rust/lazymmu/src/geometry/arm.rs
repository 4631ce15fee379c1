//! 32-bit arm geometries: LPAE and the classic short descriptors. A 3 GiB user half, 768 MiB of lowmem from address 0.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries { order: 30, all: &[&ARM_LPAE, &ARM_CLASSIC] };

/// Modules lie in the 16 MiB below `PAGE_OFFSET`; vmalloc begins 8 MiB behind lowmem.
const LAYOUT: Layout = Layout {
    task_size: 0xbf00_0000,
    kernel_start: 0xbf00_0000,
    vmalloc_start: 0xf080_0000,
    vmalloc_end: 0xff80_0000,
    fixaddr_top: 0xffef_f000,
    table_frames: 0x0100_0000,
    highmem_frames: 0x3000_0000,
};

/// 64-bit descriptors, 40-bit physical addresses, a root of four entries.
pub static ARM_LPAE: Geometry = Geometry::new(&Shape {
    name: "arm-lpae",
    page_shift: 12,
    index_bits: &[9, 9, 2],
    entry_bytes: 8,
    long_bits: 32,
    va_bits: 32,
    pa_bits: 40,
    cont_ptes: 0,
    cont_pmds: 0,
    layout: LAYOUT,
});

/// A root of 2048 pairs: one entry for Linux, 2 MiB, is two of the hardware's. A leaf table holds 512 entries for Linux,
/// which has more to remember than the hardware leaves room for, and behind them the 512 that the hardware reads.
pub static ARM_CLASSIC: Geometry = Geometry {
    root_bytes: 8,
    hardware_ptes: true,
    ..Geometry::new(&Shape {
        name: "arm-classic",
        page_shift: 12,
        index_bits: &[9, 11],
        entry_bytes: 4,
        long_bits: 32,
        va_bits: 32,
        pa_bits: 32,
        cont_ptes: 0,
        cont_pmds: 0,
        layout: LAYOUT,
    })
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;

    #[test]
    fn classic_tables() {
        let g = &ARM_CLASSIC;
        assert_eq!((g.shift(Level::Pmd), g.entries(Level::Pmd), g.entries(Level::Pte)), (21, 2048, 512));
        assert_eq!((g.words(Level::Pte), g.table_bytes(Level::Pte), g.table_bytes(Level::Pmd)), (1024, 4096, 16384));
        assert_eq!((ARM_LPAE.root(), ARM_LPAE.words(Level::Pte)), (Level::Pud, 512));
    }
}
