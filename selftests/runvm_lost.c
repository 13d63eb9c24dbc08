// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_lost: guest memory that runvm loses under a running guest. It ends with a line that names
 * the guest's address and what is wrong there. The guest is a bare program of guest/machine.S.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
		"run", "-k", image, "--flat", "0x100000", "-m", "64M", "--rng",
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

/* Its thread of that name */
static pid_t thread_of_runvm(const char *wanted)
{
	char path[64], name[32] = "";
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task", l.pid);
	dir = opendir(path);
	REQUIRE(dir);
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", l.pid, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) > 0 && !strncmp(name, wanted, strlen(wanted)))
			found = atoi(entry->d_name);
		close(fd);
	}
	closedir(dir);
	REQUIRE(found, "runvm has no thread '%s'", wanted);
	return found;
}

/* False where it has ended instead */
static bool wait_stop(pid_t thread)
{
	int status;

	REQUIRE(waitpid(thread, &status, __WALL) == thread, "%s", strerror(errno));
	return WIFSTOPPED(status);
}

/* Lets it run until it enters a system call, or leaves it */
static bool go_on(pid_t thread)
{
	REQUIRE(!ptrace(PTRACE_SYSCALL, thread, NULL, NULL));
	return wait_stop(thread);
}

/*
 * A thread of runvm waits in a system call: have it make this one, as if that had ended with
 * EINTR.
 */
static long call_in_runvm(pid_t thread, uint64_t nr, uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
	struct user_regs_struct saved, regs;

	REQUIRE(!ptrace(PTRACE_ATTACH, thread, NULL, NULL), "%s", strerror(errno));
	REQUIRE(wait_stop(thread));
	REQUIRE(!ptrace(PTRACE_GETREGS, thread, NULL, &saved));
	REQUIRE((long)saved.orig_rax >= 0, "its thread makes no system call");
	saved.rax = -EINTR;
	saved.orig_rax = -1;		/* nothing to restart */
	regs = saved;
	regs.rip -= 2;			/* SYSCALL */
	regs.rax = nr;
	regs.rdi = arg0;
	regs.rsi = arg1;
	regs.rdx = arg2;
	REQUIRE(!ptrace(PTRACE_SETREGS, thread, NULL, &regs));
	REQUIRE(go_on(thread) && go_on(thread));
	REQUIRE(!ptrace(PTRACE_GETREGS, thread, NULL, &regs));
	REQUIRE(!ptrace(PTRACE_SETREGS, thread, NULL, &saved));
	REQUIRE(!ptrace(PTRACE_DETACH, thread, NULL, NULL));
	return regs.rax;
}

TEST_TIME(unmapped, 40)
{
	uint64_t hva;

	launch_guest(true);
	hva = counter_hva();
	wait_for_counter(hva);
	EXPECT_EQ(call_in_runvm(l.pid, SYS_munmap, hva, PAGE_SIZE, 0), 0);
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
static void broken_for(const char *thread)
{
	uint64_t hva;
	long error;

	launch_prepare = no_huge_pages;
	launch_guest(false);
	hva = counter_hva();
	wait_for_counter(hva);
	error = call_in_runvm(thread_of_runvm(thread), SYS_madvise, hva + PAGE_SIZE, PAGE_SIZE,
			      MADV_HWPOISON);
	if (error) {
		kill(l.pid, SIGKILL);
		SKIP("no memory errors on demand: %s", strerror(-error));
	}
	expect_lost("", COUNTER + PAGE_SIZE, EHWPOISON);
}

TEST_TIME(broken_for_runvm, 40)
{
	broken_for("runvm");
}

/* A device's thread blocks most signals */
TEST_TIME(broken_for_a_device, 40)
{
	broken_for("virtio-rng");
}
