// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A plugin of QEMU: which instructions of some classes a kernel executes, and what it stores where, between two places
 * of its code.
 *
 *     -plugin trace.so,out=FILE,begin=PC,end=PC,kernel=PC,insn=MASK:VALUE,...
 *
 * FILE gets three 64-bit words for each event: what it is, the instruction's address, and the first bytes of the
 * instruction, or the physical address of a store. `begin` and `end` are first instructions of functions; below `kernel`
 * are programs, of which nothing is told. An instruction counts whose bytes, as a little-endian number, are VALUE under
 * MASK. One CPU only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu.h"

#define MOST_CLASSES 16

enum what { BEGIN = 1, END, INSTRUCTION, STORE };

VISIBLE int qemu_plugin_version = 1;

static FILE *out;
static uint64_t begin, end, kernel;
static struct class {
	uint64_t mask, value;
} classes[MOST_CLASSES];
static int class_count;
static bool running;

struct place {
	uint64_t pc, bytes;
};

static void put(enum what what, uint64_t pc, uint64_t value)
{
	uint64_t words[3] = { what, pc, value };

	fwrite(words, sizeof(words), 1, out);
}

static void begins(unsigned int cpu, void *data)
{
	running = true;
	put(BEGIN, begin, 0);
}

static void ends(unsigned int cpu, void *data)
{
	running = false;
	put(END, end, 0);
	/* QEMU is killed in the end. */
	fflush(out);
}

static void executed(unsigned int cpu, void *data)
{
	const struct place *place = data;

	if (running)
		put(INSTRUCTION, place->pc, place->bytes);
}

static void stored(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	struct qemu_plugin_hwaddr *at;

	/* Loads come, too, whatever was registered. */
	if (!running || !qemu_plugin_mem_is_store(info))
		return;
	at = qemu_plugin_get_hwaddr(info, va);
	if (at && !qemu_plugin_hwaddr_is_io(at))
		put(STORE, (uintptr_t)data, qemu_plugin_hwaddr_phys_addr(at));
}

static uint64_t first_bytes(const struct qemu_plugin_insn *insn)
{
	const unsigned char *data = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn), n;
	uint64_t value = 0;

	for (n = 0; n < size && n < sizeof(value); n++)
		value |= (uint64_t)data[n] << 8 * n;
	return value;
}

static bool wanted(uint64_t bytes)
{
	int n;

	for (n = 0; n < class_count; n++) {
		if ((bytes & classes[n].mask) == classes[n].value)
			return true;
	}
	return false;
}

static void instrument(struct qemu_plugin_insn *insn)
{
	uint64_t pc = qemu_plugin_insn_vaddr(insn), bytes;

	if (pc < kernel)
		return;
	if (pc == begin)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, begins, QEMU_PLUGIN_CB_NO_REGS, NULL);
	if (pc == end)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, ends, QEMU_PLUGIN_CB_NO_REGS, NULL);
	bytes = first_bytes(insn);
	if (wanted(bytes)) {
		/* As long as the translated code, which may be until the end. */
		struct place *place = malloc(sizeof(*place));

		if (!place)
			abort();
		*place = (struct place){ pc, bytes };
		qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS, place);
	}
	qemu_plugin_register_vcpu_mem_cb(insn, stored, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
					 (void *)(uintptr_t)pc);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	size_t count = qemu_plugin_tb_n_insns(block), n;

	for (n = 0; n < count; n++)
		instrument(qemu_plugin_tb_get_insn(block, n));
}

static bool argument(const char *text)
{
	const char *value = strchr(text, '=');
	char *rest;

	if (!value)
		return false;
	value++;
	if (!strncmp(text, "out=", 4)) {
		out = fopen(value, "wb");
		return out;
	}
	if (!strncmp(text, "insn=", 5) && class_count < MOST_CLASSES) {
		struct class *class = &classes[class_count++];

		class->mask = strtoull(value, &rest, 0);
		if (*rest++ != ':')
			return false;
		class->value = strtoull(rest, &rest, 0);
		return !*rest;
	}
	if (!strncmp(text, "begin=", 6))
		begin = strtoull(value, &rest, 0);
	else if (!strncmp(text, "end=", 4))
		end = strtoull(value, &rest, 0);
	else if (!strncmp(text, "kernel=", 7))
		kernel = strtoull(value, &rest, 0);
	else
		return false;
	return !*rest;
}

/* The second argument says of QEMU what is not needed here. */
VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const void *about, int count, char **arguments)
{
	int n;

	for (n = 0; n < count; n++) {
		if (!argument(arguments[n])) {
			fprintf(stderr, "trace: what is %s?\n", arguments[n]);
			return -1;
		}
	}
	if (!out || !begin || !end) {
		fprintf(stderr, "trace: out, begin and end are needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
