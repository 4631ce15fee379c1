// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a process does to its own memory: each step between a snapshot of its tables and a record. */
#include "guest.h"

#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#define READ_ 1
#define WRITE_ 2

static unsigned long window, size, page, pmd;

static char *hex(char *at, unsigned long value)
{
	*at++ = '0';
	*at++ = 'x';
	for (int shift = sizeof(long) * 8 - 4; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[value >> shift & 15];
	return at;
}

static void begin(void)
{
	char text[80] = "snap ", *at = hex(text + 5, window);

	*at++ = ' ';
	at = hex(at, size);
	*at = 0;
	quietly(text);
}

static void end(const char *what)
{
	char text[160] = "user ";

	memcpy(text + 5, what, strlen(what) + 1);
	command(text);
}

static volatile char *address(unsigned long n)
{
	return (volatile char *)(window + n * page);
}

static void write_pages(unsigned long first, unsigned long last)
{
	for (; first <= last; first++)
		*address(first) = 1;
}

static void protect(unsigned long start, unsigned long bytes, int prot)
{
	syscall(__NR_mprotect, start, bytes, prot);
}

static void advise(unsigned long start, unsigned long bytes, int advice)
{
	syscall(__NR_madvise, start, bytes, advice);
}

static void unmap(unsigned long start, unsigned long bytes)
{
	syscall(__NR_munmap, start, bytes);
}

static void move(unsigned long from, unsigned long bytes, unsigned long to)
{
	syscall(__NR_mremap, from, bytes, bytes, 3 /* may move, fixed */, to);
}

static void map_window(void)
{
	mmap((void *)window, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
	     0);
}

/* A child that waits until it is told, and whose end is seen. */
static int tell[2], told[2];

static void start_child(void)
{
	char byte;

	if (pipe(tell) || pipe(told))
		return;
	if (!fork()) {
		close(tell[1]);
		close(told[0]);
		if (read(tell[0], &byte, 1) < 0)
			exit(1);
		exit(0);
	}
	close(tell[0]);
	close(told[1]);
}

static void end_child(void)
{
	char byte;

	close(tell[1]);
	/* Files are closed after memory has gone. */
	if (read(told[0], &byte, 1) < 0)
		return;
	close(told[0]);
}

static void anonymous(void)
{
	begin();
	map_window();
	end("mmap anon rw whole window");
	begin();
	(void)*address(0);
	end("read fault page 0 (zero page)");
	begin();
	*address(0) = 1;
	end("write fault page 0 (break zero page)");
	begin();
	write_pages(0, 63);
	end("write faults pages 0..63");
	begin();
	protect(window + 8 * page, 16 * page, READ_);
	end("mprotect READ pages 8..23");
	begin();
	protect(window + 8 * page, 16 * page, 0);
	end("mprotect NONE pages 8..23");
	begin();
	protect(window + 8 * page, 16 * page, READ_ | WRITE_);
	end("mprotect RW pages 8..23");
	begin();
	write_pages(8, 23);
	end("write pages 8..23 after mprotect RW");
	begin();
	advise(window + 32 * page, 8 * page, MADV_DONTNEED);
	end("madvise DONTNEED pages 32..39");
	begin();
	advise(window + 40 * page, 8 * page, MADV_FREE);
	end("madvise FREE pages 40..47");
	begin();
	advise(window + 48 * page, 8 * page, MADV_COLD);
	end("madvise COLD pages 48..55");
	begin();
	write_pages(32, 47);
	end("write pages 32..47 again");
	if (size > pmd) {
		begin();
		write_pages(pmd / page - 4, pmd / page + 3);
		end("write 8 pages straddling the second leaf table");
	}
	begin();
	move(window + 16 * page, 16 * page, window + size / 2);
	end("mremap pages 16..31 to the middle of the window");
	begin();
	start_child();
	end("fork (parent side: COW write-protect)");
	begin();
	write_pages(0, 3);
	end("parent writes pages 0..3 after fork (COW copy)");
	end_child();
	begin();
	write_pages(0, 15);
	end("parent writes pages 0..15 after child exit (reuse)");
	begin();
	unmap(window + 4 * page, 8 * page);
	end("munmap pages 4..11");
	begin();
	unmap(window, size);
	end("munmap whole window");
}

static void large(void)
{
	map_window();
	advise(window, size, 14 /* large pages */);
	begin();
	*(volatile char *)(window + pmd) = 1;
	end("THP write fault in the second PMD");
	begin();
	protect(window + pmd, pmd, READ_);
	end("mprotect READ whole THP");
	begin();
	protect(window + pmd, pmd, READ_ | WRITE_);
	end("mprotect RW whole THP");
	begin();
	protect(window + pmd + 8 * page, page, READ_);
	end("mprotect READ one page of THP (split)");
	begin();
	*(volatile char *)(window + 2 * pmd) = 1;
	end("THP write fault in the third PMD");
	begin();
	move(window + 2 * pmd, pmd, window);
	end("mremap THP third PMD to first PMD");
	begin();
	advise(window, pmd, MADV_DONTNEED);
	end("DONTNEED whole THP");
	begin();
	unmap(window, size);
	end("munmap window");
}

static void blocks(void)
{
	const unsigned long block = 0x10000;

	map_window();
	advise(window, size, 14);
	begin();
	*address(0) = 1;
	end("mTHP 64kB write fault page 0");
	begin();
	*address(20) = 1;
	end("mTHP 64kB write fault page 20");
	begin();
	protect(window, block, READ_);
	end("mprotect READ whole 64kB block");
	begin();
	protect(window, block, READ_ | WRITE_);
	end("mprotect RW whole 64kB block");
	begin();
	protect(window + block + page, page, READ_);
	end("mprotect READ one page of 64kB block");
	begin();
	advise(window + 3 * page, page, MADV_DONTNEED);
	end("DONTNEED page 3 of 64kB block");
	begin();
	unmap(window, size);
	end("munmap window");
}

static void shared(void)
{
	int fd = syscall(__NR_memfd_create, "shared", 0);

#ifdef __NR_ftruncate
	syscall(__NR_ftruncate, fd, 64 * page);
#else
	/* The length is two words. */
	syscall(__NR_ftruncate64, fd, 64 * page, 0);
#endif
	begin();
	mmap((void *)window, 64 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	write_pages(0, 31);
	end("shared memfd mapping, write pages 0..31");
	begin();
	for (unsigned long n = 32; n < 64; n++)
		(void)*address(n);
	end("shared memfd mapping, read pages 32..63");
	begin();
	unmap(window, 64 * page);
	end("munmap shared mapping");
	close(fd);
}

/* What large folios of a size are for. */
static void set_size(unsigned long bytes, const char *value)
{
	char path[100] = "/sys/kernel/mm/transparent_hugepage/hugepages-", digits[12], *at = path + strlen(path);
	int count = 0, fd;

	for (bytes /= 1024; bytes; bytes /= 10)
		digits[count++] = '0' + bytes % 10;
	while (count)
		*at++ = digits[--count];
	memcpy(at, "kB/enabled", sizeof("kB/enabled"));
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) > 0)
		close(fd);
}

/* So that a step takes no fault of its own stack. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile char stack[0x4000];

	for (unsigned long n = 0; n < sizeof(stack); n += 0x400)
		stack[n] = 0;
}

void user_steps(unsigned long start, unsigned long page_bytes, unsigned long pmd_bytes, int thp, int mthp)
{
	touch_stack();
	window = start;
	page = page_bytes;
	pmd = pmd_bytes;
	/* Four leaf tables, unless they map very much. */
	size = page < 0x10000 ? 4 * pmd : 1024 * page;
	anonymous();
	if (thp)
		large();
	if (mthp) {
		set_size(pmd, "never");
		set_size(0x10000, "madvise");
		blocks();
	}
	shared();
}
