// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * /proc/recorder: one command line in, one record out.
 *
 * Besides operations: `info`, `probes 0|1`, `walk VA SIZE`, `image`; and `snap START SIZE` before a step of the process
 * that writes it, `user WHAT` after.
 */
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "recorder.h"

#define LINE 400

static DEFINE_MUTEX(lock);
static long records;
static char line[LINE], words[LINE];
static unsigned long user_start, user_last;

u64 number(const struct command *c, int index)
{
	u64 value;

	if (index >= c->count || kstrtou64(c->word[index], 0, &value))
		return 0;
	return value;
}

/* Splits a line into words; behind @ there is a window. */
static void parse(struct command *c)
{
	char *rest = words, *word;

	memset(c, 0, sizeof(*c));
	strscpy(words, line, LINE);
	while ((word = strsep(&rest, " ")) && c->count < MOST_WORDS) {
		if (*word)
			c->word[c->count++] = word;
	}
	if (c->count > 3 && !strcmp(c->word[c->count - 3], "@")) {
		c->has_window = true;
		c->start = number(c, c->count - 2);
		c->last = c->start + number(c, c->count - 1) - 1;
		c->count -= 3;
	} else {
		whole_window(&c->start, &c->last);
		narrow_window(c);
	}
}

static void say_window(unsigned long start, unsigned long last)
{
	say(",\"win\":[\"0x%lx\",\"0x%llx\"]", start, (u64)last + 1);
}

static void begin(void)
{
	text_reset();
	say("{\"n\":%ld", records++);
}

static int run(struct command *c)
{
	struct outcome out = { .calls = -1 };

	remember(&init_mm, c->start, c->last);
	probes_begin();
	if (!operation(c, &out) && !area_operation(c, &out)) {
		probes_end();
		return -EINVAL;
	}
	probes_end();
	say(",\"cmd\":\"%s\",\"ret\":%ld", line, out.ret);
	if (out.has_va)
		say(",\"va\":\"0x%lx\"", out.va);
	if (out.calls >= 0)
		say(",\"fn_calls\":%ld", out.calls);
	say_window(c->start, c->last);
	say_changes();
	say_events();
	return 0;
}

static int execute(void)
{
	struct command c;
	const char *name;

	parse(&c);
	if (!c.count)
		return -EINVAL;
	name = c.word[0];
	if (!strcmp(name, "snap")) {
		user_start = number(&c, 1);
		user_last = user_start + number(&c, 2) - 1;
		remember(current->mm, user_start, user_last);
		probes_begin();
		return 0;
	}
	begin();
	if (!strcmp(name, "info")) {
		say(",\"cmd\":\"info\"");
		say_info();
	} else if (!strcmp(name, "probes")) {
		say(",\"cmd\":\"probes\"");
		probes_set(number(&c, 1));
	} else if (!strcmp(name, "user")) {
		probes_end();
		say(",\"cmd\":\"user\",\"what\":\"%s\"", line + strlen("user "));
		say_window(user_start, user_last);
		say(",\"pgd_pa\":\"0x%llx\"", root_pa(current->mm));
		say_changes();
		say_events();
	} else if (!strcmp(name, "walk")) {
		unsigned long start = number(&c, 1), last = start + number(&c, 2) - 1;

		say(",\"cmd\":\"%s\"", line);
		say_window(start, last);
		say_all(&init_mm, start, last);
	} else if (!strcmp(name, "image")) {
		say(",\"cmd\":\"image\"");
		say_image();
	} else {
		int error = run(&c);

		if (error) {
			text_reset();
			return error;
		}
	}
	say("}\n");
	return 0;
}

static ssize_t recorder_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	int error;

	if (length >= LINE)
		return -EINVAL;
	mutex_lock(&lock);
	error = copy_from_user(line, from, length) ? -EFAULT : 0;
	line[length] = 0;
	strim(line);
	if (!error)
		error = execute();
	mutex_unlock(&lock);
	return error ? error : length;
}

static ssize_t recorder_read(struct file *file, char __user *to, size_t length, loff_t *at)
{
	size_t available;
	const char *from = text(&available);

	return simple_read_from_buffer(to, length, at, from, available);
}

static const struct proc_ops recorder_ops = {
	.proc_write = recorder_write,
	.proc_read = recorder_read,
	.proc_lseek = default_llseek,
};

static int __init recorder_init(void)
{
	int error = text_init() ?: compare_init() ?: areas_init() ?: tables_init();

	if (error)
		return error;
	proc_create("recorder", 0600, NULL, &recorder_ops);
	return 0;
}
late_initcall(recorder_init);
