// SPDX-License-Identifier: GPL-2.0-only
/*
 * work.c: work of four kinds, the same in a guest and in its host; stopwatch.c measures it.
 *
 *	work FILE	cpu, memory, syscall, and disk, which writes to FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY	(48UL << 20)
#define BLOCK	(64UL << 10)
#define BLOCKS	1024UL

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
 * One block at a time, and flushed at the end. A guest does it past its page cache, since the file
 * behind its disk has one, as the file has in the host.
 */
static void disk(const char *path)
{
	int fd = open(path, O_RDWR | (strncmp(path, "/dev/", 5) ? 0 : O_DIRECT));
	unsigned long i;
	void *buf;

	if (fd < 0)
		fatal(path);
	if (posix_memalign(&buf, 4096, BLOCK))
		fatal("memory");
	memset(buf, 0x5a, BLOCK);
	for (i = 0; i < BLOCKS; i++)
		if (pwrite(fd, buf, BLOCK, i * BLOCK) != BLOCK)
			fatal("pwrite");
	if (fsync(fd))
		fatal("fsync");
	for (i = 0; i < BLOCKS; i++)
		if (pread(fd, buf, BLOCK, i * BLOCK) != BLOCK)
			fatal("pread");
	close(fd);
	free(buf);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: work FILE\n", stderr);
		return 2;
	}
	setlinebuf(stdout);
	puts("work: begin cpu");
	cpu();
	puts("work: end cpu");
	/* The first time a guest's memory is the host's new memory, too */
	memory();
	puts("work: begin memory");
	memory();
	puts("work: end memory");
	puts("work: begin syscall");
	syscalls();
	puts("work: end syscall");
	puts("work: begin disk");
	disk(argv[1]);
	puts("work: end disk");
	return 0;
}
