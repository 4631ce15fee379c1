//! riscv: walkers may keep an entry they found invalid until SFENCE.VMA, and nobody fences for a new mapping: the CPU that
//! faults on it does.
//!
//! `arch/riscv/{mm/{pgtable,tlbflush,fault,init},include/asm/{pgtable,cacheflush},kernel/entry}.*` of 6.12. Root entries of
//! the vmalloc space exist from boot and are copied into every process's root; with 32 bits a fault copies what is missing.
//!
//! Not modelled: the SBI's way of fencing other CPUs (they are interrupted here); cache maintenance of executable pages;
//! T-Head's and SiFive's errata; how ASIDs are handed out and run out (every address space has one here).

mod pageattr;
mod user;

use std::hash::Hasher;

use super::generic::Footmarks;
use super::{Backend, Info, Naming, Registration, add_mm, alloc_root, new_root};
use crate::check::Laws;
use crate::descriptor::riscv::Riscv;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{Handler, Store, Tlbi};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::scheme::Options;
use crate::stop::{Run, Step};
use crate::walk::{SetMemory, Stale};

pub static REGISTRATION: Registration = Registration::of::<RiscvBackend>();

/// `tlb_flush_all_threshold`.
const FLUSH_ALL_THRESHOLD: u64 = 64;

/// The riscv backend.
#[derive(Clone, Debug)]
pub struct RiscvBackend {
    format: Riscv,
    /// `new_vmalloc` (`new_valid_map_cpus` in 7.x): a bit for each CPU that has yet to fence for a new mapping.
    new_map: u64,
    /// With ASIDs a CPU keeps what it has of an address space that it leaves.
    footmarks: Footmarks,
}

fn is_64bit<W: Watch>(k: &Kernel<RiscvBackend, W>) -> bool {
    k.geometry().long_bits == 64
}

fn bit<W: Watch>(k: &Kernel<RiscvBackend, W>) -> u64 {
    1 << k.cpu().0
}

fn tlbi<W: Watch>(k: &mut Kernel<RiscvBackend, W>, start: u64, end: u64, count: u64, code: Tlbi) -> Step {
    k.emit(Event { old: count, ..Event::of(Kind::TLBI).range(start, end).aux(code as u32) })
}

impl Backend for RiscvBackend {
    type Format = Riscv;
    const INFO: Info = Info {
        name: "riscv",
        about: "new kernel mappings are marked, and fenced by the CPU that faults on one",
        order: 60,
        geometries: &["riscv-sv48", "riscv-sv39", "riscv-sv57", "riscv-sv32"],
        machines: &["riscv64", "riscv32"],
        shown: &["tlbi", "ipis", "repairs"],
        // TLBI is SFENCE.VMA; a repair is a trap that fences and returns.
        weights: &[
            ("stores", 1.0),
            ("tlbi", 30.0),
            ("tlbi_all", 200.0),
            ("ipis", 1500.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("repairs", 150.0),
            ("switches", 800.0),
        ],
    };

    fn new(geometry: &Geometry, options: &Options, _cpus: usize) -> RiscvBackend {
        let wide = geometry.entry_bytes == 8;
        RiscvBackend {
            format: Riscv { wide, svpbmt: wide && options.riscv_svpbmt },
            new_map: 0,
            footmarks: Footmarks::default(),
        }
    }

    fn format(&self) -> Riscv {
        self.format
    }

    /// `pgtable_cache_init`: with 64 bits every root slot of the vmalloc space gets its table.
    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        new_root(k)?;
        if !is_64bit(k) {
            return Ok(());
        }
        let root = k.geometry().root();
        let (size, layout) = (k.geometry().size(root), k.geometry().layout);
        let mut addr = layout.vmalloc_start;
        while addr < layout.vmalloc_end {
            k.early_tables(addr, root.below());
            addr = (addr & !(size - 1)) + size;
        }
        Ok(())
    }

    /// The kernel's half is copied as it is now; nothing follows what changes later.
    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        let Some(root) = alloc_root(k)? else { return Ok(None) };
        let kernel = k.open_root(INIT_MM);
        for index in k.geometry().index(root.level, k.geometry().layout.kernel_start)..root.len() {
            root.set(index, kernel.get(index));
        }
        add_mm(k, &root, false).map(Some)
    }

    #[inline]
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        super::try_set(k, entry, word)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        k.store(entry, word, why)
    }

    fn huge_vmap<W: Watch>(k: &Kernel<Self, W>) -> bool {
        is_64bit(k)
    }

    fn huge_vmalloc<W: Watch>(k: &Kernel<Self, W>) -> bool {
        is_64bit(k)
    }

    fn vmap_supported<W: Watch>(k: &Kernel<Self, W>, level: Level) -> bool {
        match level {
            Level::Pmd => is_64bit(k),
            // pgtable_l4_enabled: under Sv39 the pud is folded.
            Level::Pud => k.geometry().levels >= 4,
            _ => false,
        }
    }

    /// 6.4 to 6.7 made 64 KiB groups; reverted, because nothing took care of them when they were unmapped.
    fn vmap_group<W: Watch>(k: &Kernel<Self, W>, max_shift: u32) -> Option<u64> {
        let size = k.geometry().cont_pte_size()?;
        let fits = max_shift >= size.trailing_zeros();
        (k.options.riscv_napot_vmap && k.options.hugetlb && fits).then_some(size)
    }

    /// The same word in every entry of the group.
    fn set_huge_ptes<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot, size: u64) -> Step {
        let page = k.geometry().page_size();
        let word = Riscv::mknapot(k.format().pte(pa, prot));
        for n in 0..(size / page) as usize {
            let at = Entry::new(entry.table, entry.index + n, entry.va + n as u64 * page, entry.mm);
            k.store(at, word, Store::Huge)?;
        }
        Ok(())
    }

    fn vmap_pte_supported_shift<W: Watch>(k: &Kernel<Self, W>, size: u64) -> u32 {
        match k.geometry().cont_pte_size() {
            Some(group) if k.options.riscv_napot_vmap && size >= group => group.trailing_zeros(),
            _ => k.geometry().page_shift,
        }
    }

    fn sets_memory<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn set_memory<W: Watch>(k: &mut Kernel<Self, W>, request: &SetMemory) -> Run<i64> {
        pageattr::set_memory(k, request)
    }

    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        let others = k.machine.cpus.len() - 1;
        if others > 0 {
            k.emit(Event::of(Kind::IPI).aux(others as u32))?;
        }
        let pages = end.wrapping_sub(start).div_ceil(k.geometry().page_size());
        if pages > FLUSH_ALL_THRESHOLD {
            tlbi(k, start, end, 1, Tlbi::SfenceAll)
        } else {
            tlbi(k, start, end, pages.max(1), Tlbi::Sfence)
        }
    }

    /// `mark_new_valid_map`: no fence, a bit for every CPU. With 32 bits nothing.
    fn flush_cache_vmap<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        if is_64bit(k) && k.geometry().in_vmalloc(start) {
            k.backend.new_map = u64::MAX;
            k.emit(Event::of(Kind::NEW_VALID_MAP).range(start, end))?;
        }
        Ok(())
    }

    fn kernel_fault_handler<W: Watch>(k: &Kernel<Self, W>, va: u64) -> Handler {
        if is_64bit(k) {
            if k.backend.new_map & bit(k) != 0 { Handler::NewValidMap } else { Handler::Nobody }
        } else if k.geometry().in_vmalloc(va) {
            Handler::VmallocFault
        } else {
            Handler::Nobody
        }
    }

    fn repair_kernel_fault<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        if is_64bit(k) {
            k.backend.new_map &= !bit(k);
            return tlbi(k, 0, 0, 1, Tlbi::SfenceAll);
        }
        vmalloc_fault(k, va)
    }

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        Laws { needs_barrier: is_64bit(k), fences: true, fault_repairs: !is_64bit(k), ..Laws::coherent(k) }
    }

    /// The CPU may load another root now, and keeps what its TLB holds of this one.
    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        let (cpu, loaded) = (k.cpu(), k.machine.cpu(k.cpu()).active_mm);
        k.backend.footmarks.leave(loaded, cpu);
        Ok(())
    }

    fn user_huge<W: Watch>(k: &Kernel<Self, W>) -> bool {
        is_64bit(k)
    }

    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, _write: bool) -> Run<bool> {
        user::set_access_flags(k, entry, word)
    }

    fn update_mmu_cache<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64, pages: u64) -> Step {
        user::update_mmu_cache(k, mm, va, pages)
    }

    fn flush_tlb_fix_spurious_fault<W: Watch>(k: &mut Kernel<Self, W>, Entry { mm, va, .. }: Entry<'_>) -> Step {
        let page = k.geometry().page_size();
        let start = va & !(page - 1);
        user::flush_tlb_range(k, mm, (start, start + page), None)
    }

    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        user::pmdp_invalidate(k, entry)
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        level: Option<Level>,
    ) -> Step {
        user::flush_tlb_range(k, mm, (start, end), level)
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush_tlb_mm(k, mm)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::tlb_flush(k, stale)
    }

    fn digest(&self, h: &mut dyn Hasher, _names: &dyn Naming) {
        h.write_u64(self.new_map);
        self.footmarks.digest(h);
    }
}

/// `vmalloc_fault` of a 32-bit kernel: the root entry is copied, whatever it is, then the page is looked for.
fn vmalloc_fault<W: Watch>(k: &mut Kernel<RiscvBackend, W>, va: u64) -> Step {
    let loaded = k.machine.cpu(k.cpu()).active_mm;
    let (kernel, root) = (k.open_root(INIT_MM), k.open_root(loaded));
    let index = k.geometry().index(root.level, va);
    let reference = k.look(Entry::new(kernel.view(), index, va, INIT_MM));
    k.set_entry(Entry::new(root.view(), index, va, loaded), reference, Store::Sync)?;
    if !k.format().present(Level::Pmd, reference) || k.format().leaf(Level::Pmd, reference) {
        return Ok(());
    }
    let table = k.open_below(Entry::new(kernel.view(), index, va, INIT_MM))?;
    let index = k.geometry().index(Level::Pte, va);
    let pte = k.look(Entry::new(table.view(), index, va, INIT_MM));
    if k.format().present(Level::Pte, pte) { tlbi(k, 0, 0, 1, Tlbi::Sfence) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::digest_of;

    const FORMAT: Riscv = Riscv { wide: true, svpbmt: false };

    #[test]
    fn who_has_yet_to_fence_is_part_of_a_state() {
        let with = |new_map| digest_of(&RiscvBackend { format: FORMAT, new_map, footmarks: Footmarks::default() });
        assert_ne!(with(0), with(1));
        assert_ne!(with(2), with(1));
        let ran = |cpu| {
            let mut footmarks = Footmarks::default();
            footmarks.leave(MmId(1), crate::machine::CpuId(cpu));
            digest_of(&RiscvBackend { format: FORMAT, new_map: 0, footmarks })
        };
        assert_ne!(ran(0), ran(1));
    }
}
