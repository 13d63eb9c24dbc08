// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_lost: guest memory that runvm loses under a running guest. It ends with a line that names
 * the guest's address and what is wrong there. The guest is a bare program of guest/machine.S.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "sysfiles.h"
#include "tap.h"

extern const char m_count[], m_count_end[];

#define MEM		0x4000000UL	/* no other mapping of runvm has as much */
#define COUNTER		0x600000UL	/* in m_count, which writes there all the time */
#define STATUS_ERROR	10

static struct launch l;

/* Without @sandbox it may be made to do what it never does by itself */
static void launch_guest(bool sandbox)
{
	const char *image = launch_file("count", m_count, m_count_end - m_count);
	const char *const args[] = {
		"run", "-k", image, "--flat", "0x100000", "-m", "64M",
		sandbox ? NULL : "--no-sandbox", NULL,
	};

	launch(&l, LAUNCH_NULL, args);
	if (!launch_out(&l, "ready", 10))
		tap_abort();
}

/* Where the counter is in runvm */
static uint64_t counter_hva(void)
{
	uint64_t from, to, found = 0;
	char name[64], line[512];
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", l.pid);
	maps = fopen(name, "re");
	REQUIRE(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2 && to - from == MEM)
			found = from + COUNTER;
	}
	fclose(maps);
	REQUIRE(found);
	return found;
}

static uint32_t counter(uint64_t hva)
{
	char name[64];
	uint32_t n;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/mem", l.pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0 && pread(fd, &n, sizeof(n), hva) == sizeof(n), "%s", strerror(errno));
	close(fd);
	return n;
}

static void wait_for_counter(uint64_t hva)
{
	unsigned int i;

	for (i = 0; i < 1000 * tap_scale() && counter(hva) < 2; i++)
		usleep(1000);
	REQUIRE(counter(hva) >= 2, "the guest does not count");
}

static void expect_lost(const char *who, uint64_t gpa, int error)
{
	char line[128];

	snprintf(line, sizeof(line), "runvm: %sno memory behind guest address %#" PRIx64 ": %s\n",
		 who, gpa, strerror(error));
	EXPECT_EQ(launch_end(&l, 10), STATUS_ERROR);
	EXPECT(strstr(l.err.text, line), "'%s' is not in '%s'", line, l.err.text);
	EXPECT(strstr(l.err.text, "runvm: the guest cannot go on\n"), "'%s'", l.err.text);
}

static void wait_stop(void)
{
	int status;

	REQUIRE(waitpid(l.pid, &status, 0) == l.pid && WIFSTOPPED(status), "%#x", status);
}

/* Lets it run until it enters a system call, or leaves it */
static void go_on(void)
{
	REQUIRE(!ptrace(PTRACE_SYSCALL, l.pid, NULL, NULL));
	wait_stop();
}

/*
 * Runvm's main thread waits in a system call: have it make this one, as if that had ended with
 * EINTR.
 */
static long call_in_runvm(uint64_t nr, uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
	struct user_regs_struct saved, regs;

	REQUIRE(!ptrace(PTRACE_ATTACH, l.pid, NULL, NULL), "%s", strerror(errno));
	wait_stop();
	REQUIRE(!ptrace(PTRACE_GETREGS, l.pid, NULL, &saved));
	REQUIRE((long)saved.orig_rax >= 0, "its main thread makes no system call");
	saved.rax = -EINTR;
	saved.orig_rax = -1;		/* nothing to restart */
	regs = saved;
	regs.rip -= 2;			/* SYSCALL */
	regs.rax = nr;
	regs.rdi = arg0;
	regs.rsi = arg1;
	regs.rdx = arg2;
	REQUIRE(!ptrace(PTRACE_SETREGS, l.pid, NULL, &regs));
	go_on();
	go_on();
	REQUIRE(!ptrace(PTRACE_GETREGS, l.pid, NULL, &regs));
	REQUIRE(!ptrace(PTRACE_SETREGS, l.pid, NULL, &saved));
	REQUIRE(!ptrace(PTRACE_DETACH, l.pid, NULL, NULL));
	return regs.rax;
}

TEST_TIME(unmapped, 40)
{
	uint64_t hva;

	launch_guest(true);
	hva = counter_hva();
	wait_for_counter(hva);
	EXPECT_EQ(call_in_runvm(SYS_munmap, hva, PAGE_SIZE, 0), 0);
	expect_lost("vCPU 0: ", COUNTER, EFAULT);
}

/* The kernel may fail to split a huge page that is in use, and then the page is not broken */
static void no_huge_pages(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* The kernel is told that the page's memory is broken, as a machine check would */
TEST_TIME(broken, 40)
{
	char name[64], pa[32];
	uint64_t hva, entry;
	int fd;

	launch_prepare = no_huge_pages;
	launch_guest(true);
	hva = counter_hva();
	wait_for_counter(hva);
	snprintf(name, sizeof(name), "/proc/%d/pagemap", l.pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	REQUIRE(pread(fd, &entry, sizeof(entry), hva / PAGE_SIZE * sizeof(entry)) == sizeof(entry));
	/* Present, and the frame's number */
	REQUIRE(entry >> 63);
	entry &= (1ULL << 55) - 1;
	snprintf(pa, sizeof(pa), "%#" PRIx64, entry * PAGE_SIZE);
	if (!file_write("/sys/devices/system/memory/hard_offline_page", pa)) {
		kill(l.pid, SIGKILL);
		SKIP("no memory errors on demand: %s", strerror(errno));
	}
	expect_lost("vCPU 0: ", COUNTER, EHWPOISON);
}

/* A page that the guest does not use just now, but a thread of runvm's does: it gets a signal */
TEST_TIME(broken_for_a_device, 40)
{
	uint64_t hva;
	long error;

	launch_prepare = no_huge_pages;
	launch_guest(false);
	hva = counter_hva();
	wait_for_counter(hva);
	error = call_in_runvm(SYS_madvise, hva + PAGE_SIZE, PAGE_SIZE, MADV_HWPOISON);
	if (error) {
		kill(l.pid, SIGKILL);
		SKIP("no memory errors on demand: %s", strerror(-error));
	}
	expect_lost("", COUNTER + PAGE_SIZE, EHWPOISON);
}
