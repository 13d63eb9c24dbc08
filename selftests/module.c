// SPDX-License-Identifier: GPL-2.0-only
/*
 * module: hvx.ko goes only when nobody uses it, and comes back as new. Without references from
 * every descriptor, unloading pulls the code from under a running guest.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

static volatile uint64_t result;

GUEST(works)
{
	result = 0x900d;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "hvx", O_NONBLOCK) ? -errno : 0;
}

/* Where the emulated hosts have it, or as installed. */
static int load(void)
{
	const char *path = getenv("HVX_MODULE");
	int fd, ret;

	fd = open(path ? path : "/hvx/hvx.ko", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

static void need_module(void)
{
	if (access("/sys/module/hvx/refcnt", R_OK))
		SKIP("hvx is no module here");
	if (access(getenv("HVX_MODULE") ?: "/hvx/hvx.ko", R_OK))
		SKIP("hvx.ko is not here to be loaded again (HVX_MODULE=path)");
}

static void run_guest(void)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	result = 0;
	vcpu_setup_long_mode(v, works);
	vcpu_finish(v);
	EXPECT_EQ(result, 0x900d);
}

/* Every kind of descriptor alone, and a run page without any, keeps the module. */
TEST(busy)
{
	struct hvx_create_vm create = { .size = sizeof(create) };
	struct hvx_create_vcpu vcpu = { .size = sizeof(vcpu) };
	size_t size;
	void *page;
	int fd, vm, v;

	need_module();
	fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0);
	size = xioctl(fd, HVX_CHECK_CAP, (void *)HVX_CAP_RUN_SIZE);
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	vm = xioctl(fd, HVX_CREATE_VM, &create);
	REQUIRE(vm >= 0);
	close(fd);
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	v = xioctl(vm, HVX_CREATE_VCPU, &vcpu);
	REQUIRE(v >= 0);
	close(vm);
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v, 0);
	REQUIRE(page != MAP_FAILED);
	close(v);
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	munmap(page, size);
}

static int in_child(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

TEST_TIME(reload, 60)
{
	struct stat node = { };
	unsigned int i, k;
	int ret = -1;

	need_module();
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(in_child(run_guest), 0);
		/* The last file is put away a moment after its process has ended. */
		for (k = 0; k < 100 && (ret = unload()) == -EWOULDBLOCK; k++)
			usleep(10000);
		EXPECT_EQ(ret, 0);
		EXPECT(access("/dev/hvx", F_OK) && errno == ENOENT);
		EXPECT_EQ(load(), 0);
		for (k = 0; k < 100 && access("/dev/hvx", R_OK | W_OK); k++)
			usleep(10000);
		EXPECT(!stat("/dev/hvx", &node) && (node.st_mode & 0777) == 0660, "%#o",
		       node.st_mode);
	}
	EXPECT_EQ(in_child(run_guest), 0);
	EXPECT_EQ(load(), -EEXIST);
}
