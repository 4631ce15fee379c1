//! What a store, a barrier, a flush, a sync, a lazy hook or a kmap does on one architecture.

mod registry;

use std::fmt;
use std::hash::Hasher;

use crate::check::Laws;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{Access, Handler, Store};
use crate::event::{Event, Kind};
use crate::geometry::{Geometry, Level};
use crate::kernel::{Barrier, Entry, Kernel, Watch};
use crate::machine::{INIT_MM, Mm, MmId, TaskId};
use crate::memory::{FrameError, Table, TableId, Zone};
use crate::modmask::ModMask;
use crate::scheme::{Options, Walk};
use crate::stop::{Run, Step};
use crate::walk::{SetMemory, Stale};

pub use registry::{ALL, BackendError, Info, Registration, by_name, geometry};

include!(concat!(env!("OUT_DIR"), "/backend.rs"));

/// What tables are called where it makes no difference which frames they got.
pub trait Naming {
    /// The name of the table at an address, or the address.
    fn frame(&self, pa: u64) -> u64;
    /// A table word with the name of the table that it points to.
    fn word(&self, word: u64) -> [u64; 2];
}

/// The leaf entries that a lazy section is about: all of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PteRange {
    pub table: TableId,
    pub pa: u64,
    pub mm: MmId,
    pub start: u64,
    pub index: usize,
    pub count: usize,
}

/// One architecture's half of the kernel.
///
/// Functions take the running kernel instead of `self`: the backend is one of its parts.
pub trait Backend: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    type Format: Format;
    const INFO: Info;

    /// The backend of a machine with so many CPUs.
    fn new(geometry: &Geometry, options: &Options, cpus: usize) -> Self;

    fn format(&self) -> Self::Format;

    /// Builds init_mm as it is when the first user of the walkers comes along.
    fn boot<W: Watch>(k: &mut Kernel<Self, W>) -> Step;
    /// `pgd_alloc`: a new user address space. `None`: no memory.
    fn pgd_alloc<W: Watch>(k: &mut Kernel<Self, W>) -> Run<Option<MmId>>;

    /// `READ_ONCE` of an entry.
    #[inline]
    fn read<W: Watch>(_k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        Ok(entry.word())
    }

    /// `set_pte_at` of one entry.
    fn set_pte<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step;
    /// `pte_clear`.
    #[inline]
    fn pte_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        k.store(entry, k.format().empty(Level::Pte), Store::Clear)
    }
    /// `ptep_get_and_clear`.
    #[inline(always)]
    fn ptep_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        let old = entry.word();
        k.store(entry, k.format().empty(Level::Pte), Store::GetAndClear)?;
        Ok(old)
    }
    /// `ptep_try_set`: a compare-and-exchange from empty. False: the entry was occupied.
    fn ptep_try_set<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Run<bool>;
    /// `set_pmd`, `set_pud`, `set_p4d`, `set_pgd`, also to clear.
    fn set_entry<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, why: Store) -> Step;

    /// Where the table is that this word points to. Differs from the format's address under a hypervisor.
    #[inline]
    fn table_pa<W: Watch>(k: &Kernel<Self, W>, level: Level, word: u64) -> u64 {
        k.format().address(level, word)
    }
    /// The word that links the table at `pa`.
    fn table_word<W: Watch>(k: &Kernel<Self, W>, level: Level, pa: u64, init_mm: bool) -> u64 {
        k.format().table(level, pa, init_mm)
    }
    /// The memory that a leaf maps.
    #[inline]
    fn leaf_pa<W: Watch>(k: &Kernel<Self, W>, level: Level, word: u64) -> u64 {
        k.format().address(level, word)
    }
    /// The table at `pa` is about to be linked into `entry` (`paravirt_alloc_pte` and its kin).
    fn table_linked<W: Watch>(_k: &mut Kernel<Self, W>, _entry: Entry<'_>, _pa: u64) -> Step {
        Ok(())
    }

    /// `CONFIG_HAVE_ARCH_HUGE_VMAP`.
    fn huge_vmap<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }
    /// `CONFIG_HAVE_ARCH_HUGE_VMALLOC`.
    fn huge_vmalloc<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }
    /// `arch_vmap_pXd_supported`.
    fn vmap_supported<W: Watch>(_k: &Kernel<Self, W>, _level: Level) -> bool {
        false
    }
    /// `pXd_set_huge`, where [`Backend::vmap_supported`] says so: false when the architecture refuses.
    fn set_huge<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot) -> Run<bool> {
        let word = k.format().huge(entry.level(), pa, prot);
        k.set_entry(entry, word, Store::Huge)?;
        Ok(true)
    }
    /// `pmd_free_pte_page`, `pud_free_pmd_page`, which make room for a leaf: clear, flush, free. False when the architecture
    /// refuses.
    fn free_below<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, va: u64) -> Run<bool> {
        generic::free_below(k, entry, va)
    }
    /// Size of the groups that `arch_vmap_pte_range_map_size` allows below `max_shift`; where a group fits and is
    /// aligned, one is made.
    fn vmap_group<W: Watch>(_k: &Kernel<Self, W>, _max_shift: u32) -> Option<u64> {
        None
    }
    /// `set_huge_pte_at(init_mm, ...)` of a group that starts at `entry`.
    fn set_huge_ptes<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, pa: u64, prot: Prot, _size: u64) -> Step {
        let word = k.format().pte(pa, prot);
        k.set_pte(entry, word, Store::Huge)
    }
    /// `arch_vmap_pte_range_unmap_size`: `Some` if the entry belongs to a group.
    #[inline]
    fn vmap_unmap_size<W: Watch>(_k: &Kernel<Self, W>, _word: u64) -> Option<u64> {
        None
    }
    /// `IOREMAP_MAX_ORDER`: the largest alignment of an I/O area, as a power of two.
    fn ioremap_max_order<W: Watch>(k: &Kernel<Self, W>) -> u32 {
        if !Self::huge_vmap(k) {
            return 7 + k.geometry().page_shift;
        }
        let by_pud = k.geometry().long_bits == 64 && k.geometry().page_shift == 12;
        k.geometry().shift(if by_pud { Level::Pud } else { Level::Pmd })
    }
    /// `arch_vmap_pte_supported_shift`.
    fn vmap_pte_supported_shift<W: Watch>(k: &Kernel<Self, W>, _size: u64) -> u32 {
        k.geometry().page_shift
    }

    /// `ARCH_PAGE_TABLE_SYNC_MASK`.
    #[inline]
    fn sync_mask<W: Watch>(_k: &Kernel<Self, W>) -> ModMask {
        ModMask::NONE
    }
    /// The body of `arch_sync_kernel_mappings`; returns the number of entries copied.
    fn sync_kernel_mappings<W: Watch>(_k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Run<u64> {
        Ok(0)
    }

    /// `arch_update_kernel_mappings_begin`; nothing unless overridden.
    fn begin<W: Watch>(k: &mut Kernel<Self, W>, _walk: Walk) -> Step {
        k.default_begin()
    }
    /// `arch_update_kernel_mappings_end`; syncs if the mask says so, unless overridden.
    fn end<W: Watch>(k: &mut Kernel<Self, W>, walk: Walk, mask: ModMask) -> Step {
        k.default_end(walk, mask)
    }

    /// Whether the lazy MMU calls compile to anything.
    #[inline]
    fn has_lazy_mode<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }
    /// What the events of the next three show before and after: thread flags, unless the mode is kept elsewhere.
    #[inline]
    fn lazy_state<W: Watch>(k: &Kernel<Self, W>) -> u64 {
        k.machine.task(k.current()).flags.packed()
    }
    /// Whether the event comes before what the function does.
    #[inline]
    fn lazy_event_first<W: Watch>(_k: &Kernel<Self, W>, _kind: Kind) -> bool {
        false
    }
    fn lazy_enter<W: Watch>(_k: &mut Kernel<Self, W>) -> Step {
        Ok(())
    }
    /// Whether lazy sections are told which entries they are about.
    const TAKES_RANGES: bool = false;
    /// The entries that the running task's next lazy section is about, while it is entered; returns what was said before.
    fn declare_range<W: Watch>(_k: &mut Kernel<Self, W>, _range: Option<PteRange>) -> Option<PteRange> {
        None
    }
    fn lazy_leave<W: Watch>(_k: &mut Kernel<Self, W>) -> Step {
        Ok(())
    }
    fn lazy_flush<W: Watch>(_k: &mut Kernel<Self, W>) -> Step {
        Ok(())
    }

    /// What a store that needs a barrier does about it in the present context. Asked again whenever the context, the
    /// running task's flags or its lazy state change.
    fn barrier<W: Watch>(_k: &Kernel<Self, W>) -> Barrier {
        Barrier::Now
    }

    /// `flush_tlb_kernel_range`.
    fn flush_tlb_kernel_range<W: Watch>(k: &mut Kernel<Self, W>, start: u64, end: u64) -> Step;

    /// Whether `set_memory` is modelled.
    fn sets_memory<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }
    /// `set_memory_*` of a range, `set_direct_map_*` of a page.
    fn set_memory<W: Watch>(_k: &mut Kernel<Self, W>, _request: &SetMemory) -> Run<i64> {
        Ok(0)
    }

    /// What `flush_cache_vmap` does besides being called.
    fn flush_cache_vmap<W: Watch>(_k: &mut Kernel<Self, W>, _start: u64, _end: u64) -> Step {
        Ok(())
    }

    /// The protection of a kmap slot.
    fn kmap_prot<W: Watch>(k: &Kernel<Self, W>) -> Prot {
        k.format().prot("PAGE_KERNEL").unwrap_or_default()
    }
    /// `arch_kmap_local_post_map`.
    fn kmap_post_map<W: Watch>(_k: &mut Kernel<Self, W>, _va: u64) -> Step {
        Ok(())
    }
    /// `arch_kmap_local_post_unmap`.
    fn kmap_post_unmap<W: Watch>(_k: &mut Kernel<Self, W>, _va: u64) -> Step {
        Ok(())
    }
    /// Whether user leaf tables may come from highmem.
    fn highpte<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }

    /// What the context switch does on the way out of `prev`.
    fn switch_out<W: Watch>(_k: &mut Kernel<Self, W>, _prev: TaskId) -> Step {
        Ok(())
    }
    /// The CPU loads the root of another address space.
    fn switch_mm<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId) -> Step {
        Ok(())
    }
    /// What the context switch does on the way into `next`.
    fn switch_in<W: Watch>(_k: &mut Kernel<Self, W>, _next: TaskId) -> Step {
        Ok(())
    }
    /// The machine's tasks run, each with its address space.
    fn booted<W: Watch>(_k: &mut Kernel<Self, W>) {}
    /// A task exists that ran before and was switched out.
    fn parked<W: Watch>(_k: &mut Kernel<Self, W>, _task: TaskId) {}

    /// Whether user mappings may have large leaves (`CONFIG_TRANSPARENT_HUGEPAGE`).
    fn user_huge<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        false
    }
    /// `ptep_get`: a leaf of a user address space as the loops over such leaves see it.
    #[inline]
    fn ptep_get<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        k.read(entry)
    }
    /// `set_ptes` of consecutive pages into entries that were empty, or of one.
    fn set_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
        generic::set_ptes(k, first, word, count)
    }
    /// `get_and_clear_full_ptes`: the first word, with what was young or dirty in any.
    fn get_and_clear_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        generic::get_and_clear_ptes(k, first, count)
    }
    /// The same where an area is unmapped; `full`: the whole address space goes.
    fn get_and_clear_full_ptes<W: Watch>(
        k: &mut Kernel<Self, W>,
        first: Entry<'_>,
        count: u64,
        _full: bool,
    ) -> Run<u64> {
        Self::get_and_clear_ptes(k, first, count)
    }
    /// `ptep_clear_flush`.
    fn ptep_clear_flush<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Step {
        generic::ptep_clear_flush(k, entry)
    }
    /// `wrprotect_ptes`.
    fn wrprotect_ptes<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Step {
        generic::wrprotect_ptes(k, first, count)
    }
    /// `ptep_test_and_clear_young`.
    fn test_and_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        generic::test_and_clear_young(k, entry)
    }
    /// `clear_young_dirty_ptes`; with `dirty` both, else only young.
    fn clear_young_dirty<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64, dirty: bool) -> Step {
        generic::clear_young_dirty(k, first, count, dirty)
    }
    /// `ptep_modify_prot_start` of a run: the first word, with what was young or dirty in any.
    fn modify_prot_start<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, count: u64) -> Run<u64> {
        Self::get_and_clear_ptes(k, first, count)
    }
    /// `ptep_modify_prot_commit` of a run.
    fn modify_prot_commit<W: Watch>(k: &mut Kernel<Self, W>, first: Entry<'_>, word: u64, count: u64) -> Step {
        Self::set_ptes(k, first, word, count)
    }
    /// `ptep_set_access_flags`: a fault makes a leaf more permissive. `write`: the fault was a write. Whether anything
    /// changed.
    fn set_access_flags<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64, write: bool) -> Run<bool> {
        generic::set_access_flags(k, entry, word, write)
    }
    /// `update_mmu_cache_range`: entries have just been filled by a fault.
    fn update_mmu_cache<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _va: u64, _pages: u64) -> Step {
        Ok(())
    }
    /// `update_mmu_tlb_range`: a fault found them filled by somebody else.
    fn update_mmu_tlb<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64, pages: u64) -> Step {
        Self::update_mmu_cache(k, mm, va, pages)
    }
    /// `update_mmu_cache_pmd` for an address of a large leaf.
    fn update_mmu_cache_pmd<W: Watch>(k: &mut Kernel<Self, W>, mm: MmId, va: u64) -> Step {
        Self::update_mmu_cache(k, mm, va, 1)
    }
    /// `flush_tlb_fix_spurious_fault`: a write fault found nothing to change.
    fn flush_tlb_fix_spurious_fault<W: Watch>(_k: &mut Kernel<Self, W>, _entry: Entry<'_>) -> Step {
        Ok(())
    }
    /// `ptep_clear_flush_young`.
    fn clear_flush_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<bool> {
        Self::test_and_clear_young(k, entry)
    }
    /// `set_pmd_at` of a user leaf: one store.
    fn set_pmd_at<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        k.store(entry, word, Store::Huge)
    }
    /// `pmdp_invalidate`, or `pmdp_invalidate_ad` with `ad`: the word before.
    fn pmdp_invalidate<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _ad: bool) -> Run<u64> {
        generic::pmdp_establish_invalid(k, entry)
    }
    /// `pmdp_set_wrprotect` of a leaf with this word.
    fn pmdp_set_wrprotect<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        k.store(entry, k.format().wrprotect_huge(word), Store::Protect)
    }
    /// `pmdp_huge_get_and_clear`: the word before.
    fn pmdp_huge_get_and_clear<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>) -> Run<u64> {
        generic::pmdp_get_and_clear(k, entry)
    }
    /// `pmdp_huge_get_and_clear_full`, which unmaps a large leaf. `full`: the whole address space goes.
    fn pmdp_huge_get_and_clear_full<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _full: bool) -> Run<u64> {
        Self::pmdp_huge_get_and_clear(k, entry)
    }
    /// `pmdp_test_and_clear_young` of a leaf that is young.
    fn pmdp_clear_young<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, word: u64) -> Step {
        generic::pmdp_clear_young(k, entry, word)
    }
    /// Behind the last.
    fn pmd_zapped<W: Watch>(_k: &mut Kernel<Self, W>, _entry: Entry<'_>, _full: bool) -> Step {
        Ok(())
    }
    /// Whether pages wait for the gather's flush; not with `CONFIG_MMU_GATHER_NO_GATHER`.
    fn gathers_pages() -> bool {
        true
    }
    /// Tables above leaf tables do not wait at all (`__pmd_free_tlb` is `pmd_free`).
    fn frees_upper_tables_at_once() -> bool {
        false
    }
    /// `CONFIG_MMU_GATHER_PAGE_SIZE`: a gather has leaves of one size, and is flushed before those of another.
    fn gathers_one_size() -> bool {
        false
    }
    /// `CONFIG_ARCH_ENABLE_SPLIT_PMD_PTLOCK`: each pmd table has its own lock, and keeps the reserves of its leaves.
    fn splits_pmd_locks() -> bool {
        true
    }
    /// `CONFIG_ARCH_ENABLE_THP_MIGRATION`.
    fn thp_migration() -> bool {
        true
    }
    /// `pte_clear_not_present_full`. `full`: the whole address space goes.
    fn pte_clear_not_present<W: Watch>(k: &mut Kernel<Self, W>, entry: Entry<'_>, _full: bool) -> Step {
        k.pte_clear(entry)
    }
    /// `CONFIG_MMU_GATHER_RCU_TABLE_FREE`: table pages wait for RCU. Else they wait in the gather, with other pages.
    fn frees_tables_by_rcu<W: Watch>(k: &Kernel<Self, W>) -> bool {
        k.options.rcu_table_free
    }
    /// `tlb_needs_table_invalidate`: what caches of walkers hold of a table goes before the table is freed.
    fn needs_table_invalidate() -> bool {
        true
    }
    /// What `__pte_free_tlb` adds to the range of a gather that frees the leaf table of this address: start and bytes.
    fn freed_leaf_table<W: Watch>(_k: &Kernel<Self, W>, _va: u64) -> Option<(u64, u64)> {
        None
    }
    /// `FIRST_USER_ADDRESS`, below which tables are kept.
    fn first_user_address<W: Watch>(_k: &Kernel<Self, W>) -> u64 {
        0
    }
    /// `USER_PGTABLES_CEILING`, above which tables are kept; 0: the top.
    fn user_pgtables_ceiling<W: Watch>(_k: &Kernel<Self, W>) -> u64 {
        0
    }
    /// `pmd_populate` of an entry that is no table's: the kernel fills a leaf table before it is linked.
    fn pmd_on_stack<W: Watch>(_k: &mut Kernel<Self, W>) -> Step {
        Ok(())
    }
    /// Behind the link of a new table of a user address space.
    fn user_populated<W: Watch>(_k: &mut Kernel<Self, W>, _entry: Entry<'_>) -> Step {
        Ok(())
    }
    /// `paravirt_release_pte` and its kin: the table is no longer linked.
    fn table_unlinked<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _level: Level, _pa: u64) -> Step {
        Ok(())
    }
    /// `arch_supports_page_table_move`: mremap may link a whole table elsewhere.
    fn moves_tables<W: Watch>(_k: &Kernel<Self, W>) -> bool {
        true
    }
    /// `pte_needs_flush`, `huge_pmd_needs_flush`.
    fn needs_flush<W: Watch>(_k: &Kernel<Self, W>, _old: u64, _new: u64) -> bool {
        true
    }
    /// `CONFIG_MMU_GATHER_MERGE_VMAS`: one flush for neighbouring areas.
    fn merges_vmas() -> bool {
        false
    }
    /// `flush_tlb_page`, `flush_tlb_range`, `flush_pmd_tlb_range`: user addresses; entries of this level.
    fn flush_tlb_range<W: Watch>(
        _k: &mut Kernel<Self, W>,
        _mm: MmId,
        _start: u64,
        _end: u64,
        _level: Option<Level>,
    ) -> Step {
        Ok(())
    }
    /// `flush_tlb_mm`.
    fn flush_tlb_mm<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId) -> Step {
        Ok(())
    }
    /// `tlb_flush` of a gather.
    fn tlb_flush<W: Watch>(_k: &mut Kernel<Self, W>, _stale: &Stale) -> Step {
        Ok(())
    }

    /// In whose tables a CPU that has loaded `mm` looks an address up; `None`: in an empty root.
    #[inline]
    fn root_for<W: Watch>(_k: &Kernel<Self, W>, mm: MmId, _va: u64) -> Option<MmId> {
        Some(mm)
    }
    /// Who would repair a fault at this kernel address.
    fn kernel_fault_handler<W: Watch>(_k: &Kernel<Self, W>, _va: u64) -> Handler {
        Handler::Nobody
    }
    fn repair_kernel_fault<W: Watch>(_k: &mut Kernel<Self, W>, _va: u64) -> Step {
        Ok(())
    }

    /// Adds what the backend keeps itself, and what may change, to a digest of the machine, in which tables have names. What is
    /// missing here makes an exploration take different states for one. What nothing reads any more is better left out.
    fn digest(&self, h: &mut dyn Hasher, names: &dyn Naming);

    /// What the walker itself stores before an address is used for the first time.
    #[inline]
    fn walker_updates<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _va: u64, _access: Access) -> Step {
        Ok(())
    }
    /// What a permitted access does to the leaf entry that it finds: the word that is there then.
    #[inline]
    fn used<W: Watch>(_k: &mut Kernel<Self, W>, _mm: MmId, _va: u64, word: u64, _access: Access) -> Run<u64> {
        Ok(word)
    }

    /// By what findings are judged here.
    fn laws<W: Watch>(k: &Kernel<Self, W>) -> Laws {
        Laws::coherent(k)
    }

    /// Says which machine frame stands behind a guest frame; only a hypervisor's guest has such.
    fn map_frame(&mut self, _guest: u64, _machine: u64) {}
    /// Where the RAM of a hypervisor's guest ends.
    fn set_ram_end(&mut self, _end: u64) {}

    /// Whether the word maps kernel memory for hardware: what a deferred barrier would complete.
    fn valid_kernel<W: Watch>(k: &Kernel<Self, W>, word: u64) -> bool {
        k.format().valid(word)
    }
}

/// The page of a root table. `None`: no memory.
pub(crate) fn alloc_root<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Run<Option<Table>> {
    let level = k.geometry().root();
    match k.alloc_frame(level, 0, Zone::Low)? {
        Ok(pa) => Ok(Some(k.insert_table(pa, level, true))),
        Err(error) => {
            let injected = u32::from(error == FrameError::Injected);
            let mm = k.machine.mms.len() as u16;
            k.emit(Event { mm, ..Event::of(Kind::ALLOC_FAIL).at(level, 0, 0).aux(injected) })?;
            Ok(None)
        }
    }
}

/// Adds an address space with this root; `listed`: syncs visit it.
pub(crate) fn add_mm<B: Backend, W: Watch>(k: &mut Kernel<B, W>, root: &Table, listed: bool) -> Run<MmId> {
    let mm = MmId(k.machine.mms.len() as u16);
    k.machine.mms.push(Mm { root: root.id, root_pa: root.pa, user_root: None });
    if listed {
        k.machine.pgd_list.insert(0, mm);
    }
    if mm != INIT_MM {
        k.emit(Event { mm: mm.0, addr: root.pa, ..Event::of(Kind::MM) })?;
    }
    Ok(mm)
}

/// An address space with an empty root.
pub(crate) fn new_root<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Run<Option<MmId>> {
    match alloc_root(k)? {
        Some(root) => add_mm(k, &root, false).map(Some),
        None => Ok(None),
    }
}

/// `ptep_try_set` of most architectures: a compare-and-exchange from empty.
pub(crate) fn try_set<B: Backend, W: Watch>(k: &mut Kernel<B, W>, entry: Entry<'_>, word: u64) -> Run<bool> {
    if !k.format().none(Level::Pte, entry.word()) {
        return Ok(false);
    }
    k.store(entry, word, Store::TrySet)?;
    Ok(true)
}

/// The digest of what a backend keeps, where no table has a name.
#[cfg(test)]
pub(crate) fn digest_of<B: Backend>(backend: &B) -> u64 {
    struct Unnamed;
    impl Naming for Unnamed {
        fn frame(&self, pa: u64) -> u64 {
            pa
        }
        fn word(&self, word: u64) -> [u64; 2] {
            [word, 0]
        }
    }
    let mut h = rustc_hash::FxHasher::default();
    backend.digest(&mut h, &Unnamed);
    h.finish()
}
