//! `change_page_attr_set_clr` of x86 (`arch/x86/mm/pat/set_memory.c` of 6.12): entries are looked up one by one, large
//! leaves of which only a part changes are split, and the alias in the linear map follows.
//!
//! Not modelled: cache attributes, arrays of pages, the kernel image's second mapping, `static_protections`, the warning
//! about memory that is writable and executable.

use crate::backend::{Backend, x86};
use crate::descriptor::Format;
use crate::descriptor::x86::{DIRTY, GLOBAL, KERNPG_TABLE, NX, PAT, PAT_LARGE, PRESENT, PSE, RW, Width, X86};
use crate::event::codes::{Store, Tlbi, Warning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::INIT_MM;
use crate::stop::{Run, Step, errno};
use crate::walk::{LinearMap, MemoryChange, SetMemory};

/// `struct cpa_data`.
#[derive(Clone, Copy, Debug)]
struct Cpa {
    set: u64,
    clear: u64,
    linear: Option<LinearMap>,
    check_alias: bool,
    /// Whether this is the call for the address that was asked for.
    primary: bool,
    /// Pages that remain; then, how many a step dealt with.
    pages: u64,
    /// The memory that a step dealt with.
    pa: u64,
    /// `CPA_FLUSHTLB`: an entry changed.
    flush: bool,
    force_flush_all: bool,
}

/// A leaf above the leaf tables: what it maps, and its bits in the format of small ones.
struct Large {
    pa: u64,
    flags: u64,
}

fn to_4k(flags: u64) -> u64 {
    let pat = if flags & PAT_LARGE == 0 { 0 } else { PAT };
    (flags & !(PAT | PAT_LARGE)) | pat
}

fn to_large(flags: u64) -> u64 {
    let pat = if flags & PAT == 0 { 0 } else { PAT_LARGE };
    (flags & !(PAT | PAT_LARGE)) | pat
}

/// `pgprot_clear_protnone_bits`: what is global while present would read as PROT_NONE.
const fn without_protnone(flags: u64) -> u64 {
    if flags & PRESENT == 0 { flags & !GLOBAL } else { flags }
}

/// The frame of an entry that is not present is stored inverted.
fn frame(format: X86, word: u64) -> u64 {
    (if format.inverted(word) { !word } else { word }) & format.pfn_mask()
}

/// `set_memory_*` and `set_direct_map_*`.
pub(in crate::backend) fn set_memory<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    request: &SetMemory,
) -> Run<i64> {
    let nx = if k.format().width == Width::TwoLevel { 0 } else { NX };
    let (set, clear, direct) = match request.change {
        MemoryChange::X | MemoryChange::Nx if nx == 0 => return Ok(0),
        MemoryChange::X => (0, nx, false),
        MemoryChange::Nx => (nx, 0, false),
        MemoryChange::Ro => (0, RW | DIRTY, false),
        MemoryChange::Rw => (RW, 0, false),
        MemoryChange::Invalid => (0, PRESENT | RW | DIRTY, true),
        MemoryChange::Default => (PRESENT | RW, 0, true),
    };
    if !direct {
        k.purge()?;
    }
    let mut cpa = Cpa {
        set,
        clear,
        linear: request.linear,
        check_alias: !direct,
        primary: true,
        pages: request.pages,
        pa: 0,
        flush: false,
        force_flush_all: false,
    };
    let ret = change(k, &mut cpa, request.va)?;
    if direct || !cpa.flush {
        return Ok(ret);
    }
    let end = request.va + request.pages * k.geometry().page_size();
    if ret != 0 || cpa.force_flush_all || request.pages > x86::SINGLE_PAGE_FLUSH_CEILING {
        flush_tlb_all(k)?;
    } else {
        B::flush_tlb_kernel_range(k, request.va, end)?;
    }
    Ok(ret)
}

/// `flush_tlb_all`.
fn flush_tlb_all<B: Backend, W: Watch>(k: &mut Kernel<B, W>) -> Step {
    x86::send_ipis(k)?;
    let everything = Event::of(Kind::TLBI).range(0, k.geometry().long_mask());
    k.emit(Event { old: 1, ..everything.aux(Tlbi::InvlpgAll as u32) })
}

/// `__change_page_attr_set_clr`.
fn change<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, cpa: &mut Cpa, va: u64) -> Run<i64> {
    if cpa.set | cpa.clear == 0 {
        return Ok(0);
    }
    let (mut va, mut left) = (va, cpa.pages);
    while left > 0 {
        cpa.pages = left;
        let ret = change_one(k, cpa, va)?;
        if ret != 0 {
            return Ok(ret);
        }
        if cpa.primary && cpa.check_alias {
            let ret = change_alias(k, cpa, va)?;
            if ret != 0 {
                return Ok(ret);
            }
        }
        left -= cpa.pages;
        va += cpa.pages * k.geometry().page_size();
    }
    Ok(0)
}

/// `cpa_process_alias`: the linear map, which is never executable.
fn change_alias<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, cpa: &mut Cpa, va: u64) -> Run<i64> {
    let Some(alias) = cpa.linear.filter(|linear| !linear.holds(va)).and_then(|linear| linear.address(cpa.pa)) else {
        return Ok(0);
    };
    cpa.force_flush_all = true;
    let mut other = Cpa { set: cpa.set & !NX, clear: cpa.clear & !NX, primary: false, ..*cpa };
    change(k, &mut other, alias)
}

/// `__change_page_attr`: one page, or all that a large leaf holds of the range.
fn change_one<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, cpa: &mut Cpa, va: u64) -> Run<i64> {
    let format = k.format();
    loop {
        let Some((table, index)) = k.lookup_address(va)? else { return nothing_there(k, cpa, va) };
        let entry = Entry::new(table.view(), index, va, INIT_MM);
        let word = k.read(entry)?;
        if format.none(Level::Pte, word) {
            return nothing_there(k, cpa, va);
        }
        if table.level == Level::Pte {
            let flags = without_protnone((word & !format.pfn_mask() & !cpa.clear) | cpa.set);
            cpa.pa = frame(format, word);
            cpa.pages = 1;
            let new = format.pte(cpa.pa, flags);
            if new != word {
                // set_pte_atomic: one exchange, also of a PAE entry.
                k.store(entry, new, Store::Protect)?;
                cpa.flush = true;
            }
            return Ok(0);
        }
        if !matches!(table.level, Level::Pmd | Level::Pud) {
            return Ok(errno::EINVAL);
        }
        if keep_large(k, cpa, entry, word)? {
            return Ok(0);
        }
        if !split_large_page(k, entry, word)? {
            return Ok(errno::ENOMEM);
        }
    }
}

/// `__cpa_process_fault`: holes of the linear map are expected.
fn nothing_there<B: Backend, W: Watch>(k: &mut Kernel<B, W>, cpa: &mut Cpa, va: u64) -> Run<i64> {
    cpa.pages = 1;
    if !cpa.primary {
        return Ok(0);
    }
    if let Some(linear) = cpa.linear.filter(|linear| linear.holds(va)) {
        cpa.pa = va - linear.start + linear.pa;
        return Ok(0);
    }
    k.warn(Warning::CpaHole, va)?;
    Ok(errno::EFAULT)
}

fn large<B: Backend<Format = X86>, W: Watch>(k: &Kernel<B, W>, level: Level, word: u64) -> Large {
    let frames = k.format().pfn_mask() & !(k.geometry().size(level) - 1);
    Large { pa: frame(k.format(), word) & frames, flags: word & !frames }
}

/// `__should_split_large_page`: whether the leaf can stay, for nothing changes or all of it does.
fn keep_large<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    cpa: &mut Cpa,
    entry: Entry<'_>,
    word: u64,
) -> Run<bool> {
    let (size, page) = (k.geometry().size(entry.level()), k.geometry().page_size());
    let offset = entry.va & (size - 1);
    cpa.pages = cpa.pages.min((size - offset) / page);
    let Large { pa, flags } = large(k, entry.level(), word);
    let wanted = without_protnone(to_large((to_4k(flags) & !cpa.clear) | cpa.set));
    let wanted = if wanted & PRESENT == 0 { wanted } else { wanted | PSE };
    cpa.pa = pa + offset;
    if wanted == flags {
        return Ok(true);
    }
    if offset != 0 || cpa.pages != size / page {
        return Ok(false);
    }
    let new = k.format().pte(pa, wanted);
    set_pmd_pte(k, entry, new, Store::Protect)?;
    cpa.flush = true;
    Ok(true)
}

/// `__set_pmd_pte`: one exchange, and the same in every process that has a pmd of its own for it.
fn set_pmd_pte<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
    why: Store,
) -> Step {
    k.store(entry, word, why)?;
    if k.geometry().long_bits == 64 {
        return Ok(());
    }
    for mm in k.machine.pgd_list.clone() {
        let mut table = k.open_root(mm);
        while table.level != entry.level() {
            let index = k.geometry().index(table.level, entry.va);
            table = k.open_below(Entry::new(table.view(), index, entry.va, mm))?;
        }
        k.store(Entry::new(table.view(), entry.index, entry.va, mm), word, Store::Sync)?;
    }
    Ok(())
}

/// `split_large_page`: a table that maps the same, then everything is flushed before anything in it changes. False: no
/// memory.
fn split_large_page<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
) -> Run<bool> {
    let Some(table) = k.table_for_split(entry)? else { return Ok(false) };
    let (size, each) = (k.geometry().size(entry.level()), k.geometry().size(table.level));
    let Large { pa, flags } = large(k, entry.level(), word);
    let flags = without_protnone(match table.level {
        Level::Pte => to_4k(flags),
        // A leaf that is not present would look like one that is.
        _ if flags & PRESENT == 0 => flags & !PSE,
        _ => flags,
    });
    let first = entry.va & !(size - 1);
    for index in 0..table.len() {
        let offset = index as u64 * each;
        let lower = Entry::new(table.view(), index, first + offset, INIT_MM);
        let new = k.format().pte(pa + offset, flags);
        x86::native_set_pte(k, lower, new, Store::Set)?;
    }
    set_pmd_pte(k, entry, table.pa | KERNPG_TABLE, Store::Populate)?;
    flush_tlb_all(k)?;
    Ok(true)
}
