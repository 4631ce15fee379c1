//! Crates that also change page tables.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use aarch64_paging::descriptor::El1Attributes;
use aarch64_paging::linearmap::LinearMap;
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, VaRange};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::ours::FRAMES;
use crate::{PAGE, PAGES, Pass, Subject, addresses, per};

/// Where the range of pages lies, as in the model.
const START: u64 = 0xffff_c900_0000_0000;

/// `x86_64`'s `OffsetPageTable` over memory that holds tables only.
///
/// It maps page by page, each time from the root: that is its interface. It checks that a page is not mapped yet and
/// sets flags of parents, as we do; it has no events, no hooks, no other address spaces. TLB flushes are ignored.
pub struct X86_64;

struct Pool {
    base: u64,
    next: u64,
    end: u64,
}

// SAFETY: every frame is handed out once, and lies in the block that the table's offset points to.
unsafe impl FrameAllocator<Size4KiB> for Pool {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let at = self.next;
        self.next += PAGE;
        (at < self.end).then(|| PhysFrame::containing_address(PhysAddr::new(at - self.base)))
    }
}

fn page(n: u64) -> Page<Size4KiB> {
    Page::containing_address(VirtAddr::new(START + n * PAGE))
}

impl Subject for X86_64 {
    fn name(&self) -> &str {
        "x86_64 OffsetPageTable"
    }

    fn pass(&mut self) -> Pass {
        let size = PAGE * (PAGES / 512 + 16);
        let layout = Layout::from_size_align(size as usize, PAGE as usize).expect("a layout");
        // SAFETY: the layout is not empty; zeroed memory is an empty page table, and outlives the mapper below.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null());
        let base = memory as u64;
        let mut pool = Pool { base, next: base + PAGE, end: base + size };
        // SAFETY: as above; the offset is that of the block.
        let mut mapper = unsafe { OffsetPageTable::new(&mut *memory.cast::<PageTable>(), VirtAddr::new(base)) };
        let flags = PageTableFlags::PRESENT | PageTableFlags::NO_EXECUTE;
        let mut pass = Vec::new();
        let map = || {
            for n in 0..PAGES {
                let frame = PhysFrame::containing_address(PhysAddr::new(FRAMES + n * PAGE));
                // SAFETY: no CPU uses these tables.
                unsafe { mapper.map_to(page(n), frame, flags | PageTableFlags::WRITABLE, &mut pool) }
                    .expect("mapped")
                    .ignore();
            }
        };
        pass.push(("map", per(PAGES, map).0));
        let protect = || {
            for n in 0..PAGES {
                // SAFETY: as above.
                unsafe { mapper.update_flags(page(n), flags) }.expect("mapped").ignore();
            }
        };
        pass.push(("protect", per(PAGES, protect).0));
        for (phase, random) in [("translate sequential", false), ("translate random", true)] {
            let vas = addresses(START, PAGE, PAGES, random);
            let all = || {
                vas.iter().filter_map(|va| mapper.translate_addr(VirtAddr::new(*va))).fold(0, |s, pa| s ^ pa.as_u64())
            };
            pass.push((phase, per(PAGES, all).0));
        }
        let unmap = || {
            for n in 0..PAGES {
                mapper.unmap(page(n)).expect("mapped").1.ignore();
            }
        };
        pass.push(("unmap", per(PAGES, unmap).0));
        // SAFETY: allocated above with this layout; the mapper is not used any more.
        unsafe { dealloc(memory, layout) };
        pass
    }
}

/// `aarch64-paging`'s `LinearMap`, whole ranges in one call, without blocks and contiguous hints.
///
/// It writes descriptors and nothing else: no events, no hooks; the map is never activated, so that it owes no TLB
/// maintenance. It has no unmapping: flags are cleared in each descriptor, which leaves the address bits.
pub struct Aarch64Paging;

impl Subject for Aarch64Paging {
    fn name(&self) -> &str {
        "aarch64-paging LinearMap"
    }

    fn pass(&mut self) -> Pass {
        let mut map = LinearMap::with_asid(1, 0, 0, El1And0, VaRange::Lower);
        let start = 0x40_0000_0000;
        let range = MemoryRegion::new(start, start + (PAGES * PAGE) as usize);
        let pages = Constraints::NO_BLOCK_MAPPINGS | Constraints::NO_CONTIGUOUS_HINT;
        let attributes = El1Attributes::VALID
            | El1Attributes::ATTRIBUTE_INDEX_0
            | El1Attributes::ACCESSED
            | El1Attributes::NON_GLOBAL
            | El1Attributes::PXN
            | El1Attributes::UXN;
        let mut pass = Vec::new();
        pass.push(("map", per(PAGES, || map.map_range_with_constraints(&range, attributes, pages).expect("mapped")).0));
        let protect = |_: &MemoryRegion, d: &mut aarch64_paging::descriptor::UpdatableDescriptor<'_, El1Attributes>| {
            if d.level() == 3 {
                let _ = d.modify_flags(El1Attributes::READ_ONLY, El1Attributes::empty());
            }
            Ok(())
        };
        pass.push(("protect", per(PAGES, || map.modify_range(&range, &protect).expect("modified")).0));
        let mut valid = 0u64;
        let walk = || {
            map.walk_range(&range, &mut |_, d, _| {
                valid += u64::from(d.is_valid());
                Ok(())
            })
        };
        per(PAGES, walk).1.expect("walked");
        let clear = |_: &MemoryRegion, d: &mut aarch64_paging::descriptor::UpdatableDescriptor<'_, El1Attributes>| {
            if d.level() == 3 {
                let _ = d.modify_flags(El1Attributes::empty(), El1Attributes::all());
            }
            Ok(())
        };
        pass.push(("unmap", per(PAGES, || map.modify_range(&range, &clear).expect("modified")).0));
        assert_eq!(valid, PAGES);
        pass
    }
}
