//! Operations that choose an address and remember it.

use super::limits::{check_pages, kernel_range, physical, prot_of};
use super::{Ending, Executed, OpError, OpResult, void};
use crate::backend::Backend;
use crate::kernel::Kernel;
use crate::machine::AreaFlags;
use crate::run::full::Drive;
use crate::scenario::{Addr, AreaKind, Op};
use crate::walk::Allocation;

pub(super) fn area<B: Backend, W: Drive>(k: &mut Kernel<B, W>, op: &Op) -> Executed {
    let page = k.geometry().page_size();
    let at = match op {
        Op::Vmalloc { at, .. }
        | Op::Vmap { at, .. }
        | Op::VmMapRam { at, .. }
        | Op::Ioremap { at, .. }
        | Op::Area { at, .. } => *at,
        _ => None,
    };
    if let Some(at) = at {
        kernel_range(k, Addr::Number(at), page, false)?;
    }
    let whole_pages = |size: u64| {
        size.checked_next_multiple_of(page).filter(|size| *size > 0).ok_or(OpError::Range { va: at.unwrap_or(0), size })
    };
    let (slot, allocated) = match op {
        Op::Vmalloc { slot, size, at, align, huge, pages, prot } => {
            let size = whole_pages(*size)?;
            if *align > 1 && !align.is_power_of_two() {
                return Err(OpError::Misaligned { what: "align", value: *align, page: align.next_power_of_two() });
            }
            if let Some(pages) = pages {
                check_pages(k, pages)?;
                if pages.count != size / page {
                    return Err(OpError::PageCount { count: pages.count, expected: size / page });
                }
            }
            let prot = prot.as_ref().map(|p| prot_of(k, p)).transpose()?;
            let request =
                Allocation { size, align: (*align).max(page), at: *at, pages: pages.clone(), prot, huge: *huge };
            (*slot, k.vmalloc(&request))
        }
        Op::Vmap { slot, pages, at, prot } => {
            check_pages(k, pages)?;
            let prot = prot_of(k, prot)?;
            (*slot, k.vmap(*at, pages, prot))
        }
        Op::VmMapRam { slot, pages, at } => {
            check_pages(k, pages)?;
            (*slot, k.vm_map_ram(*at, pages))
        }
        Op::Ioremap { slot, pa, size, at, prot } => {
            let offset = pa & (page - 1);
            let empty = OpError::Range { va: *pa, size: *size };
            let size = size.checked_add(offset).filter(|_| *size > 0).ok_or(empty)?;
            physical(k, pa - offset, whole_pages(size)?)?;
            let prot = prot.as_ref().map(|p| prot_of(k, p)).transpose()?;
            (*slot, k.ioremap(*at, *pa, size - offset, prot))
        }
        Op::Area { slot, size, at, kind } => {
            let size = whole_pages(*size)?;
            let flags = match kind {
                AreaKind::Map => AreaFlags::Map,
                AreaKind::Ioremap => AreaFlags::Ioremap,
                AreaKind::Alloc => AreaFlags::Alloc,
            };
            (*slot, k.get_vm_area(*at, size, flags))
        }
        _ => return void(Ok(())),
    };
    match allocated {
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(address)) => {
            k.watch.slots().set(slot, address);
            Ok(OpResult { ending: Ending::Address(address) })
        }
        Err(stop) => void(Err(stop)),
    }
}
