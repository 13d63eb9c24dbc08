// SPDX-License-Identifier: GPL-2.0-only
/*
 * lifetime: descriptors, processes and address spaces may end in any order and at any time.
 * Without references from vCPU to VM to module, and without the tie to the address space, that is
 * a use after free, a leak, or a guest that runs on another process's memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

static volatile bool stop_guest;
static volatile uint64_t loops;

GUEST(spins)
{
	while (!stop_guest)
		loops++;
}

GUEST(counts)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		guest_sync(i);
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* References to the module; they go down again some time after a process has ended. */
static long references(void)
{
	return file_number("/sys/module/hvx/refcnt");
}

static void expect_references(long want)
{
	unsigned int i;

	for (i = 0; i < 200 && references() != want; i++)
		usleep(10000);
	EXPECT_EQ(references(), want);
}

static int wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

TEST(vm_closed_first)
{
	const long before = hvx_open() >= 0 ? references() : 0;
	struct vcpu *v = start(counts);

	EXPECT(references() > before);
	vcpu_expect_sync(v, 0);
	close(v->vm->fd);
	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	close(v->fd);
	munmap(v->run, hvx_cap(HVX_CAP_RUN_SIZE));
	expect_references(before);
}

TEST(device_closed_first)
{
	struct hvx_create_vm create = { .size = sizeof(create) };
	struct hvx_create_vcpu vcpu = { .size = sizeof(vcpu) };
	int fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);
	long vm = xioctl(fd, HVX_CREATE_VM, &create), v;

	close(fd);
	REQUIRE(vm >= 0);
	v = xioctl(vm, HVX_CREATE_VCPU, &vcpu);
	EXPECT(v >= 0);
	close(vm);
	close(v);
}

TEST(close_on_exec)
{
	struct vcpu *v = start(counts);

	EXPECT_EQ(fcntl(v->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	EXPECT_EQ(fcntl(v->vm->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

/* The run page outlives its descriptor, and HVX_RUN does without a mapping of it. */
TEST(run_page)
{
	struct vcpu *v = start(counts);
	const size_t size = hvx_cap(HVX_CAP_RUN_SIZE);
	struct hvx_run *again;

	vcpu_expect_sync(v, 0);
	again = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	REQUIRE(again != MAP_FAILED);
	EXPECT_EQ(again->exit_reason, HVX_EXIT_IO);
	munmap(v->run, size);
	EXPECT_EQ(ioctl(v->fd, HVX_RUN, 0), 0);
	EXPECT_EQ(again->exit_reason, HVX_EXIT_IO);
	close(v->fd);
	close(v->vm->fd);
	EXPECT_EQ(again->exit_reason, HVX_EXIT_IO);
	again->immediate_exit = 1;
	munmap(again, size);
}

TEST(run_page_limits)
{
	struct vcpu *v = start(counts);
	const size_t size = hvx_cap(HVX_CAP_RUN_SIZE);

	EXPECT(mmap(NULL, size + PAGE_SIZE, PROT_READ, MAP_SHARED, v->fd, 0) == MAP_FAILED);
	EXPECT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, v->fd, size) == MAP_FAILED);
	EXPECT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, v->vm->fd, 0) == MAP_FAILED);
	EXPECT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, hvx_open(), 0) == MAP_FAILED);
	vcpu_expect_sync(v, 0);
}

/* ------------------------------------------------------------------ other address spaces */

/* In a child: everything that uses the VM's memory is refused. */
static void use_in_child(struct vcpu *v)
{
	struct hvx_create_vcpu vcpu = { .size = sizeof(vcpu), .id = 9 };

	EXPECT_EQ(xioctl(v->fd, HVX_RUN, NULL), -EPERM);
	EXPECT_EQ(xioctl(v->fd, HVX_GET_REGS, (void *)HVX_REGS_GPR), -EPERM);
	EXPECT_EQ(vm_region(v->vm, 100, 0, 0xc0000000, PAGE_SIZE, host_pages(PAGE_SIZE)), -EPERM);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_CREATE_VCPU, &vcpu), -EPERM);
	/* /dev/hvx itself is anybody's. */
	EXPECT_EQ(xioctl(hvx_open(), HVX_GET_API_VERSION, NULL), HVX_API_VERSION);
}

TEST(forked)
{
	struct vcpu *v = start(counts);
	pid_t pid;

	vcpu_expect_sync(v, 0);
	pid = fork();
	if (!pid) {
		use_in_child(v);
		_exit(0);
	}
	EXPECT_EQ(wait_for(pid), 0);
	vcpu_expect_sync(v, 1);
	/* The child may be the last to close. */
	pid = fork();
	if (!pid) {
		usleep(100000);
		use_in_child(v);
		_exit(0);
	}
	close(v->fd);
	close(v->vm->fd);
	munmap(v->run, hvx_cap(HVX_CAP_RUN_SIZE));
	EXPECT_EQ(wait_for(pid), 0);
}

/* A child whose parent, to which the VM belongs, is gone. */
TEST(orphaned)
{
	const long before = references();
	int pipes[2];
	pid_t pid;
	char c = 1;

	REQUIRE(!pipe(pipes));
	pid = fork();
	if (!pid) {
		struct vcpu *v = start(counts);

		vcpu_expect_sync(v, 0);
		if (!fork()) {
			while (getppid() == pid)
				usleep(1000);
			usleep(50000);
			c = xioctl(v->fd, HVX_RUN, NULL) != -EPERM;
			if (write(pipes[1], &c, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	EXPECT_EQ(wait_for(pid), 0);
	EXPECT(read(pipes[0], &c, 1) == 1 && !c);
	expect_references(before);
}

/* What the program does after exec of itself: say what HVX_RUN says. */
static void __attribute__((constructor)) after_exec(void)
{
	const char *fd = getenv("HVX_TEST_EXEC_FD");

	if (!fd)
		return;
	_exit(ioctl(atoi(fd), HVX_RUN, 0) == -1 ? errno : 0);
}

static void exec_self(int fd)
{
	char name[32], *argv[] = { "lifetime", NULL }, *envp[] = { name, NULL };

	snprintf(name, sizeof(name), "HVX_TEST_EXEC_FD=%d", fd);
	execve("/proc/self/exe", argv, envp);
	_exit(99);
}

TEST(exec_keeps_fd)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		struct vcpu *v = start(counts);

		vcpu_expect_sync(v, 0);
		fcntl(v->fd, F_SETFD, 0);
		exec_self(v->fd);
	}
	status = wait_for(pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EPERM, "status %#x", status);
}

static void *run_thread(void *arg)
{
	vcpu_run(arg);
	return NULL;
}

static struct vcpu *spin_in_thread(void)
{
	struct vcpu *v = start(spins);
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, run_thread, v));
	while (!loops)
		usleep(1000);
	return v;
}

/* exec ends the thread that runs the guest. */
TEST(exec_while_running)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		struct vcpu *v = spin_in_thread();

		fcntl(v->fd, F_SETFD, 0);
		exec_self(v->fd);
	}
	status = wait_for(pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EPERM, "status %#x", status);
}

/* ------------------------------------------------------------------ the end, early */

enum stage { OPENED, VM, REGIONS, VCPU, REGISTERS, RAN, RUNNING, NR_STAGES };

static void go_to(enum stage stage)
{
	struct vm *vm;
	struct vcpu *v;

	hvx_open();
	if (stage == VM)
		vm_create_bare(0);
	if (stage < REGIONS)
		return;
	vm = vm_create(0);
	if (stage < VCPU)
		return;
	v = vcpu_create(vm, 0);
	if (stage < REGISTERS)
		return;
	vcpu_setup_long_mode(v, stage == RUNNING ? spins : counts);
	vcpu_set(v, HVX_REGS_ALL & ~HVX_REGS_EVENT);
	if (stage == RAN)
		vcpu_run(v);
	if (stage == RUNNING)
		vcpu_run(v);
}

TEST(exit_at_every_stage)
{
	const long before = references();
	unsigned int stage;
	pid_t pid;

	for (stage = OPENED; stage < RUNNING; stage++) {
		pid = fork();
		if (!pid) {
			go_to(stage);
			_exit(0);
		}
		EXPECT_EQ(wait_for(pid), 0);
	}
	expect_references(before);
}

/* All descriptors go while the program lives on, with its mappings; another VM works after that */
static void close_all(void)
{
	int fd;

	REQUIRE(!syscall(SYS_close_range, 3, ~0U, 0));
	fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);
	/* Where hvx_open() had it */
	REQUIRE(fd >= 0 && dup2(fd, hvx_open()) >= 0);
	go_to(RAN);
	_exit(0);
}

/* The program goes and leaves copies of its descriptors to a child, which goes later */
static void leave_copies(void)
{
	if (!fork())
		usleep(20000);
	_exit(0);
}

static void become_another(void)
{
	exec_self(-1);
}

static void at_every_stage(void (*end)(void), int expected)
{
	const long before = references();
	unsigned int stage;
	int status;
	pid_t pid;

	for (stage = OPENED; stage < RUNNING; stage++) {
		pid = fork();
		if (!pid) {
			go_to(stage);
			end();
		}
		status = wait_for(pid);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == expected, "stage %u: %#x",
		       stage, status);
	}
	expect_references(before);
}

TEST(close_at_every_stage)
{
	at_every_stage(close_all, 0);
}

TEST(fork_at_every_stage)
{
	at_every_stage(leave_copies, 0);
}

TEST(exec_at_every_stage)
{
	at_every_stage(become_another, EBADF);
}

TEST(sigkill_at_every_stage)
{
	const long before = references();
	unsigned int stage, i;
	int status;
	pid_t pid;

	for (stage = OPENED; stage < NR_STAGES; stage++) {
		pid = fork();
		if (!pid) {
			go_to(stage);
			for (;;)
				pause();
		}
		usleep(60000);
		kill(pid, SIGKILL);
		status = wait_for(pid);
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	}
	/* and at no stage in particular */
	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			go_to(RUNNING);
			_exit(0);
		}
		usleep(i * 1000);
		kill(pid, SIGKILL);
		wait_for(pid);
	}
	expect_references(before);
}

TEST(closed_while_running)
{
	struct vcpu *v;
	long before = references();
	pid_t pid;

	pid = fork();
	if (!pid) {
		v = spin_in_thread();
		close(v->fd);
		close(v->vm->fd);
		munmap(v->run, hvx_cap(HVX_CAP_RUN_SIZE));
		usleep(20000);
		loops = 0;
		usleep(20000);
		/* The thread in HVX_RUN holds what it needs. */
		_exit(loops ? 0 : 1);
	}
	EXPECT_EQ(wait_for(pid), 0);
	expect_references(before);
}

static void *wait_for_vcpu(void *arg)
{
	struct vcpu *v = arg;

	vcpu_get(v, HVX_REGS_GPR);
	return NULL;
}

/* A second thread's call waits for HVX_RUN to end, and can be killed while it waits. */
TEST(second_thread_waits)
{
	struct vcpu *v = start(spins);
	pthread_t runner, other;
	pid_t pid;

	REQUIRE(!pthread_create(&runner, NULL, run_thread, v));
	while (!loops)
		usleep(1000);
	REQUIRE(!pthread_create(&other, NULL, wait_for_vcpu, v));
	usleep(50000);
	EXPECT_EQ(pthread_tryjoin_np(other, NULL), EBUSY);
	stop_guest = true;
	pthread_join(other, NULL);
	pthread_join(runner, NULL);
	stop_guest = false;
	loops = 0;
	pid = fork();
	if (!pid) {
		v = spin_in_thread();
		pthread_create(&other, NULL, wait_for_vcpu, v);
		usleep(20000);
		raise(SIGKILL);
	}
	EXPECT_EQ(wait_for(pid), SIGKILL);
}
