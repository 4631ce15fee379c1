// SPDX-License-Identifier: MIT OR Apache-2.0
/* Commands on ranges of addresses: what the generic loops over kernel tables do. */
#include <linux/io.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <asm/cacheflush.h>

#include "../internal.h"
#include "recorder.h"

/* Where arrays of pages are mapped got a header of its own, and an argument. */
#if __has_include("../vmalloc.h")
#include "../vmalloc.h"
#define map_array(start, end, prot, pages, shift) vmap_pages_range_noflush(start, end, prot, pages, shift, GFP_KERNEL)
#else
#define map_array vmap_pages_range_noflush
#endif

pgprot_t protection(const char *name)
{
	if (!strcmp(name, "ro"))
		return PAGE_KERNEL_RO;
	if (!strcmp(name, "rwx"))
		return PAGE_KERNEL_EXEC;
	if (!strcmp(name, "nc"))
		return pgprot_noncached(PAGE_KERNEL);
	if (!strcmp(name, "wc"))
		return pgprot_writecombine(PAGE_KERNEL);
	if (!strcmp(name, "io")) {
#if defined(CONFIG_ARM64)
		return __pgprot(PROT_DEVICE_nGnRE);
#elif defined(PAGE_KERNEL_IO)
		return PAGE_KERNEL_IO;
#else
		return pgprot_noncached(PAGE_KERNEL);
#endif
	}
	return PAGE_KERNEL;
}

/* A page array from the pool: in order, backwards, with a stride, with bits turned, or with a hole. KIND A B. */
struct page **page_array(const struct command *c, int kind, unsigned int count)
{
	struct page **pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	unsigned int a = number(c, kind + 1), b = number(c, kind + 2), n;

	for (n = 0; pages && n < count; n++) {
		unsigned int at = a + n;

		if (c->word[kind][0] == 'r')
			at = a - n;
		if (c->word[kind][0] == 's')
			at = a + n * b;
		if (c->word[kind][0] == 'x')
			at = a + (n ^ b);
		pages[n] = c->word[kind][0] == 'h' && n == b ? NULL : pool + at % pool_pages;
	}
	return pages;
}

struct callback {
	int kind;
	long calls, fail_at;
	unsigned long pfn;
	pgprot_t prot;
};

static int touch(pte_t *entry, unsigned long va, void *data)
{
	struct callback *callback = data;
	long call = callback->calls;

	if (call == callback->fail_at)
		return -ENOSPC;
	callback->calls++;
	switch (callback->kind) {
	case 1:
		set_pte_at(&init_mm, va, entry, pfn_pte(callback->pfn + call, callback->prot));
		break;
	case 2:
		pte_clear(&init_mm, va, entry);
		break;
	case 3: {
		pte_t old = ptep_get(entry);

		if (pte_present(old))
			set_pte_at(&init_mm, va, entry, pte_wrprotect(old));
		break;
	}
	case 4:
		ptep_get_and_clear(&init_mm, va, entry);
		break;
	}
	return 0;
}

/* apply VA SIZE CREATE KIND PA PROT [FAILAT] */
static void apply(const struct command *c, struct outcome *out)
{
	struct callback callback = {
		.kind = number(c, 4),
		.pfn = number(c, 5) >> PAGE_SHIFT,
		.prot = protection(c->word[6]),
		.fail_at = c->count > 7 ? number(c, 7) : -1,
	};
	unsigned long va = number(c, 1), size = number(c, 2);

	if (number(c, 3))
		out->ret = apply_to_page_range(&init_mm, va, size, touch, &callback);
	else
		out->ret = apply_to_existing_page_range(&init_mm, va, size, touch, &callback);
	out->calls = callback.calls;
}

/* vmaps VA NPAGES SHIFT PROT KIND A B */
static void map_pages(const struct command *c, struct outcome *out)
{
	unsigned long va = number(c, 1), count = number(c, 2);
	unsigned int shift = number(c, 3);
	struct page **pages = page_array(c, 5, count);

	if (!pages) {
		out->ret = -ENOMEM;
		return;
	}
	out->ret = map_array(va, va + count * PAGE_SIZE, protection(c->word[4]), pages, shift ? shift : PAGE_SHIFT);
	flush_cache_vmap(va, va + count * PAGE_SIZE);
	kvfree(pages);
}

bool operation(const struct command *c, struct outcome *out)
{
	const char *name = c->word[0];

	if (!strcmp(name, "nop")) {
	} else if (!strcmp(name, "vmpr")) {
		unsigned long va = number(c, 1);

#ifdef CONFIG_HAS_IOMEM
		out->ret = vmap_page_range(va, va + number(c, 2), number(c, 3), protection(c->word[4]));
#else
		out->ret = -ENOSYS;
#endif
	} else if (!strcmp(name, "vmaps")) {
		map_pages(c, out);
	} else if (!strcmp(name, "vunmap")) {
		vunmap_range(number(c, 1), number(c, 1) + number(c, 2));
	} else if (!strcmp(name, "vunmapnf")) {
		vunmap_range_noflush(number(c, 1), number(c, 1) + number(c, 2));
	} else if (!strcmp(name, "apply")) {
		apply(c, out);
	} else {
		return false;
	}
	return true;
}
