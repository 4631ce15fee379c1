//! x86 geometries: four and five levels on 64 bits, PAE and two levels on 32 bits.

use super::{Geometries, Geometry, Layout, Shape};

pub static GEOMETRIES: Geometries =
    Geometries { order: 10, all: &[&X86_64_4LEVEL, &X86_64_5LEVEL, &X86_32_PAE, &X86_32_2LEVEL] };

const TABLES_64: u64 = 0x0100_0000;

/// 48-bit virtual addresses; `vmalloc_start` without KASLR.
pub static X86_64_4LEVEL: Geometry = Geometry::new(&Shape {
    name: "x86-64-4level",
    page_shift: 12,
    index_bits: &[9, 9, 9, 9],
    entry_bytes: 8,
    long_bits: 64,
    va_bits: 48,
    pa_bits: 52,
    cont_ptes: 0,
    cont_pmds: 0,
    layout: Layout {
        task_size: 0x0000_7fff_ffff_f000,
        kernel_start: 0xffff_8000_0000_0000,
        vmalloc_start: 0xffff_c900_0000_0000,
        vmalloc_end: 0xffff_e900_0000_0000,
        fixaddr_top: 0,
        table_frames: TABLES_64,
        highmem_frames: 0,
    },
});

/// 57-bit virtual addresses (LA57); 12800 TiB of vmalloc space.
pub static X86_64_5LEVEL: Geometry = Geometry::new(&Shape {
    name: "x86-64-5level",
    page_shift: 12,
    index_bits: &[9, 9, 9, 9, 9],
    entry_bytes: 8,
    long_bits: 64,
    va_bits: 57,
    pa_bits: 52,
    cont_ptes: 0,
    cont_pmds: 0,
    layout: Layout {
        task_size: 0x00ff_ffff_ffff_f000,
        kernel_start: 0xff00_0000_0000_0000,
        vmalloc_start: 0xffa0_0000_0000_0000,
        vmalloc_end: 0xffd2_0000_0000_0000,
        fixaddr_top: 0,
        table_frames: TABLES_64,
        highmem_frames: 0,
    },
});

/// The 32-bit split of a machine with highmem, 240 MiB of vmalloc space, aligned for both geometries.
const LAYOUT_32: Layout = Layout {
    task_size: 0xc000_0000,
    kernel_start: 0xc000_0000,
    vmalloc_start: 0xf000_0000,
    vmalloc_end: 0xff00_0000,
    fixaddr_top: 0xffff_f000,
    table_frames: 0x0100_0000,
    highmem_frames: 0x4000_0000,
};

/// 64-bit entries, a four-entry root.
pub static X86_32_PAE: Geometry = Geometry::new(&Shape {
    name: "x86-32-pae",
    page_shift: 12,
    index_bits: &[9, 9, 2],
    entry_bytes: 8,
    long_bits: 32,
    va_bits: 32,
    pa_bits: 52,
    cont_ptes: 0,
    cont_pmds: 0,
    layout: LAYOUT_32,
});

/// 32-bit entries, two tables of 1024.
pub static X86_32_2LEVEL: Geometry = Geometry::new(&Shape {
    name: "x86-32-2level",
    page_shift: 12,
    index_bits: &[10, 10],
    entry_bytes: 4,
    long_bits: 32,
    va_bits: 32,
    pa_bits: 32,
    cont_ptes: 0,
    cont_pmds: 0,
    layout: LAYOUT_32,
});
