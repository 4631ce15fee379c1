//! loongarch64 geometries: every level has as many entries as fit a page. A CPU with 47-bit halves (LA464).

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries =
    Geometries { order: 80, all: &[&LOONGARCH64_4K_4LEVEL, &LOONGARCH64_16K_3LEVEL, &LOONGARCH64_64K_2LEVEL] };

/// `cpu_vabits`, `cpu_pabits`.
const CPU_BITS: u32 = 47;

/// `arch/loongarch/include/asm/pgtable.h` of 6.12: PCI I/O, two guard pages and 2 GiB of modules lie below vmalloc; the
/// struct pages, 64 bytes for each page that could exist, lie above it.
const fn layout(page_shift: u32, va_bits: u32, pmd_shift: u32) -> Layout {
    let half = if va_bits < CPU_BITS { va_bits } else { CPU_BITS };
    let vm_map_base = 0u64.wrapping_sub(1 << CPU_BITS);
    let vmemmap = 64u64 << (CPU_BITS + 1 - page_shift);
    Layout {
        task_size: 1 << half,
        kernel_start: vm_map_base,
        vmalloc_start: vm_map_base + (32 << 20) + (2 << page_shift) + (2 << 30),
        vmalloc_end: vm_map_base.wrapping_add(1 << half).wrapping_sub((1 << pmd_shift) + vmemmap),
        fixaddr_top: 0,
        table_frames: 0x0400_0000,
        highmem_frames: 0,
    }
}

const fn shape<'a>(name: &'static str, page_shift: u32, index_bits: &'a [u32]) -> Shape<'a> {
    let bits = page_shift - 3;
    let va_bits = page_shift + bits * index_bits.len() as u32;
    Shape {
        name,
        page_shift,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits: va_bits as u8,
        pa_bits: 48,
        cont_ptes: 0,
        cont_pmds: 0,
        layout: layout(page_shift, va_bits, page_shift + bits),
    }
}

pub static LOONGARCH64_4K_4LEVEL: Geometry = Geometry::new(&shape("loongarch64-4k-4level", 12, &[9, 9, 9, 9]));
pub static LOONGARCH64_16K_3LEVEL: Geometry = Geometry::new(&shape("loongarch64-16k-3level", 14, &[11, 11, 11]));
pub static LOONGARCH64_64K_2LEVEL: Geometry = Geometry::new(&shape("loongarch64-64k-2level", 16, &[13, 13]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_follow_the_header() {
        let l = &LOONGARCH64_4K_4LEVEL.layout;
        assert_eq!((l.vmalloc_start, l.vmalloc_end), (0xffff_8000_8200_2000, 0xffff_fbff_ffe0_0000));
        assert_eq!(LOONGARCH64_64K_2LEVEL.layout.vmalloc_end, 0xffff_83bf_e000_0000);
    }
}
