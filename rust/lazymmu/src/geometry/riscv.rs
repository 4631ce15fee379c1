//! riscv geometries. One 64-bit kernel runs with Sv39, Sv48 or Sv57, whatever the CPU has: the levels above are folded at
//! run time, which leaves the same tables as if they were folded for good.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries =
    Geometries { order: 40, all: &[&RISCV_SV32, &RISCV_SV39, &RISCV_SV48, &RISCV_SV57] };

/// `arch/riscv/include/asm/{page,pgtable}.h` of 6.12: the kernel's half begins in the middle of the root; below the linear
/// map lies the vmalloc space, an eighth of the whole.
const fn layout(va_bits: u32, page_offset: u64) -> Layout {
    Layout {
        task_size: 1 << (va_bits - 1),
        kernel_start: 0u64.wrapping_sub(1 << (va_bits - 1)),
        vmalloc_start: page_offset - (1 << (va_bits - 3)),
        vmalloc_end: page_offset,
        fixaddr_top: 0,
        table_frames: 0x8100_0000,
        highmem_frames: 0,
    }
}

const fn shape<'a>(name: &'static str, va_bits: u8, index_bits: &'a [u32], page_offset: u64) -> Shape<'a> {
    Shape {
        name,
        page_shift: 12,
        index_bits,
        entry_bytes: 8,
        long_bits: 64,
        va_bits,
        pa_bits: 56,
        // Svnapot: 64 KiB is the one size that the standard has.
        cont_ptes: 16,
        cont_pmds: 0,
        layout: layout(va_bits as u32, page_offset),
    }
}

/// 4-byte entries, 34-bit physical addresses; no Svpbmt, no Svnapot.
pub static RISCV_SV32: Geometry = Geometry::new(&Shape {
    name: "riscv-sv32",
    page_shift: 12,
    index_bits: &[10, 10],
    entry_bytes: 4,
    long_bits: 32,
    va_bits: 32,
    pa_bits: 34,
    cont_ptes: 0,
    cont_pmds: 0,
    // The linear map from 3 GiB; vmalloc, struct pages, PCI I/O and the fixmap below it.
    layout: Layout {
        task_size: 0x9c80_0000,
        kernel_start: 0x9c80_0000,
        vmalloc_start: 0xa000_0000,
        vmalloc_end: 0xc000_0000,
        fixaddr_top: 0,
        table_frames: 0x8100_0000,
        highmem_frames: 0,
    },
});
pub static RISCV_SV39: Geometry = Geometry::new(&shape("riscv-sv39", 39, &[9, 9, 9], 0xffff_ffd6_0000_0000));
pub static RISCV_SV48: Geometry = Geometry::new(&shape("riscv-sv48", 48, &[9, 9, 9, 9], 0xffff_af80_0000_0000));
pub static RISCV_SV57: Geometry = Geometry::new(&shape("riscv-sv57", 57, &[9, 9, 9, 9, 9], 0xff60_0000_0000_0000));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_agrees_with_the_recorded_kernel() {
        let l = &RISCV_SV48.layout;
        assert_eq!((l.task_size, l.vmalloc_start), (0x8000_0000_0000, 0xffff_8f80_0000_0000));
        assert_eq!(RISCV_SV39.layout.vmalloc_start, 0xffff_ffc6_0000_0000);
    }
}
