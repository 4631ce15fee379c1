// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The only process of the guest: gives the lines of /script to the driver, and prints what it answers on the console.
 *
 * Long texts are cut: `@R` stands before a piece, `@E` before the last one. `@F NAME` begins a file, `@G` ends it, `@D`
 * ends all; then the machine stands still, for its memory to be read from outside.
 */
#include "guest.h"

#define PIECE 900

static char buffer[1 << 16];
static int driver;

static void put(const char *data, size_t length)
{
	while (length) {
		ssize_t done = write(1, data, length);

		if (done <= 0)
			return;
		data += done;
		length -= done;
	}
}

static char line[PIECE + 8];
static size_t held;

static void flush_piece(int last)
{
	memcpy(line, last ? "@E " : "@R ", 3);
	line[3 + held] = '\n';
	put(line, held + 4);
	held = 0;
}

static void print(int fd)
{
	ssize_t got;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t n = 0; n < got; n++) {
			if (buffer[n] == '\n') {
				flush_piece(1);
				continue;
			}
			if (held == PIECE)
				flush_piece(0);
			line[3 + held++] = buffer[n];
		}
	}
	if (held)
		flush_piece(1);
}

void quietly(const char *text)
{
	driver = open("/proc/recorder", O_RDWR);
	if (write(driver, text, strlen(text)) < 0) {
		put("@X ", 3);
		put(text, strlen(text));
		put("\n", 1);
	}
	close(driver);
}

void command(const char *text)
{
	driver = open("/proc/recorder", O_RDWR);
	if (write(driver, text, strlen(text)) < 0) {
		put("@X ", 3);
		put(text, strlen(text));
		put("\n", 1);
	} else {
		print(driver);
	}
	close(driver);
}

static void print_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return;
	put("@F ", 3);
	put(path, strlen(path));
	put("\n", 1);
	print(fd);
	put("@G\n", 3);
	close(fd);
}

static void set_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		put("@X set\n", 7);
	close(fd);
}

static unsigned long next_number(char **at)
{
	unsigned long value = 0;
	char *p = *at;

	while (*p == ' ')
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (*p - '0');
	*at = p;
	return value;
}

/* One line of the script: for the driver, or for this program. */
static void carry_out(char *text)
{
	if (!strncmp(text, "steps ", 6)) {
		char *at = text + 6;
		unsigned long start = next_number(&at), page = next_number(&at), pmd = next_number(&at);
		int thp = next_number(&at), mthp = next_number(&at);

		user_steps(start, page, pmd, thp, mthp);
	} else if (!strncmp(text, "cat ", 4)) {
		print_file(text + 4);
	} else if (!strncmp(text, "set ", 4)) {
		char *value = text + 4;

		while (*value != ' ')
			value++;
		*value = 0;
		set_file(text + 4, value + 1);
	} else {
		command(text);
	}
}

static char script[1 << 18];

int main(void)
{
	size_t length = 0;
	ssize_t got;
	char *at, *end;
	unsigned long one = 1;
	int fd;

	/* On one CPU: pages that wait in another one's batch for their list are passed over by MADV_COLD. */
	syscall(__NR_sched_setaffinity, 0, sizeof(one), &one);
	/* powerpc's banner ends without an end of line. */
	put("\n", 1);
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, 0);
	fd = open("/script", O_RDONLY);
	while ((got = read(fd, script + length, sizeof(script) - 1 - length)) > 0)
		length += got;
	close(fd);
	for (at = script; *at; at = end + 1) {
		for (end = at; *end && *end != '\n'; end++)
			;
		if (!*end)
			break;
		*end = 0;
		if (*at)
			carry_out(at);
	}
	put("@D\n", 3);
	for (;;)
		syscall(__NR_sched_yield);
}
