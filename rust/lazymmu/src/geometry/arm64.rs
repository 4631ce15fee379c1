//! arm64 geometries with 4 KiB pages. The table of TTBR1 (kernel) and of TTBR0 (user) have the same shape.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries { order: 20, all: &[&ARM64_4K_39, &ARM64_4K_48, &ARM64_4K_52] };

/// `VMALLOC_END` of 6.12 for a linear map that starts at `-1 << va_bits` (`arch/arm64/include/asm/memory.h`):
/// 1 GiB below the top end the struct pages, which take 64 bytes a 4 KiB page of the linear map, and 8 MiB are left free.
const fn vmalloc_end(va_bits: u32, va_bits_min: u32) -> u64 {
    let linear = (1u64 << va_bits) - (1 << (va_bits_min - 1));
    let vmemmap_end = 0u64.wrapping_sub(1 << 30);
    vmemmap_end - (linear >> 6) - (8 << 20)
}

const fn layout(va_bits: u32) -> Layout {
    // 52-bit kernels keep vmalloc in the part that 48-bit hardware can reach.
    let va_bits_min = if va_bits > 48 { 48 } else { va_bits };
    let modules = 0u64.wrapping_sub(1 << (va_bits_min - 1));
    Layout {
        task_size: 1 << va_bits,
        kernel_start: 0u64.wrapping_sub(1 << va_bits),
        vmalloc_start: modules + (2 << 30),
        vmalloc_end: vmalloc_end(va_bits, va_bits_min),
        fixaddr_top: 0u64.wrapping_sub(8 << 20),
        table_frames: 0x4100_0000,
        highmem_frames: 0,
    }
}

const fn shape<'a>(name: &'static str, va_bits: u8, pa_bits: u8, index_bits: &'a [u32]) -> Shape<'a> {
    Shape {
        name,
        page_shift: 12,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits,
        pa_bits,
        cont_ptes: 16,
        layout: layout(va_bits as u32),
    }
}

pub static ARM64_4K_39: Geometry = Geometry::new(&shape("arm64-4k-39", 39, 48, &[9, 9, 9]));
pub static ARM64_4K_48: Geometry = Geometry::new(&shape("arm64-4k-48", 48, 48, &[9, 9, 9, 9]));
/// LPA2: 52-bit addresses on both sides, output address bits 51:50 in descriptor bits 9:8.
pub static ARM64_4K_52: Geometry = Geometry::new(&shape("arm64-4k-52", 52, 52, &[9, 9, 9, 9, 4]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_agrees_with_the_recorded_kernel() {
        let l = &ARM64_4K_48.layout;
        assert_eq!(l.vmalloc_start, 0xffff_8000_8000_0000);
        assert_eq!(l.vmalloc_end, 0xffff_fdff_bf80_0000);
        assert_eq!(ARM64_4K_39.layout.vmalloc_start, 0xffff_ffc0_8000_0000);
    }
}
