/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A driver that carries out operations on page tables, and writes down what became of the tables. */
#ifndef RECORDER_H
#define RECORDER_H

#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/types.h>

#define MOST_WORDS 16	/* of a command line */
#define TOP_LEVEL 5	/* levels count from the leaf tables, which are 1 */

/* What was asked for: words of one line, and the addresses in which tables are compared. */
struct command {
	int count;
	char *word[MOST_WORDS];
	bool has_window;
	unsigned long start, last;	/* inclusive: a window may end where addresses end */
};

/* What a command says besides tables. */
struct outcome {
	long ret;
	bool has_va;
	unsigned long va;
	long calls;	/* of a callback; negative: there is none */
};

u64 number(const struct command *c, int index);

/* text.c: the record that is being written */
void text_reset(void);
__printf(1, 2) void say(const char *format, ...);
bool text_full(void);
const char *text(size_t *length);
int text_init(void);

/* tables.c: page tables as they are in memory now */
struct table {
	int level;
	unsigned int entries, width;	/* of the table, and bytes of each */
	u64 base;			/* first address that it maps */
	u64 pa;
	const void *words;		/* valid during the visit */
};

typedef void (*visit_fn)(const struct table *table, void *data);
void root_table(struct mm_struct *mm, unsigned long va, struct table *root);
void visit_tree(const struct table *root, unsigned long start, unsigned long last, visit_fn fn, void *data);
void visit(struct mm_struct *mm, unsigned long start, unsigned long last, visit_fn fn, void *data);
unsigned int level_shift(int level);
unsigned int level_entries(int level);
int root_level(struct mm_struct *mm);
u64 root_pa(struct mm_struct *mm);
u64 read_word(const void *words, unsigned int index, unsigned int width);
u64 fresh_word(struct mm_struct *mm, int level);
void whole_window(unsigned long *start, unsigned long *last);
int tables_init(void);

/* compare.c: what changed between two moments */
void remember(struct mm_struct *mm, unsigned long start, unsigned long last);
void say_changes(void);
void say_all(struct mm_struct *mm, unsigned long start, unsigned long last);
void say_image(void);
int compare_init(void);

/* operations.c, areas.c: commands. False: there is no such command. */
bool operation(const struct command *c, struct outcome *out);
bool area_operation(const struct command *c, struct outcome *out);
pgprot_t protection(const char *name);
struct page **page_array(const struct command *c, int kind, unsigned int count);
void narrow_window(struct command *c);
int areas_init(void);
extern struct page *pool;
extern unsigned int pool_pages;

/* probes.c: calls */
void probes_set(bool on);
void probes_begin(void);
void probes_end(void);
void say_events(void);

/* info.c */
void say_info(void);

#endif
