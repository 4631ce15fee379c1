//! arm64 geometries with 4, 16 and 64 KiB pages. The table of TTBR1 (kernel) and of TTBR0 (user) have the same shape.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries = Geometries {
    order: 20,
    all: &[
        &ARM64_4K_39,
        &ARM64_4K_48,
        &ARM64_4K_52,
        &ARM64_4K_52_ON_48,
        &ARM64_16K_36,
        &ARM64_16K_47,
        &ARM64_16K_48,
        &ARM64_16K_52,
        &ARM64_16K_52_ON_47,
        &ARM64_64K_42,
        &ARM64_64K_48,
        &ARM64_64K_52,
    ],
};

/// `VA_BITS_MIN`: 52-bit kernels keep vmalloc in the part that hardware without the extension can reach.
const fn va_bits_min(page_shift: u32, va_bits: u32) -> u32 {
    match (va_bits > 48, page_shift) {
        (true, 14) => 47,
        (true, _) => 48,
        (false, _) => va_bits,
    }
}

/// Addresses of 6.12 for a linear map that starts at `-1 << va_bits` (`arch/arm64/include/asm/memory.h`): the kernel's half
/// begins with the linear map, modules and vmalloc follow at its middle; 1 GiB below the top end the struct pages, which
/// take 64 bytes a page of the linear map, and 8 MiB are left free.
const fn layout(page_shift: u32, va_bits: u32) -> Layout {
    let min = va_bits_min(page_shift, va_bits);
    let modules = 0u64.wrapping_sub(1 << (min - 1));
    let linear = (1u64 << va_bits) - (1 << (min - 1));
    let vmemmap_end = 0u64.wrapping_sub(1 << 30);
    Layout {
        task_size: 1 << va_bits,
        kernel_start: 0u64.wrapping_sub(1 << va_bits),
        vmalloc_start: modules + (2 << 30),
        vmalloc_end: vmemmap_end - (linear >> (page_shift - 6)) - (8 << 20),
        fixaddr_top: 0u64.wrapping_sub(8 << 20),
        table_frames: 0x4100_0000,
        highmem_frames: 0,
    }
}

/// Pages of a contiguous group at pte and at pmd level, by page size.
const fn groups(page_shift: u32) -> (u32, u32) {
    match page_shift {
        12 => (16, 16),
        14 => (128, 32),
        _ => (32, 32),
    }
}

const fn shape<'a>(name: &'static str, page_shift: u32, va_bits: u8, pa_bits: u8, index_bits: &'a [u32]) -> Shape<'a> {
    let (cont_ptes, cont_pmds) = groups(page_shift);
    Shape {
        name,
        page_shift,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits,
        pa_bits,
        cont_ptes,
        cont_pmds,
        layout: layout(page_shift, va_bits as u32),
    }
}

pub static ARM64_4K_39: Geometry = Geometry::new(&shape("arm64-4k-39", 12, 39, 48, &[9, 9, 9]));
pub static ARM64_4K_48: Geometry = Geometry::new(&shape("arm64-4k-48", 12, 48, 48, &[9, 9, 9, 9]));
/// LPA2: 52-bit addresses on both sides, output address bits 51:50 in descriptor bits 9:8.
pub static ARM64_4K_52: Geometry = Geometry::new(&shape("arm64-4k-52", 12, 52, 52, &[9, 9, 9, 9, 4]));

pub static ARM64_16K_36: Geometry = Geometry::new(&shape("arm64-16k-36", 14, 36, 48, &[11, 11]));
pub static ARM64_16K_47: Geometry = Geometry::new(&shape("arm64-16k-47", 14, 47, 48, &[11, 11, 11]));
/// A root of two entries.
pub static ARM64_16K_48: Geometry = Geometry::new(&shape("arm64-16k-48", 14, 48, 48, &[11, 11, 11, 1]));
/// LPA2.
pub static ARM64_16K_52: Geometry = Geometry::new(&shape("arm64-16k-52", 14, 52, 52, &[11, 11, 11, 5]));

/// Kernels built for 52 bits on hardware without LPA2 fold a level at run time. `PGDIR_SHIFT` is a constant: loops over the
/// root step as if that level were there. vmalloc reaches as far as in a kernel for those bits (`VMEMMAP_UNUSED_NPAGES`).
const fn folded(shape: &Shape<'_>, slot_shift: u32) -> Geometry {
    Geometry { slot_shift, ..Geometry::new(shape) }
}

pub static ARM64_4K_52_ON_48: Geometry = folded(&shape("arm64-4k-52-on-48", 12, 48, 48, &[9, 9, 9, 9]), 48);
pub static ARM64_16K_52_ON_47: Geometry = folded(&shape("arm64-16k-52-on-47", 14, 47, 48, &[11, 11, 11]), 47);

pub static ARM64_64K_42: Geometry = Geometry::new(&shape("arm64-64k-42", 16, 42, 48, &[13, 13]));
pub static ARM64_64K_48: Geometry = Geometry::new(&shape("arm64-64k-48", 16, 48, 48, &[13, 13, 6]));
/// FEAT_LVA and FEAT_LPA: output address bits 51:48 in descriptor bits 15:12.
pub static ARM64_64K_52: Geometry = Geometry::new(&shape("arm64-64k-52", 16, 52, 52, &[13, 13, 10]));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level;

    #[test]
    fn layouts_agree_with_recorded_kernels() {
        let l = &ARM64_4K_48.layout;
        assert_eq!(l.vmalloc_start, 0xffff_8000_8000_0000);
        assert_eq!(l.vmalloc_end, 0xffff_fdff_bf80_0000);
        assert_eq!(ARM64_4K_39.layout.vmalloc_start, 0xffff_ffc0_8000_0000);
        assert_eq!(ARM64_4K_52_ON_48.layout.vmalloc_end, 0xffff_fdff_bf80_0000);
        assert_eq!(ARM64_4K_52.layout.vmalloc_end, 0xffff_c1ff_bf80_0000);
        let l = &ARM64_64K_48.layout;
        assert_eq!((l.vmalloc_start, l.vmalloc_end), (0xffff_8000_8000_0000, 0xffff_ffdf_bf80_0000));
    }

    #[test]
    fn levels_follow_the_formulas() {
        for g in GEOMETRIES.all {
            let bits = g.page_shift - 3;
            assert_eq!(u32::from(g.levels), (u32::from(g.va_bits) - 4) / bits, "{}", g.name);
            let root = g.root();
            assert_eq!(g.shift(root), bits * u32::from(g.levels) + 3, "{}", g.name);
            assert_eq!(g.entries(root), 1 << (u32::from(g.va_bits) - g.shift(root)), "{}", g.name);
            assert_eq!(g.entries(Level::Pte), 1 << bits, "{}", g.name);
        }
    }
}
