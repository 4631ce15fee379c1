//! Areas of the vmalloc space: vmalloc, vmap, ioremap, vm_map_ram, and the lazy flush behind their release.
//!
//! Not modelled: the blocks that small `vm_map_ram` mappings share; each is an area of its own here, of a power of two.

use super::Pages;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::geometry::Level;
use crate::kernel::{Kernel, Watch};
use crate::machine::{AreaError, AreaFlags, VmArea};
use crate::stop::{Run, Step};

/// Why an area operation cannot even begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocError {
    #[error(transparent)]
    Area(#[from] AreaError),
    #[error("no area starts at {start:#x}")]
    NoArea { start: u64 },
}

/// A request for an area. What is not given the model chooses.
#[derive(Clone, Debug, Default)]
pub struct Allocation {
    /// Bytes.
    pub size: u64,
    pub align: u64,
    /// Where the area must be.
    pub at: Option<u64>,
    /// The pages to map.
    pub pages: Option<Pages>,
    pub prot: Option<Prot>,
    /// `VM_ALLOW_HUGE_VMAP`.
    pub huge: bool,
}

/// The address of the new area, or `None` if the kernel returns NULL.
pub(crate) type Allocated = Run<Result<Option<u64>, AllocError>>;

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// `alloc_vmap_area`: where there is no room, what waits for its TLB flush is flushed, and it is tried once more.
    /// `None`: no room. An address that was asked for and is not free is a request that makes no sense.
    fn reserve(
        &mut self,
        at: Option<u64>,
        size: u64,
        align: u64,
        (guard, rest): (u64, u64),
        flags: AreaFlags,
    ) -> Run<Result<Option<VmArea>, AllocError>> {
        let align = if flags == AreaFlags::Ioremap { self.ioremap_align(size) } else { align };
        let page_shift = self.geometry().page_shift;
        let area = VmArea { start: at.unwrap_or_default(), size, guard, rest, flags, page_shift };
        if at.is_some() {
            return Ok(self.machine.areas.reserve(area).map(|()| Some(area)).map_err(AllocError::from));
        }
        if let Ok(area) = self.machine.areas.allocate(area, align) {
            return Ok(Ok(Some(area)));
        }
        if !self.machine.areas.any_waits() {
            return Ok(Ok(None));
        }
        self.purge()?;
        Ok(Ok(self.machine.areas.allocate(area, align).ok()))
    }

    /// `__get_vm_area_node`: an I/O area is aligned to its size, up to `IOREMAP_MAX_ORDER`.
    fn ioremap_align(&self, size: u64) -> u64 {
        let (page, largest) = (self.geometry().page_shift, B::ioremap_max_order(self));
        let order = size.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
        1 << order.clamp(page, largest)
    }

    /// `get_vm_area`: reserves addresses and maps nothing. `size` is that of whole pages.
    pub fn get_vm_area(&mut self, at: Option<u64>, size: u64, flags: AreaFlags) -> Allocated {
        let page = self.geometry().page_size();
        Ok(self.reserve(at, size, page, (page, 0), flags)?.map(|area| area.map(|area| area.start)))
    }

    /// `vmalloc`, `vmalloc_huge`: tries huge pages first where allowed, then single ones wherever there is room.
    pub fn vmalloc(&mut self, request: &Allocation) -> Allocated {
        let page_shift = self.geometry().page_shift;
        let mut shift = page_shift;
        if request.huge && B::huge_vmalloc(self) {
            let pmd = Level::Pmd;
            let by_pmd = B::vmap_supported(self, pmd) && request.size >= self.geometry().size(pmd);
            shift = if by_pmd { self.geometry().shift(pmd) } else { B::vmap_pte_supported_shift(self, request.size) };
        }
        let done = self.vmalloc_once(request, request.at, shift)?;
        if shift == page_shift || matches!(done, Ok(Some(_)) | Err(_)) {
            return Ok(done);
        }
        self.vmalloc_once(request, None, page_shift)
    }

    fn vmalloc_once(&mut self, request: &Allocation, at: Option<u64>, shift: u32) -> Allocated {
        let page = self.geometry().page_size();
        let block = 1u64 << shift;
        let Some(size) = request.size.checked_next_multiple_of(block.max(page)) else { return Ok(Ok(None)) };
        if request.pages.is_none() && !self.machine.data.has(block, size / block) {
            return Ok(Ok(None));
        }
        let align = request.align.max(block);
        let area = match self.reserve(at, size, align, (page, 0), AreaFlags::Alloc)? {
            Ok(Some(area)) => area,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        self.machine.areas.set_page_shift(area.start, shift);
        let pages = match &request.pages {
            Some(pages) => pages.clone(),
            None => match self.machine.data.alloc(area.start, block, size / block) {
                Some(blocks) => {
                    let each = block / page;
                    Pages::list(blocks.iter().flat_map(|b| (0..each).map(move |n| b + n * page)).collect())
                }
                None => {
                    self.free_unmap_area(area)?;
                    return Ok(Ok(None));
                }
            },
        };
        let prot = request.prot.unwrap_or_else(|| self.default_prot());
        let (ret, _) = self.vmap_pages_range(area.start, area.end(), prot, &pages, shift)?;
        if ret < 0 {
            self.free_unmap_area(area)?;
            return Ok(Ok(None));
        }
        Ok(Ok(Some(area.start)))
    }

    fn default_prot(&self) -> Prot {
        self.format().prot("PAGE_KERNEL").unwrap_or_default()
    }

    /// `vmap`: existing pages at a new address.
    pub fn vmap(&mut self, at: Option<u64>, pages: &Pages, prot: Prot) -> Allocated {
        let page = self.geometry().page_size();
        let area = match self.reserve(at, pages.count * page, page, (page, 0), AreaFlags::Map)? {
            Ok(Some(area)) => area,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let prot = self.format().pgprot_nx(prot);
        let shift = self.geometry().page_shift;
        let (ret, _) = self.vmap_pages_range(area.start, area.end(), prot, pages, shift)?;
        if ret < 0 {
            self.free_unmap_area(area)?;
            return Ok(Ok(None));
        }
        Ok(Ok(Some(area.start)))
    }

    /// `vm_map_ram`: as vmap, without a guard page. Up to `VMAP_MAX_ALLOC` pages come from a block, in powers of two,
    /// and `vb_free` marks all of these as dirty.
    pub fn vm_map_ram(&mut self, at: Option<u64>, pages: &Pages) -> Allocated {
        let page = self.geometry().page_size();
        let from_block = pages.count <= u64::from(self.geometry().long_bits);
        let rest = if from_block { (pages.count.next_power_of_two() - pages.count) * page } else { 0 };
        let area = match self.reserve(at, pages.count * page, page, (0, rest), AreaFlags::Map)? {
            Ok(Some(area)) => area,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let (prot, shift) = (self.default_prot(), self.geometry().page_shift);
        let (ret, _) = self.vmap_pages_range(area.start, area.end(), prot, pages, shift)?;
        if ret < 0 {
            self.free_unmap_area(area)?;
            return Ok(Ok(None));
        }
        Ok(Ok(Some(area.start)))
    }

    /// `ioremap`: a device range at a new address, aligned to its size up to the largest leaf.
    pub fn ioremap(&mut self, at: Option<u64>, pa: u64, size: u64, prot: Option<Prot>) -> Allocated {
        let page = self.geometry().page_size();
        let offset = pa & (page - 1);
        let size = (size + offset).next_multiple_of(page);
        let area = match self.reserve(at, size, page, (page, 0), AreaFlags::Ioremap)? {
            Ok(Some(area)) => area,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let prot = prot.unwrap_or_else(|| self.format().prot("PAGE_IOREMAP").unwrap_or_default());
        let (ret, _) = self.ioremap_page_range(area.start, area.end(), pa - offset, prot)?;
        if ret != 0 {
            self.free_unmap_area(area)?;
            return Ok(Ok(None));
        }
        Ok(Ok(Some(area.start + offset)))
    }

    /// `vfree`, `vunmap`, `iounmap`, `vm_unmap_ram`: unmaps the area with its guard page and leaves the TLB flush for later.
    pub fn free_area(&mut self, start: u64) -> Run<Result<(), AllocError>> {
        let page = self.geometry().page_size();
        match self.machine.areas.at(start & !(page - 1)).copied() {
            Some(area) => self.free_unmap_area(area).map(Ok),
            None => Ok(Err(AllocError::NoArea { start })),
        }
    }

    /// `free_unmap_vmap_area`, and the purge if too much waits.
    fn free_unmap_area(&mut self, area: VmArea) -> Step {
        let end = area.end() + area.guard;
        self.machine.areas.unlink(area.start);
        self.emit(crate::event::Event::of(crate::event::Kind::FLUSH_CACHE).range(area.start, end).aux(1))?;
        self.vunmap_range_noflush(area.start, end)?;
        self.machine.data.release(area.start);
        if self.machine.areas.release(&area) { self.purge() } else { Ok(()) }
    }

    /// `vm_unmap_aliases`: one flush over everything that was freed lazily.
    pub fn purge(&mut self) -> Step {
        let lazy = self.machine.areas.take_lazy();
        let hull = lazy.iter().copied().reduce(|(s, e), (start, end)| (s.min(start), e.max(end)));
        if let Some((start, end)) = hull {
            self.flush_tlb_kernel_range(start, end)?;
        }
        self.machine.areas.flushed(&lazy);
        Ok(())
    }
}
