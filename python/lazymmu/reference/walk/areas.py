"""The vmalloc address space: ``vmalloc``, ``vmap``, ``vm_map_ram``, ``ioremap``, their release and the lazy TLB flush.

``mm/vmalloc.c``; facts 2.3 to 2.5. Addresses: the lowest free ones. Data pages: blocks in the mapping's page size,
upward from one address, those given back first.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lazymmu.reference import events as ev
from lazymmu.reference.codes import EINVAL, ERANGE, PMD, PTE, Site, Warn
from lazymmu.reference.errors import RunError
from lazymmu.reference.walk.core import Walk
from lazymmu.reference.walk.vmap_pages import Pages, vmap_pages_range
from lazymmu.reference.walk.vmap_range import vmap_page_range
from lazymmu.reference.walk.vunmap import vunmap_range_noflush

if TYPE_CHECKING:
    from lazymmu.reference.kernel import Kernel

LAZY_BYTES: Final = 32 << 20
"""``lazy_max_pages``: times ``fls(cpus)``, so much may wait for a TLB flush."""
FIRST_BLOCK_64: Final = 0x1_0000_0000
FIRST_BLOCK_32: Final = 0x1800_0000


@dataclass(order=True)
class Area:
    """A ``vmap_area``.

    ``end`` includes the guard page and ``rest``, what a block of ``vm_map_ram`` loses behind it: flushed with it, never
    mapped. ``blocks`` are the data pages that it owns, each of ``block_size``.
    """

    start: int
    end: int = field(compare=False)
    size: int = field(compare=False)
    kind: str = field(compare=False)
    block_size: int = field(compare=False, default=0)
    blocks: list[int] = field(compare=False, default_factory=list)
    rest: int = field(compare=False, default=0)


class Areas:
    """All areas, in order of address: in use, or released and waiting for the TLB flush."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.all: list[Area] = []
        self.by_start: dict[int, Area] = {}
        """Those in use."""
        self.waiting: list[Area] = []
        self.waiting_bytes = 0
        narrow = k.geometry.va_bits == 32
        self.next_block = FIRST_BLOCK_32 if narrow else FIRST_BLOCK_64
        low_end = k.geometry.layout["highmem_frames"] or 1 << 32
        self.last_block = low_end if narrow else 1 << min(k.geometry.pa_bits, 47)
        """End of the memory that data pages come from."""
        self.free_blocks: dict[int, list[int]] = {}
        """By block size; the next one to use is last."""

    # Addresses ------------------------------------------------------------------------------------

    def reserve(
        self, size: int, kind: str, align: int = 1, at: int | None = None, behind: int | None = None
    ) -> Area | None:
        """``alloc_vmap_area``: without room, what waits is flushed and it is tried once more (``overflow``).

        ``behind``: bytes of ``rest`` in place of a guard page.
        """
        page = self.k.geometry.page_size
        length = size + (page if behind is None else behind)
        if kind == "ioremap":
            align = self._ioremap_align(size)
        start = self._lowest(length, max(align, page)) if at is None else self._fixed(at, length)
        if start is None and self.waiting:
            self.purge()
            start = self._lowest(length, max(align, page))
        if start is None:
            return None
        area = Area(start, start + length, size, kind, rest=behind or 0)
        insort(self.all, area)
        self.by_start[start] = area
        return area

    def _ioremap_align(self, size: int) -> int:
        """``__get_vm_area_node``: an I/O area is aligned to its size, up to ``IOREMAP_MAX_ORDER``."""
        order = (size - 1).bit_length()
        return 1 << max(min(order, self.k.backend.ioremap_max_order()), self.k.geometry.shift(PTE))

    def _lowest(self, length: int, align: int) -> int | None:
        layout = self.k.geometry.layout
        start = -(-layout["vmalloc_start"] // align) * align
        for area in self.all:
            if start + length <= area.start:
                break
            start = max(start, -(-area.end // align) * align)
        return start if start + length <= layout["vmalloc_end"] else None

    def _fixed(self, at: int, length: int) -> int:
        layout = self.k.geometry.layout
        inside = layout["vmalloc_start"] <= at and at + length <= layout["vmalloc_end"]
        if not inside or any(area.start < at + length and at < area.end for area in self.all):
            raise RunError(f"the area at {at:#x} is not free", self.k.op)
        return at

    def at(self, va: int) -> Area:
        """The area that starts at the page of an address."""
        va -= va % self.k.geometry.page_size
        if va not in self.by_start:
            raise RunError(f"no area starts at {va:#x}", self.k.op)
        return self.by_start[va]

    def find(self, va: int) -> Area | None:
        """``find_vmap_area``: the area in use that an address lies in."""
        return next((area for area in self.by_start.values() if area.start <= va < area.end - area.rest), None)

    # Data pages -----------------------------------------------------------------------------------

    def _has_blocks(self, size: int, block_size: int) -> bool:
        """Whether so many bytes are left; otherwise ``vmalloc`` gives up before it looks for addresses."""
        left = self.last_block - -(-self.next_block // block_size) * block_size
        return size // block_size <= len(self.free_blocks.get(block_size, ())) + max(left, 0) // block_size

    def _take_blocks(self, area: Area, block_size: int) -> Pages:
        """``vm_area_alloc_pages``."""
        free = self.free_blocks.get(block_size, [])
        for _ in range(area.size // block_size):
            if free:
                area.blocks.append(free.pop())
            else:
                block = -(-self.next_block // block_size) * block_size
                self.next_block = block + block_size
                area.blocks.append(block)
        area.block_size = block_size
        page = self.k.geometry.page_size
        pages = tuple(block + offset for block in area.blocks for offset in range(0, block_size, page))
        return Pages(len(pages), list=pages)

    # Mapping --------------------------------------------------------------------------------------

    def vmalloc(self, size: int, at: int | None, align: int, huge: bool, pages: Pages | None, prot: int) -> int | None:
        """``__vmalloc_node_range``: huge pages first if they are allowed, then small ones wherever there is room."""
        base = self.k.geometry.shift(PTE)
        largest = self._huge_shift(size) if huge else base
        attempts = [(largest, at), (base, None)] if largest > base else [(base, at)]
        for shift, place in attempts:
            block = 1 << shift
            whole = -(-size // block) * block
            if pages is None and not self._has_blocks(whole, block):
                continue
            area = self.reserve(whole, "alloc", max(align, block), place)
            if area is None:
                continue
            given = self._take_blocks(area, block) if pages is None else pages
            if vmap_pages_range(self.k, area.start, area.start + area.size, prot, given, shift).ret == 0:
                return area.start
            self.release(area)
        return None

    def _huge_shift(self, size: int) -> int:
        backend = self.k.backend
        if not backend.huge_vmalloc:
            return self.k.geometry.shift(PTE)
        if backend.huge_supported(PMD) and size >= self.k.geometry.size(PMD):
            return self.k.geometry.shift(PMD)
        return backend.pte_supported_shift(size)

    def vmap(self, at: int | None, pages: Pages, prot: int) -> int | None:
        """``vmap``: small pages, not executable."""
        area = self.reserve(pages.count * self.k.geometry.page_size, "map", at=at)
        return self._map_pages(area, self.k.format.pgprot_nx(prot), pages)

    def vm_map_ram(self, at: int | None, pages: Pages) -> int | None:
        """``vm_map_ram``: no ``vm_struct``, no guard page; what comes from a block (``vb_alloc``) in powers of two."""
        page = self.k.geometry.page_size
        whole = (
            1 << (pages.count - 1).bit_length()
            if pages.count <= (32 if self.k.geometry.va_bits == 32 else 64)
            else pages.count
        )
        area = self.reserve(pages.count * page, "ram", at=at, behind=(whole - pages.count) * page)
        return self._map_pages(area, self.k.format.protections["PAGE_KERNEL"], pages)

    def _map_pages(self, area: Area | None, prot: int, pages: Pages) -> int | None:
        if area is None:
            return None
        base = self.k.geometry.shift(PTE)
        if vmap_pages_range(self.k, area.start, area.start + area.size, prot, pages, base).ret < 0:
            self.release(area)
            return None
        return area.start

    def ioremap(self, pa: int, size: int, at: int | None, prot: int) -> int | None:
        """``generic_ioremap_prot``: whole pages around the bytes; the address is that of the first byte."""
        page = self.k.geometry.page_size
        offset = pa % page
        area = self.reserve(-(-(size + offset) // page) * page, "ioremap", at=at)
        if area is None:
            return None
        if self.ioremap_page_range(area.start, area.start + area.size, pa - offset, prot).ret:
            self.release(area)
            return None
        return area.start + offset

    def ioremap_page_range(self, start: int, end: int, pa: int, prot: int) -> Walk:
        """``ioremap_page_range``: exactly the range of an I/O area (facts 2.3)."""
        area = self.find(start)
        refused = Walk(Site.VMAP_PAGE_RANGE, start, end)
        if area is None or area.kind != "ioremap":
            self.k.warn(Warn.NOT_IOREMAP, start)
            refused.ret = -EINVAL
            return refused
        if start != area.start or end != area.start + area.size:
            self.k.warn(Warn.IOREMAP_RANGE, start)
            refused.ret = -ERANGE
            return refused
        return vmap_page_range(self.k, start, end, pa, prot)

    # Release --------------------------------------------------------------------------------------

    def release(self, area: Area) -> None:
        """``free_unmap_vmap_area``: unmapped now, flushed from the TLBs when enough wait."""
        del self.by_start[area.start]
        end = area.end - area.rest
        self.k.emit(ev.FLUSH_CACHE, aux=1, va=area.start, new=end)
        vunmap_range_noflush(self.k, area.start, end)
        if area.blocks:
            self.free_blocks.setdefault(area.block_size, []).extend(reversed(area.blocks))
        self.waiting.append(area)
        self.waiting_bytes += area.end - area.start
        if self.waiting_bytes > len(self.k.cpus).bit_length() * LAZY_BYTES:
            self.purge()

    def purge(self) -> None:
        """``__purge_vmap_area_lazy``: one flush over the hull; then the addresses are free again."""
        if not self.waiting:
            return
        waiting, self.waiting, self.waiting_bytes = self.waiting, [], 0
        start, end = min(area.start for area in waiting), max(area.end for area in waiting)
        self.k.backend.flush_tlb_kernel_range(start, end)
        gone = {area.start for area in waiting}
        self.all = [area for area in self.all if area.start not in gone or area.start in self.by_start]
