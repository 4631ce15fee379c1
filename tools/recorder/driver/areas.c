// SPDX-License-Identifier: MIT OR Apache-2.0
/* Commands on areas under slot numbers, and on the memory behind them. */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/set_memory.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "recorder.h"

#define SLOTS 32

struct page *pool;
unsigned int pool_pages;

static struct {
	void *address;
	unsigned int pages;
} slots[SLOTS];

static struct vm_struct *reserved;

/* Physically consecutive pages that commands map. */
int areas_init(void)
{
	unsigned int order = min(10, MAX_PAGE_ORDER);

	pool = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);
	if (!pool)
		return -ENOMEM;
	split_page(pool, order);
	pool_pages = 1U << order;
	return 0;
}

/* Reserves exactly that range of the vmalloc space, and the guard page behind it. */
static void reserve(const struct command *c, struct outcome *out)
{
	unsigned long va = number(c, 1), size = number(c, 2);
	unsigned long kind = c->word[3][0] == 'i' ? VM_IOREMAP : VM_MAP;

	reserved = __get_vm_area_caller(size, kind, va, va + size + PAGE_SIZE, __builtin_return_address(0));
	out->ret = reserved ? 0 : -ENOMEM;
	out->has_va = true;
	out->va = reserved ? (unsigned long)reserved->addr : 0;
}

static void keep(unsigned int slot, void *address, unsigned int pages, struct outcome *out)
{
	slots[slot].address = address;
	slots[slot].pages = pages;
	out->ret = address ? 0 : -ENOMEM;
	out->has_va = true;
	out->va = (unsigned long)address;
}

static int set_memory(unsigned long va, int pages, const char *how)
{
#ifdef CONFIG_ARCH_HAS_SET_MEMORY
	if (!strcmp(how, "ro"))
		return set_memory_ro(va, pages);
	if (!strcmp(how, "rw"))
		return set_memory_rw(va, pages);
	if (!strcmp(how, "nx"))
		return set_memory_nx(va, pages);
	if (!strcmp(how, "x"))
		return set_memory_x(va, pages);
#endif
	return -ENOSYS;
}

static int set_linear(unsigned long va, int pages, const char *how)
{
#ifdef CONFIG_ARM64
	return set_memory_valid(va, pages, how[0] != 'i');
#else
	return set_memory(va, pages, how);
#endif
}

static int set_direct(unsigned int first, unsigned int pages, const char *how)
{
#ifdef CONFIG_ARCH_HAS_SET_DIRECT_MAP
	unsigned int n;
	int ret = 0;

	for (n = 0; n < pages && !ret; n++)
		ret = how[0] == 'i' ? set_direct_map_invalid_noflush(pool + first + n) :
				      set_direct_map_default_noflush(pool + first + n);
	return ret;
#else
	return -ENOSYS;
#endif
}

static bool pool_command(const struct command *c)
{
	return !strcmp(c->word[0], "lin") || !strcmp(c->word[0], "setdirect");
}

static unsigned long pool_address(const struct command *c)
{
	return (unsigned long)page_address(pool + number(c, 1));
}

/* Of the linear map only the pages that a command is about are looked at. */
void narrow_window(struct command *c)
{
	if (!pool_command(c))
		return;
	c->start = pool_address(c);
	c->last = c->start + number(c, 2) * PAGE_SIZE - 1;
}

/* Reads every page of an area: a hash table in front of the tables gets an entry for each. */
static void touch(unsigned int slot)
{
	const char *at = slots[slot].address;
	unsigned int n;

	for (n = 0; at && n < slots[slot].pages; n++)
		READ_ONCE(at[n * PAGE_SIZE]);
}

static bool allocation(const struct command *c, struct outcome *out)
{
	const char *name = c->word[0];
	unsigned int slot = c->count > 1 ? number(c, 1) % SLOTS : 0;

	if (!strcmp(name, "ioremap")) {
#ifdef CONFIG_HAS_IOMEM
		keep(slot, (void __force *)ioremap(number(c, 2), number(c, 3)), 0, out);
#else
		out->ret = -ENOSYS;
#endif
	} else if (!strcmp(name, "vmalloc")) {
		keep(slot, vmalloc(number(c, 2)), DIV_ROUND_UP(number(c, 2), PAGE_SIZE), out);
	} else if (!strcmp(name, "vmallochuge")) {
		keep(slot, vmalloc_huge(number(c, 2), GFP_KERNEL), DIV_ROUND_UP(number(c, 2), PAGE_SIZE), out);
	} else if (!strcmp(name, "vmap") || !strcmp(name, "vmram")) {
		unsigned int count = number(c, 2);
		struct page **pages = page_array(c, 3, count);

		if (!pages)
			out->ret = -ENOMEM;
		else if (name[2] == 'a')
			keep(slot, vmap(pages, count, VM_MAP, protection(c->word[6])), count, out);
		else
			keep(slot, vm_map_ram(pages, count, NUMA_NO_NODE), count, out);
		kvfree(pages);
	} else {
		return false;
	}
	return true;
}

static bool release(const struct command *c)
{
	const char *name = c->word[0];
	unsigned int slot = c->count > 1 ? number(c, 1) % SLOTS : 0;

	if (!strcmp(name, "iounmap"))
		iounmap((void __iomem __force *)slots[slot].address);
	else if (!strcmp(name, "vfree"))
		vfree(slots[slot].address);
	else if (!strcmp(name, "vunmapp"))
		vunmap(slots[slot].address);
	else if (!strcmp(name, "vmunram"))
		vm_unmap_ram(slots[slot].address, slots[slot].pages);
	else if (!strcmp(name, "touch"))
		touch(slot);
	else if (!strcmp(name, "purge"))
		vm_unmap_aliases();
	else if (!strcmp(name, "unarea") && reserved)
		free_vm_area(reserved);
	else
		return false;
	return true;
}

bool area_operation(const struct command *c, struct outcome *out)
{
	const char *name = c->word[0];

	if (!strcmp(name, "area"))
		reserve(c, out);
	else if (!strcmp(name, "setmem"))
		out->ret = set_memory((unsigned long)slots[number(c, 1) % SLOTS].address + number(c, 3) * PAGE_SIZE,
				      number(c, 4), c->word[2]);
	else if (!strcmp(name, "setdirect"))
		out->ret = set_direct(number(c, 1), number(c, 2), c->word[3]);
	else if (!strcmp(name, "lin"))
		out->ret = set_linear(pool_address(c), number(c, 2), c->word[3]);
	else
		return release(c) || allocation(c, out);
	return true;
}
