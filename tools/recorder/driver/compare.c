// SPDX-License-Identifier: MIT OR Apache-2.0
/* What changed between two moments: every table of a window is copied, and compared with what is there later. */
#include <linux/sched.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#ifdef CONFIG_X86
#include <asm/cpufeature.h>
#endif

#include "recorder.h"

#define MOST_TABLES 8192
#define COPY_BYTES (12UL << 20)

struct copy {
	int level;
	unsigned int entries, width;
	u64 base, pa;
	const void *before;	/* in the copies; NULL: the table was not there */
	const void *after;	/* in memory; NULL: it is not there now */
};

static struct copy *copies;
static char *store;
static unsigned int count;
static size_t stored;
static bool lost;	/* more tables than fit */

static struct mm_struct *window_mm;
static unsigned long window_start, window_last;

int compare_init(void)
{
	copies = vzalloc(MOST_TABLES * sizeof(*copies));
	store = vzalloc(COPY_BYTES);
	return copies && store ? 0 : -ENOMEM;
}

static struct copy *add(const struct table *table)
{
	size_t bytes = (size_t)table->entries * table->width;
	struct copy *c = &copies[count];

	if (count == MOST_TABLES || stored + bytes > COPY_BYTES) {
		lost = true;
		return NULL;
	}
	*c = (struct copy){ table->level, table->entries, table->width, table->base, table->pa };
	count++;
	return c;
}

static const void *keep(const struct table *table)
{
	size_t bytes = (size_t)table->entries * table->width;
	void *at = store + stored;

	memcpy(at, table->words, bytes);
	stored += bytes;
	return at;
}

static void copy_before(const struct table *table, void *data)
{
	struct copy *c = add(table);

	if (c)
		c->before = keep(table);
}

void remember(struct mm_struct *mm, unsigned long start, unsigned long last)
{
	count = 0;
	stored = 0;
	lost = false;
	window_mm = mm;
	window_start = start;
	window_last = last;
	visit(mm, start, last, copy_before, NULL);
}

static void find_after(const struct table *table, void *data)
{
	static unsigned int at;	/* tables come in the same order as before, but for those that came or went */
	unsigned int known = *(unsigned int *)data;
	unsigned int n;
	struct copy *c;

	for (n = 0; n < known; n++) {
		c = &copies[(at + n) % known];
		if (c->pa == table->pa && c->level == table->level && c->base == table->base) {
			at = (at + n + 1) % known;
			break;
		}
	}
	if (n == known)
		c = add(table);
	if (!c)
		return;
	if (c->before && !memcmp(c->before, table->words, (size_t)table->entries * table->width))
		c->after = c->before;
	else if (stored + (size_t)table->entries * table->width > COPY_BYTES)
		lost = true;
	else
		c->after = keep(table);
}

static int by_level_and_address(const void *left, const void *right)
{
	const struct copy *a = left, *b = right;

	if (a->level != b->level)
		return b->level - a->level;
	if (a->base != b->base)
		return a->base < b->base ? -1 : 1;
	/* What went stands before what came. */
	return !!b->before - !!a->before;
}

/* Entries that change in the same way, one behind the other. */
struct run {
	unsigned int first, length;
	u64 old, new, old_step, new_step;
};

static bool any_run;

static void say_run(const struct copy *c, const struct run *r)
{
	unsigned int linux_entries = level_entries(c->level);
	u64 va = c->base + ((u64)(r->first % linux_entries) << level_shift(c->level));

	if (!r->length || text_full())
		return;
	say("%s[%d,\"0x%llx\",%u,\"0x%llx\",\"0x%llx\",\"0x%llx\"", any_run ? "," : "", c->level, c->pa, r->first, va,
	    r->old, r->new);
	if (r->length > 1)
		say(",%u,\"0x%llx\",\"0x%llx\"", r->length, r->old_step, r->new_step);
	say("]");
	any_run = true;
}

static void extend(const struct copy *c, struct run *r, unsigned int index, u64 old, u64 new)
{
	u64 old_last = r->old + (r->length - 1) * r->old_step, new_last = r->new + (r->length - 1) * r->new_step;
	bool next = r->length && index == r->first + r->length && index != level_entries(c->level);

	if (next && r->length == 1) {
		r->old_step = old - r->old;
		r->new_step = new - r->new;
	} else if (!next || old - old_last != r->old_step || new - new_last != r->new_step) {
		say_run(c, r);
		*r = (struct run){ index, 0, old, new };
	}
	r->length++;
}

static unsigned long say_copy(const struct copy *c)
{
	struct run run = {};
	unsigned long changed = 0;
	unsigned int index;
	u64 size = 1ULL << level_shift(c->level);

	if (c->before == c->after)
		return 0;
	for (index = 0; index < c->entries; index++) {
		u64 va = c->base + (index % level_entries(c->level)) * size;
		u64 empty = fresh_word(window_mm, c->level);
		u64 old = c->before ? read_word(c->before, index, c->width) : empty;
		u64 new = c->after ? read_word(c->after, index, c->width) : empty;

		if (old == new || va > window_last || va + size - 1 < window_start)
			continue;
		changed++;
		extend(c, &run, index, old, new);
	}
	say_run(c, &run);
	return changed;
}

static void say_counts(const char *name, bool came)
{
	unsigned int n, level, found[TOP_LEVEL + 1] = {};
	const char *comma = "";

	for (n = 0; n < count; n++)
		if (came ? !copies[n].before && copies[n].after : copies[n].before && !copies[n].after)
			found[copies[n].level]++;
	say(",\"%s\":{", name);
	for (level = TOP_LEVEL; level; level--) {
		if (!found[level])
			continue;
		say("%s\"%u\":%u", comma, level, found[level]);
		comma = ",";
	}
	say("}");
}

void say_changes(void)
{
	unsigned int known = count, n;
	unsigned long changed = 0;

	visit(window_mm, window_start, window_last, find_after, &known);
	sort(copies, count, sizeof(*copies), by_level_and_address, NULL);
	any_run = false;
	say(",\"chg\":[");
	for (n = 0; n < count; n++)
		changed += say_copy(&copies[n]);
	say("],\"nchg\":%lu", changed);
	say_counts("alloc", true);
	say_counts("freed", false);
	if (lost || text_full())
		say(",\"overflow\":1");
}

static void add_table(const struct table *table, void *data)
{
	struct copy *c = add(table);

	if (c)
		c->after = keep(table);
}

/* Every descriptor that is not zero, as if all had just been made. */
void say_all(struct mm_struct *mm, unsigned long start, unsigned long last)
{
	unsigned int n, index;
	unsigned long found = 0;

	remember(mm, start, last);
	count = 0;
	stored = 0;
	visit(mm, start, last, add_table, NULL);
	sort(copies, count, sizeof(*copies), by_level_and_address, NULL);
	any_run = false;
	say(",\"chg\":[");
	for (n = 0; n < count; n++) {
		struct copy *c = &copies[n];
		struct run run = {};
		u64 size = 1ULL << level_shift(c->level);

		for (index = 0; index < c->entries; index++) {
			u64 va = c->base + (index % level_entries(c->level)) * size;
			u64 word = read_word(c->after, index, c->width);

			if (!word || va > last || va + size - 1 < start)
				continue;
			found++;
			extend(c, &run, index, 0, word);
		}
		say_run(c, &run);
	}
	say("],\"entries\":%lu", found);
	if (lost || text_full())
		say(",\"overflow\":1");
}

static void say_table(const struct table *table, void *data)
{
	bool *first = data;

	say("%s[%d,\"0x%llx\"]", *first ? "" : ",", table->level, table->pa);
	*first = false;
}

static void say_root(const char *name, const struct table *root, unsigned long start, unsigned long last)
{
	bool first = true;

	say("\"%s\":{\"pa\":\"0x%llx\",\"levels\":%d,\"va_bits\":%u,\"entries\":%u,\"tables\":[", name, root->pa,
	    root->level, level_shift(root->level) + ilog2(root->entries), root->entries);
	visit_tree(root, start, last, say_table, &first);
	say("]}");
}

/* The last address that a root maps, seen from the first one. */
static unsigned long reach(const struct table *root)
{
	unsigned int bits = level_shift(root->level) + ilog2(root->entries);

	return bits < BITS_PER_LONG ? (1UL << bits) - 1 : -1UL;
}

/* Where all tables are: their words are read from outside. */
void say_image(void)
{
	unsigned long start;
	struct table root;

	say(",\"roots\":{");
	root_table(&init_mm, VMALLOC_START, &root);
	start = VMALLOC_START & ~reach(&root);
	say_root("kernel", &root, start, start + reach(&root));
	if (current->mm) {
		say(",");
		root_table(current->mm, 0, &root);
		say_root("user", &root, 0, reach(&root));
#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
		if (cpu_feature_enabled(X86_FEATURE_PTI)) {
			root.words = kernel_to_user_pgdp((pgd_t *)root.words);
			root.pa += PAGE_SIZE;
			say(",");
			say_root("user_pti", &root, 0, reach(&root));
		}
#endif
	}
	say("}");
}
