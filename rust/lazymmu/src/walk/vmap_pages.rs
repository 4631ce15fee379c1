//! `vmap_pages_range` and what it consists of (`mm/vmalloc.c`).

use super::Walked;
use super::pages::{Page, Pages, Supply};
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::event::codes::{BugCode, Site, Store, Warning};
use crate::geometry::Level;
use crate::kernel::{Entry, Kernel, Watch};
use crate::machine::INIT_MM;
use crate::modmask::ModMask;
use crate::scheme::ErrorExit;
use crate::stop::{Run, errno};

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `vmap_pages_range`.
    pub fn vmap_pages_range(&mut self, addr: u64, end: u64, prot: Prot, pages: &Pages, page_shift: u32) -> Walked {
        let walked = self.vmap_pages_range_noflush(addr, end, prot, pages, page_shift)?;
        self.flush_cache_vmap(addr, end)?;
        Ok(walked)
    }

    /// `__vmap_pages_range_noflush`: single pages, or one `vmap_range_noflush` for each `1 << page_shift` bytes.
    pub fn vmap_pages_range_noflush(
        &mut self,
        addr: u64,
        end: u64,
        prot: Prot,
        pages: &Pages,
        page_shift: u32,
    ) -> Walked {
        let base_shift = self.geometry().page_shift;
        if page_shift < base_shift {
            self.warn(Warning::PageShift, addr)?;
        }
        let walk = Self::walk_of(Site::VmapPagesRangeNoflush, INIT_MM, addr, end);
        self.walked(walk, |k, mask| {
            if !B::huge_vmalloc(k) || page_shift == base_shift {
                let (ret, inner) = k.vmap_small_pages_range_noflush(addr, end, prot, pages)?;
                *mask |= inner;
                return Ok(ret);
            }
            let chunk = 1u64 << page_shift;
            let page = k.geometry().page_size();
            let (mut at, mut supply) = (addr, pages.supply(page));
            while supply.next < end.wrapping_sub(addr) / page {
                let pa = match supply.get() {
                    Page::At(pa) => pa,
                    // page_to_phys of a NULL page is a wild address; the array of a huge vmap has none.
                    Page::Null | Page::Invalid => return k.bug(BugCode::KernelFault, at),
                };
                let (ret, inner) = k.vmap_range_noflush(at, at.wrapping_add(chunk), pa, prot, page_shift)?;
                *mask |= inner;
                if ret != 0 {
                    return Ok(ret);
                }
                at = at.wrapping_add(chunk);
                supply.next += (chunk / page).max(1);
            }
            Ok(0)
        })
    }

    fn vmap_small_pages_range_noflush(&mut self, addr: u64, end: u64, prot: Prot, pages: &Pages) -> Walked {
        if addr >= end {
            return self.bug(BugCode::EmptyRange, addr);
        }
        let mut supply = pages.supply(self.geometry().page_size());
        let walk = Self::walk_of(Site::VmapSmallPagesRangeNoflush, INIT_MM, addr, end);
        self.walked(walk, |k, mask| {
            k.each_root_slot(INIT_MM, addr, end, mask, |k, entry, next, mask| {
                if entry.level() == Level::Pgd {
                    let word = k.read(entry)?;
                    if k.format().bad(Level::Pgd, word) {
                        *mask |= ModMask::PGD;
                    }
                }
                k.vmap_pages_slot(entry, next, prot, &mut supply, mask).map(Some)
            })
        })
    }

    /// Any failure below becomes -ENOMEM one level up.
    fn vmap_pages_slot(
        &mut self,
        entry: Entry<'_>,
        end: u64,
        prot: Prot,
        supply: &mut Supply<'_>,
        mask: &mut ModMask,
    ) -> Run<i64> {
        let ret = if entry.level() == Level::Pmd {
            self.vmap_pages_pte_range(entry, end, prot, supply, mask)?
        } else {
            let Some(table) = self.alloc_track(entry, mask)? else {
                return Ok(errno::ENOMEM);
            };
            self.each_entry(&table, INIT_MM, entry.va, end, |k, lower, next| {
                k.vmap_pages_slot(lower, next, prot, supply, mask)
            })?
        };
        Ok(if ret == 0 { 0 } else { errno::ENOMEM })
    }

    /// `vmap_pages_pte_range`.
    #[inline(never)]
    fn vmap_pages_pte_range(
        &mut self,
        pmd: Entry<'_>,
        end: u64,
        prot: Prot,
        supply: &mut Supply<'_>,
        mask: &mut ModMask,
    ) -> Run<i64> {
        let page = self.geometry().page_size();
        let Some(table) = self.alloc_track(pmd, mask)? else {
            return Ok(errno::ENOMEM);
        };
        self.pte_begin_range(Site::VmapPagesPteRange, &table, INIT_MM, pmd.va, end)?;
        let format = self.format();
        let mut left = *supply;
        let mut ret = 0;
        let first = self.geometry().index(Level::Pte, pmd.va);
        let count = (end.wrapping_sub(pmd.va) / page) as usize;
        for entry in Entry::run(table.view(), first, count, pmd.va, page, INIT_MM) {
            let word = self.read(entry)?;
            let checked = if !format.none(Level::Pte, word) {
                Err((Warning::VmapPagesBusy, errno::EBUSY))
            } else {
                match left.get() {
                    Page::Null => Err((Warning::VmapPagesNull, errno::ENOMEM)),
                    Page::Invalid => Err((Warning::VmapPagesInvalid, errno::EINVAL)),
                    Page::At(pa) => Ok(pa),
                }
            };
            match checked {
                Ok(pa) => self.set_pte(entry, format.pte(pa, prot), Store::Set)?,
                Err((warning, error)) => {
                    self.warn(warning, entry.va)?;
                    if self.options.pages_error_exit == ErrorExit::Return {
                        return Ok(error);
                    }
                    ret = error;
                    break;
                }
            }
            left.next += 1;
        }
        *supply = left;
        self.pte_end(Site::VmapPagesPteRange)?;
        *mask |= ModMask::PTE;
        Ok(ret)
    }
}
