// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm's sandbox as it sets it up: each forbidden system call ends the process by SIGSYS,
 * whichever of its threads does it; what devices live on goes on working; no privileges are left.
 *
 * Each case is a process of its own, since the filter stays for good.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/private.h"
#include "tap.h"

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

void warn(const char *format, ...)
{
}

static struct machine_private p;
static struct options options = { .user = "nobody" };
static struct machine m = { .p = &p, .options = &options };

/* The end behind the filter: that of the C library would have sanitizers start processes */
static void end(int status)
{
	syscall(__NR_exit_group, status);
}

/* What waitpid() says of a process that ran @fn behind the filter */
static int behind_filter(void (*fn)(const long *), const long *arg)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		sandbox_enter(&m);
		fn(arg);
		end(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	return status;
}

static bool filters_work(void)
{
	const unsigned int kill = SECCOMP_RET_KILL_PROCESS;

	return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill);
}

#define NEEDS_FILTERS() do {						\
	if (!filters_work())						\
		SKIP("this kernel has no system call filters");		\
} while (0)

static bool killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool alive(int status)
{
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* ------------------------------------------------------------------------ system calls */

static void call(const long *a)
{
	syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}

/* Of these none would do harm if it were let through */
TEST(forbidden)
{
	static const long calls[][7] = {
		{ __NR_execve, 0, 0, 0 }, { __NR_execveat, -1, 0, 0, 0, 0 },
		{ __NR_fork }, { __NR_vfork }, { __NR_clone, SIGCHLD }, { __NR_clone3, 0, 0 },
		{ __NR_open, 0, O_RDONLY }, { __NR_openat, AT_FDCWD, 0, O_RDONLY },
		{ __NR_openat2, AT_FDCWD, 0, 0, 0 }, { __NR_creat, 0, 0 },
		{ __NR_unlinkat, AT_FDCWD, 0, 0 }, { __NR_renameat2, -1, 0, -1, 0, 0 },
		{ __NR_socket, AF_INET, SOCK_STREAM, 0 }, { __NR_connect, -1, 0, 0 },
		{ __NR_bind, -1, 0, 0 }, { __NR_listen, -1, 0 },
		{ __NR_ptrace, PTRACE_TRACEME, 0, 0, 0 }, { __NR_process_vm_writev, 1 },
		{ __NR_kill, 0, 0 }, { __NR_tkill, 1, 0 }, { __NR_pidfd_send_signal, -1, 0, 0, 0 },
		{ __NR_setuid, 0 }, { __NR_capset, 0, 0 }, { __NR_prctl, PR_GET_DUMPABLE },
		{ __NR_seccomp, 0, 0, 0 }, { __NR_io_uring_setup, 0, 0 }, { __NR_bpf, 0, 0, 0 },
		{ __NR_mount, 0, 0, 0, 0, 0 }, { __NR_unshare, 0 }, { __NR_setns, -1, 0 },
		{ __NR_init_module, 0, 0, 0 }, { __NR_perf_event_open, 0, 0, -1, -1, 0 },
		{ __NR_memfd_create, 0, 0 }, { __NR_shmat, -1, 0, 0 }, { __NR_dup, -1 },
		{ __NR_userfaultfd, 0 }, { __NR_keyctl, 0, 0 }, { 0xffff },
	};

	NEEDS_FILTERS();
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		int status = behind_filter(call, calls[i]);

		EXPECT(killed(status), "system call %ld: status %#x", calls[i][0], status);
	}
}

/* The calls that are let through by their arguments only */
TEST(arguments)
{
	static const struct {
		long call[7];
		bool allowed;
	} cases[] = {
		{ { __NR_mmap, 0, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1 }, true },
		{ { __NR_mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 }, false },
		{ { __NR_mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1 }, false },
		{ { __NR_mprotect, 0, 0, PROT_READ }, true },
		{ { __NR_mprotect, 0, 0, PROT_READ | PROT_EXEC }, false },
		{ { __NR_ioctl, -1, TCGETS }, true },
		{ { __NR_ioctl, -1, TIOCSTI }, false },
		{ { __NR_ioctl, -1, TIOCLINUX }, false },
		{ { __NR_ioctl, -1, HVX_RUN }, true },
		{ { __NR_ioctl, -1, VHOST_SET_OWNER }, true },
		/* The kernel ignores the upper half, the filter does not */
		{ { __NR_ioctl, -1, TIOCSTI | 1L << 32 }, false },
		{ { __NR_ioctl, -1, FIOASYNC }, false },
		{ { __NR_tgkill, 1, 1, 0 }, false },
	};

	NEEDS_FILTERS();
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = behind_filter(call, cases[i].call);

		EXPECT(alive(status) == cases[i].allowed && killed(status) != cases[i].allowed,
		       "case %u: status %#x", i, status);
	}
}

static void signal_itself(const long *unused)
{
	if (syscall(__NR_tgkill, getpid(), gettid(), 0))
		end(1);
}

static void work(const long *fds)
{
	uint64_t one = 1;
	char byte = 1;

	if (write(fds[0], &one, sizeof(one)) != sizeof(one) ||
	    read(fds[0], &one, sizeof(one)) != sizeof(one) ||
	    pwrite(fds[1], &byte, 1, 5) != 1 || pread(fds[1], &byte, 1, 5) != 1 ||
	    sched_yield() || !malloc(1 << 20))
		end(1);
}

/* What devices' threads do all day */
TEST(allowed)
{
	FILE *file = tmpfile();
	long fds[7] = { eventfd(0, 0), file ? fileno(file) : -1 };

	NEEDS_FILTERS();
	/* Of itself it is known by its number when the filter is made */
	EXPECT(alive(behind_filter(signal_itself, NULL)));
	EXPECT(alive(behind_filter(work, fds)));
}

/* A device asks for a call, and gets this one alone */
TEST(device_asks)
{
	static const int socket_calls[] = { __NR_socket };
	static const long asked[7] = { __NR_socket, AF_INET, SOCK_STREAM };
	static const long other[7] = { __NR_connect, -1 };

	NEEDS_FILTERS();
	machine_allow_syscalls(&m, socket_calls, 1);
	EXPECT(alive(behind_filter(call, asked)));
	EXPECT(killed(behind_filter(call, other)));
}

/* ----------------------------------------------------------- other threads, other ABIs */

static void *forbidden_in_thread(void *call_it)
{
	void (*fn)(void) = call_it;

	/* The filter comes while this thread is there */
	while (!__atomic_load_n(&p.running, __ATOMIC_ACQUIRE))
		sched_yield();
	fn();
	return NULL;
}

static void execve_nothing(void)
{
	syscall(__NR_execve, 0, 0, 0);
}

/* getpid() by the gate of 32-bit programs, whose numbers are others: 20 is writev() here */
static void gate_of_32_bit(void)
{
	long nr = 20;

	asm volatile("int $0x80" : "+a" (nr) :: "memory", "r8", "r9", "r10", "r11");
}

/* read() by x32's numbers */
static void x32(void)
{
	syscall(__X32_SYSCALL_BIT | 0, -1, 0, 0);
}

/* The status of a process of which one thread does something forbidden, and the main one nothing */
static int thread_does(void (*fn)(void))
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, forbidden_in_thread, fn))
			_exit(1);
		sandbox_enter(&m);
		__atomic_store_n(&p.running, true, __ATOMIC_RELEASE);
		sleep(1);
		end(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	return status;
}

/* Not the thread alone: a guest with a vCPU that is gone would hang */
TEST(ends_all_threads)
{
	int status;

	NEEDS_FILTERS();
	status = thread_does(execve_nothing);
	EXPECT(killed(status), "execve: status %#x", status);
	status = thread_does(x32);
	EXPECT(killed(status), "x32: status %#x", status);
}

static void gate(const long *unused)
{
	gate_of_32_bit();
}

TEST(gate_of_32_bit_programs)
{
	int status = 0;
	pid_t child;

	NEEDS_FILTERS();
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		gate_of_32_bit();
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	if (!alive(status))
		SKIP("this kernel runs no 32-bit programs");
	EXPECT(killed(behind_filter(gate, NULL)));
	status = thread_does(gate_of_32_bit);
	EXPECT(killed(status), "status %#x", status);
}

/* -------------------------------------------------------------------------- privileges */

static void check_privileges(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	bool root = !geteuid();
	uid_t r, e, s;

	if (root) {
		/* So that neither of them goes with root's number, or is empty anyway */
		EXPECT(!prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
		EXPECT(!setgroups(1, &(gid_t){ 12345 }));
	}
	sandbox_init(&m);
	sandbox_drop_privileges(&m);
	EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	memset(caps, 0xff, sizeof(caps));
	EXPECT(!syscall(SYS_capget, &header, caps));
	for (unsigned int i = 0; i < 2; i++)
		EXPECT(!caps[i].effective && !caps[i].permitted && !caps[i].inheritable);
	if (!root)
		return;
	EXPECT(!getresuid(&r, &e, &s) && r && r == e && r == s, "uids %u %u %u", r, e, s);
	EXPECT(!getresgid(&r, &e, &s) && r && r == e && r == s, "gids %u %u %u", r, e, s);
	EXPECT_EQ(getgroups(0, NULL), 0);
	EXPECT(setuid(0) && errno == EPERM);
	EXPECT(setgid(0) && errno == EPERM);
}

TEST(privileges)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		check_privileges();
		fflush(stdout);
		_exit(tap_failures() ? 1 : 0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status, "status %#x", status);
}
