//! Page-table isolation: user mode runs on a root of its own, which has a copy of every top-level entry of the user half
//! (`arch/x86/mm/pti.c`, `pgtable.c`, `include/asm/{pgtable,pgtable_64,pgtable-3level}.h` of 6.12).
//!
//! Both roots are one allocation of two pages, the user's behind the kernel's. What of the kernel the user's root maps
//! (entry text, the cpu_entry_area, the LDT) is not modelled: its kernel half is empty.

use crate::backend::{Backend, alloc_root};
use crate::descriptor::x86::{NX, PRESENT, USER, Width, X86};
use crate::event::codes::Store;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::MmId;
use crate::memory::Table;
use crate::stop::{Run, Step};

/// `X86_FEATURE_PTI`. Two levels do not have it, nor do guests of Xen.
pub(in crate::backend) fn enabled<B: Backend<Format = X86>, W: Watch>(k: &Kernel<B, W>) -> bool {
    k.options.x86_pti && k.format().width != Width::TwoLevel
}

/// `_pgd_alloc`: the root, and the user's in the page behind it. `None`: no memory.
pub(in crate::backend) fn alloc_roots<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    pti: bool,
) -> Run<Option<(Table, Option<Table>)>> {
    let page = k.geometry().page_size();
    if pti {
        let level = k.geometry().root();
        k.machine.frames.set_table_bytes(level, 2 * page);
    }
    let Some(root) = alloc_root(k)? else { return Ok(None) };
    let user = pti.then(|| k.insert_table(root.pa + page, root.level, true));
    Ok(Some((root, user)))
}

/// Gives back what [`alloc_roots`] got.
pub(in crate::backend) fn free_roots<B: Backend, W: Watch>(k: &mut Kernel<B, W>, root: &Table, user: Option<&Table>) {
    for table in [Some(root), user].into_iter().flatten() {
        k.machine.memory.remove(table.id);
    }
    k.machine.frames.free(root.pa);
}

/// init_mm, whose kernel half every other root copies.
pub(in crate::backend) fn boot_roots<B: Backend<Format = X86>, W: Watch>(k: &mut Kernel<B, W>, pti: bool) -> Step {
    if let Some((root, user)) = alloc_roots(k, pti)? {
        add_mm(k, &root, user.as_ref(), false)?;
    }
    Ok(())
}

/// Adds an address space with these roots; `listed`: syncs visit it.
pub(in crate::backend) fn add_mm<B: Backend, W: Watch>(
    k: &mut Kernel<B, W>,
    root: &Table,
    user: Option<&Table>,
    listed: bool,
) -> Run<MmId> {
    let mm = crate::backend::add_mm(k, root, listed)?;
    k.machine.mms[usize::from(mm.0)].user_root = user.map(|table| table.id);
    Ok(mm)
}

/// The root that user mode runs on.
pub(in crate::backend) fn user_root<B: Backend, W: Watch>(k: &mut Kernel<B, W>, mm: MmId) -> Option<Table> {
    let id = k.machine.mm(mm).user_root?;
    Some(k.machine.memory.open(id))
}

/// `pti_set_user_pgtbl`: a top-level entry of the user half goes to the user's root too. What the kernel's then gets is not
/// executable, so that nobody runs user code on the kernel's root by mistake.
#[inline]
pub(in crate::backend) fn set_user_pgtbl<B: Backend<Format = X86>, W: Watch>(
    k: &mut Kernel<B, W>,
    entry: Entry<'_>,
    word: u64,
) -> Run<u64> {
    if !k.options.x86_pti {
        return Ok(word);
    }
    let geometry = k.geometry();
    let root = geometry.root();
    if entry.level() != root || entry.index >= geometry.index(root, geometry.layout.kernel_start) {
        return Ok(word);
    }
    let Some(user) = user_root(k, entry.mm) else { return Ok(word) };
    k.store(Entry::new(user.view(), entry.index, entry.va, entry.mm), word, Store::UserCopy)?;
    let poisoned = word & (USER | PRESENT) == USER | PRESENT;
    Ok(if poisoned { word | NX } else { word })
}
