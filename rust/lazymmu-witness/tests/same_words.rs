//! `x86_64` and `aarch64-paging` build the mappings that the walkers build: the words of their tables are the same, up to
//! the differences that are named here.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use aarch64_paging::descriptor::El1Attributes;
use aarch64_paging::linearmap::LinearMap;
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, VaRange};
use lazymmu::geometry::Level;
use lazymmu::machine::MmId;
use lazymmu::run::{Mode, Spec, boot};
use lazymmu::scenario::Program;
use x86_64::structures::paging::mapper::{MappedFrame, TranslateResult};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size2MiB, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

const FRAMES: u64 = 0x4000_0000;

/// Ranges: where from the start of the vmalloc space, how many bytes, and the protection.
const RANGES: [(u64, u64, &str); 7] = [
    (0, 0x1000, "PAGE_KERNEL"),
    (0x1f_d000, 0x8000, "PAGE_KERNEL"),
    (0x40_0000, 0x60_0000, "PAGE_KERNEL"),
    (0x3fff_f000, 0x2000, "PAGE_KERNEL_RO"),
    (0x8000_0000, 0x20_1000, "PAGE_KERNEL_RO"),
    (0x7f_ffff_f000, 0x2000, "PAGE_KERNEL"),
    (0x100_0000_0000, 0x3000, "PAGE_KERNEL_RO"),
];

/// The words that our walkers leave, by level and address; links lose the address of the table.
fn ours(backend: &str, geometry: &str) -> Vec<(Level, u64, u64)> {
    let base = lazymmu::geometry::by_name(geometry).expect("a geometry").layout.vmalloc_start;
    let ops: Vec<_> = RANGES
        .iter()
        .map(|(at, size, prot)| {
            let (va, pa) = (base + at, FRAMES + at);
            serde_json::json!({"op": {"vmap_page_range": {"va": va, "size": size, "pa": pa, "prot": prot}}})
        })
        .collect();
    let program: Program = serde_json::from_value(serde_json::json!({"ops": ops})).expect("a program");
    let spec = Spec { backend, geometry: Some(geometry), scheme: "v7.0", ..Spec::default() };
    let mut runner = boot(&spec, &program.setup(), Mode::Quiet).expect("a machine");
    runner.run(&program.ops, &[], &mut || true).expect("a run");
    let machine = runner.machine();
    let g = &machine.geometry;
    let mut out = Vec::new();
    for (at, size, _) in RANGES {
        for va in (base + at..base + at + size).step_by(0x1000) {
            let mut table = machine.root(MmId(0));
            loop {
                let level = machine.memory.level(table);
                let word = machine.memory.word(table, g.index(level, va));
                let below = machine.memory.at(word & 0xffff_ffff_f000);
                let leaf = level == Level::Pte || runner.format().leaf(level, word);
                out.push((level, va & !(g.size(level) - 1), if leaf { word } else { word & !0xffff_ffff_f000 }));
                match below {
                    Some(next) if !leaf => table = next,
                    _ => break,
                }
            }
        }
    }
    out.dedup();
    out
}

/// Memory for tables that `OffsetPageTable` reaches by an offset.
struct Arena {
    base: *mut u8,
    layout: Layout,
    next: u64,
}

impl Arena {
    fn new(pages: usize) -> Arena {
        let layout = Layout::from_size_align(pages * 4096, 4096).expect("a layout");
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        assert!(!base.is_null());
        Arena { base, layout, next: 4096 }
    }

    fn word(&self, table: u64, index: usize) -> u64 {
        assert!(table + 4096 <= self.layout.size() as u64);
        // SAFETY: tables lie in the arena, and an index is below 512.
        unsafe { self.base.add(table as usize).cast::<u64>().add(index).read() }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: this is the allocation of `new`.
        unsafe { dealloc(self.base, self.layout) }
    }
}

// SAFETY: every frame is handed out once and lies in the arena.
unsafe impl FrameAllocator<Size4KiB> for Arena {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let at = self.next;
        self.next += 4096;
        (self.next <= self.layout.size() as u64).then(|| PhysFrame::containing_address(PhysAddr::new(at)))
    }
}

#[test]
fn x86_64_crate() {
    let base = lazymmu::geometry::by_name("x86-64-4level").expect("a geometry").layout.vmalloc_start;
    let mut arena = Arena::new(64);
    let start = arena.base as u64;
    // SAFETY: the first page of the arena is zero, an empty root; no CPU uses it.
    let mut mapper = unsafe { OffsetPageTable::new(&mut *arena.base.cast::<PageTable>(), VirtAddr::new(start)) };
    use PageTableFlags as F;
    // Linux sets A and D in everything, and U in links of kernel tables too; the crate leaves that to its user.
    let link = F::PRESENT | F::WRITABLE | F::USER_ACCESSIBLE | F::ACCESSED | F::DIRTY;
    for (at, size, prot) in RANGES {
        let mut flags = F::PRESENT | F::ACCESSED | F::GLOBAL | F::NO_EXECUTE;
        if prot == "PAGE_KERNEL" {
            flags |= F::WRITABLE | F::DIRTY;
        }
        let mut done = 0;
        while done < size {
            let (va, pa) = (VirtAddr::new(base + at + done), PhysAddr::new(FRAMES + at + done));
            let large = (at + done) % 0x20_0000 == 0 && size - done >= 0x20_0000;
            // SAFETY: no CPU uses these tables.
            unsafe {
                if large {
                    let (page, frame) = (Page::<Size2MiB>::containing_address(va), PhysFrame::containing_address(pa));
                    mapper.map_to_with_table_flags(page, frame, flags, link, &mut arena).expect("mapped").ignore();
                } else {
                    let (page, frame) = (Page::<Size4KiB>::containing_address(va), PhysFrame::containing_address(pa));
                    mapper.map_to_with_table_flags(page, frame, flags, link, &mut arena).expect("mapped").ignore();
                }
            }
            done += if large { 0x20_0000 } else { 0x1000 };
        }
    }
    let (mut same, mut leaves) = (0, 0);
    for (level, va, word) in ours("x86-64", "x86-64-4level") {
        let mut table = 0;
        let mut theirs = 0;
        for n in (level.number()..=4).rev() {
            theirs = arena.word(table, (va >> (12 + 9 * (n - 1))) as usize & 511);
            table = theirs & 0xf_ffff_ffff_f000;
        }
        let is_leaf = level == Level::Pte || theirs & 0x80 != 0;
        assert_eq!(if is_leaf { theirs } else { theirs & !0xf_ffff_ffff_f000 }, word, "{} of {va:#x}", level.name());
        if is_leaf {
            leaves += 1;
            let TranslateResult::Mapped { frame, .. } = mapper.translate(VirtAddr::new(va)) else {
                unreachable!("{va:#x}")
            };
            assert_eq!(matches!(frame, MappedFrame::Size2MiB(_)), level == Level::Pmd);
        }
        same += 1;
    }
    assert!(same > 40 && leaves > 20, "{same} words, {leaves} leaves");
}

#[test]
fn aarch64_paging_crate() {
    let base = lazymmu::geometry::by_name("arm64-4k-48").expect("a geometry").layout.vmalloc_start;
    type A = El1Attributes;
    let offset = FRAMES.wrapping_sub(base) as isize;
    let mut map = LinearMap::with_asid(0, 0, offset, El1And0, VaRange::Upper);
    for (at, size, prot) in RANGES {
        // The software bits are Linux's: DBM is its write permission, bit 55 its dirty bit.
        let mut flags = A::VALID | A::TABLE_OR_PAGE | A::ATTRIBUTE_INDEX_0 | A::INNER_SHAREABLE | A::ACCESSED;
        flags |= A::PXN | A::UXN | A::SWFLAG_0;
        flags |= if prot == "PAGE_KERNEL" { A::DBM } else { A::READ_ONLY };
        let region = MemoryRegion::new((base + at) as usize, (base + at + size) as usize);
        // Contiguous entries are asked for by us where the range allows, by the crate never.
        map.map_range_with_constraints(&region, flags - A::TABLE_OR_PAGE, Constraints::empty()).expect("mapped");
    }
    let mut theirs = std::collections::BTreeMap::new();
    for (at, size, _) in RANGES {
        let region = MemoryRegion::new((base + at) as usize, (base + at + size) as usize);
        map.walk_range(&region, &mut |part, descriptor, level| {
            let at = part.start().0 as u64 & !((0x1000 << (9 * (3 - level))) - 1);
            theirs.insert((level, at), (descriptor.output_address().0 | descriptor.flags().bits()) as u64);
            Ok(())
        })
        .expect("walked");
    }
    let contiguous = 1 << 52;
    let mut leaves = 0;
    for (level, va, word) in ours("arm64", "arm64-4k-48") {
        let Some(found) = theirs.get(&(4 - usize::from(level.number()), va)) else { continue };
        leaves += 1;
        assert_eq!(*found, word & !contiguous, "{} of {va:#x}: {found:#x}, ours {word:#x}", level.name());
    }
    let pages: u64 = RANGES.iter().map(|(_, size, _)| size / 0x1000).sum();
    assert!(leaves >= 20 && leaves as u64 <= pages, "{leaves} leaves");
}
