//! s390 geometries: region and segment tables of 2048 entries in 16 KiB, page tables of 256 entries in 2 KiB.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries { order: 90, all: &[&S390_3LEVEL, &S390_4LEVEL, &S390_5LEVEL] };

/// `VMALLOC_DEFAULT_SIZE` and the modules behind it (`arch/s390/include/asm/pgtable.h` of 6.12).
const VMALLOC_AND_MODULES: u64 = 512 << 30;
const MODULES_LEN: u64 = 2 << 30;

/// Both lie at the top of what the tables map. Users have an address space of their own that overlaps the kernel's; here the
/// two are told apart by address, so that users end where vmalloc begins.
const fn layout(va_bits: u32) -> Layout {
    let above = if va_bits == 64 { 0 } else { 1 << va_bits };
    let vmalloc_start = 0u64.wrapping_add(above).wrapping_sub(VMALLOC_AND_MODULES);
    Layout {
        task_size: vmalloc_start,
        kernel_start: vmalloc_start,
        vmalloc_start,
        vmalloc_end: above.wrapping_sub(MODULES_LEN),
        fixaddr_top: 0,
        table_frames: 0x0400_0000,
        highmem_frames: 0,
    }
}

const fn shape<'a>(name: &'static str, index_bits: &'a [u32]) -> Shape<'a> {
    let va_bits = 20 + 11 * (index_bits.len() as u32 - 1);
    Shape {
        name,
        page_shift: 12,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits: va_bits as u8,
        // MAX_PHYSMEM_BITS; an entry has room for all 64.
        pa_bits: 46,
        cont_ptes: 0,
        cont_pmds: 0,
        layout: layout(va_bits),
    }
}

/// `PGDIR_SHIFT` whatever the root is: loops over it take all that three or four levels map as one slot.
const fn geometry(name: &'static str, index_bits: &[u32]) -> Geometry {
    Geometry { slot_shift: 53, ..Geometry::new(&shape(name, index_bits)) }
}

/// Segment and region-third tables: 4 TiB, what kernels and processes have unless they need more.
pub static S390_3LEVEL: Geometry = geometry("s390-3level", &[8, 11, 11]);
/// And region-second tables: 8 PiB.
pub static S390_4LEVEL: Geometry = geometry("s390-4level", &[8, 11, 11, 11]);
/// And region-first tables: all 64 bits.
pub static S390_5LEVEL: Geometry = geometry("s390-5level", &[8, 11, 11, 11, 11]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;

    #[test]
    fn shifts_and_layouts() {
        let g = &S390_5LEVEL;
        assert_eq!(
            [g.shift(Level::Pmd), g.shift(Level::Pud), g.shift(Level::P4d), g.shift(Level::Pgd)],
            [20, 31, 42, 53]
        );
        assert_eq!((g.table_bytes(Level::Pte), g.table_bytes(Level::Pmd)), (4096, 16384));
        assert!(g.accepts(u64::MAX) && !S390_3LEVEL.accepts(1 << 42));
        assert_eq!(S390_3LEVEL.layout.vmalloc_end, 0x3ff_8000_0000);
        assert_eq!(g.layout.vmalloc_start, 0xffff_ff80_0000_0000);
    }
}
