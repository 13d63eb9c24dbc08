// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that goes while runvm uses it, as its own signal handler sees it: an image that is cut
 * while it is mapped, guest memory that the host lost, and what is neither.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/private.h"
#include "tap.h"

#define PAGES	4
#define SIZE	(PAGES * PAGE_SIZE)
#define KEPT	PAGE_SIZE

static struct machine machine;
static FILE *warnings;

void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(warnings ? warnings : stderr, format, args);
	va_end(args);
}

/* All but the first page of it is no more */
static uint8_t *map_cut(void)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	uint8_t *map;

	REQUIRE(fd >= 0 && !ftruncate(fd, SIZE));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(map != MAP_FAILED && !ftruncate(fd, KEPT));
	close(fd);
	return map;
}

/* Guest memory without loss, unless it is @mem */
static void watch(uint8_t *mem)
{
	static uint8_t ram[SIZE];

	REQUIRE(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	machine.vm.mem = mem ? mem : ram;
	machine.vm.mem_size = SIZE;
	mem_watch(&machine);
}

static void write_byte(void *at)
{
	*(volatile uint8_t *)at = 1;
}

/* The thread goes on, and that again and again, as a device's thread does it */
TEST(tried)
{
	uint8_t *map = map_cut();
	sigset_t others;
	unsigned int i;

	watch(NULL);
	signals_of_others(&others);
	REQUIRE(!pthread_sigmask(SIG_SETMASK, &others, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT(!mem_try(write_byte, map + KEPT));
		EXPECT(!mem_try(write_byte, map + SIZE - 1));
		EXPECT(mem_try(write_byte, map + KEPT - 1));
	}
	EXPECT_EQ(map[KEPT - 1], 1);
}

/* How a process ends that writes there; what it says is in @said */
static int status_of_write(uint8_t *mem, uint8_t *at, bool tried_before, char *said, size_t size)
{
	int out[2], status;
	size_t len = 0;
	ssize_t part;
	pid_t child;

	REQUIRE(!pipe(out));
	child = fork();
	if (!child) {
		warnings = fdopen(out[1], "w");
		setvbuf(warnings, NULL, _IONBF, 0);
		watch(mem);
		if (tried_before)
			mem_try(write_byte, at);
		write_byte(at);
		_exit(0);
	}
	close(out[1]);
	while ((part = read(out[0], said + len, size - 1 - len)) > 0)
		len += part;
	said[len] = 0;
	close(out[0]);
	REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

TEST(lost)
{
	uint8_t *mem = map_cut();
	unsigned int tried;
	char said[256];
	int status;

	for (tried = 0; tried < 2; tried++) {
		status = status_of_write(mem, mem + KEPT + 16, tried, said, sizeof(said));
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == STATUS_ERROR, "%#x", status);
		EXPECT(strstr(said, "no memory behind guest address 0x1010: Bad address"),
		       "'%s'", said);
	}
}

/* A fault of runvm's own must not look like one of the guest's memory */
TEST(neither)
{
	char said[256];
	int status = status_of_write(NULL, map_cut() + KEPT, false, said, sizeof(said));

	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "%#x", status);
	EXPECT(!said[0], "'%s'", said);
}
