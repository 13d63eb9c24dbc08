// SPDX-License-Identifier: GPL-2.0-only
/*
 * sandbox.c: what remains of runvm's rights once all is set up.
 *
 * A guest that takes over runvm has what is open already: its own disks, network and terminal. It
 * cannot open files, start programs or map code. Devices that need more ask for it at set-up.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <malloc.h>
#include <pwd.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "private.h"

#define NO_SANDBOX	"(--no-sandbox does without)"

/* ------------------------------------------------------------------------ privileges */

void sandbox_init(struct machine *m)
{
	const struct passwd *user;

	/*
	 * Threads share one heap. With one for each of them the C library would open files of /proc
	 * and /sys, to see how it may shrink a heap and how many there may be.
	 */
	mallopt(M_ARENA_MAX, 1);
	if (m->options->no_sandbox || geteuid())
		return;
	user = getpwnam(m->options->user);
	if (!user)
		die("no user '%s' to become: name another one (--user)", m->options->user);
	if (!user->pw_uid)
		die("user '%s' is root: name another one (--user)", m->options->user);
	m->p->sandbox.uid = user->pw_uid;
	m->p->sandbox.gid = user->pw_gid;
}

static void become(const struct sandbox *s)
{
	if (setgroups(0, NULL) || setresgid(s->gid, s->gid, s->gid) ||
	    setresuid(s->uid, s->uid, s->uid))
		die("cannot give root's rights up: %s " NO_SANDBOX, strerror(errno));
}

void sandbox_drop_privileges(struct machine *m)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	if (m->p->sandbox.uid)
		become(&m->p->sandbox);
	if (syscall(SYS_capset, &header, none))
		die("cannot give capabilities up: %s " NO_SANDBOX, strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("cannot give privileges up: %s " NO_SANDBOX, strerror(errno));
}

/* ---------------------------------------------------------------------------- filter */

/* What running threads of any machine do */
static const int always[] = {
	/* open files, sockets and eventfds */
	__NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64, __NR_pwrite64, __NR_preadv,
	__NR_pwritev, __NR_lseek, __NR_close, __NR_fstat, __NR_newfstatat, __NR_fcntl,
	__NR_accept4, __NR_recvfrom, __NR_recvmsg, __NR_sendto, __NR_sendmsg,
	/* waiting */
	__NR_poll, __NR_ppoll, __NR_epoll_wait, __NR_epoll_pwait, __NR_epoll_ctl, __NR_futex,
	__NR_nanosleep, __NR_clock_nanosleep, __NR_clock_gettime, __NR_gettimeofday,
	__NR_timerfd_settime, __NR_timerfd_gettime, __NR_sched_yield, __NR_restart_syscall,
	/* threads, signals, memory of the C library; the end */
	__NR_getpid, __NR_gettid, __NR_rt_sigaction, __NR_rt_sigprocmask,
	__NR_rt_sigreturn, __NR_madvise, __NR_munmap, __NR_mremap, __NR_brk, __NR_exit,
	__NR_exit_group, __NR_getrandom, __NR_rseq, __NR_set_robust_list,
};

/* Of terminals, as few as can be: TIOCSTI would type into the shell that runvm was started from */
static const unsigned int ioctls[] = {
	TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCGPGRP, FIONREAD, FIONBIO,
	BLKDISCARD,	/* of disks that were opened for writing */
	TUNSETOFFLOAD,	/* of tap interfaces that are open */
};

/* All of hvx's and vhost's */
static const unsigned int ioctl_types[] = { HVX_IOC, 0xaf };

void machine_allow_syscalls(struct machine *m, const int *syscalls, unsigned int nr)
{
	struct sandbox *s = &m->p->sandbox;

	if (nr > MAX_SYSCALLS - s->nr)
		die("the devices want more than %d system calls", MAX_SYSCALLS);
	memcpy(s->syscalls + s->nr, syscalls, nr * sizeof(*syscalls));
	s->nr += nr;
}

static void check(int error, const char *what)
{
	if (error)
		die("cannot set the system call filter up (%s): %s " NO_SANDBOX, what,
		    strerror(-error));
}

static void allow(scmp_filter_ctx filter, const int *syscalls, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, syscalls[i], 0), "system calls");
}

/* Memory, but no code: the third argument of both is the protection */
static void allow_memory(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);

	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, __NR_mmap, 1, no_code), "mmap");
	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, __NR_mprotect, 1, no_code), "mprotect");
}

/* To threads of its own: other programs of the same user are none of its business */
static void allow_signals(scmp_filter_ctx filter)
{
	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, __NR_tgkill, 1,
			       SCMP_A0(SCMP_CMP_EQ, getpid())), "signals");
}

static void allow_ioctls(scmp_filter_ctx filter)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, __NR_ioctl, 1,
				       SCMP_A1(SCMP_CMP_EQ, ioctls[i])), "ioctl");
	for (i = 0; i < ARRAY_SIZE(ioctl_types); i++)
		check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, __NR_ioctl, 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, ioctl_types[i] << 8)),
		      "ioctl");
}

void sandbox_enter(struct machine *m)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!filter)
		die("this kernel has no system call filters " NO_SANDBOX);
	check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1), "all threads");
	/* Calls by the numbers of 32-bit programs or of x32 would end the thread alone */
	check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
	      "other ABIs");
	allow(filter, always, ARRAY_SIZE(always));
	allow(filter, m->p->sandbox.syscalls, m->p->sandbox.nr);
	allow_memory(filter);
	allow_signals(filter);
	allow_ioctls(filter);
	check(seccomp_load(filter), "this kernel has none?");
	seccomp_release(filter);
}
