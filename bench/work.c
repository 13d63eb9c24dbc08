// SPDX-License-Identifier: GPL-2.0-only
/*
 * work.c: work of four kinds, the same in a guest and in its host; stopwatch.c measures it.
 *
 *	work FILE [NAME...]	all works, or those that are named; disks write to FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY	(48UL << 20)
#define DISK	(64L << 20)

static const char *file;
static volatile uint64_t sink;

static void fatal(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Registers and nothing else */
static void cpu(void)
{
	uint64_t x = 88172645463325252ULL, i;

	for (i = 0; i < 60000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	sink = x;
}

/* New pages, all of them read and written in an order without a pattern, given back, and again */
static void memory(void)
{
	size_t words = MEMORY / sizeof(uint64_t), at = 0, i;
	uint64_t *p;
	int round;

	for (round = 0; round < 2; round++) {
		p = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			fatal("mmap");
		for (i = 0; i < words; i++)
			p[i] = i;
		for (i = 0; i < 4 * 1024 * 1024; i++) {
			at = (at * 6364136223846793005ULL + p[at] + 1442695040888963407ULL) % words;
			p[at] += i;
		}
		munmap(p, MEMORY);
	}
	sink = at;
}

/* The cheapest system call, and a pipe */
static void syscalls(void)
{
	char buf[64] = "";
	int fd[2], i;

	if (pipe(fd))
		fatal("pipe");
	for (i = 0; i < 300000; i++) {
		syscall(SYS_getppid);
		if (write(fd[1], buf, sizeof(buf)) < 0 || read(fd[0], buf, sizeof(buf)) < 0)
			fatal("pipe");
	}
	close(fd[0]);
	close(fd[1]);
}

/*
 * One block at a time, written, flushed and read. Past the page cache where it is a block device,
 * unless @cached: the file behind a guest's disk has one, as the file has in the host.
 */
static void disk(size_t block, bool cached)
{
	bool direct = !cached && !strncmp(file, "/dev/", 5);
	int fd = open(file, O_RDWR | (direct ? O_DIRECT : 0));
	off_t at;
	void *buf;

	if (fd < 0)
		fatal(file);
	if (posix_memalign(&buf, 4096, block))
		fatal("memory");
	memset(buf, 0x5a, block);
	for (at = 0; at < DISK; at += block)
		if (pwrite(fd, buf, block, at) != (ssize_t)block)
			fatal("pwrite");
	if (fsync(fd))
		fatal("fsync");
	if (cached)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (at = 0; at < DISK; at += block)
		if (pread(fd, buf, block, at) != (ssize_t)block)
			fatal("pread");
	close(fd);
	free(buf);
}

static void disk_64k(void)
{
	disk(64 << 10, false);
}

static void disk_1m(void)
{
	disk(1 << 20, false);
}

static void disk_cached(void)
{
	disk(64 << 10, true);
}

/* The first time a guest's memory is the host's new memory, too */
static const struct {
	const char *name;
	void (*work)(void);
} works[] = {
	{ "cpu", cpu },
	{ "memory-new", memory },
	{ "memory", memory },
	{ "syscall", syscalls },
	{ "disk-64k", disk_64k },
	{ "disk-1m", disk_1m },
	{ "disk-cached", disk_cached },
	{ NULL, NULL },
};

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc < 2) {
		fputs("usage: work FILE [NAME...]\n", stderr);
		return 2;
	}
	file = argv[1];
	setlinebuf(stdout);
	for (i = 0; works[i].name; i++) {
		if (!wanted(works[i].name, argv + 2))
			continue;
		printf("work: begin %s\n", works[i].name);
		works[i].work();
		printf("work: end %s\n", works[i].name);
	}
	return 0;
}
