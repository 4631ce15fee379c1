// SPDX-License-Identifier: MIT OR Apache-2.0
/* The record that is being written: text in a buffer that is there from the start, for what is recorded is memory. */
#include <linux/stdarg.h>
#include <linux/vmalloc.h>

#include "recorder.h"

#define SIZE (2UL << 20)
#define RESERVE 4096	/* so that a record that is too long still ends well */

static char *buffer;
static size_t used;

int text_init(void)
{
	buffer = vzalloc(SIZE);
	return buffer ? 0 : -ENOMEM;
}

void text_reset(void)
{
	used = 0;
}

bool text_full(void)
{
	return used > SIZE - RESERVE;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	used += vscnprintf(buffer + used, SIZE - used, format, arguments);
	va_end(arguments);
}

const char *text(size_t *length)
{
	*length = used;
	return buffer;
}
