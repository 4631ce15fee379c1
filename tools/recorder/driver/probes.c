// SPDX-License-Identifier: MIT OR Apache-2.0
/* Calls, in their order, with argument words; and what the loops over top-level entries return. */
#include <linux/kprobes.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "recorder.h"

#define MOST_EVENTS 6000
#define MOST_ARGUMENTS 6

/* Functions, and how many words of their arguments are told. */
static const struct {
	const char *name;
	int arguments;
} functions[] = {
	{ "vmap_page_range", 4 },
	{ "ioremap_page_range", 4 },
	{ "vmap_range_noflush", 5 },
	{ "__vmap_pages_range_noflush", 5 },
	{ "vmap_small_pages_range_noflush", 4 },
	{ "__vunmap_range_noflush", 2 },
	{ "__apply_to_page_range", 6 },
	{ "__pte_alloc_kernel", 1 },
	{ "__pmd_alloc", 3 },
	{ "__pud_alloc", 3 },
	{ "__p4d_alloc", 3 },
	{ "__pte_alloc", 2 },
	{ "vmap_pte_range", 3 },
	{ "vmap_pages_pte_range", 3 },
	{ "vunmap_pte_range", 3 },
	{ "apply_to_pte_range", 4 },
	{ "pmd_set_huge", 2 },
	{ "pud_set_huge", 2 },
	{ "pmd_free_pte_page", 2 },
	{ "pud_free_pmd_page", 2 },
	{ "arch_sync_kernel_mappings", 2 },
	{ "vmalloc_sync_one", 2 },
	{ "flush_tlb_kernel_range", 2 },
	{ "flush_tlb_all", 0 },
	{ "flush_tlb_mm_range", 5 },
	{ "change_protection", 4 },
	{ "copy_page_range", 2 },
	{ "free_pgtables", 2 },
	{ "unmap_page_range", 4 },
	{ "move_page_tables", 5 },
	{ "ptep_clear_flush", 3 },
	{ "__purge_vmap_area_lazy", 3 },
	{ "hpte_need_flush", 5 },
	{ "__flush_tlb_pending", 1 },
};

/* Loops over top-level entries, and which argument is the mask of what they modified. */
static const struct {
	const char *name;
	int mask;
} loops[] = {
	{ "vmap_p4d_range", 6 },
	{ "vmap_pages_p4d_range", 6 },
	{ "vunmap_p4d_range", 3 },
	{ "apply_to_p4d_range", 7 },
};

struct event {
	const char *name;
	bool returned;
	int count;
	unsigned long word[MOST_ARGUMENTS];
	int lazy, queued;	/* powerpc's batch; lazy < 0: there is none */
};

static struct event events[MOST_EVENTS];
static unsigned int count;
static bool overflow;
static struct task_struct *watched;

void probes_begin(void)
{
	count = 0;
	overflow = false;
	watched = current;
}

void probes_end(void)
{
	watched = NULL;
}

static struct event *next_event(const char *name)
{
	struct event *e;

	if (current != watched)
		return NULL;
	if (count == MOST_EVENTS) {
		overflow = true;
		return NULL;
	}
	e = &events[count++];
	*e = (struct event){ .name = name, .lazy = -1 };
	return e;
}

#if defined(CONFIG_KPROBES) && defined(CONFIG_KRETPROBES)

static struct kprobe probes[ARRAY_SIZE(functions)];
static struct kretprobe returns[ARRAY_SIZE(loops)];

/* Words of arguments by the convention of the architecture: in registers, then on the stack. */
static unsigned long argument(struct pt_regs *regs, unsigned int n)
{
	unsigned long *stack __maybe_unused = (unsigned long *)kernel_stack_pointer(regs);

#if defined(CONFIG_X86_64)
	return n < 6 ? regs_get_kernel_argument(regs, n) : stack[n - 6 + 1];
#elif defined(CONFIG_X86_32)
	return n < 3 ? regs_get_kernel_argument(regs, n) : stack[n - 3 + 1];
#elif defined(CONFIG_S390)
	return n < 5 ? regs_get_kernel_argument(regs, n) : stack[n - 5 + 20];
#elif defined(CONFIG_ARM)
	return n < 4 ? regs->uregs[n] : stack[n - 4];
#elif defined(CONFIG_SPARC64)
	return n < 6 ? regs->u_regs[UREG_I0 + n] : *(unsigned long *)((char *)stack + STACK_BIAS + 128 + 8 * n);
#else
	return regs_get_kernel_argument(regs, n);
#endif
}

/* On 32 bits a physical address or a protection may take two words. */
static unsigned int mask_word(unsigned int loop)
{
#ifdef CONFIG_64BIT
	return loops[loop].mask;
#else
	unsigned int wide_pa = sizeof(phys_addr_t) > 4, wide_prot = sizeof(pgprot_t) > 4;
	unsigned int word = loops[loop].mask;

	if (loop == 0) {
		word = 3;
#ifdef CONFIG_ARM
		word += wide_pa;	/* pairs of words begin at an even one */
#endif
		word += 1 + wide_pa + 1 + wide_prot + 1;
	} else if (loop == 1) {
		word = 3;
#ifdef CONFIG_ARM
		word += wide_prot;
#endif
		word += 1 + wide_prot + 2;
	}
	return word;
#endif
}

static void batch_state(struct event *e)
{
#ifdef CONFIG_PPC_64S_HASH_MMU
	if (!radix_enabled()) {
		struct ppc64_tlb_batch *batch = this_cpu_ptr(&ppc64_tlb_batch);

#ifdef __HAVE_ARCH_ENTER_LAZY_MMU_MODE
		e->lazy = batch->active;
#else
		e->lazy = is_lazy_mmu_mode_active();
#endif
		e->queued = batch->index;
	}
#endif
}

static int called(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int which = probe - probes;
	struct event *e = next_event(functions[which].name);
	int n;

	if (!e)
		return 0;
	e->count = functions[which].arguments;
	for (n = 0; n < e->count; n++)
		e->word[n] = argument(regs, n);
	batch_state(e);
	return 0;
}
NOKPROBE_SYMBOL(called);

static int entered(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct kretprobe *probe = get_kretprobe(instance);
	struct event *e;
	unsigned int which = probe - returns;

	*(unsigned long *)instance->data = argument(regs, mask_word(which));
	e = next_event(loops[which].name);
	if (!e)
		return 0;
	e->count = 3;
	e->word[0] = argument(regs, 0);
	e->word[1] = argument(regs, 1);
	e->word[2] = argument(regs, 2);
	return 0;
}
NOKPROBE_SYMBOL(entered);

static int left(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct kretprobe *probe = get_kretprobe(instance);
	pgtbl_mod_mask *mask = *(pgtbl_mod_mask **)instance->data;
	struct event *e = next_event(loops[probe - returns].name);

	if (!e)
		return 0;
	e->returned = true;
	e->word[0] = regs_return_value(regs);
	e->word[1] = *mask;
	return 0;
}
NOKPROBE_SYMBOL(left);

static void set_all(bool on)
{
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(functions); n++) {
		if (!on && probes[n].addr) {
			unregister_kprobe(&probes[n]);
		} else if (on) {
			probes[n] = (struct kprobe){ .symbol_name = functions[n].name, .pre_handler = called };
			if (register_kprobe(&probes[n]))
				probes[n].addr = NULL;
		}
	}
	for (n = 0; n < ARRAY_SIZE(loops); n++) {
		if (!on && returns[n].kp.addr) {
			unregister_kretprobe(&returns[n]);
		} else if (on) {
			returns[n] = (struct kretprobe){
				.kp.symbol_name = loops[n].name,
				.handler = left,
				.entry_handler = entered,
				.data_size = sizeof(unsigned long),
				.maxactive = 16,
			};
			if (register_kretprobe(&returns[n]))
				returns[n].kp.addr = NULL;
		}
	}
}

static void say_registered(void)
{
	const char *comma = "";
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(functions); n++) {
		if (!probes[n].addr)
			continue;
		say("%s\"%s\"", comma, functions[n].name);
		comma = ",";
	}
	for (n = 0; n < ARRAY_SIZE(loops); n++) {
		if (!returns[n].kp.addr)
			continue;
		say("%s\"%s+mask\"", comma, loops[n].name);
		comma = ",";
	}
}

#else

static void set_all(bool on)
{
}

static void say_registered(void)
{
}

#endif

void probes_set(bool on)
{
	set_all(on);
	say(",\"on\":[");
	if (on)
		say_registered();
	say("]");
}

void say_events(void)
{
	unsigned int n;
	int word;

	say(",\"ev\":[");
	for (n = 0; n < count && !text_full(); n++) {
		const struct event *e = &events[n];

		say("%s[\"%s%s\"", n ? "," : "", e->returned ? "ret:" : "", e->name);
		if (e->returned)
			say(",%d,\"0x%lx\"", (int)e->word[0], e->word[1]);
		for (word = 0; word < e->count; word++)
			say(",\"0x%lx\"", e->word[word]);
		if (e->lazy >= 0)
			say(",{\"lazy\":%d,\"queued\":%d}", e->lazy, e->queued);
		say("]");
	}
	say("]");
	if (overflow || n < count)
		say(",\"ev_overflow\":1");
}
