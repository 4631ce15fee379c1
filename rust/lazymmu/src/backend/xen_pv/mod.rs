//! A Xen PV guest: stores to page tables are hypercalls, queued while lazy MMU mode is on.
//!
//! `arch/x86/xen/{mmu_pv,multicalls,enlighten_pv}.c` of 6.12 and 7.3. With x86-32 PAE this is the historical 32-bit
//! guest, which 5.9 removed; what later schemes would have made of it is conjecture.
//!
//! Not modelled: pinning of whole address spaces, grant tables, balloon, the hypervisor refusing an update.

mod hypercall;
mod multicall;
mod user;

use std::hash::{Hash, Hasher};

use hypercall::{batching, cpu, emulate, enqueue, flush, issue, queue_update, task_counts};
use multicall::{Queue, Queued};
use rustc_hash::FxHashMap;

use super::{Backend, Info, Naming, Registration, generic, x86, x86_32, x86_64};
use crate::check::Laws;
use crate::descriptor::x86::{GLOBAL, NX, PCD, PRESENT, PWT, USER, Width, X86};
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, FlushReason, Handler, Hypercall, Store};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::{INIT_MM, MmId, TaskId};
use crate::modmask::ModMask;
use crate::scheme::{LazyApi, Options, XenLazy};
use crate::stop::{Run, Step};
use crate::walk::Stale;

pub static REGISTRATION: Registration = Registration::of::<XenPv>();

/// The hypervisor's mark on a kernel leaf of a 64-bit guest, which runs in ring 3 and therefore needs U.
const GUEST_KERNEL: u64 = 1 << 52;

/// A CPU's lazy mode (`xen_lazy_mode` and its nesting counter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Lazy {
    mmu: bool,
    nesting: u32,
}

/// The Xen PV backend.
#[derive(Clone, Debug)]
pub struct XenPv {
    format: X86,
    lazy: Vec<Lazy>,
    queues: Vec<Queue>,
    /// Machine frames of guest frames that differ from them (the p2m), and back.
    p2m: FxHashMap<u64, u64>,
    m2p: FxHashMap<u64, u64>,
    /// First address behind the guest's memory: what lies above is not RAM.
    ram_end: u64,
}

impl XenPv {
    fn to_machine(&self, guest: u64) -> u64 {
        self.p2m.get(&guest).copied().unwrap_or(guest)
    }

    fn to_guest(&self, machine: u64) -> u64 {
        self.m2p.get(&machine).copied().unwrap_or(machine)
    }

    /// What the hypervisor really writes for a leaf of a 64-bit guest (recorded on Xen 4.17).
    fn adjust_leaf(&self, word: u64) -> u64 {
        if self.format.width != Width::Long || word & PRESENT == 0 {
            return word;
        }
        let mut word = word;
        if word & USER == 0 {
            word |= USER | GUEST_KERNEL;
        } else if word & GUEST_KERNEL == 0 {
            // User pages are global: the guest's kernel runs on them too.
            word |= GLOBAL;
        }
        let pa = self.format.address(Level::Pte, word);
        let cached = word & (PCD | PWT | crate::descriptor::x86::PAT) == 0;
        if pa >= self.ram_end && cached {
            word |= PCD | PWT;
        }
        word
    }
}

impl XenPv {
    /// The word with the guest's own frame.
    fn guest_word(&self, word: u64) -> u64 {
        if word & PRESENT == 0 {
            return word;
        }
        let machine = self.format.address(Level::Pte, word & !GUEST_KERNEL);
        word ^ machine ^ self.to_guest(machine)
    }

    /// The leaf word as the guest hands it over: guest frame to machine frame, then the hypervisor's adjustments.
    fn leaf_word(&self, word: u64) -> u64 {
        if word & PRESENT == 0 {
            return word;
        }
        let guest = self.format.address(Level::Pte, word);
        let machine = self.to_machine(guest);
        self.adjust_leaf(self.format.pte(machine, word & !self.format.pte(guest, 0)))
    }
}

impl Backend for XenPv {
    type Format = X86;
    const INFO: Info = Info {
        name: "xen-pv",
        about: "stores to tables are hypercalls, queued in lazy sections",
        order: 40,
        geometries: &["x86-64-4level", "x86-32-pae"],
        machines: &["x86_64"],
        shown: &["hypercalls", "traps", "tlbi", "syncs"],
        // A store is validated and done by the hypervisor; a trap is decoded and emulated.
        weights: &[
            ("stores", 5.0),
            ("queued", 3.0),
            ("hypercalls", 250.0),
            ("traps", 1500.0),
            ("tlbi", 120.0),
            ("tlbi_all", 400.0),
            ("ipis", 1200.0),
            ("syncs", 20.0),
            ("synced", 15.0),
            ("copied", 10.0),
            ("allocs", 400.0),
            ("frees", 150.0),
            ("kmaps", 40.0),
            ("repairs", 1500.0),
            ("switches", 1000.0),
        ],
    };

    fn new(geometry: &Geometry, options: &Options, cpus: usize) -> XenPv {
        XenPv {
            // The hypervisor keeps PGE to itself.
            format: X86 { global: false, ..x86::format(geometry, options) },
            lazy: vec![Lazy::default(); cpus.max(1)],
            queues: vec![Queue::default(); cpus.max(1)],
            p2m: FxHashMap::default(),
            m2p: FxHashMap::default(),
            ram_end: u64::MAX,
        }
    }

    fn map_frame(&mut self, guest: u64, machine: u64) {
        if let Some(old) = self.p2m.insert(guest, machine) {
            self.m2p.remove(&old);
        }
        self.m2p.insert(machine, guest);
    }

    fn set_ram_end(&mut self, end: u64) {
        self.ram_end = end;
    }

    fn format(&self) -> X86 {
        self.format
    }

    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if k.geometry().long_bits == 64 { x86_64::boot(k, false) } else { x86_32::boot(k, false) }
    }

    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>> {
        if k.geometry().long_bits == 64 { x86_64::pgd_alloc(k, false) } else { x86_32::pgd_alloc(k, false) }
    }

    #[inline]
    fn read<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let word = entry.word();
        if W::WATCHES
            && let Some(queued) = k.backend.queues[cpu(k)].pending(entry.table.id, entry.index)
            && queued != word
        {
            let event = k.about(Kind::STALE_READ, &entry).change(word, queued);
            k.emit(event)?;
        }
        Ok(word)
    }

    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        let word = k.backend.leaf_word(word);
        if batching(k) {
            return queue_update(k, entry, word, why, false);
        }
        k.emit(Event::of(Kind::HYPERCALL).change(1, 1).aux(Hypercall::MmuUpdate as u32))?;
        k.store(entry, word, why)
    }

    /// `set_pte(0)`: queued like any other.
    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        Self::set_pte(k, entry, 0, Store::Clear)
    }

    /// Not paravirtualised: an exchange that is trapped and emulated.
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        k.read(entry)?;
        emulate(k, entry, Store::GetAndClear, |_| Some(0))
    }

    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
        let old = k.read(entry)?;
        if !k.format().none(Level::Pte, old) {
            return Ok(false);
        }
        let word = k.backend.leaf_word(word);
        let format = k.format();
        let empty = |old| format.none(Level::Pte, old);
        emulate(k, entry, Store::TrySet, |old| empty(old).then_some(word)).map(empty)
    }

    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step {
        queue_update(k, entry, word, why, false)?;
        issue(k)
    }

    fn table_pa<W: Watch>(k: &Kernel<Self, W>, level: Level, word: u64) -> u64 {
        k.backend.to_guest(k.format().address(level, word))
    }

    fn table_word<W: Watch>(k: &Kernel<Self, W>, level: Level, pa: u64, init_mm: bool) -> u64 {
        k.format().table(level, k.backend.to_machine(pa), init_mm)
    }

    fn leaf_pa<W: Watch>(k: &Kernel<Self, W>, level: Level, word: u64) -> u64 {
        k.backend.to_guest(k.format().address(level, word & !GUEST_KERNEL))
    }

    /// `xen_alloc_ptpage`: the page becomes read-only, and a leaf table is pinned.
    fn table_linked<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _pa: u64) -> Step {
        enqueue(k, Queued::Protect)?;
        if entry.level() == Level::Pmd {
            enqueue(k, Queued::Pin)?;
        }
        issue(k)
    }

    fn vmap_supported<W: Watch>(_k: &Kernel<Self, W>, _level: Level) -> bool {
        // A PV guest has neither PSE nor 1 GiB pages.
        false
    }

    fn huge_vmap<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn huge_vmalloc<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.geometry().long_bits == 64
    }

    fn sync_mask<W: Watch>(k: &Kernel<Self, W>) -> ModMask {
        match k.geometry().long_bits {
            64 if k.options.x86_64_sync => x86_64::sync_mask(k.geometry()),
            64 => ModMask::NONE,
            _ => x86_32::sync_mask(k.geometry(), &k.options),
        }
    }

    fn sync_kernel_mappings<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Run<u64> {
        if k.geometry().long_bits == 64 { x86::sync_global_pgds(k, start, end) } else { x86::sync_pmds(k, start) }
    }

    fn has_lazy_mode<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }

    fn lazy_state<W: Watch>(k: &Kernel<Self, W>) -> u64 {
        if task_counts(k) { 0 } else { depth(k.backend.lazy[cpu(k)]) }
    }

    fn lazy_event_first<W: Watch>(k: &Kernel<Self, W>, kind: Kind) -> bool {
        kind == Kind::LAZY_FLUSH || (kind == Kind::LEAVE && task_counts(k))
    }

    fn lazy_enter<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        let cpu = cpu(k);
        let before = k.backend.lazy[cpu];
        let after = match (task_counts(k), before.mmu) {
            (true, _) => before,
            (false, false) => Lazy { mmu: true, nesting: 0 },
            (false, true) if k.options.xen_lazy == XenLazy::Nested => Lazy { mmu: true, nesting: before.nesting + 1 },
            (false, true) => return k.bug(BugCode::LazyNested, 0),
        };
        k.backend.lazy[cpu] = after;
        Ok(())
    }

    fn lazy_leave<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        let cpu = cpu(k);
        if task_counts(k) {
            return flush(k, FlushReason::Leave);
        }
        // xen_leave_lazy_mmu drains before the mode, or one level of its nesting, ends.
        flush(k, FlushReason::Leave)?;
        let now = k.backend.lazy[cpu];
        if !now.mmu {
            return k.bug(BugCode::LazyNotActive, 0);
        }
        let after = match now.nesting {
            0 => Lazy::default(),
            n => Lazy { mmu: true, nesting: n - 1 },
        };
        k.backend.lazy[cpu] = after;
        Ok(())
    }

    /// Drains the queue. Up to v7.0 only in lazy mode, and not from an interrupt; later always.
    fn lazy_flush<W: Watch>(k: &mut Kernel<Self, W>) -> Step {
        if task_counts(k) || batching(k) { flush(k, FlushReason::Hook) } else { Ok(()) }
    }

    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step {
        let page = k.geometry().page_size();
        x86::send_ipis(k)?;
        if end - start > 33 * page {
            enqueue(k, Queued::FlushAll { start, end, mm: INIT_MM })?;
            return issue(k);
        }
        let mut at = start;
        while at < end {
            enqueue(k, Queued::Invlpg { start: at, end: at + page, mm: INIT_MM })?;
            issue(k)?;
            at += page;
        }
        Ok(())
    }

    fn kmap_post_map<W: Watch>(k: &mut Kernel<Self, W>, _va: u64) -> Step {
        if k.options.kmap_flush { k.arch_flush() } else { Ok(()) }
    }

    fn kmap_post_unmap<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        let end = va + k.geometry().page_size();
        enqueue(k, Queued::Invlpg { start: va, end, mm: INIT_MM })?;
        issue(k)?;
        k.arch_flush()
    }

    fn highpte<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.geometry().long_bits == 32 && k.options.highpte
    }

    /// Frames are the guest's own for whoever works with the word.
    #[inline]
    fn ptep_get<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let word = k.read(entry)?;
        Ok(k.backend.guest_word(word))
    }

    fn get_and_clear_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        let word = generic::get_and_clear_ptes(k, first, count)?;
        Ok(k.backend.guest_word(word))
    }

    fn modify_prot_start<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        user::modify_prot_start(k, first, count)
    }

    fn modify_prot_commit<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
        user::modify_prot_commit(k, first, word, count)
    }

    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        user::wrprotect_ptes(k, first, count)
    }

    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        user::test_and_clear_young(k, entry)
    }

    fn user_populated<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        if k.geometry().long_bits == 32 && entry.level() == Level::Pud {
            Self::flush_tlb_mm(k, entry.mm)
        } else {
            Ok(())
        }
    }

    fn table_unlinked<W: Watch>(k: &mut Kernel<Self, W>, _mm: MmId, level: Level, _pa: u64) -> Step {
        user::table_unlinked(k, level)
    }

    fn needs_flush<W: Watch>(k: &Kernel<Self, W>, old: u64, new: u64) -> bool {
        k.format().needs_flush(old, new)
    }

    fn merges_vmas() -> bool {
        true
    }

    fn flush_tlb_range<W: Watch>(
        k: &mut Kernel<Self, W>,
        mm: MmId,
        start: u64,
        end: u64,
        _level: Option<Level>,
    ) -> Step {
        user::flush(k, mm, Some((start, end)))
    }

    fn flush_tlb_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        user::flush(k, mm, None)
    }

    fn tlb_flush<W: Watch>(k: &mut Kernel<Self, W>, stale: &Stale) -> Step {
        user::flush(k, stale.mm, (!stale.full).then_some((stale.start, stale.end)))
    }

    /// `xen_start_context_switch`.
    fn switch_out<W: Watch>(k: &mut Kernel<Self, W>, prev: TaskId) -> Step {
        match (k.options.xen_lazy, k.options.lazy_api) {
            (XenLazy::TaskCounts, LazyApi::Counted) => k.switch_pause(prev),
            (_, api) => {
                if k.backend.lazy[cpu(k)].mmu {
                    k.arch_leave()?;
                    k.machine.task_mut(prev).flags.updates |= api == LazyApi::Plain;
                }
                // enter_lazy(XEN_LAZY_CPU) insists that no other mode is on.
                if k.backend.lazy[cpu(k)].mmu { k.bug(BugCode::LazyNested, 0) } else { Ok(()) }
            }
        }
    }

    fn switch_mm<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId) -> Step {
        let root = k.machine.mm(mm).root_pa;
        k.emit(Event { mm: mm.0, addr: root, ..Event::of(Kind::CR3) })
    }

    /// `xen_end_context_switch`.
    fn switch_in<W: Watch>(k: &mut Kernel<Self, W>, next: TaskId) -> Step {
        flush(k, FlushReason::Switch)?;
        match (k.options.xen_lazy, k.options.lazy_api) {
            (XenLazy::TaskCounts, LazyApi::Counted) => {
                if k.options.xen_fork_balanced && k.machine.task(next).fresh {
                    return Ok(());
                }
                k.switch_resume(next)
            }
            (_, LazyApi::Counted) => {
                if k.machine.task(next).lazy.active() {
                    k.arch_enter()
                } else {
                    Ok(())
                }
            }
            (_, LazyApi::Plain) => {
                if std::mem::take(&mut k.machine.task_mut(next).flags.updates) {
                    k.arch_enter()
                } else {
                    Ok(())
                }
            }
        }
    }

    /// A task that was switched out is paused where the task's counters decide.
    fn parked<W: Watch>(k: &mut Kernel<Self, W>, task: TaskId) {
        if k.options.xen_lazy == XenLazy::TaskCounts && k.options.lazy_api == LazyApi::Counted {
            k.machine.task_mut(task).lazy.pause_count = 1;
        }
    }

    fn digest(&self, mut h: &mut dyn Hasher, names: &dyn Naming) {
        self.lazy.hash(&mut h);
        self.queues.iter().for_each(|queue| queue.digest(&mut h, names));
    }

    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        if k.geometry().long_bits == 32 { x86::laws_32(k) } else { Laws::coherent(k) }
    }

    fn kernel_fault_handler<W: Watch>(k: &Kernel<Self, W>, va: u64) -> Handler {
        if k.geometry().long_bits == 32 { x86_32::fault_handler(k.geometry(), va) } else { Handler::Nobody }
    }

    fn repair_kernel_fault<W: Watch>(k: &mut Kernel<Self, W>, va: u64) -> Step {
        x86::vmalloc_fault(k, va)
    }

    fn kmap_prot<W: Watch>(k: &Kernel<Self, W>) -> Prot {
        k.format().prot("PAGE_KERNEL").unwrap_or(PRESENT | NX)
    }
}

/// The lazy state as ENTER and LEAVE carry it.
fn depth(lazy: Lazy) -> u64 {
    if lazy.mmu { u64::from(lazy.nesting) + 1 } else { 0 }
}
