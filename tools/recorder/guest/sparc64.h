/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The few functions that the guest's program needs, where the kernel's small library does not know the architecture. */
#ifndef SPARC64_H
#define SPARC64_H

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

typedef unsigned long size_t;
typedef long ssize_t;

/* A trap; an error is told by the carry flag. */
static inline long trap(long number, long a, long b, long c, long d, long e, long f)
{
	register long g1 __asm__("g1") = number;
	register long o0 __asm__("o0") = a;
	register long o1 __asm__("o1") = b;
	register long o2 __asm__("o2") = c;
	register long o3 __asm__("o3") = d;
	register long o4 __asm__("o4") = e;
	register long o5 __asm__("o5") = f;

	__asm__ volatile("ta 0x6d\n\tbcs,a %%xcc, 1f\n\tsub %%g0, %%o0, %%o0\n1:"
			 : "+r"(o0), "+r"(o1)
			 : "r"(g1), "r"(o2), "r"(o3), "r"(o4), "r"(o5)
			 : "cc", "memory");
	/* fork tells the child by the second register. */
	if (number == __NR_fork && o0 >= 0 && o1)
		return 0;
	return o0;
}

#define syscall_7(n, a, b, c, d, e, f, ...) trap(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define syscall(...) syscall_7(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

#define open(path, flags) ((int)syscall(__NR_open, path, flags, 0))
#define close(fd) syscall(__NR_close, fd)
#define read(fd, data, length) syscall(__NR_read, fd, data, length)
#define write(fd, data, length) syscall(__NR_write, fd, data, length)
#define mmap(at, length, prot, flags, fd, from) ((void *)syscall(__NR_mmap, at, length, prot, flags, fd, from))
#define mount(what, where, type, flags, data) syscall(__NR_mount, what, where, type, flags, data)
#define fork() syscall(__NR_fork)
#define pipe(pair) syscall(__NR_pipe2, pair, 0)
#define exit(code) syscall(__NR_exit_group, code)

void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);

static inline size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

static inline int strncmp(const char *a, const char *b, size_t most)
{
	for (; most; most--, a++, b++) {
		if (*a != *b || !*a)
			return *a - *b;
	}
	return 0;
}

#endif
