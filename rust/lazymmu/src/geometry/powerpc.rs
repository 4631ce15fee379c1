//! 64-bit Book3S powerpc geometries: the radix tree, and the software tree that the hash table is filled from.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries =
    Geometries { order: 50, all: &[&POWERPC_RADIX_4K, &POWERPC_RADIX_64K, &POWERPC_HASH_4K, &POWERPC_HASH_64K] };

/// `PAGE_OFFSET`: the kernel's quadrant.
pub const PAGE_OFFSET: u64 = 0xc000_0000_0000_0000;

/// `arch/powerpc/include/asm/{task_size_64,book3s/64/{radix,hash-4k,hash-64k}}.h` of 6.12: vmalloc is the first of the areas
/// above the linear map.
const fn layout(task_size: u64, vmalloc_start: u64, map_size: u64) -> Layout {
    Layout {
        task_size,
        kernel_start: PAGE_OFFSET,
        vmalloc_start,
        vmalloc_end: vmalloc_start + map_size,
        fixaddr_top: 0,
        table_frames: 0x0800_0000,
        highmem_frames: 0,
    }
}

const fn shape<'a>(name: &'static str, page_shift: u32, index_bits: &'a [u32], layout: Layout) -> Shape<'a> {
    let va_bits = page_shift + index_bits[0] + index_bits[1] + index_bits[2] + index_bits[3];
    Shape {
        name,
        page_shift,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits: va_bits as u8,
        // _PAGE_PA_MAX.
        pa_bits: 53,
        cont_ptes: 0,
        cont_pmds: 0,
        layout,
    }
}

/// `KERN_VIRT_START` and the size of an area, but for hash with 4K pages.
const VIRT_START: u64 = 0xc008_0000_0000_0000;
const MAP_SIZE: u64 = 1 << 49;
const TASK_SIZE_64TB: u64 = 1 << 46;
const TASK_SIZE_4PB: u64 = 1 << 52;

pub static POWERPC_RADIX_4K: Geometry =
    Geometry::new(&shape("powerpc-radix-4k", 12, &[9, 9, 9, 13], layout(TASK_SIZE_64TB, VIRT_START, MAP_SIZE)));
pub static POWERPC_RADIX_64K: Geometry =
    Geometry::new(&shape("powerpc-radix-64k", 16, &[5, 9, 9, 13], layout(TASK_SIZE_4PB, VIRT_START, MAP_SIZE)));
pub static POWERPC_HASH_4K: Geometry =
    Geometry::new(&shape("powerpc-hash-4k", 12, &[9, 7, 9, 9], layout(TASK_SIZE_64TB, 0xc000_3d00_0000_0000, 1 << 40)));
/// 6.12 has ten bits at pud level (`H_PUD_INDEX_SIZE`).
pub static POWERPC_HASH_64K: Geometry =
    Geometry::new(&shape("powerpc-hash-64k", 16, &[8, 10, 10, 8], layout(TASK_SIZE_4PB, VIRT_START, MAP_SIZE)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;

    #[test]
    fn shifts_agree_with_the_recorded_kernel() {
        let g = &POWERPC_HASH_4K;
        assert_eq!([g.shift(Level::Pmd), g.shift(Level::Pud), g.shift(Level::P4d)], [21, 28, 37]);
        assert_eq!(g.index(Level::P4d, 0xc000_3da0_0000_0000), 493);
        assert_eq!(g.layout.vmalloc_end, 0xc000_3e00_0000_0000);
    }

    #[test]
    fn radix_entries_cover_what_the_mmu_maps() {
        for g in [&POWERPC_RADIX_4K, &POWERPC_RADIX_64K] {
            assert_eq!([g.shift(Level::Pmd), g.shift(Level::Pud), g.shift(Level::P4d)], [21, 30, 39]);
            assert_eq!(g.table_bytes(Level::P4d), 0x1_0000);
        }
    }
}
