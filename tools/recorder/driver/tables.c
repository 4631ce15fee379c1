// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Page tables as they are in memory now.
 *
 * A level that is folded, by the build or at run time, has no tables of its own: the function that steps down returns an
 * entry of the same table. Of several names for one table the lowest counts, and levels are numbered from the leaves up.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <asm/pgalloc.h>
#ifdef CONFIG_SPARC64
#include <asm/head.h>
#include <asm/sections.h>
#endif
#ifdef CONFIG_X86
#include <asm/cpufeature.h>
#endif

#include "recorder.h"

/* 32-bit arm: one entry of Linux is two of the hardware's; leaf tables have the hardware's words behind Linux's. */
#if defined(CONFIG_ARM) && !defined(CONFIG_ARM_LPAE)
#define CLASSIC 1
#else
#define CLASSIC 0
#endif

static u64 fresh[TOP_LEVEL + 1];

/* What an entry of a new table holds. Loongarch's leaf tables of the kernel say global from the start, programs' do not. */
u64 fresh_word(struct mm_struct *mm, int level)
{
	if (IS_ENABLED(CONFIG_LOONGARCH) && level == 1 && mm != &init_mm)
		return 0;
	return fresh[level];
}

unsigned int level_shift(int level)
{
	switch (level) {
	case 1:
		return PAGE_SHIFT;
	case 2:
		return PMD_SHIFT;
	case 3:
		return PUD_SHIFT;
	case 4:
		return P4D_SHIFT;
	default:
		return PGDIR_SHIFT;
	}
}

unsigned int level_entries(int level)
{
	unsigned int own = PTRS_PER_PGD;

	if (level == 1)
		return PTRS_PER_PTE;
	if (level == 2)
		own = PTRS_PER_PMD;
	if (level == 3)
		own = PTRS_PER_PUD;
	if (level == 4)
		own = PTRS_PER_P4D;
	return own > 1 ? own : PTRS_PER_PGD;
}

static unsigned int width(int level)
{
	if (CLASSIC && level == 2)
		return 8;
	return sizeof(pte_t);
}

u64 read_word(const void *words, unsigned int index, unsigned int bytes)
{
	return bytes == 8 ? READ_ONCE(((const u64 *)words)[index]) : READ_ONCE(((const u32 *)words)[index]);
}

static u64 pa_of(const void *table)
{
#ifdef CONFIG_SPARC64
	/* The image is mapped apart from memory. */
	if ((unsigned long)table >= (unsigned long)_start && (unsigned long)table < (unsigned long)_end) {
		extern unsigned long kern_base;

		return (unsigned long)table - KERNBASE + kern_base;
	}
#endif
	return __pa((unsigned long)table);
}

static bool same_table(const void *upper, const void *lower)
{
	return ((unsigned long)upper & PAGE_MASK) == ((unsigned long)lower & PAGE_MASK);
}

/* The entry of the root for an address, and the root's level. */
static void *root_entry(struct mm_struct *mm, unsigned long va, int *level)
{
	pgd_t *pgd = pgd_offset(mm, va);
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	*level = 5;
	p4d = p4d_offset(pgd, va);
	if (!same_table(pgd, p4d))
		return pgd;
	*level = 4;
	pud = pud_offset(p4d, va);
	if (!same_table(p4d, pud))
		return p4d;
	*level = 3;
	pmd = pmd_offset(pud, va);
	if (!same_table(pud, pmd))
		return pud;
	*level = 2;
	return pmd;
}

static const void *root_words(struct mm_struct *mm, unsigned long va, int *level)
{
	char *entry = root_entry(mm, va, level);
	unsigned long index = (va >> level_shift(*level)) & (level_entries(*level) - 1);

	return entry - index * width(*level);
}

int root_level(struct mm_struct *mm)
{
	int level;

	root_entry(mm, mm == &init_mm ? VMALLOC_START : 0, &level);
	return level;
}

u64 root_pa(struct mm_struct *mm)
{
	int level;

	return pa_of(root_words(mm, mm == &init_mm ? VMALLOC_START : 0, &level));
}

/* The table below an entry, or NULL. Leaf tables in highmem stay mapped until they are put. */
static const void *below(int level, void *entry, unsigned long va)
{
	switch (level) {
	case 5:
		if (pgd_none(*(pgd_t *)entry) || pgd_bad(*(pgd_t *)entry))
			return NULL;
		return p4d_offset(entry, va);
	case 4: {
		p4d_t p4d = READ_ONCE(*(p4d_t *)entry);

		if (p4d_none(p4d) || !p4d_present(p4d) || p4d_leaf(p4d) || p4d_bad(p4d))
			return NULL;
		return pud_offset(entry, va);
	}
	case 3: {
		pud_t pud = READ_ONCE(*(pud_t *)entry);

		if (pud_none(pud) || !pud_present(pud) || pud_leaf(pud) || pud_bad(pud))
			return NULL;
		return pmd_offset(entry, va);
	}
	default: {
		pmd_t pmd = READ_ONCE(*(pmd_t *)entry);

		if (pmd_none(pmd) || !pmd_present(pmd) || pmd_leaf(pmd) || pmd_bad(pmd))
			return NULL;
#ifdef CONFIG_HIGHPTE
		return kmap_local_page(pmd_page(pmd));
#else
		return pte_offset_kernel(entry, va);
#endif
	}
	}
}

static u64 pa_below(int level, void *entry, const void *table)
{
#ifdef CONFIG_HIGHPTE
	if (level == 2)
		return page_to_phys(pmd_page(*(pmd_t *)entry));
#endif
	return pa_of(table);
}

static void put_below(int level, const void *table)
{
#ifdef CONFIG_HIGHPTE
	if (level == 2)
		kunmap_local(table);
#endif
}

static void descend(const struct table *table, u64 start, u64 last, visit_fn fn, void *data)
{
	unsigned int shift = level_shift(table->level);
	u64 size = 1ULL << shift;
	unsigned int index;

	fn(table, data);
	if (table->level == 1)
		return;
	for (index = 0; index < min(table->entries, level_entries(table->level)); index++) {
		u64 va = table->base + index * size;
		void *entry = (char *)table->words + index * table->width;
		struct table lower;

		if (va > last || va + size - 1 < start)
			continue;
		lower.words = below(table->level, entry, va);
		if (!lower.words)
			continue;
		lower.level = table->level - 1;
		lower.entries = level_entries(lower.level) * (CLASSIC && lower.level == 1 ? 2 : 1);
		lower.width = width(lower.level);
		lower.base = va;
		lower.pa = pa_below(table->level, entry, lower.words);
		descend(&lower, start, last, fn, data);
		put_below(table->level, lower.words);
	}
}

void root_table(struct mm_struct *mm, unsigned long va, struct table *root)
{
	u64 span;

	root->words = root_words(mm, va, &root->level);
	root->entries = level_entries(root->level);
	root->width = width(root->level);
	root->pa = pa_of(root->words);
	/* All that the root maps; 0: all that there is. */
	span = level_shift(root->level) + ilog2(root->entries) < 64 ?
		(u64)root->entries << level_shift(root->level) : 0;
	root->base = span ? va & ~(span - 1) : 0;
}

void visit_tree(const struct table *root, unsigned long start, unsigned long last, visit_fn fn, void *data)
{
	descend(root, start, last, fn, data);
}

void visit(struct mm_struct *mm, unsigned long start, unsigned long last, visit_fn fn, void *data)
{
	struct table root;

	root_table(mm, start, &root);
#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	/* What the program runs with lies behind what the kernel runs with meanwhile. */
	if (mm != &init_mm && cpu_feature_enabled(X86_FEATURE_PTI))
		root.entries *= 2;
#endif
	visit_tree(&root, start, last, fn, data);
}

/* Where the linear map and the vmalloc space are. */
void whole_window(unsigned long *start, unsigned long *last)
{
	unsigned long memory_end = (unsigned long)high_memory;
	unsigned long vmalloc_last = (VMALLOC_END - 1) | ~PAGE_MASK;

	*start = min((unsigned long)PAGE_OFFSET, (unsigned long)VMALLOC_START);
	*last = max(memory_end - 1, vmalloc_last);
#ifdef CONFIG_ARM64
	/* A kernel for 52 bits on hardware without them has nothing below. */
	*start = max(*start, -(1UL << vabits_actual));
#endif
#if defined(CONFIG_LOONGARCH) || defined(CONFIG_S390)
	/* Memory is mapped without tables, or begins where users' addresses do. */
	*start = VMALLOC_START;
	*last = vmalloc_last;
#endif
}

/* What a table holds that was just made. */
int tables_init(void)
{
	pte_t *pte = pte_alloc_one_kernel(&init_mm);

	if (!pte)
		return -ENOMEM;
	fresh[1] = read_word(pte, 0, sizeof(pte_t));
	pte_free_kernel(&init_mm, pte);
#ifndef __PAGETABLE_PMD_FOLDED
	{
		pmd_t *pmd = pmd_alloc_one(&init_mm, VMALLOC_START);

		if (!pmd)
			return -ENOMEM;
		fresh[2] = read_word(pmd, 0, sizeof(pte_t));
		pmd_free(&init_mm, pmd);
	}
#endif
#ifndef __PAGETABLE_PUD_FOLDED
	if (root_level(&init_mm) > 3) {
		pud_t *pud = pud_alloc_one(&init_mm, VMALLOC_START);

		if (!pud)
			return -ENOMEM;
		fresh[3] = read_word(pud, 0, sizeof(pte_t));
		pud_free(&init_mm, pud);
	}
#endif
#ifndef __PAGETABLE_P4D_FOLDED
	if (root_level(&init_mm) > 4) {
		p4d_t *p4d = p4d_alloc_one(&init_mm, VMALLOC_START);

		if (!p4d)
			return -ENOMEM;
		fresh[4] = read_word(p4d, 0, sizeof(pte_t));
		p4d_free(&init_mm, p4d);
	}
#endif
	return 0;
}
